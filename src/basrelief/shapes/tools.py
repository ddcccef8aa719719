"""Generated tools, sports gear and instruments. Long ones lie along x or stand along z."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from basrelief.shapes.parts import Builder, chance, fabric, pick, wood
from basrelief.shapes.primitives import Color, Solid, arc, ball, box, curve, cylinder, extrude, lathe, ring, tube

STEEL: Color = (0.68, 0.69, 0.72)


def _posed(r: Generator, parts: list[Solid]) -> list[Solid]:
    """A tool built along +z, left standing, turned over, or laid down."""
    pose = pick(r, ["up", "down", "flat", "side"])
    turn = {"up": ("z", 0.0), "down": ("x", 180.0), "flat": ("x", 90.0), "side": ("y", 90.0)}[pose]
    return [p.turned(*turn) for p in parts]


def _shaft(r: Generator, length: float, width: float, color: Color) -> Solid:
    swell = r.uniform(0.9, 1.4)
    return tube(
        [(0, 0, 0), (0, 0, length * 0.3), (0, 0, length)],
        [width * swell, width * swell * 0.9, width * 0.8],
        color=color,
        flat=r.uniform(0.6, 1),
    )


def _hammer(r: Generator) -> list[Solid]:
    length, head = r.uniform(0.25, 0.36), r.uniform(0.05, 0.075)
    face = tube(
        [(0, 0, length), (head, 0, length), (head * 1.05, 0, length), (head * 1.4, 0, length)],
        np.array([1, 0.9, 1.2, 1.2]) * 0.013,
        color=STEEL,
    )
    if chance(r, 0.6):
        claw = [
            tube(
                curve([(0, s * 0.004, length), (-head * 0.8, s * 0.008, length + 0.012), (-head * 1.5, s * 0.014, length - 0.035)]),
                np.linspace(0.012, 0.004, 12),
                color=STEEL,
            )
            for s in (-1, 1)
        ]
    else:
        claw = [
            extrude(
                [(0, length - 0.012), (0, length + 0.012), (-head * 1.3, length + 0.004), (-head * 1.3, length - 0.004)], 0.024, color=STEEL
            )
        ]
    if chance(r, 0.2):
        return _posed(r, [_shaft(r, length, 0.013, wood(r)), box((head * 2, 0.05, 0.06), (0, 0, length - 0.02), color=wood(r))])
    return _posed(r, [_shaft(r, length, 0.013, wood(r)), face, *claw])


def _screwdriver(r: Generator) -> list[Solid]:
    grip, blade, w = r.uniform(0.08, 0.12), r.uniform(0.06, 0.18), r.uniform(0.011, 0.018)
    handle = lathe(
        [(w * 0.7, 0), (w, 0.01), (w, grip * 0.6), (w * 0.65, grip * 0.8), (w * 0.8, grip)], color=fabric(r), sides=pick(r, [6, 8, 16])
    )
    return _posed(
        r, [handle, cylinder(w * 0.25, blade, (0, 0, grip), color=STEEL), box((w * 0.7, 0.002, 0.012), (0, 0, grip + blade), color=STEEL)]
    )


def _wrench(r: Generator) -> list[Solid]:
    length, w, thick = r.uniform(0.14, 0.28), r.uniform(0.008, 0.012), r.uniform(0.006, 0.01)
    gap, size = r.uniform(35, 50), r.uniform(0.014, 0.02)
    jaw = tube(arc((size, size), (90 + gap, 450 - gap), at=(0, 0, length)), thick * 0.6, color=STEEL, sides=6, flat=0.8 * size / thick)
    bar = box((2 * w, thick, length - 1.8 * size), (0, 0, size * 0.9), color=STEEL)
    other = ring(size * 0.8, size * 0.35, color=STEEL).turned("x", 90) if chance(r, 0.5) else jaw.turned("x", 180).moved((0, 0, length))
    return _posed(r, [jaw, bar, other])


def _axe(r: Generator) -> list[Solid]:
    length, edge, deep = r.uniform(0.35, 0.8), r.uniform(0.08, 0.16), r.uniform(0.09, 0.15)
    z = length - edge * 0.4

    def blade(side: int) -> Solid:
        outline = [
            (0, z - 0.025),
            (side * deep * 0.5, z - 0.02),
            (side * deep, z - edge / 2),
            (side * deep * 1.08, z),
            (side * deep, z + edge / 2),
            (side * deep * 0.5, z + 0.025),
            (0, z + 0.025),
        ]
        return extrude(outline[::-side], 0.02, color=STEEL)

    heads = [blade(1)] + ([blade(-1)] if chance(r, 0.2) else [box((0.05, 0.025, 0.05), (-0.02, 0, z - 0.025), color=STEEL)])
    return _posed(r, [_shaft(r, length, 0.016, wood(r)), *heads])


def _shovel(r: Generator) -> list[Solid]:
    length, w, h = r.uniform(0.7, 1.2), r.uniform(0.1, 0.15), r.uniform(0.24, 0.34)
    point = r.uniform(0.0, 0.12)
    edge = [(-w, 0), (w, 0), (w, h * 0.6), (w * 0.7, h * 0.85), (0, h + point), (-w * 0.7, h * 0.85), (-w, h * 0.6)]
    blade = extrude(edge[::-1], 0.012, color=STEEL).turned("y", 180).moved((0, 0, 0))
    grip = [tube([(-0.06, 0, length), (0.06, 0, length)], 0.014, color=wood(r))] if chance(r, 0.6) else []
    return _posed(r, [blade, tube([(0, 0, -0.05), (0, 0, length)], 0.016, color=wood(r)), *grip])


def _rake(r: Generator) -> list[Solid]:
    length, wide, count = r.uniform(1.0, 1.5), r.uniform(0.3, 0.5), int(r.integers(7, 15))
    teeth = [tube([(x, 0, 0), (x, -0.08, -0.02)], 0.005, color=STEEL) for x in np.linspace(-wide / 2, wide / 2, count)]
    return _posed(r, [tube([(0, 0, 0), (0, 0, length)], 0.014, color=wood(r)), box((wide, 0.02, 0.02), (0, 0, -0.01), color=STEEL), *teeth])


def _broom(r: Generator) -> list[Solid]:
    wide, high = r.uniform(0.2, 0.4), r.uniform(0.12, 0.3)
    if chance(r, 0.5):
        brush = [
            box((wide * 1.15, 0.06, high), color=(0.8, 0.7, 0.4), top=(0.75, 0.8)),
            box((wide, 0.06, 0.03), (0, 0, high), color=wood(r)),
        ]
    else:
        brush = [lathe([(wide * 0.4, 0), (wide * 0.3, high * 0.6), (0.025, high * 1.3)], color=(0.8, 0.7, 0.4)).scaled((1, 0.6, 1))]
    return _posed(r, [*brush, tube([(0, 0, high), (0, 0, high + r.uniform(0.9, 1.2))], 0.013, color=wood(r))])


def _knife(r: Generator) -> list[Solid]:
    blade, w, grip = r.uniform(0.1, 0.22), r.uniform(0.01, 0.024), r.uniform(0.08, 0.12)
    edge = [(-w, 0), (w, 0), (w, blade * r.uniform(0.5, 0.9)), (w * r.uniform(-0.5, 0.6), blade), (-w, blade * 0.8)]
    handle = tube([(0, 0, -grip), (0, 0, -grip / 2), (0, 0, 0)], [w * 0.9, w * 0.8, w * 0.9], color=wood(r), flat=0.55)
    return _posed(r, [extrude(edge[::-1], 0.003, color=STEEL), handle])


def _stem(r: Generator, length: float) -> Solid:
    return tube(
        [(0, 0, -length), (0, 0, -length * 0.8), (0, 0, -length * 0.4), (0, 0, 0)], [0.009, 0.01, 0.005, 0.004], color=STEEL, flat=0.35
    )


def _fork(r: Generator) -> list[Solid]:
    wide, tine, count = r.uniform(0.009, 0.013), r.uniform(0.04, 0.06), int(r.integers(3, 5))
    prongs = [
        tube(curve([(x, 0, 0.025), (x, -0.008, 0.025 + tine / 2), (x, 0.002, 0.025 + tine)]), 0.0018, color=STEEL)
        for x in np.linspace(-wide, wide, count)
    ]
    palm = extrude([(-0.004, 0), (-wide * 1.15, 0.028), (wide * 1.15, 0.028), (0.004, 0)], 0.003, color=STEEL)
    return _posed(r, [*prongs, palm, _stem(r, r.uniform(0.1, 0.14))])


def _spoon(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.015, 0.026), r.uniform(0.024, 0.038)
    dish = ball((w, 0.008, h), (0, 0.004, h * 0.9), color=STEEL)
    grip = [_stem(r, r.uniform(0.1, 0.16))] if chance(r, 0.7) else [tube([(0, 0, -0.2), (0, 0, 0)], 0.006, color=wood(r))]
    return _posed(r, [dish, *grip])


def _spatula(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.03, 0.05), r.uniform(0.07, 0.12)
    blade = [box((2 * w, 0.003, h), color=STEEL, top=(r.uniform(0.9, 1.2), 1))]
    if chance(r, 0.5):
        blade = [box((2 * w / 7, 0.003, h), (x, 0, 0), color=STEEL) for x in np.linspace(-w, w, 5)] + [
            box((2.3 * w, 0.003, 0.015), (0, 0, z), color=STEEL) for z in (0, h)
        ]
    neck = tube(curve([(0, 0, 0.005), (0, 0.01, -0.05), (0, 0.05, -0.12), (0, 0.06, -0.25)]), 0.006, color=(0.1, 0.1, 0.1))
    return _posed(r, [*blade, neck])


def _scissors(r: Generator) -> list[Solid]:
    open_angle, blade = r.uniform(4, 25), r.uniform(0.07, 0.14)
    half = []
    for s in (-1, 1):
        edge = extrude([(0.007, -0.02), (0.006, 0.02), (0, blade), (-0.006, 0.02), (-0.007, -0.02)], 0.003, color=STEEL)
        loop = ring(r.uniform(0.018, 0.026), 0.005, color=fabric(r)).turned("x", 90).scaled((0.75, 1, 1.2)).moved((s * 0.014, 0, -0.085))
        arm = tube([(0, 0, -0.01), (s * 0.004, 0, -0.06)], 0.005, color=STEEL)
        half += [p.turned("y", s * open_angle).moved((0, s * 0.002, 0)) for p in (edge, loop, arm)]
    return _posed(r, half)


def _pliers(r: Generator) -> list[Solid]:
    spread, jaw = r.uniform(0.015, 0.04), r.uniform(0.03, 0.06)
    parts = [cylinder(0.012, 0.014, color=STEEL).turned("x", 90).moved((0, 0.007, 0))]
    for s in (-1, 1):
        parts.append(tube(curve([(0, 0, 0), (s * spread, 0, -0.03), (s * spread, 0, -0.13)]), 0.007, color=fabric(r), flat=0.8))
        parts.append(extrude([(0, -0.005), (s * 0.013, 0.005), (s * 0.006, jaw), (s * 0.001, jaw)][::s], 0.009, color=STEEL))
    return _posed(r, parts)


def _saw(r: Generator) -> list[Solid]:
    length, high = r.uniform(0.3, 0.55), r.uniform(0.09, 0.14)
    blade = extrude([(0, 0), (length, high * 0.45), (length, high * 0.8), (0, high)][::-1], 0.002, color=STEEL)
    handle = ring(0.045, 0.014, color=wood(r)).turned("x", 90).scaled((0.9, 1, 1.25)).moved((-0.045, 0, high / 2))
    return [blade, handle]


def _drill(r: Generator) -> list[Solid]:
    color, long = fabric(r), r.uniform(0.15, 0.2)
    body = tube([(0, 0, 0), (long * 0.75, 0, 0), (long, 0, 0)], [0.03, 0.03, 0.02], color=color, sides=12)
    chuck = tube([(long, 0, 0), (long + 0.03, 0, 0), (long + 0.035, 0, 0), (long + 0.12, 0, 0)], [0.018, 0.012, 0.004, 0.003], color=STEEL)
    grip = tube([(long * 0.25, 0, -0.02), (long * 0.15, 0, -0.14)], 0.02, color=(0.1, 0.1, 0.1), flat=0.8)
    return [body, chuck, grip, box((0.09, 0.06, 0.045), (long * 0.15, 0, -0.19), color=color)]


def _ladder(r: Generator) -> list[Solid]:
    high, wide, color, bar = r.uniform(1.2, 3), r.uniform(0.35, 0.5), wood(r), r.uniform(0.015, 0.025)
    steps = np.linspace(0.25, high - 0.15, int(high / 0.28))
    top = r.uniform(0.7, 1)

    def side(lean: float) -> list[Solid]:
        posts = [tube([(s * wide / 2, 0, 0), (s * wide / 2 * top, 0, high)], bar, color=color, sides=4) for s in (-1, 1)]
        return [
            p.turned("x", lean, about=(0, 0, high))
            for p in [*posts, *(box((wide * (1 - z / high * (1 - top)), 0.05, 0.025), (0, 0, z), color=color) for z in steps)]
        ]

    if chance(r, 0.5):
        return side(-r.uniform(0, 20))
    return side(-r.uniform(10, 18)) + [p for p in side(r.uniform(10, 18)) if chance(r, 0.8)]


def _guitar(r: Generator) -> list[Solid]:
    color, w, thick = wood(r), r.uniform(0.15, 0.2), r.uniform(0.04, 0.1)
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    waist = 1 - r.uniform(0.15, 0.3) * np.exp(-(((np.sin(t) - 0.2) / 0.3) ** 2)) - 0.12 * (np.sin(t) > 0.3)
    body = extrude(np.stack([w * np.cos(t) * waist, 0.23 * np.sin(t)], axis=1)[::-1], thick, color=color)
    neck = [
        box((0.05, 0.025, 0.42), (0, -thick / 2 + 0.01, 0.15), color=(0.3, 0.2, 0.15)),
        box((0.07, 0.02, 0.16), (0, -thick / 2 + 0.015, 0.56), color=color),
    ]
    pegs = [
        cylinder(0.008, 0.03, color=STEEL).turned("y", 90 * s).moved((s * 0.035, -thick / 2 + 0.02, z))
        for s in (-1, 1)
        for z in (0.6, 0.64, 0.68)
    ]
    return _posed(r, [body, *neck, *pegs, box((0.1, 0.015, 0.02), (0, -thick / 2 - 0.01, -0.12), color=(0.1, 0.1, 0.1))])


def _dumbbell(r: Generator) -> list[Solid]:
    length, w, disc = r.uniform(0.1, 0.3), r.uniform(0.03, 0.09), r.uniform(0.02, 0.07)
    kind = pick(r, ["disc", "disc", "hex", "ball"])
    bar = tube([(-length / 2, 0, 0), (length / 2, 0, 0)], r.uniform(0.01, 0.017), color=STEEL)
    if kind == "ball":
        return [bar, *(ball((w * 0.8,) * 3, (s * length / 2, 0, 0), color=(0.15, 0.15, 0.15)) for s in (-1, 1))]
    ends = [
        tube([(s * length / 2, 0, 0), (s * (length / 2 + disc), 0, 0)], w, color=(0.15, 0.15, 0.15), sides=6 if kind == "hex" else 20)
        for s in (-1, 1)
    ]
    more = [
        tube([(s * (length / 2 + disc), 0, 0), (s * (length / 2 + 1.6 * disc), 0, 0)], w * 0.7, color=(0.2, 0.2, 0.2), sides=20)
        for s in (-1, 1)
    ]
    return [bar, *ends, *(more if chance(r, 0.4) else [])]


TOOLS: Mapping[str, Builder] = {
    "hammer": _hammer,
    "screwdriver": _screwdriver,
    "wrench": _wrench,
    "axe": _axe,
    "shovel": _shovel,
    "rake": _rake,
    "broom": _broom,
    "knife": _knife,
    "fork": _fork,
    "spoon": _spoon,
    "spatula": _spatula,
    "scissors": _scissors,
    "pliers": _pliers,
    "saw": _saw,
    "drill": _drill,
    "ladder": _ladder,
    "guitar": _guitar,
    "dumbbell": _dumbbell,
}
"""Builders by category."""
