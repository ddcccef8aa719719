"""Generated vehicles. The front points along +x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import Generator

from basrelief.shapes.parts import Builder, chance, fabric, pick, wood
from basrelief.shapes.primitives import Color, Solid, ball, box, curve, cylinder, extrude, lathe, ring, skin, tube

BLACK: Color = (0.1, 0.1, 0.11)


def _wheels(xs: Sequence[float] | np.ndarray, half: float, radius: float) -> list[Solid]:
    disc = cylinder(radius, 0.2, color=BLACK).turned("x", 90).moved((0, 0.1, radius))
    return [disc.moved((float(x), s * half, 0)) for x in xs for s in (-1, 1)]


def _hull(stations: Sequence[tuple[float, float, float, float]], color: Color, *, square: float = 0.35) -> Solid:
    """A body along x from (x, half width, bottom, top) stations with rounded sections."""
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    c, s = (np.sign(f(angle)) * np.abs(f(angle)) ** square for f in (np.cos, np.sin))
    rings = [np.stack([np.full(20, x), w * c, (b + t) / 2 + (t - b) / 2 * s], axis=1) for x, w, b, t in stations]
    return skin(np.stack(rings), color=color)


def _car(r: Generator) -> list[Solid]:
    long, wide, low = r.uniform(3.6, 4.9), r.uniform(0.8, 0.95), r.uniform(0.22, 0.32)
    waist, roof, color = r.uniform(0.75, 0.95), r.uniform(1.25, 1.75), fabric(r)
    x = long / 2
    body = _hull(
        [
            (-x, wide * 0.85, low + 0.1, waist * 0.9),
            (-x * 0.9, wide, low, waist),
            (x * 0.7, wide, low, waist),
            (x, wide * 0.85, low + 0.1, waist * r.uniform(0.65, 0.95)),
        ],
        color,
    )
    back, front = r.uniform(-0.95, -0.55) * x, r.uniform(0.15, 0.5) * x
    cabin = extrude(
        [(back, waist - 0.05), (front + 0.3, waist - 0.05), (front - r.uniform(0.2, 0.5), roof), (back + r.uniform(0.1, 0.5), roof)][::-1],
        2 * wide * 0.88,
        color=(0.3, 0.35, 0.4),
    )
    return [body, cabin, *_wheels((-x * 0.62, x * 0.62), wide - 0.08, r.uniform(0.28, 0.36))]


def _truck(r: Generator) -> list[Solid]:
    load, high, color = r.uniform(2.5, 6), r.uniform(1.6, 2.6), fabric(r)
    cab = [extrude([(0, 0.5), (1.7, 0.5), (1.7, r.uniform(1.2, 1.9)), (1.4, r.uniform(2.1, 2.6)), (0, 2.5)][::-1], 2.1, color=color)]
    if chance(r, 0.3):
        cab.append(box((0.9, 1.9, 0.9), (2.1, 0, 0.5), color=color))
    kind = pick(r, ["box", "box", "flat", "pickup", "tank"])
    bed = {
        "box": [box((load, 2.2, high), (-load / 2 - 0.1, 0, 0.9), color=fabric(r))],
        "flat": [
            box((load, 2.2, 0.15), (-load / 2, 0, 0.85), color=wood(r)),
            *(box((load, 0.06, 0.5), (-load / 2, s * 1.07, 0.9), color=wood(r)) for s in (-1, 1)),
        ],
        "pickup": [box((2.3, 2, 0.2), (-1.1, 0, 0.6), color=color), *(box((2.3, 0.1, 0.6), (-1.1, s, 0.6), color=color) for s in (-1, 1))],
        "tank": [tube([(-load, 0, 1.9), (-0.2, 0, 1.9)], 1.0, color=(0.7, 0.7, 0.72), sides=20)],
    }[kind]
    xs = [1.1, -1.4] if kind == "pickup" else [1.1, -load + 0.6, -load + 1.5]
    return [
        *cab,
        *bed,
        box((load + 1 if kind != "pickup" else 3.4, 0.9, 0.2), (-load / 2 + 0.5 if kind != "pickup" else -0.2, 0, 0.6), color=BLACK),
        *_wheels(xs, 0.95, 0.45),
    ]


def _bus(r: Generator) -> list[Solid]:
    long, high = r.uniform(7, 12), pick(r, [r.uniform(2.3, 2.8), r.uniform(2.4, 2.8), r.uniform(3.6, 4.2)])
    panes = np.arange(-long / 2 + 0.7, long / 2 - 0.5, 1.2)
    floors = (1.0, 2.4) if high > 3 else (1.0,)
    glass = [box((0.95, 2.56, 0.75), (x, 0, 0.4 + z), color=(0.2, 0.25, 0.3)) for x in panes for z in floors]
    body = _hull(
        [(-long / 2, 1.2, 0.35, high), (long / 2 - 0.3, 1.25, 0.35, high), (long / 2, 1.2, 0.4, high * r.uniform(0.85, 0.98))],
        fabric(r),
        square=0.12,
    )
    return [body, *glass, *_wheels((-long * 0.28, long * 0.33), 1.1, 0.48)]


def _airplane(r: Generator) -> list[Solid]:
    long, w, color = r.uniform(10, 30), r.uniform(0.8, 1.8), pick(r, [(0.92, 0.92, 0.92), fabric(r)])
    x = long / 2
    t = np.array([-1, -0.8, -0.4, 0.5, 0.8, 0.93, 1.0])
    rad = np.array([0.12, 0.5, 1, 1, 0.85, 0.5, 0.08]) * w
    lift = np.array([0.6, 0.4, 0, 0, 0, -0.1, -0.15]) * w
    body = tube(np.stack([t * x, 0 * t, lift], axis=1), rad, color=color, sides=14)

    def wing(at: float, span: float, chord: float, *, z: float, sweep: float) -> Solid:
        root = [(at, 0), (at - chord, 0)]
        outline = [*root, (at - sweep - chord * 0.8, span), (at - sweep - chord * 0.4, span), *root[:1]][:4]
        plane = np.array([*outline, *[(px, -py) for px, py in outline[:1:-1]]])
        ringed = np.stack([plane[:, 0], plane[:, 1], np.full(len(plane), z)], axis=1)
        return skin(np.stack([ringed, ringed + (0, 0, 0.12)]), color=color)

    sweep, high = r.uniform(0, 0.25) * long, pick(r, [-0.4, -0.4, 0.7]) * w
    parts = [
        body,
        wing(x * 0.25, long * r.uniform(0.4, 0.6), long * 0.17, z=high, sweep=sweep),
        wing(-x * 0.78, long * 0.18, long * 0.09, z=0.4 * w, sweep=sweep * 0.4),
    ]
    parts.append(
        extrude([(-x * 0.7, 0.4 * w), (-x * 1.0, 0.4 * w), (-x * 1.05, w + long * 0.12), (-x * 0.9, w + long * 0.12)], 0.15, color=color)
    )
    if chance(r, 0.65):
        parts += [
            tube([(x * 0.02, s * long * k, high - 0.5 * w), (x * 0.25, s * long * k, high - 0.5 * w)], w * 0.32, color=BLACK, sides=12)
            for s in (-1, 1)
            for k in pick(r, [(0.16,), (0.14, 0.27)])
        ]
    else:
        parts += [
            box((0.08, 0.3, w * 1.6), (x * 1.02, 0, -0.15 * w), color=BLACK).turned("x", a, about=(x, 0, -0.15 * w)) for a in (0, 120, 240)
        ]
    return parts


def _boat(r: Generator) -> list[Solid]:
    long, wide, deep, color = r.uniform(3, 8), r.uniform(0.7, 1.3), r.uniform(0.6, 1.1), fabric(r)
    x = long / 2
    angle = np.linspace(np.pi, 2 * np.pi, 9)
    rings = []
    for at, w in ((-1, 0.8), (-0.4, 1), (0.3, 0.95), (0.75, 0.6), (1.0, 0.05)):
        u = np.stack([np.full(9, at * x), wide * w * np.cos(angle), deep + deep * np.sin(angle) * (1 if at < 0.9 else 0.7)], axis=1)
        rings.append(np.concatenate([u, (u * (1, 0.85, 1))[::-1] + (0, 0, 0.1 * deep)]))
    parts = [skin(np.stack(rings), color=color)] + [
        box((0.3, 1.7 * wide, 0.05), (at * x, 0, deep * 0.7), color=wood(r)) for at in (-0.6, 0.0)
    ]
    kind = pick(r, ["row", "sail", "cabin"])
    if kind == "sail":
        parts += [
            tube([(0, 0, deep * 0.2), (0, 0, long * 1.1)], 0.05, color=wood(r)),
            extrude([(-0.1, deep * 1.3), (-x * 0.9, deep * 1.4), (-0.1, long * 1.05)], 0.03, color=(0.95, 0.95, 0.9)),
        ]
        parts.append(extrude([(0.15, deep * 1.3), (0.15, long * 0.95), (x * 0.9, deep * 1.2)], 0.03, color=(0.95, 0.95, 0.9)))
    if kind == "cabin":
        parts += [
            box((long * 0.35, wide * 1.2, r.uniform(0.8, 1.4)), (-long * 0.05, 0, deep * 0.8), color=(0.95, 0.95, 0.95), top=(0.8, 0.9)),
            box((long * 0.9, 1.6 * wide, 0.06), (-0.05 * long, 0, deep * 0.85), color=wood(r)),
        ]
    return parts


def _train(r: Generator) -> list[Solid]:
    long, color = r.uniform(6, 14), fabric(r)
    xs = np.linspace(-long * 0.42, long * 0.42, int(r.integers(4, 7)))
    if chance(r, 0.5):
        boiler = [
            tube([(-long * 0.15, 0, 2.0), (long * 0.48, 0, 2.0)], 0.85, color=color, sides=16),
            box((long * 0.28, 2.4, 2.9), (-long * 0.33, 0, 0.9), color=color),
            box((long * 0.31, 2.7, 0.15), (-long * 0.33, 0, 3.8), color=BLACK),
        ]
        boiler += [
            cylinder(0.25, 1.1, (long * 0.38, 0, 2.7), color=BLACK, top=0.4),
            ball((0.4, 0.4, 0.5), (long * 0.1, 0, 2.9), color=(0.8, 0.65, 0.3)),
        ]
        return [*boiler, box((long * 0.95, 1.6, 0.4), (0, 0, 0.7), color=BLACK), *_wheels(xs, 0.8, 0.6)]
    nose = r.uniform(0.1, 2.5)
    body = _hull(
        [(-long / 2, 1.35, 0.6, 3.6), (long / 2 - nose, 1.35, 0.6, 3.6), (long / 2, 1.1, 0.7, 3.6 - min(nose, 1.8))], color, square=0.15
    )
    glass = [box((0.9, 2.76, 0.8), (x, 0, 2.1), color=(0.2, 0.25, 0.3)) for x in np.arange(-long * 0.42, long * 0.3, 1.4)]
    return [body, *glass, *_wheels(xs, 0.8, 0.4)]


def _two_wheels(r: Generator, radius: float, fat: float, base: float) -> list[Solid]:
    tyre = ring(radius, fat, color=BLACK).turned("x", 90)
    spokes = (
        [tube([(0, 0, 0), (radius, 0, 0)], 0.004 + fat * 0.08).turned("y", a) for a in np.linspace(0, 360, 12, endpoint=False)]
        if fat < 0.04
        else [cylinder(radius * 0.5, 0.05).turned("x", 90).moved((0, 0.025, 0))]
    )
    return [p.moved((x, 0, radius)) for x in (-base / 2, base / 2) for p in [tyre, *spokes]]


def _bicycle(r: Generator) -> list[Solid]:
    wheel, base, color, bar = r.uniform(0.3, 0.35), r.uniform(0.95, 1.1), fabric(r), r.uniform(0.014, 0.02)
    rear, front, crank = (-base / 2, 0, wheel), (base / 2, 0, wheel), (-0.08, 0, wheel * 0.85)
    saddle, head = (-0.22, 0, r.uniform(0.75, 0.9)), (base / 2 - 0.15, 0, r.uniform(0.75, 0.9))
    pairs = [(rear, crank), (rear, saddle), (crank, saddle), (crank, head), (front, head)] + ([(saddle, head)] if chance(r, 0.8) else [])
    frame = [tube([a, b], bar, color=color) for a, b in pairs]
    top = (head[0] - 0.04, 0, head[2] + 0.15)
    grip = tube(
        curve([(top[0] - 0.12, -0.28, top[2]), (top[0] + 0.1, -0.2, top[2]), (top[0] + 0.1, 0.2, top[2]), (top[0] - 0.12, 0.28, top[2])]),
        0.012,
        color=BLACK,
    )
    seat = ball((0.14, 0.07, 0.03), (saddle[0], 0, saddle[2] + 0.1), color=BLACK, square=0.7)
    drive = [
        ring(0.09, 0.01, crank).turned("x", 90, about=crank),
        tube([(crank[0], -0.12, crank[2] - 0.16), (crank[0], 0.12, crank[2] + 0.16)], 0.012),
    ]
    return [
        *_two_wheels(r, wheel, 0.018, base),
        *frame,
        tube([head, top], bar),
        tube([saddle, (saddle[0], 0, saddle[2] + 0.1)], bar),
        grip,
        seat,
        *drive,
    ]


def _motorcycle(r: Generator) -> list[Solid]:
    wheel, base, color = r.uniform(0.28, 0.33), r.uniform(1.3, 1.5), fabric(r)
    tank = ball((0.28, 0.15, 0.14), (0.12, 0, 0.82), color=color)
    seat = ball((0.38, 0.13, 0.06), (-0.35, 0, 0.78), color=BLACK, square=0.6)
    fork = [tube([(base / 2, s * 0.08, wheel), (base / 2 - 0.28, s * 0.08, 1.0)], 0.025) for s in (-1, 1)]
    grip = tube(
        [(base / 2 - 0.42, -0.35, 1.05), (base / 2 - 0.28, -0.2, 1.08), (base / 2 - 0.28, 0.2, 1.08), (base / 2 - 0.42, 0.35, 1.05)],
        0.016,
        color=BLACK,
    )
    engine = [
        ball((0.22, 0.16, 0.18), (0, 0, 0.45), color=(0.5, 0.5, 0.52), square=0.6),
        tube([(0.1, 0.18, 0.35), (-0.75, 0.2, 0.35)], 0.045),
    ]
    lamp = ball((0.08, 0.09, 0.09), (base / 2 - 0.18, 0, 0.95))
    return [
        *_two_wheels(r, wheel, 0.06, base),
        tank,
        seat,
        *fork,
        grip,
        *engine,
        lamp,
        tube([(-base / 2, 0, wheel), (-0.1, 0, 0.6), (0.3, 0, 0.8)], 0.04, color=color),
    ]


def _helicopter(r: Generator) -> list[Solid]:
    color, long = fabric(r), r.uniform(3.5, 5)
    body = ball((1.5, 0.75, 0.8), (0.4, 0, 1.2), color=color)
    tail = [
        tube([(-0.6, 0, 1.4), (-long, 0, 1.6)], [0.35, 0.12], color=color),
        extrude([(-long + 0.3, 1.6), (-long - 0.2, 1.6), (-long - 0.4, 2.4), (-long, 2.4)], 0.06, color=color),
    ]
    rotor = [
        box((r.uniform(5.5, 7.5), 0.2, 0.03), (0.2, 0, 2.4), color=BLACK).turned("z", a, about=(0.2, 0, 0))
        for a in pick(r, [(20.0,), (20.0, 110.0), (0.0, 60.0, 120.0)])
    ]
    skids = [tube([(-0.8, s * 0.7, 0.05), (1.5, s * 0.7, 0.05)], 0.05, color=BLACK) for s in (-1, 1)] + [
        tube([(x, s * 0.7, 0.05), (x, s * 0.4, 0.7)], 0.04, color=BLACK) for x in (-0.3, 1) for s in (-1, 1)
    ]
    return [
        body,
        *tail,
        *rotor,
        *skids,
        cylinder(0.12, 0.6, (0.2, 0, 1.85), color=BLACK),
        box((0.04, 0.08, 1.0), (-long - 0.1, 0.12, 1.3), color=BLACK),
    ]


def _rocket(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.25, 0.5), r.uniform(2, 4)
    body = lathe([(w * 0.7, 0), (w, 0.2 * h), (w, 0.7 * h), (w * 0.6, 0.88 * h), (0.02, h)], color=(0.92, 0.92, 0.92))
    fins = [
        extrude([(w * 0.8, 0.3 * h), (w * 0.8, 0.05 * h), (w * 2, -0.1 * h), (w * 1.9, 0.12 * h)], 0.06, color=fabric(r)).turned(
            "z", 360 * i / 4
        )
        for i in range(pick(r, [3, 4]))
    ]
    return [body, *fins, cylinder(w * 0.6, 0.2, (0, 0, -0.15), color=BLACK, top=w * 0.4)]


VEHICLES: Mapping[str, Builder] = {
    "car": _car,
    "truck": _truck,
    "bus": _bus,
    "airplane": _airplane,
    "boat": _boat,
    "train": _train,
    "bicycle": _bicycle,
    "motorcycle": _motorcycle,
    "helicopter": _helicopter,
    "rocket": _rocket,
}
"""Builders by category."""
