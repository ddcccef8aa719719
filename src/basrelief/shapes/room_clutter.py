"""Unlabelled things in generated rooms: piles of boxes, books, cables, radiators, pictures on walls; and the slab of a tabletop."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from basrelief.shapes.parts import chance, fabric, pick, wood
from basrelief.shapes.primitives import Color, Solid, ball, box, curve, cylinder, tube
from basrelief.shapes.room_layouts import Piece
from basrelief.shapes.room_placing import Placer
from basrelief.shapes.room_shapes import Body
from basrelief.shapes.room_structure import Shell, Wall

_TOPS = ("table", "desk", "cabinet", "bookshelf", "dresser", "shelf")


def add_clutter(placer: Placer, count: int, *, small: bool = False) -> None:
    """Place up to `count` unlabelled things, large ones on floor and walls, small ones on furniture.

    Args:
        placer: The room.
        count: Their number.
        small: Whether only small things, lying on the floor, are wanted (for table tops).
    """
    r = placer.r
    for _ in range(count):
        kind = pick(r, ("solids", "books") if small else ("pile", "books", "books", "cable", "picture", "radiator", "solids"))
        if kind == "pile":
            placer.put("", Body.from_solids(_pile(r)), Piece((), (1, 1), pick(r, ("corner", "wall")), turn=10))
        if kind == "books":
            place = Piece((), (1, 1), "floor" if small else "top", () if small else _TOPS, turn=180)
            placer.put("", Body.from_solids(_books(r)), place)
        if kind == "cable":
            placer.put("", Body.from_solids(_cable(r)), Piece((), (1, 1), "floor", turn=180))
        if kind == "picture":
            size = (r.uniform(0.3, 0.9), 0.025, r.uniform(0.3, 0.6))
            picture = [
                box(size, color=wood(r)),
                box((size[0] * 0.85, 0.006, size[2] * 0.85), (0, -0.013, size[2] * 0.075), color=fabric(r)),
            ]
            placer.put("", Body.from_solids(picture), Piece((), (1, 1), "mounted"))
        if kind == "radiator":
            placer.put("", Body.from_solids(_radiator(r)), Piece((), (1, 1), "wall"))
        if kind == "solids":
            solids = _solids(r, 0.05 if small else 0.25)
            placer.put("", Body.from_solids(solids), Piece((), (1, 1), "floor", turn=180))


def _any_color(r: Generator) -> Color:
    red, green, blue = r.uniform(0.1, 0.9, 3)
    return float(red), float(green), float(blue)


def _pile(r: Generator) -> list[Solid]:
    """Boxes on top of each other, each turned a little."""
    parts, z = [], 0.0
    width = r.uniform(0.3, 0.5)
    for _ in range(int(r.integers(1, 4))):
        high = r.uniform(0.12, 0.3)
        body = box((width, width * r.uniform(0.6, 1), high), color=pick(r, ((0.72, 0.55, 0.36), fabric(r), wood(r))))
        parts.append(body.turned("z", r.uniform(-12, 12)).moved((0, 0, z)))
        z, width = z + high, width * r.uniform(0.75, 0.98)
    return parts


def _books(r: Generator) -> list[Solid]:
    parts, z = [], 0.0
    for _ in range(int(r.integers(1, 6))):
        thick = r.uniform(0.012, 0.04)
        book = box((r.uniform(0.12, 0.17), r.uniform(0.18, 0.25), thick), color=_any_color(r))
        parts.append(book.turned("z", r.uniform(-8, 8)).moved((0, 0, z)))
        z += thick
    return parts


def _cable(r: Generator) -> list[Solid]:
    count, radius = int(r.integers(4, 7)), r.uniform(0.004, 0.008)
    steps = np.cumsum(np.stack([r.uniform(0.1, 0.35, count), r.uniform(-0.2, 0.2, count), np.zeros(count)], axis=1), axis=0)
    return [tube(curve([tuple(step) for step in steps + (0, 0, radius)]), radius, color=(0.12, 0.12, 0.13), sides=6)]


def _radiator(r: Generator) -> list[Solid]:
    width, high = r.uniform(0.5, 1.2), r.uniform(0.4, 0.6)
    fins = np.arange(-width / 2, width / 2, 0.06)
    white = (0.93, 0.93, 0.92)
    parts = [box((0.035, 0.09, high), (float(x), 0, 0.12), color=white) for x in fins]
    return parts + [box((width, 0.03, 0.04), (0, 0, z), color=white) for z in (0.15, high)] + [box((0.04, 0.04, 0.12), color=white)]


def _solids(r: Generator, size: float) -> list[Solid]:
    """One to three random solids that stand close together."""
    parts = []
    for i in range(int(r.integers(1, 4))):
        x, y, z = (float(v) for v in r.uniform(0.4, 1.0, 3) * size)
        kind, color = pick(r, ("box", "cylinder", "ball", "wedge")), _any_color(r)
        at = (i * size * 0.9, r.uniform(-0.3, 0.3) * size, 0.0)
        if kind == "box":
            parts.append(box((x, y, z), at, color=color))
        if kind == "wedge":
            parts.append(box((x, y, z), at, color=color, top=(r.uniform(0.2, 1), 0.3)))
        if kind == "cylinder":
            parts.append(cylinder(x / 2, z, at, color=color))
        if kind == "ball":
            parts.append(ball((x / 2, x / 2, z / 2), (at[0], at[1], z / 2), color=color, square=r.uniform(0.3, 1)))
    return parts


def tabletop_shell(r: Generator) -> Shell:
    """Choose the size of a table top; it lies at z = 0, so that it takes the place of the floor."""
    x, y = r.uniform(0.9, 1.6), r.uniform(0.6, 0.95)
    corners = ((0.0, 0.0), (x, 0.0), (x, y), (0.0, y))
    walls = tuple(Wall(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True))
    return Shell((x, y), None, 5.0, False, walls, ())


def tabletop_solids(r: Generator, shell: Shell) -> list[Solid]:
    """Build the slab below z = 0."""
    x, y = shell.size
    thick = r.uniform(0.02, 0.05)
    cloth = chance(r, 0.3)
    return [box((x, y, thick), (x / 2, y / 2, -thick), color=fabric(r) if cloth else wood(r))]


def floor_below(r: Generator, shell: Shell) -> list[Solid]:
    """Build the floor around the table, and sometimes a wall behind it; half of the tables stand alone."""
    if chance(r, 0.5):
        return []
    x, y = shell.size
    low, color = -r.uniform(0.68, 0.78), wood(r)
    parts = [box((x + 0.8, y + 0.8, 0.02), (x / 2, y / 2, low - 0.02), color=color)]
    if chance(r, 0.4):
        parts.append(box((x + 0.8, 0.02, r.uniform(0.9, 1.6)), (x / 2, y + 0.2, low), color=(0.88, 0.88, 0.85)))
    return parts
