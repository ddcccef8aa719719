"""Generated tables and storage. The front looks along -y."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from basrelief.shapes.parts import Builder, chance, knob, legs, pick, plate, wood
from basrelief.shapes.primitives import Color, Solid, box, cylinder, lathe, tube


def _table(r: Generator) -> list[Solid]:
    kind = pick(r, ["dining"] * 4 + ["side", "side", "coffee", "coffee", "pedestal", "round", "trestle", "slab"])
    high = {"coffee": r.uniform(0.3, 0.5), "side": r.uniform(0.4, 0.7)}.get(kind, r.uniform(0.62, 0.8))
    low, top = {"side": (0.35, 0.6), "coffee": (0.5, 1.2), "round": (0.45, 1.1), "pedestal": (0.6, 1.1)}.get(kind, (0.8, 1.8))
    width, color, thick = r.uniform(low, top), wood(r), r.uniform(0.015, 0.06)
    depth = width if kind in ("round", "pedestal") else width * r.uniform(0.45, 1.0)
    if kind in ("round", "pedestal") and chance(r, 0.7):
        plane = [cylinder(width / 2, thick, (0, 0, high - thick), color=color)]
    else:
        plane = [plate(r, (width, depth), thick, high, color=color)]
    if kind == "pedestal":
        return plane + _pedestal(r, width, high - thick, color)
    if kind == "trestle":
        return plane + _trestle(r, (width, depth), high - thick, color)
    if kind == "slab":
        side = r.uniform(0.02, 0.06)
        return plane + [
            box((side, depth * r.uniform(0.7, 1), high - thick), (s * (width / 2 - side / 2 - 0.02), 0, 0), color=color) for s in (-1, 1)
        ]
    if kind == "side" and chance(r, 0.25):
        return plane + _c_frame(r, (width, depth), high, color)
    parts = plane + legs(r, (width * 0.97, depth * 0.97), high - thick, color=color, splay=(-3, 7))
    levels = int(r.choice([0, 1, 2], p=[0.7, 0.25, 0.05])) if kind in ("side", "coffee", "round") else 0
    board = cylinder(width * 0.46, 0.02, color=color) if kind == "round" else box((width * 0.93, depth * 0.93, 0.02), color=color)
    return parts + [board.moved((0, 0, high * (0.15 + 0.35 * (i + r.uniform(0, 0.5))))) for i in range(levels)]


def _pedestal(r: Generator, width: float, high: float, color: Color) -> list[Solid]:
    stem = r.uniform(0.02, 0.06)
    if chance(r, 0.5):
        return [
            lathe(
                [
                    (width * r.uniform(0.2, 0.35), 0),
                    (width * 0.25, 0.03),
                    (stem, r.uniform(0.05, 0.2)),
                    (stem, high * 0.9),
                    (stem * 2, high),
                ],
                color=color,
            )
        ]
    count = int(r.integers(3, 6))
    feet = [
        tube([(0, 0, r.uniform(0.08, 0.2)), (width * 0.35, 0, 0.02)], 0.025, color=color).turned("z", 360 * i / count) for i in range(count)
    ]
    return [*feet, cylinder(stem, high - 0.05, (0, 0, 0.05), color=color)]


def _trestle(r: Generator, size: tuple[float, float], high: float, color: Color) -> list[Solid]:
    x, y, bar = size[0] * r.uniform(0.3, 0.45), size[1] / 2, r.uniform(0.018, 0.035)
    parts: list[Solid] = []
    style = pick(r, ["A", "T", "U"])
    for s in (-1, 1):
        if style == "A":
            parts += [tube([(s * x, k * y, 0), (s * x, k * y * 0.25, high)], bar, color=color, sides=4) for k in (-1, 1)]
            parts.append(tube([(s * x, -y * 0.6, high * 0.4), (s * x, y * 0.6, high * 0.4)], bar * 0.8, color=color, sides=4))
        if style == "T":
            parts += [box((0.06, 0.06, high), (s * x, 0, 0), color=color), box((0.07, 1.7 * y, 0.05), (s * x, 0, 0), color=color)]
        if style == "U":
            parts.append(tube([(s * x, -y, high), (s * x, -y, bar), (s * x, y, bar), (s * x, y, high)], bar, color=color, sides=4))
    return [*parts, box((2 * x, 0.03, r.uniform(0.04, 0.3)), (0, 0, high * r.uniform(0.3, 0.65)), color=color)]


def _c_frame(r: Generator, size: tuple[float, float], high: float, color: Color) -> list[Solid]:
    x, y, bar = size[0] / 2, size[1] / 2 - 0.02, r.uniform(0.01, 0.02)
    return [
        tube([(x, s * y, bar), (-x, s * y, bar), (-x + 1e-3, s * y, high - bar), (x, s * y, high - bar)], bar, color=color, sides=4)
        for s in (-1, 1)
    ] + [tube([(-x, -y, bar), (-x, y, bar)], bar, color=color, sides=4)]


def _desk(r: Generator) -> list[Solid]:
    width, depth, high, color = r.uniform(1.0, 1.7), r.uniform(0.5, 0.8), r.uniform(0.7, 0.78), wood(r)
    parts = [box((width, depth, 0.03), (0, 0, high - 0.03), color=color)]
    style = pick(r, ["legs", "T", "drawers", "drawers", "both", "panel"])
    if style == "T":
        for s in (-1, 1):
            x = s * width * 0.42
            parts += [box((0.06, 0.1, high), (x, 0.05, 0), color=color), box((0.07, depth * 0.95, 0.04), (x, 0, 0), color=color)]
    if style in ("legs", "drawers"):
        parts += legs(r, (width, depth), high - 0.03, color=color, splay=(0, 4))
    if style == "panel":
        parts += [box((0.03, depth, high), (s * (width / 2 - 0.02), 0, 0), color=color) for s in (-1, 1)]
    if style in ("drawers", "both", "panel"):
        tall = high - 0.05 if style == "both" else r.uniform(0.1, 0.6)
        sides = (-1, 1) if style == "both" or chance(r, 0.4) else (1,)
        for s in sides:
            parts += [
                p.moved((s * (width / 2 - 0.24), 0, high - 0.03 - tall))
                for p in _front(r, (0.4, depth * 0.95, tall), color, rows=int(r.integers(1, 4)))
            ]
    if style != "legs" or chance(r, 0.3):
        parts.append(box((width * 0.9, 0.02, r.uniform(0.15, 0.4)), (0, depth / 2 - 0.06, high - 0.45), color=color))
    if chance(r, 0.2):
        parts += [p.moved((0, depth / 2 - 0.13, high)) for p in _shelves(r, (width, 0.25, r.uniform(0.2, 0.6)), color, levels=2)]
    return parts


def _front(r: Generator, size: tuple[float, float, float], color: Color, *, rows: int, doors: bool = False) -> list[Solid]:
    """A carcass with drawers in rows, or with doors side by side, each with a knob, a bar or a bare gap."""
    x, y, z = size
    parts = [box(size, color=color)]
    cells = [(c, 0, rows, 1) for c in range(rows)] if doors else [(0, c, 1, rows) for c in range(rows)]
    style, face, gap = pick(r, ["knob", "bar", "none"]), r.uniform(0.01, 0.025), r.uniform(0.01, 0.04)
    for column, row, columns, levels in cells:
        w, h = x / columns - gap, z / levels - gap
        cx, cz = (column + 0.5) * x / columns - x / 2, (row + 0.5) * z / levels
        parts.append(box((w, face, h), (cx, -y / 2 - face / 2, cz - h / 2), color=color))
        hx = cx + (0.35 * w * (1 if column % 2 == 0 else -1) if doors else 0)
        if style == "knob":
            parts.append(knob((hx, -y / 2 - face, cz)))
        if style == "bar":
            bar = tube([(hx, 0, cz - 0.08), (hx, 0, cz + 0.08)] if doors else [(hx - 0.08, 0, cz), (hx + 0.08, 0, cz)], 0.008)
            parts.append(bar.moved((0, -y / 2 - face - 0.02, 0)))
    return parts


def _cased(r: Generator, size: tuple[float, float, float], *, rows: int, doors: bool = False) -> list[Solid]:
    color, foot = wood(r), pick(r, [0.0, r.uniform(0.04, 0.2)])
    parts = [p.moved((0, 0, foot)) for p in _front(r, (size[0], size[1], size[2] - foot), color, rows=rows, doors=doors)]
    stand = legs(r, (size[0] * 0.95, size[1] * 0.95), foot + 0.02, color=color, rails=False) if foot else []
    top = [box((size[0] * 1.04, size[1] * 1.04, 0.025), (0, 0, size[2]), color=color)] if chance(r, 0.5) else []
    return parts + stand + top


def _cabinet(r: Generator) -> list[Solid]:
    return _cased(r, (r.uniform(0.5, 1.4), r.uniform(0.35, 0.5), r.uniform(0.6, 1.3)), rows=int(r.integers(1, 4)), doors=chance(r, 0.8))


def _wardrobe(r: Generator) -> list[Solid]:
    high = r.uniform(1.75, 2.3)
    return _cased(r, (r.uniform(0.6, 1.8), r.uniform(0.5, 0.65), high), rows=int(r.integers(1, 5)), doors=True)


def _dresser(r: Generator) -> list[Solid]:
    return _cased(r, (r.uniform(0.5, 1.5), r.uniform(0.4, 0.5), r.uniform(0.7, 1.2)), rows=int(r.integers(3, 7)))


def _nightstand(r: Generator) -> list[Solid]:
    size = (r.uniform(0.35, 0.55), r.uniform(0.33, 0.45), r.uniform(0.4, 0.65))
    if chance(r, 0.6):
        return _cased(r, size, rows=int(r.integers(1, 4)))
    color, tall = wood(r), size[2] * r.uniform(0.25, 0.5)
    body = [p.moved((0, 0, size[2] - tall)) for p in _front(r, (size[0], size[1], tall), color, rows=1)]
    shelf = [box((size[0] * 0.9, size[1] * 0.9, 0.02), (0, 0, size[2] * 0.2), color=color)] if chance(r, 0.5) else []
    return body + shelf + legs(r, size[:2], size[2] - tall, color=color, rails=False)


def _shelves(r: Generator, size: tuple[float, float, float], color: Color, *, levels: int) -> list[Solid]:
    x, y, z = size
    t = r.uniform(0.012, 0.03)
    boards = [box((x, y, t), (0, 0, h), color=color) for h in np.linspace(0, z - t, levels)]
    return boards + [box((t, y, z), (s * (x - t) / 2, 0, 0), color=color) for s in (-1, 1)]


def _bookshelf(r: Generator) -> list[Solid]:
    size, color = (r.uniform(0.4, 1.3), r.uniform(0.24, 0.38), r.uniform(1.0, 2.2)), wood(r)
    levels = int(r.integers(4, 8))
    parts = _shelves(r, size, color, levels=levels)
    if chance(r, 0.7):
        parts.append(box((size[0], 0.01, size[2]), (0, size[1] / 2, 0), color=color))
    if chance(r, 0.3):
        parts += [
            box((0.02, size[1], size[2]), (x, 0, 0), color=color)
            for x in np.linspace(-size[0] / 2, size[0] / 2, int(r.integers(3, 6)))[1:-1]
        ]
    if chance(r, 0.5):
        parts += _books(r, size, levels)
    return parts


def _books(r: Generator, size: tuple[float, float, float], levels: int) -> list[Solid]:
    step = (size[2] - 0.02) / (levels - 1)
    parts = []
    for level in range(levels - 1):
        x = -size[0] / 2 + 0.03
        while x < size[0] * r.uniform(-0.3, 0.45):
            w = r.uniform(0.02, 0.05)
            parts.append(
                box(
                    (w, size[1] * 0.7, step * r.uniform(0.5, 0.85)),
                    (x + w / 2, 0, level * step + 0.02),
                    color=tuple(r.uniform(0.1, 0.9, 3)),
                )
            )
            x += w
    return parts


def _shelf(r: Generator) -> list[Solid]:
    """A rack: posts at the corners, open sides, sometimes crossed wires; or one board on the wall."""
    color, levels = wood(r), int(r.integers(2, 6))
    if chance(r, 0.12):
        x = r.uniform(0.5, 1.2)
        return [box((x, 0.22, 0.03), (0, 0, 0.2), color=color)] + [
            box((0.02, 0.2, 0.2), (s * x * 0.35, 0, 0), color=color, top=(1, 1)) for s in (-1, 1)
        ]
    x, y, z, post = r.uniform(0.35, 1.3), r.uniform(0.25, 0.5), r.uniform(0.5, 1.8), r.uniform(0.01, 0.025)
    parts = [box((2 * post, 2 * post, z), (sx * (x / 2 - post), sy * (y / 2 - post), 0), color=color) for sx in (-1, 1) for sy in (-1, 1)]
    for h in np.linspace(r.uniform(0.04, 0.2), z * r.uniform(0.9, 1.0) - 0.02, levels):
        slats = pick(r, [1, 1, 4])
        parts += [
            box((x, y / slats * (1 if slats == 1 else 0.7), 0.02), (0, (i + 0.5) * y / slats - y / 2, h), color=color) for i in range(slats)
        ]
        if chance(r, 0.3):
            parts.append(box((0.015, y, r.uniform(0.03, 0.1)), ((x / 2) * pick(r, [-1, 1]), 0, h), color=color))
    if chance(r, 0.2):
        parts += [
            tube([(-x / 2, y / 2, 0.1), (x / 2, y / 2, z * 0.9)], 0.008, color=color),
            tube([(x / 2, y / 2, 0.1), (-x / 2, y / 2, z * 0.9)], 0.008, color=color),
        ]
    return parts


def _tv_stand(r: Generator) -> list[Solid]:
    size, color, foot = (r.uniform(1.0, 2.0), r.uniform(0.35, 0.45), r.uniform(0.3, 0.6)), wood(r), pick(r, [0.0, r.uniform(0.05, 0.18)])
    if chance(r, 0.5):
        body = _front(r, (size[0], size[1], size[2] - foot), color, rows=int(r.integers(2, 5)), doors=True)
    else:
        body = _shelves(r, (size[0], size[1], size[2] - foot), color, levels=int(r.integers(2, 4)))
        wide = size[0] * r.uniform(0.2, 0.33)
        body += [
            p.moved((s * (size[0] - wide) / 2, 0, 0)) for s in (-1, 1) for p in _front(r, (wide, size[1], size[2] - foot), color, rows=1)
        ]
    stand = legs(r, (size[0] * 0.9, size[1] * 0.9), foot, color=color, rails=False) if foot else []
    return [p.moved((0, 0, foot)) for p in body] + stand


TABLES: Mapping[str, Builder] = {
    "table": _table,
    "desk": _desk,
    "cabinet": _cabinet,
    "wardrobe": _wardrobe,
    "dresser": _dresser,
    "nightstand": _nightstand,
    "bookshelf": _bookshelf,
    "shelf": _shelf,
    "tv stand": _tv_stand,
}
"""Builders by category."""
