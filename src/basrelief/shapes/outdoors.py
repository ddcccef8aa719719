"""Generated plants, buildings and street furniture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from basrelief.shapes.parts import Builder, chance, fabric, pick, wood
from basrelief.shapes.primitives import Color, Solid, ball, box, curve, cylinder, extrude, lathe, tube, vessel

GREEN: Color = (0.3, 0.5, 0.25)
STONE: Color = (0.65, 0.63, 0.6)


def _leaf(r: Generator, length: float, lean: float, turn: float, *, wide: float) -> Solid:
    path = curve([(0, 0, 0), (lean * length * 0.3, 0, length * 0.7), (lean * length, 0, length * r.uniform(0.5, 1))], 8)
    return tube(path, np.sin(np.linspace(0.15, np.pi - 0.05, 8)) * wide, color=GREEN, sides=6, flat=0.12).turned("z", turn)


def _foliage(r: Generator, size: float, z: float) -> list[Solid]:
    count = int(r.integers(6, 22))
    kind = pick(r, ["blade", "leaf", "bush", "stems"])
    if kind == "bush":
        spots = r.normal(0, 0.35, (count, 3)) * size
        return [ball((size * 0.35,) * 3, (float(x), float(y), z + size * 0.5 + float(abs(h))), color=GREEN) for x, y, h in spots]
    if kind == "stems":
        ends = [
            (float(r.uniform(-0.5, 0.5) * size), float(r.uniform(-0.5, 0.5) * size), z + float(r.uniform(0.6, 1.3) * size))
            for _ in range(count)
        ]
        return [tube(curve([(0, 0, z), (0, 0, z + size * 0.5), e]), size * 0.015, color=GREEN) for e in ends] + [
            ball((size * 0.13, size * 0.13, size * 0.05), e, color=GREEN) for e in ends
        ]
    wide = size * (0.05 if kind == "blade" else 0.15)
    return [_leaf(r, size * r.uniform(0.7, 1.3), r.uniform(0.1, 1.2), r.uniform(0, 360), wide=wide).moved((0, 0, z)) for _ in range(count)]


def _potted_plant(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.06, 0.16), r.uniform(0.8, 1.8)
    pot = vessel([(w * r.uniform(0.6, 1), 0), (w, w * h)], 0.01, color=fabric(r))
    soil = cylinder(w * 0.9, 0.01, (0, 0, w * h * 0.85), color=(0.3, 0.2, 0.12))
    return [pot, soil, *_foliage(r, w * r.uniform(1.5, 4), w * h * 0.85)]


def _tree(r: Generator) -> list[Solid]:
    high, w, count = r.uniform(3, 7), r.uniform(0.12, 0.3), int(r.integers(4, 14))
    trunk = tube(
        curve([(0, 0, 0), (r.uniform(-0.3, 0.3), 0, high * 0.4), (0, r.uniform(-0.3, 0.3), high * 0.7)]),
        np.linspace(w, w * 0.5, 12),
        color=wood(r),
    )
    spread = high * r.uniform(0.15, 0.3)
    tops = [(float(a), float(b), high * 0.75 + float(c)) for a, b, c in r.normal(0, 0.7, (count, 3)) * spread]
    crown = [ball((spread * 0.8, spread * 0.8, spread * r.uniform(0.5, 0.9)), t, color=GREEN) for t in tops]
    if chance(r, 0.2):
        return [trunk, ball((spread * 1.5, spread * 1.5, high * 0.3), (0, 0, high * 0.8), color=GREEN)]
    branches = [tube([(0, 0, high * 0.5), t], [w * 0.4, w * 0.1], color=wood(r)) for t in tops]
    return [trunk, *branches, *(crown if chance(r, 0.85) else [])]


def _pine_tree(r: Generator) -> list[Solid]:
    high, layers, w = r.uniform(2, 6), int(r.integers(2, 6)), r.uniform(0.25, 0.4)
    steps = np.linspace(0.15, 0.8, layers) * high
    cones = [
        cylinder(w * high * (1.05 - z / high), high * 0.8 / layers + 0.2 * high, (0, 0, z), color=GREEN, top=0.01) for z in steps.tolist()
    ]
    return [cylinder(0.04 * high, high * 0.4, color=wood(r)), *cones]


def _palm_tree(r: Generator) -> list[Solid]:
    high, bend = r.uniform(3, 6), r.uniform(-1, 1)
    trunk = tube(curve([(0, 0, 0), (bend, 0, high * 0.5), (bend * 1.2, 0, high)]), np.linspace(0.2, 0.1, 12), color=wood(r))
    fronds = [
        tube(
            curve([(0, 0, 0), (0.8, 0, 0.6), (1.8, 0, r.uniform(-1, 0.2))], 8),
            [0.05, 0.2, 0.25, 0.25, 0.22, 0.18, 0.1, 0.02],
            color=GREEN,
            sides=6,
            flat=0.15,
        )
        for _ in range(int(r.integers(6, 12)))
    ]
    return [trunk, *(f.turned("z", 360 * i / len(fronds)).moved((bend * 1.2, 0, high)) for i, f in enumerate(fronds))]


def _cactus(r: Generator) -> list[Solid]:
    high, w = r.uniform(0.8, 2), r.uniform(0.12, 0.22)
    parts = [tube([(0, 0, 0), (0, 0, high * 0.9), (0, 0, high)], [w, w, w * 0.4], color=GREEN, sides=10)]
    for i in range(int(r.integers(0, 4))):
        z, out, up = high * r.uniform(0.3, 0.6), w * r.uniform(2, 3.2), high * r.uniform(0.15, 0.4)
        parts.append(
            tube(
                [(0, 0, z), (out * 0.9, 0, z), (out, 0, z + 0.1), (out, 0, z + up)], [w * 0.6] * 3 + [w * 0.35], color=GREEN, sides=10
            ).turned("z", i * 130 + r.uniform(0, 50))
        )
    if chance(r, 0.4):
        parts.append(vessel([(w * 1.2, -w * 2), (w * 1.7, 0.02)], 0.02, color=(0.75, 0.4, 0.25)))
    return parts


def _flower(r: Generator) -> list[Solid]:
    high, count, size = r.uniform(0.3, 0.6), int(r.integers(5, 10)), r.uniform(0.05, 0.1)
    petals = [
        ball((size * 0.6, size * 0.3, size * 0.1), (size * 0.8, 0, 0), color=fabric(r))
        .turned("y", -r.uniform(0, 40))
        .turned("z", 360 * i / count)
        .moved((0, 0, high))
        for i in range(count)
    ]
    leaves = [_leaf(r, high * 0.5, 1.0, a, wide=0.03) for a in (0, 160)]
    return [
        tube([(0, 0, 0), (0, 0, high)], 0.008, color=GREEN),
        *petals,
        *leaves,
        ball((size * 0.35,) * 3, (0, 0, high), color=(0.9, 0.75, 0.2)),
    ]


def _house(r: Generator) -> list[Solid]:
    w, d, h, rise, color = r.uniform(5, 9), r.uniform(4, 8), r.uniform(2.5, 5.5), r.uniform(1.2, 3), fabric(r)
    over = 1.1
    hip = chance(r, 0.25)
    roof = (
        box((w * over, d * over, rise), (0, 0, h), color=(0.55, 0.25, 0.2), top=(0.3, 0.02))
        if hip
        else extrude([(-d / 2 * over, h), (0, h + rise), (d / 2 * over, h)], w * over, color=(0.55, 0.25, 0.2)).turned("z", 90)
    )
    door = box((1, 0.12, 2.1), (r.uniform(-0.3, 0.3) * w, -d / 2, 0), color=wood(r))
    panes = [box((0.9, d + 0.16, 1), (x, 0, z), color=(0.3, 0.4, 0.5)) for x in (-w * 0.35, w * 0.35) for z in np.arange(1, h - 1, 2.4)]
    extra = [box((0.6, 0.6, rise + 0.5), (w * 0.25, d * 0.15, h), color=STONE)] if chance(r, 0.6) else []
    porch = (
        [
            box((w * 0.6, 1.5, 0.15), (0, -d / 2 - 0.75, 2.4), color=wood(r)),
            *(cylinder(0.08, 2.4, (s * w * 0.28, -d / 2 - 1.4, 0), color=wood(r)) for s in (-1, 1)),
        ]
        if chance(r, 0.3)
        else []
    )
    return [box((w, d, h), color=color), roof, door, *panes, *extra, *porch]


def _building(r: Generator) -> list[Solid]:
    w, d, floors, color = r.uniform(8, 16), r.uniform(8, 14), int(r.integers(3, 14)), fabric(r)
    across = np.linspace(-w * 0.4, w * 0.4, int(r.integers(3, 7)))
    panes = [box((w * 0.09, d + 0.3, 1.6), (x, 0, 3 * i + 1), color=(0.3, 0.4, 0.5)) for x in across for i in range(floors)]
    panes += [box((w + 0.3, d * 0.09, 1.6), (0, y, 3 * i + 1), color=(0.3, 0.4, 0.5)) for y in (across / w * d) for i in range(floors)]
    roof = [
        box((w + 0.6, d + 0.6, 0.6), (0, 0, 3 * floors), color=STONE),
        box((w * 0.3, d * 0.3, 2), (w * 0.1, 0, 3 * floors), color=STONE),
    ]
    return [box((w, d, 3 * floors), color=color), *panes, *roof]


def _tower(r: Generator) -> list[Solid]:
    w, h, sides = r.uniform(1.2, 2.5), r.uniform(6, 14), pick(r, [4, 8, 20])
    body = lathe([(w * r.uniform(1, 1.3), 0), (w, h * 0.3), (w, h), (w * 1.25, h + 0.4), (w * 1.25, h + 1.2)], color=STONE, sides=sides)
    if chance(r, 0.5):
        return [body, lathe([(w * 1.4, h + 1.2), (0.02, h + r.uniform(3, 5))], color=(0.55, 0.25, 0.2), sides=sides)]
    teeth = [
        box((w * 0.35, w * 0.2, 0.8), (0, w * 1.12, h + 1.2), color=STONE).turned("z", a) for a in np.linspace(0, 360, 10, endpoint=False)
    ]
    return [body, *teeth]


def _staircase(r: Generator) -> list[Solid]:
    steps, wide, rise, run, color = int(r.integers(5, 14)), r.uniform(0.8, 1.4), r.uniform(0.16, 0.2), r.uniform(0.25, 0.32), wood(r)
    if chance(r, 0.15):
        treads = [
            box((wide * 0.8, run * 1.2, 0.05), (wide * 0.5, 0, i * rise), color=color).turned("z", i * 360 / 12) for i in range(steps)
        ]
        return [cylinder(0.08, steps * rise + 0.8, color=color), *treads]
    solid = chance(r, 0.5)
    treads = [
        box((wide, run, (i + 1) * rise if solid else 0.05), (0, i * run, 0 if solid else i * rise), color=color) for i in range(steps)
    ]
    slope = [(0.0, 0.0), (steps * run, steps * rise)]
    strings = (
        []
        if solid
        else [
            tube([(s * wide / 2, slope[0][0], slope[0][1]), (s * wide / 2, slope[1][0], slope[1][1])], 0.03, color=color, sides=4, flat=3.0)
            for s in (-1, 1)
        ]
    )
    rails = (
        [tube([(s * wide / 2, 0, 0.9), (s * wide / 2, steps * run, steps * rise + 0.9)], 0.03, color=color) for s in (-1, 1)]
        if chance(r, 0.5)
        else []
    )
    posts = (
        [
            tube([(s * wide / 2, i * run, i * rise), (s * wide / 2, i * run, i * rise + 0.9)], 0.015, color=color)
            for s in (-1, 1)
            for i in range(steps)
        ]
        if rails
        else []
    )
    return [*treads, *strings, *rails, *posts]


def _fence(r: Generator) -> list[Solid]:
    long, high, color = r.uniform(1.5, 3), r.uniform(0.7, 1.2), wood(r)
    pales = np.linspace(-long / 2, long / 2, int(r.integers(6, 18)))
    width = long / len(pales) * r.uniform(0.3, 0.8)
    bars = [box((width, 0.03, high), (x, 0, 0), color=color) for x in pales.tolist()]
    return bars + [box((long, 0.04, 0.08), (0, 0.03, high * k), color=color) for k in (0.2, 0.75)]


def _street_light(r: Generator) -> list[Solid]:
    high, reach = r.uniform(3, 6), r.uniform(0.5, 1.5)
    pole = tube(curve([(0, 0, 0), (0, 0, high), (0, 0, high * 1.05), (reach, 0, high)]), np.linspace(0.1, 0.05, 12), color=STONE)
    if chance(r, 0.4):
        return [
            cylinder(0.08, high * 0.7, color=(0.15, 0.15, 0.15)),
            cylinder(0.15, 0.4, color=(0.15, 0.15, 0.15)),
            box((0.25, 0.25, 0.45), (0, 0, high * 0.7), color=(0.9, 0.85, 0.6), top=(1.4, 1.4)),
            cylinder(0.3, 0.2, (0, 0, high * 0.7 + 0.45), top=0.02),
        ]
    return [pole, ball((0.35, 0.13, 0.08), (reach, 0, high), color=(0.9, 0.85, 0.6))]


def _traffic_sign(r: Generator) -> list[Solid]:
    high, size = r.uniform(1.6, 2.4), r.uniform(0.25, 0.4)
    face = (
        cylinder(size, 0.03, color=fabric(r))
        if chance(r, 0.5)
        else lathe([(size, 0), (size, 0.03)], color=fabric(r), sides=pick(r, [3, 4, 8]))
    )
    turned = face.turned("z", pick(r, [90.0, 45.0, 22.5])).turned("x", 90).moved((0, -0.03, high))
    return [cylinder(0.03, high, color=STONE), turned]


OUTDOORS: Mapping[str, Builder] = {
    "potted plant": _potted_plant,
    "tree": _tree,
    "pine tree": _pine_tree,
    "palm tree": _palm_tree,
    "cactus": _cactus,
    "flower": _flower,
    "house": _house,
    "building": _building,
    "tower": _tower,
    "staircase": _staircase,
    "fence": _fence,
    "street light": _street_light,
    "traffic sign": _traffic_sign,
}
"""Builders by category."""
