"""Place furniture and small things in an empty room so that nothing collides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from basrelief.shapes.parts import chance, pick
from basrelief.shapes.room_layouts import Piece
from basrelief.shapes.room_shapes import Body
from basrelief.shapes.room_sizes import FRONT_SPACE
from basrelief.shapes.room_structure import Shell, Wall, footprints_overlap, rectangle
from basrelief.shapes.room_support import Support

_TRIES = 30
_GAP = 0.02
_LIFT = 0.001
_TOUCH_CELL = 0.04
_SITTING_HEIGHT = 0.6  # chairs stand around tables of at least this height


@dataclass(frozen=True, eq=False)
class Item:
    """A placed body.

    Attributes:
        label: Its name; empty for clutter.
        body: In its own frame.
        at: (3,) position of the centre of its base.
        yaw: Radians counter-clockwise seen from above.
        support: The item it stands on; None for the floor, a wall or the ceiling.
    """

    label: str
    body: Body
    at: Float[np.ndarray, "3"]
    yaw: float
    support: Item | None = None

    @property
    def footprint(self) -> Float[np.ndarray, "4 2"]:
        """Corners of its base rectangle, turned with it."""
        return rectangle(self.at[:2], self.body.size[:2], self.yaw)

    @property
    def top(self) -> float:
        """Height of its highest point."""
        return float(self.at[2] + self.body.size[2])

    @property
    def front(self) -> Float[np.ndarray, "2"]:
        """Unit vector that its front looks along."""
        return np.array([np.sin(self.yaw), -np.cos(self.yaw)])

    @property
    def front_space(self) -> Float[np.ndarray, "4 2"] | None:
        """The area before it that is kept free, or None."""
        deep = FRONT_SPACE.get(self.label)
        if deep is None:
            return None
        middle = self.at[:2] + self.front * (self.body.size[1] + deep) / 2
        return rectangle(middle, (float(self.body.size[0]), deep), self.yaw)

    def to_room(self, points: Float[np.ndarray, "n k"]) -> np.ndarray:
        """Map points (N, 3) of the body's own frame into the room."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        moved: np.ndarray = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + self.at
        return moved


@dataclass
class Placer:
    """Places items one after the other; each is checked against those before.

    Attributes:
        shell: The empty room.
        r: Random generator.
        items: What was placed.
    """

    shell: Shell
    r: Generator
    items: list[Item] = field(default_factory=list)
    _zones: list[tuple[np.ndarray, float, float]] = field(init=False)
    _supports: dict[int, Support] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keep the space before doors and windows free."""
        self._zones = []
        for o in self.shell.openings:
            wall, deep = self.shell.walls[o.wall], 0.9 if o.is_door else 0.35
            turn = float(np.arctan2(*wall.along[::-1]))
            area = rectangle(wall.at((o.left + o.right) / 2, deep / 2), (o.right - o.left, deep), turn)
            self._zones.append((area, 0.0 if o.is_door else o.low + 0.15, o.high))

    def put(self, label: str, body: Body, piece: Piece) -> Item | None:
        """Place a body where a piece belongs.

        Args:
            label: Its name; empty for clutter.
            body: The shape.
            piece: Where it belongs, and near what.

        Returns:
            The item, or None if there is no space for it.
        """
        near = piece.place in ("front", "around")
        for item in self._suggest(label, body, piece):
            if self.is_free(item) and (near or not self._blocks(item)):
                self.items.append(item)
                return item
        return None

    def is_free(self, item: Item) -> bool:
        """Return whether an item is inside the room, clear of doors and windows, and touches no other item."""
        area, low, high = item.footprint, item.at[2], item.top
        if not self.shell.contains(area, margin=0.004) or high > self.shell.height - 0.005 * (item.body.hangs is False):
            return False
        if any(low < z1 and high > z0 and footprints_overlap(area, zone) for zone, z0, z1 in self._zones):
            return False
        return not any(self._collide(item, other) for other in self.items)

    def _blocks(self, item: Item) -> bool:
        """Whether it stands before the front of another item, or another before its own."""
        if item.support is not None or item.at[2] > 0.5:
            return False
        on_floor = [other for other in self.items if other.support is None and other.at[2] < 0.5]
        before, own = item.front_space, item.footprint
        return any(
            (other.front_space is not None and footprints_overlap(own, other.front_space))
            or (before is not None and footprints_overlap(before, other.footprint))
            for other in on_floor
        )

    def _collide(self, item: Item, other: Item) -> bool:
        if item.support is other or other.support is item:
            return False
        if item.at[2] >= other.top or other.at[2] >= item.top or not footprints_overlap(item.footprint, other.footprint, gap=_GAP):
            return False
        tucked = {item.label, other.label} in ({"chair", "table"}, {"chair", "desk"})
        return not tucked or _touch(item, other)

    def _suggest(self, label: str, body: Body, piece: Piece) -> Iterator[Item]:
        if piece.place == "top":
            yield from self._on_top(label, body, piece)
        elif piece.place in ("beside", "front", "around"):
            yield from self._near(label, body, piece)
        elif piece.place in ("floor", "hanging"):
            yield from self._anywhere(label, body, piece)
        else:
            yield from self._at_walls(label, body, piece)

    def _turn(self, piece: Piece) -> float:
        return float(np.radians(self.r.uniform(-piece.turn, piece.turn)))

    def _anchors(self, of: Sequence[str]) -> list[Item]:
        found = [item for item in self.items if item.label in of]
        return [found[i] for i in self.r.permutation(len(found))]

    def _anywhere(self, label: str, body: Body, piece: Piece) -> Iterator[Item]:
        hanging = piece.place == "hanging"
        if hanging and not self.shell.ceiling:
            return
        z = self.shell.height - float(body.size[2]) if hanging else _LIFT
        for _ in range(_TRIES):
            if hanging and z < 1.8:
                return
            base = pick(self.r, (0.0, 0.5, 1.0, 1.5)) * np.pi
            x, y = (self.r.uniform(0.15, 0.85) * length for length in self.shell.size)
            yield Item(label, body, np.array([x, y, z]), base + self._turn(piece))

    def _at_walls(self, label: str, body: Body, piece: Piece) -> Iterator[Item]:
        walls = list(self.shell.walls)
        lengths = np.array([wall.length for wall in walls])
        half = body.size / 2
        for _ in range(_TRIES * 2):
            wall = walls[int(self.r.choice(len(walls), p=lengths / lengths.sum()))]
            offset = self.r.uniform(half[0], max(wall.length - half[0], half[0] + 1e-6))
            if piece.place == "corner":
                offset = half[0] + 0.03 if chance(self.r, 0.5) else wall.length - half[0] - 0.03
            if piece.place == "opposite":
                anchors = self._anchors(piece.of)
                if anchors:
                    wall = min(walls, key=lambda w: (float(w.normal @ anchors[0].front), -w.length))
                    offset = float((anchors[0].at[:2] - wall.start) @ wall.along) + self.r.uniform(-0.4, 0.4)
            turn = self._turn(piece) if piece.place != "mounted" else 0.0
            reach = half[1] * abs(np.cos(turn)) + half[0] * abs(np.sin(turn))
            away = reach + self.r.uniform(0.015, 0.06) if piece.place != "mounted" else half[1] + 0.006
            z = self.r.uniform(0.85, 1.25) if piece.place == "mounted" else _LIFT
            yield Item(label, body, np.array([*wall.at(offset, away), z]), _facing(wall) + turn)

    def _near(self, label: str, body: Body, piece: Piece) -> Iterator[Item]:
        anchors = [item for item in self._anchors(piece.of) if piece.place != "around" or item.body.size[2] > _SITTING_HEIGHT]
        for anchor in [a for a in anchors for _ in range(10)]:
            width, depth = anchor.body.size[:2]
            own = body.size[:2]
            if piece.place == "beside":
                side = pick(self.r, (-1, 1))
                gap = self.r.uniform(0.025, 0.1)
                local = np.array([side * (width / 2 + own[0] / 2 + gap), depth / 2 - own[1] / 2])
                yield self._relative(label, body, anchor, local, 0.0)
            elif label != "chair" or (piece.place == "front" and anchor.label == "sofa"):
                local = np.array([self.r.uniform(-0.15, 0.15) * width, -depth / 2 - own[1] / 2 - self.r.uniform(0.3, 0.5)])
                yield self._relative(label, body, anchor, local, self._turn(piece))
            else:
                yield from self._chairs(label, body, anchor, piece)

    def _chairs(self, label: str, body: Body, anchor: Item, piece: Piece) -> Iterator[Item]:
        """A chair before a desk or at a side of a table: pushed under it if that is possible, else further and further out."""
        width, depth = anchor.body.size[:2]
        side = 0 if piece.place == "front" else int(self.r.integers(4))
        if piece.place == "front" and any(
            i.label == label and np.linalg.norm(i.at[:2] - anchor.at[:2]) < depth / 2 + 0.8 for i in self.items
        ):
            return
        along, reach = (width, depth) if side in (0, 2) else (depth, width)
        room = max(along / 2 - body.size[0] / 2, 0.0)
        offset = self.r.uniform(-room, room) * (0.4 if side in (1, 3) or piece.place == "front" else 1.0)
        turn = self._turn(piece) * (3 if chance(self.r, 0.12) else 1)
        direction = np.array([np.sin(side * np.pi / 2), -np.cos(side * np.pi / 2)])
        across = np.array([-direction[1], direction[0]])
        for out in (self.r.uniform(-0.28, 0.25), 0.08, 0.16, 0.24):
            local = direction * (reach / 2 + body.size[1] / 2 + out) + across * offset
            yield self._relative(label, body, anchor, local, side * np.pi / 2 + np.pi + turn)

    def _relative(self, label: str, body: Body, anchor: Item, local: np.ndarray, yaw: float) -> Item:
        at = anchor.to_room(np.array([[*local, 0.0]]))[0]
        return Item(label, body, np.array([at[0], at[1], _LIFT]), anchor.yaw + yaw)

    def _on_top(self, label: str, body: Body, piece: Piece) -> Iterator[Item]:
        for anchor in self._anchors(piece.of):
            if id(anchor) not in self._supports:
                self._supports[id(anchor)] = Support.of(anchor.body)
            turn = self._turn(piece)
            if piece.spot == "any" and anchor.label == "table" and piece.turn < 180:
                turn += pick(self.r, (0.0, 0.5, 1.0, 1.5)) * np.pi
            for x, y, z in self._supports[id(anchor)].place(self.r, body.size, yaw=turn, spot=piece.spot):
                at = anchor.to_room(np.array([[x, y, z]]))[0]
                if at[2] < 1.9:
                    yield Item(label, body, at + (0, 0, _LIFT), anchor.yaw + turn, anchor)


def _facing(wall: Wall) -> float:
    """The yaw of something with its back to a wall."""
    x, y = wall.normal
    return float(np.arctan2(x, -y))


def _touch(first: Item, second: Item) -> bool:
    """Whether two items come closer than about 4 cm, by points on their surfaces."""
    cells = [np.round(item.to_room(item.body.surface) / _TOUCH_CELL).astype(np.int64) + 1000 for item in (first, second)]
    keys = [(cell[:, 0] << 24) + (cell[:, 1] << 12) + cell[:, 2] for cell in cells]
    return bool(np.isin(keys[0], keys[1]).any())
