"""Generated seats and beds. The front looks along -y."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from basrelief.shapes.parts import Builder, chance, fabric, legs, pick, plate, wood
from basrelief.shapes.primitives import Color, Solid, arc, ball, box, curve, cylinder, lathe, tube


def _chair(r: Generator) -> list[Solid]:
    kind = pick(r, ["wood"] * 6 + ["shell", "cantilever", "office", "upholstered", "lounge"])
    builders = {
        "wood": _wooden,
        "shell": _shell,
        "cantilever": _cantilever,
        "office": _office,
        "upholstered": _upholstered,
        "lounge": _lounge,
    }
    return builders[kind](r, r.uniform(0.4, 0.5))


def _wooden(r: Generator, seat: float) -> list[Solid]:
    color, width, depth = wood(r), r.uniform(0.36, 0.52), r.uniform(0.36, 0.5)
    high = r.uniform(0.25, 0.65)
    parts = legs(r, (width, depth), seat, color=color)
    parts.append(plate(r, (width, depth), r.uniform(0.015, 0.06), seat, color=color))
    parts += _back(r, width, high, color=color, seat=seat, depth=depth)
    if chance(r, 0.2):
        parts += _arms(r, (width, depth), seat, color)
    return parts


def _back(r: Generator, width: float, high: float, *, color: Color, seat: float, depth: float) -> list[Solid]:
    """Two posts with slats, spindles, a panel or rails between them, leaning backwards."""
    post, lean, w = r.uniform(0.012, 0.022), r.uniform(0, 14), width * r.uniform(0.75, 1) / 2
    parts = [tube([(x, 0, -0.02), (x * r.uniform(0.95, 1.15), 0, high)], post, color=color) for x in (-w, w)]
    kind = pick(r, ["slats", "slats", "spindles", "panel", "top", "splat"])
    if kind == "panel":
        low = r.uniform(0.0, 0.6) * high
        parts.append(box((2 * w, 0.02, high - low), (0, 0, low), color=color))
    if kind == "slats":
        count = int(r.integers(1, 6))
        parts += [
            box((2 * w, 0.018, 0.7 * high / count * r.uniform(0.35, 0.8)), (0, 0, z), color=color) for z in _spread(0.2 * high, high, count)
        ]
    if kind in ("top", "spindles", "splat"):
        parts.append(box((2.1 * w, 0.025, r.uniform(0.05, 0.2)), (0, 0, high - 0.06), color=color))
    if kind == "spindles":
        parts += [
            tube([(x, 0, 0), (x, 0, high)], r.uniform(0.006, 0.011), color=color) for x in np.linspace(-w, w, int(r.integers(4, 9)))[1:-1]
        ]
    if kind == "splat":
        parts.append(box((w * r.uniform(0.4, 1.0), 0.02, high), color=color))
    return [p.turned("x", -lean).moved((0, depth / 2 - post, seat)) for p in parts]


def _spread(low: float, high: float, count: int) -> list[float]:
    return [float(z) for z in np.linspace(low, high, count + 1)[:-1] + (high - low) / (count + 1) / 3]


def _arms(r: Generator, size: tuple[float, float], seat: float, color: Color) -> list[Solid]:
    x, y, high = size[0] / 2, size[1] / 2, r.uniform(0.15, 0.25)
    bar = r.uniform(0.012, 0.025)
    paths = [[(s * x, -y, seat), (s * x * 1.05, -y, seat + high), (s * x * 1.05, y, seat + high)] for s in (-1, 1)]
    return [tube(p, bar, color=color, sides=6) for p in paths]


def _shell(r: Generator, seat: float) -> list[Solid]:
    color = fabric(r)
    return [*legs(r, (0.4, 0.4), seat, color=wood(r)), _sheet(r, r.uniform(0.4, 0.5), seat, color)]


def _sheet(r: Generator, width: float, seat: float, color: Color) -> Solid:
    """One bent sheet for seat and back."""
    high = r.uniform(0.3, 0.5)
    side = curve(
        [(0, -0.24, seat - 0.02), (0, 0.1, seat - 0.04), (0, 0.24, seat), (0, 0.2, seat + 0.1), (0, r.uniform(0.25, 0.36), seat + high)], 14
    )
    return tube(side, np.full(14, width / 2) * np.linspace(1, r.uniform(0.8, 1.05), 14), color=color, sides=10, flat=r.uniform(0.04, 0.09))


def _cantilever(r: Generator, seat: float) -> list[Solid]:
    width, bar = r.uniform(0.42, 0.52), r.uniform(0.01, 0.02)
    color = pick(r, [(0.7, 0.7, 0.72), (0.2, 0.2, 0.2)])
    paths = [
        [(s * width / 2, 0.25, 0.02), (s * width / 2, -0.22, 0.02), (s * width / 2, -0.25, seat), (s * width / 2, 0.2, seat)]
        for s in (-1, 1)
    ]
    frame = [tube(p, bar, color=color) for p in paths] + [tube([(-width / 2, 0.25, 0.02), (width / 2, 0.25, 0.02)], bar, color=color)]
    if chance(r, 0.4):
        return [*frame, _sheet(r, width, seat, fabric(r))]
    posts = [tube([(s * width / 2, 0.2, seat), (s * width / 2, 0.28, seat + 0.45)], bar, color=color) for s in (-1, 1)]
    back = box((width, 0.03, r.uniform(0.15, 0.4)), (0, 0.25, seat + 0.12), color=fabric(r)).turned("x", -8, about=(0, 0.25, seat))
    return [*frame, *posts, plate(r, (width, 0.44), 0.04, seat, color=fabric(r)), back]


def _office(r: Generator, seat: float) -> list[Solid]:
    color, metal, count = fabric(r), (0.25, 0.25, 0.27), int(r.integers(4, 6))
    foot = [tube([(0, 0, 0.1), (0.3, 0, 0.05)], [0.03, 0.018], color=metal).turned("z", 360 * i / count) for i in range(count)]
    wheels = [ball((0.03, 0.03, 0.03), (0.3, 0, 0.03), color=metal).turned("z", 360 * i / count) for i in range(count)]
    back = ball((0.23, 0.04, r.uniform(0.2, 0.38)), (0, 0.25, seat + 0.35), color=color, square=r.uniform(0.4, 0.8)).turned(
        "x", -8, about=(0, 0.2, seat)
    )
    cushion = ball((0.25, 0.24, 0.05), (0, 0, seat), color=color, square=0.5)
    spine = tube(curve([(0, 0.1, seat - 0.04), (0, 0.32, seat - 0.02), (0, 0.28, seat + 0.3)]), 0.02, color=metal)
    arms = _arms(r, (0.52, 0.3), seat, metal) if chance(r, 0.6) else []
    return [*foot, *wheels, cylinder(0.03, seat - 0.1, (0, 0, 0.09), color=metal), cushion, back, spine, *arms]


def _upholstered(r: Generator, seat: float) -> list[Solid]:
    color, width, depth = fabric(r), r.uniform(0.42, 0.55), r.uniform(0.42, 0.52)
    thick = r.uniform(0.06, 0.2)
    back = ball((width / 2, 0.05, r.uniform(0.2, 0.36)), (0, depth / 2, seat + 0.25), color=color, square=r.uniform(0.25, 0.6)).turned(
        "x", -6, about=(0, 0.2, seat)
    )
    cushion = ball((width / 2, depth / 2, thick / 2), (0, 0, seat - thick / 2), color=color, square=r.uniform(0.2, 0.5))
    wings = (
        [ball((0.03, depth / 2.2, 0.12), (s * width / 2, 0, seat + 0.1), color=color, square=0.4) for s in (-1, 1)]
        if chance(r, 0.3)
        else []
    )
    return [*legs(r, (width, depth), seat - thick, color=wood(r)), cushion, back, *wings]


def _lounge(r: Generator, seat: float) -> list[Solid]:
    """A low bent-wood frame with a long reclined seat and back."""
    color, width, seat = wood(r), r.uniform(0.5, 0.7), seat * 0.85
    runner = curve([(0, 0.45, 0.03), (0, -0.5, 0.0), (0, -0.75, seat + 0.15), (0, 0.2, seat + 0.2)], 16)
    frame = [tube(runner + (s * width / 2, 0, 0), 0.025, color=color) for s in (-1, 1)]
    pad = ball((width / 2, 0.3, 0.05), (0, -0.05, seat), color=fabric(r), square=0.4).turned("x", -10, about=(0, 0, seat))
    high, slats = r.uniform(0.55, 0.75), int(r.integers(3, 8))
    if chance(r, 0.5):
        back = [ball((width / 2, 0.05, high / 2), (0, 0.25, seat + high / 2), color=fabric(r), square=0.4)]
    else:
        back = [box((width, 0.02, 0.06), (0, 0.25, seat + high * (i + 0.5) / slats), color=color) for i in range(slats)]
        back += [box((0.03, 0.03, high), (s * width / 2, 0.25, seat), color=color) for s in (-1, 1)]
    return [*frame, pad, *(b.turned("x", -r.uniform(18, 30), about=(0, 0.25, seat)) for b in back)]


def _stool(r: Generator) -> list[Solid]:
    color, seat = wood(r), pick(r, [r.uniform(0.3, 0.5), r.uniform(0.55, 0.85)])
    kind, size = pick(r, ["wood", "wood", "wood", "round", "bar", "step", "pedestal"]), r.uniform(0.26, 0.4)
    if kind == "step":
        low = legs(r, (size * 1.2, 0.3), seat * 0.5, color=color)
        top = legs(r, (size, 0.2), seat, color=color)
        first = [p.moved((0, -0.2, 0)) for p in [*low, box((size * 1.2, 0.25, 0.03), (0, 0, seat * 0.5 - 0.03), color=color)]]
        return [*first, *top, box((size, 0.25, 0.03), (0, 0, seat), color=color)]
    if kind == "pedestal":
        return [
            cylinder(size * 0.6, 0.03, color=color),
            cylinder(0.03, seat, color=color),
            cylinder(size / 2, 0.06, (0, 0, seat), color=fabric(r)),
        ]
    if kind == "bar":
        seat = r.uniform(0.6, 0.8)
        back = _back(r, size, r.uniform(0.1, 0.35), color=color, seat=seat, depth=size)
        shell = [_sheet(r, size, seat, fabric(r))] if chance(r, 0.3) else [*back, plate(r, (size, size), 0.03, seat, color=color)]
        return [*legs(r, (size, size), seat, color=color, splay=(2, 12)), *shell]
    top = (
        [plate(r, (size, size), r.uniform(0.02, 0.07), seat, color=color)]
        if kind == "wood"
        else [cylinder(size / 2, r.uniform(0.02, 0.08), (0, 0, seat), color=fabric(r))]
    )
    return [*legs(r, (size, size), seat, color=color, splay=(0, 16)), *top]


def _bench(r: Generator) -> list[Solid]:
    color, width, depth, seat = wood(r), r.uniform(0.9, 1.7), r.uniform(0.28, 0.5), r.uniform(0.38, 0.5)
    if chance(r, 0.3):
        high = r.uniform(0.05, 0.25)
        ends = [box((0.04, depth, seat), (s * (width / 2 - 0.05), 0, 0), color=color) for s in (-1, 1)]
        parts = [*ends, box((width, 0.03, high), (0, 0, seat - high), color=color)]
    else:
        parts = legs(r, (width * 0.95, depth), seat, color=color)
    count = pick(r, [1, 1, 3, 4])
    gap = depth / count
    parts += [
        box((width, gap * (0.85 if count > 1 else 1), r.uniform(0.02, 0.05)), (0, gap * (i + 0.5) - depth / 2, seat), color=color)
        for i in range(count)
    ]
    if chance(r, 0.35):
        parts += _back(r, width, r.uniform(0.3, 0.45), color=color, seat=seat, depth=depth)
    if chance(r, 0.25):
        parts += _arms(r, (width, depth), seat, color)
    for i in range(int(r.choice([0, 0, 0, 1, 2]))):
        parts.append(box((width * 0.92, depth * 0.9, 0.02), (0, 0, 0.1 + 0.17 * i), color=color))
    return parts


def _sofa_like(r: Generator, width: float, cushions: int) -> list[Solid]:
    color, depth, seat = fabric(r), r.uniform(0.75, 0.95), r.uniform(0.36, 0.46)
    arm, high, square = r.uniform(0.08, 0.22), r.uniform(0.7, 0.95), r.uniform(0.12, 0.45)
    foot = r.uniform(0.03, 0.16)

    def pad(size: tuple[float, float, float], at: tuple[float, float, float]) -> Solid:
        return ball((size[0] / 2, size[1] / 2, size[2] / 2), (at[0], at[1], at[2] + size[2] / 2), color=color, square=square)

    side = r.uniform(0.5, 0.68)
    parts = legs(r, (width * 0.92, depth * 0.9), foot, color=wood(r), rails=False)
    parts += [
        pad((width, depth, seat - foot - 0.08), (0, 0, foot)),
        pad((width, 0.22, high - foot), (0, depth / 2 - 0.1, foot)).turned("x", -6),
    ]
    parts += [pad((arm, depth, side - foot), (s * (width - arm) / 2, 0, foot)) for s in (-1, 1)]
    each = (width - 2 * arm) / cushions
    for i in range(cushions):
        x = (i - (cushions - 1) / 2) * each
        parts.append(pad((each * 0.98, depth * 0.75, 0.16), (x, -0.08, seat - 0.12)))
        parts.append(pad((each * 0.95, 0.18, high - seat), (x, depth / 2 - 0.22, seat)))
    return parts


def _sofa(r: Generator) -> list[Solid]:
    width = r.uniform(1.3, 2.4)
    parts = _sofa_like(r, width, int(r.integers(2, 4)))
    if chance(r, 0.2):
        parts.append(ball((0.35, 0.5, 0.12), (width / 2 - 0.4, -0.75, 0.3), color=parts[-1].color, square=0.3))
    return parts


def _armchair(r: Generator) -> list[Solid]:
    if chance(r, 0.7):
        return _sofa_like(r, r.uniform(0.7, 1.0), 1)
    color, seat, width = fabric(r), r.uniform(0.36, 0.45), r.uniform(0.6, 0.75)
    bend = arc((width / 2, width / 2), (-15, 195), at=(0, 0, 0), count=16)
    wall = tube(bend[:, [0, 2, 1]] + (0, 0, seat + 0.15), 0.16, color=color, flat=0.35)
    return [*legs(r, (width * 0.9, width * 0.9), seat, color=wood(r)), cylinder(width / 2, 0.14, (0, 0, seat - 0.08), color=color), wall]


def _ottoman(r: Generator) -> list[Solid]:
    color, size, high = fabric(r), r.uniform(0.4, 0.8), r.uniform(0.3, 0.45)
    foot = r.uniform(0.02, 0.15)
    body = (
        cylinder(size / 2, high, (0, 0, foot), color=color)
        if chance(r, 0.4)
        else ball((size / 2, size * r.uniform(0.3, 0.5), high / 2), (0, 0, foot + high / 2), color=color, square=0.25)
    )
    return [*legs(r, (size * 0.8, size * 0.6), foot + 0.05, color=wood(r), rails=False), body]


def _bed(r: Generator) -> list[Solid]:
    color, width, length, high = wood(r), r.uniform(0.85, 1.9), r.uniform(1.9, 2.2), r.uniform(0.2, 0.45)
    sheet = (0.9, 0.9, 0.88)
    parts = [box((width, length, 0.12), (0, 0, high - 0.1), color=color), *legs(r, (width, length), high, color=color, rails=False)]
    parts.append(ball((width / 2, length / 2, 0.12), (0, 0, high + 0.1), color=sheet, square=0.15))
    parts += _board(r, width, high + r.uniform(0.3, 0.8), length / 2, color)
    if chance(r, 0.5):
        parts += _board(r, width, high + r.uniform(0.1, 0.4), -length / 2, color)
    count = 2 if width > 1.2 else 1
    pillows = [
        ball(
            (width / count * 0.42, 0.2, 0.08),
            ((i - (count - 1) / 2) * width / 2, length / 2 - 0.3, high + 0.26),
            color=fabric(r),
            square=0.6,
        )
        for i in range(count)
    ]
    cover = (
        [ball((width / 2 + 0.03, length * 0.33, 0.14), (0, -length * 0.15, high + 0.1), color=fabric(r), square=0.2)]
        if chance(r, 0.5)
        else []
    )
    return parts + (pillows if chance(r, 0.7) else []) + cover


def _board(r: Generator, width: float, high: float, y: float, color: Color) -> list[Solid]:
    if chance(r, 0.6):
        return [box((width, 0.05, high), (0, y, 0), color=color)]
    bars = np.linspace(-width / 2, width / 2, int(r.integers(4, 12)))
    return [tube([(x, y, 0), (x, y, high)], 0.015, color=color, sides=6) for x in bars] + [
        box((width, 0.04, 0.06), (0, y, high - 0.03), color=color)
    ]


def _bunk_bed(r: Generator) -> list[Solid]:
    color, width, length, high = wood(r), r.uniform(0.85, 1.1), 2.0, r.uniform(1.4, 1.7)
    parts = [box((0.07, 0.07, high + 0.3), (x * width / 2, y * length / 2, 0), color=color) for x in (-1, 1) for y in (-1, 1)]
    for z in (0.3, high - 0.15):
        parts += [
            box((width, length, 0.1), (0, 0, z), color=color),
            ball((width / 2.1, length / 2.1, 0.08), (0, 0, z + 0.15), color=fabric(r), square=0.2),
        ]
        parts += [box((0.03, length, 0.05), (s * width / 2, 0, z + 0.35), color=color) for s in (-1, 1)]
    steps = [tube([(-width / 2 - 0.05, 0.5, z), (-width / 2 - 0.05, 0.85, z)], 0.018, color=color) for z in np.arange(0.25, high, 0.28)]
    return parts + steps + [tube([(-width / 2 - 0.05, y, 0), (-width / 2 - 0.05, y, high)], 0.02, color=color) for y in (0.5, 0.85)]


def _toilet(r: Generator) -> list[Solid]:
    white, w, seat = (0.93, 0.93, 0.93), r.uniform(0.17, 0.21), r.uniform(0.36, 0.44)
    bowl = lathe([(0.5 * w, 0), (0.55 * w, 0.1), (0.7 * w, 0.2), (w, seat), (0.75 * w, seat), (0.4 * w, seat - 0.15)], color=white).scaled(
        (1, 1.3, 1)
    )
    tank = box((2.2 * w, 0.18, r.uniform(0.3, 0.42)), (0, 0.36, seat - 0.05), color=white)
    parts = [bowl, tank, box((0.22, 0.35, seat * 0.8), (0, 0.25, 0), color=white)]
    if chance(r, 0.4):
        parts.append(
            cylinder(w, 0.03, (0, 0, 0), color=white).scaled((1, 1.3, 1)).turned("x", r.uniform(75, 85)).moved((0, 0.25, seat + 0.25))
        )
    elif chance(r, 0.5):
        parts.append(cylinder(w, 0.03, (0, 0, seat), color=white).scaled((1, 1.3, 1)))
    return parts


SEATS: Mapping[str, Builder] = {
    "chair": _chair,
    "stool": _stool,
    "bench": _bench,
    "sofa": _sofa,
    "armchair": _armchair,
    "ottoman": _ottoman,
    "bed": _bed,
    "bunk bed": _bunk_bed,
    "toilet": _toilet,
}
"""Builders by category."""
