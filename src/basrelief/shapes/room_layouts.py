"""Layouts of the generated rooms, as data: sizes, furniture in the order in which it is placed, and what stands on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Place = Literal["wall", "corner", "opposite", "beside", "front", "around", "floor", "top", "mounted", "hanging"]
Interval = tuple[float, float]

ROOM_WORDS: tuple[str, ...] = (
    "bathtub",
    "bed",
    "bookshelf",
    "bottle",
    "cabinet",
    "chair",
    "desk",
    "lamp",
    "laptop",
    "monitor",
    "potted plant",
    "refrigerator",
    "sink",
    "sofa",
    "table",
    "television",
    "toilet",
    "trash can",
    "vase",
    "wardrobe",
)
"""Labels of the objects in generated rooms by default: 20 everyday things of `CATEGORIES` that the vocabulary of `tiny` has, too."""

MORE_ROOM_WORDS: tuple[str, ...] = (
    *ROOM_WORDS,
    "armchair",
    "bucket",
    "cardboard box",
    "coat rack",
    "computer keyboard",
    "cup",
    "dresser",
    "fan",
    "microwave",
    "mug",
    "nightstand",
    "ottoman",
    "pot",
    "shelf",
    "stool",
    "stove",
    "traffic cone",
    "tv stand",
    "washing machine",
)
"""A longer list for `make_room(words=...)`."""

TABLETOP_WORDS: tuple[str, ...] = (
    "bottle",
    "bowl",
    "can",
    "clock",
    "computer keyboard",
    "cup",
    "glass",
    "hammer",
    "jar",
    "lamp",
    "laptop",
    "microwave",
    "monitor",
    "mug",
    "plate",
    "pot",
    "potted plant",
    "scissors",
    "teapot",
    "vase",
)
"""Labels of the objects in `tabletop` scenes by default."""


@dataclass(frozen=True)
class Piece:
    """Some objects of one kind and where they stand.

    Attributes:
        names: Possible categories; one is chosen among those that are allowed. All of them if empty.
        count: Least and largest number of them; fewer if there is no space.
        place: `wall` and `corner`: with the back to a wall; `opposite`: at the wall that an anchor faces; `beside`, `front`:
            next to an anchor, with the same front; `around`: on the sides of an anchor, facing it; `floor`: anywhere, turned by any angle;
            `top`: on an anchor; `mounted`: on a wall, above the floor; `hanging`: from the ceiling, if there is one.
        of: Labels of possible anchors.
        height: Least and largest height, metres.
        width: Least and largest longer horizontal side, metres.
        depth: Least and largest extent from front to back, metres.
        spot: For `top`: at the `back` of the surface, at the `front`, or `any`where.
        turn: Largest angle away from the usual direction, degrees.
    """

    names: tuple[str, ...]
    count: tuple[int, int]
    place: Place
    of: tuple[str, ...] = ()
    height: Interval = (0.0, 2.35)
    width: Interval = (0.0, 3.0)
    depth: Interval = (0.0, 3.0)
    spot: Literal["any", "back", "front"] = "any"
    turn: float = 0.0


@dataclass(frozen=True)
class Layout:
    """A type of room.

    Attributes:
        width: Least and largest extent of the room along x and y, metres.
        pieces: Objects in the order in which they are placed.
        windows: Least and largest number of windows.
        clutter: Least and largest number of unlabelled things: piles of boxes, books, cables.
        l_shaped: Probability that a corner of the rectangle is missing.
    """

    width: Interval
    pieces: tuple[Piece, ...]
    windows: tuple[int, int] = (1, 3)
    clutter: tuple[int, int] = (1, 5)
    l_shaped: float = 0.25


_FLAT_TOPS = ("table", "desk", "cabinet", "nightstand", "dresser", "tv stand", "bookshelf", "shelf")
_SMALL = (
    Piece(("vase", "cup"), (1, 3), "top", _FLAT_TOPS, height=(0.05, 0.5), turn=180),
    Piece(("potted plant",), (0, 2), "top", _FLAT_TOPS, height=(0.1, 0.5), width=(0.1, 0.45), turn=180),
    Piece(("bottle", "mug"), (1, 3), "top", _FLAT_TOPS, turn=180),
)
_FLOOR_PLANT = Piece(("potted plant",), (0, 3), "corner", height=(0.5, 1.8), turn=180)
_FLOOR_LAMP = Piece(("lamp",), (0, 1), "corner", height=(1.2, 2.2), turn=180)
_CEILING_LAMP = Piece(("lamp",), (0, 1), "hanging", height=(0.4, 1.2))
_TRASH_CAN = Piece(("trash can", "bucket"), (1, 2), "wall", turn=180)
_TABLE_LAMP = Piece(("lamp",), (1, 3), "top", _FLAT_TOPS, height=(0.2, 0.75), turn=180)


def _dining(count: tuple[int, int], *, table: tuple[int, int] = (1, 1), place: Place = "floor") -> tuple[Piece, ...]:
    return (
        Piece(("table",), table, place, height=(0.62, 0.85), width=(0.9, 2.0), depth=(0.6, 1.4), turn=8),
        Piece(("chair",), count, "around", ("table",), turn=25),
    )


LAYOUTS: Mapping[str, Layout] = {
    "living room": Layout(
        (3.6, 6.2),
        (
            Piece(("sofa",), (1, 2), "wall"),
            Piece(("table",), (1, 2), "front", ("sofa",), height=(0.28, 0.55), width=(0.5, 1.3)),
            Piece(("tv stand", "cabinet"), (1, 1), "opposite", ("sofa",), height=(0.3, 1.0), width=(0.7, 2.0)),
            Piece(("television",), (1, 1), "top", ("tv stand", "cabinet"), depth=(0.07, 0.6), spot="back", turn=5),
            Piece(("television",), (0, 1), "mounted", depth=(0.0, 0.07)),
            Piece(("bookshelf", "shelf"), (1, 2), "wall", height=(0.6, 2.3)),
            Piece(("table", "nightstand"), (1, 2), "beside", ("sofa",), height=(0.4, 0.7), width=(0.3, 0.62)),
            Piece(("armchair", "chair"), (1, 2), "floor", turn=180),
            *_dining((2, 4), table=(0, 1)),
            Piece(("cabinet", "dresser"), (0, 1), "wall"),
            _FLOOR_LAMP,
            _FLOOR_PLANT,
            _CEILING_LAMP,
            _TABLE_LAMP,
            Piece(("laptop",), (0, 1), "top", ("table",), turn=30),
            *_SMALL,
            Piece(("ottoman", "stool"), (0, 1), "floor", turn=180),
            _TRASH_CAN,
        ),
    ),
    "bedroom": Layout(
        (3.2, 5.2),
        (
            Piece(("bed",), (1, 2), "wall"),
            Piece(("nightstand", "table"), (1, 2), "beside", ("bed",), height=(0.35, 0.7), width=(0.3, 0.6)),
            Piece(("wardrobe",), (1, 2), "wall"),
            Piece(("desk",), (0, 1), "wall"),
            Piece(("chair",), (1, 1), "front", ("desk",), turn=35),
            Piece(("laptop", "computer keyboard"), (0, 1), "top", ("desk",), spot="front", turn=15),
            Piece(("monitor",), (0, 1), "top", ("desk",), spot="back", turn=15),
            Piece(("dresser", "cabinet"), (1, 1), "wall", height=(0.5, 1.3)),
            Piece(("television",), (0, 1), "top", ("dresser", "cabinet"), depth=(0.07, 0.6), spot="back", turn=5),
            Piece(("bookshelf",), (0, 1), "wall"),
            Piece(("chair", "armchair"), (0, 1), "floor", turn=180),
            _FLOOR_LAMP,
            _FLOOR_PLANT,
            _CEILING_LAMP,
            _TABLE_LAMP,
            *_SMALL,
            _TRASH_CAN,
            Piece(("cardboard box", "fan", "coat rack"), (0, 1), "floor", turn=180),
        ),
    ),
    "office": Layout(
        (3.6, 6.8),
        (
            Piece(("desk",), (2, 4), "wall"),
            Piece(("desk",), (0, 2), "floor", turn=4),
            Piece(("chair",), (1, 6), "front", ("desk",), turn=40),
            Piece(("monitor",), (1, 6), "top", ("desk",), spot="back", turn=15),
            Piece(("laptop", "computer keyboard"), (0, 4), "top", ("desk",), spot="front", turn=20),
            Piece(("bookshelf", "shelf"), (1, 3), "wall", height=(0.6, 2.3)),
            Piece(("cabinet",), (1, 3), "wall"),
            *_dining((2, 6), table=(0, 1)),
            Piece(("lamp",), (0, 2), "top", ("desk",), height=(0.2, 0.7), spot="back", turn=90),
            Piece(("bottle", "mug"), (0, 3), "top", ("desk", "table"), turn=180),
            _FLOOR_LAMP,
            _FLOOR_PLANT,
            _TRASH_CAN,
            *_SMALL,
            Piece(("cardboard box", "coat rack"), (0, 2), "wall", turn=20),
        ),
    ),
    "kitchen": Layout(
        (3.2, 6.0),
        (
            Piece(("refrigerator",), (1, 1), "wall"),
            Piece(("sink",), (1, 1), "wall"),
            Piece(("cabinet",), (1, 3), "beside", ("refrigerator", "sink", "cabinet"), height=(0.6, 1.1)),
            Piece(("stove", "washing machine"), (0, 1), "beside", ("refrigerator", "sink", "cabinet")),
            *_dining((2, 6)),
            Piece(("cabinet", "shelf"), (0, 1), "wall", height=(0.6, 1.9)),
            Piece(("microwave", "television"), (0, 1), "top", ("cabinet",), depth=(0.07, 0.6), spot="back", turn=5),
            _CEILING_LAMP,
            Piece(("bottle", "pot"), (1, 4), "top", ("table", "cabinet"), turn=180),
            Piece(("vase", "cup"), (0, 2), "top", ("table", "cabinet"), turn=180),
            Piece(("trash can",), (1, 2), "wall", turn=180),
            Piece(("potted plant",), (0, 2), "top", ("table", "cabinet"), height=(0.1, 0.5), width=(0.1, 0.45), turn=180),
            _FLOOR_PLANT,
        ),
    ),
    "bathroom": Layout(
        (3.0, 4.0),
        (
            Piece(("bathtub",), (1, 1), "wall"),
            Piece(("toilet",), (1, 1), "wall"),
            Piece(("sink",), (1, 2), "wall"),
            Piece(("cabinet", "washing machine"), (1, 2), "wall"),
            Piece(("trash can",), (1, 1), "wall", turn=180),
            Piece(("bottle",), (1, 3), "top", ("cabinet", "washing machine"), turn=180),
            Piece(("vase", "potted plant"), (0, 1), "top", ("cabinet",), height=(0.1, 0.5), turn=180),
            _FLOOR_PLANT,
            _CEILING_LAMP,
        ),
        windows=(0, 1),
        clutter=(0, 2),
        l_shaped=0.1,
    ),
    "workshop": Layout(
        (4.0, 8.0),
        (
            Piece(("table", "desk"), (3, 5), "wall", height=(0.62, 0.85), width=(1.0, 2.0)),
            Piece(("table",), (0, 2), "floor", height=(0.62, 0.85), width=(1.0, 2.0), turn=8),
            Piece(("cabinet", "shelf"), (2, 4), "wall"),
            Piece(("bookshelf", "shelf"), (1, 3), "wall", height=(0.6, 2.3)),
            Piece(("chair",), (0, 3), "around", ("table",), turn=25),
            Piece(("chair", "stool"), (1, 3), "floor", turn=180),
            Piece(("chair",), (0, 2), "front", ("desk",), turn=40),
            Piece(("wardrobe",), (0, 1), "wall"),
            Piece(("laptop",), (1, 2), "top", ("table", "desk"), turn=40),
            Piece(("monitor",), (0, 2), "top", ("table", "desk"), spot="back", turn=20),
            Piece(("lamp",), (1, 3), "top", ("table", "desk"), height=(0.2, 0.7), turn=180),
            Piece(("bottle",), (1, 4), "top", _FLAT_TOPS, turn=180),
            Piece(("trash can", "bucket"), (1, 3), "floor", turn=180),
            Piece(("cardboard box", "traffic cone"), (0, 3), "floor", turn=180),
            _CEILING_LAMP,
        ),
        clutter=(3, 9),
    ),
}
"""Types of rooms by name."""

TABLETOP_PIECE = Piece((), (1, 1), "floor", height=(0.01, 0.6), width=(0.04, 0.65), turn=180)
"""A thing on a table top, of any allowed label."""
