"""Generated household objects. The front looks along -y."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from basrelief.shapes.parts import Builder, chance, fabric, pick, wood
from basrelief.shapes.primitives import Color, Solid, arc, box, curve, cylinder, lathe, ring, skin, tube, vessel

WHITE: Color = (0.92, 0.92, 0.92)
BLACK: Color = (0.1, 0.1, 0.11)


def _lamp(r: Generator) -> list[Solid]:
    kind = pick(r, ["table", "table", "floor", "desk", "pendant", "arc"])
    shade = r.uniform(0.08, 0.22)
    tall, top, color = shade * r.uniform(0.7, 1.5), shade * r.uniform(0.4, 1.0), fabric(r)

    def cone(at: tuple[float, float, float]) -> Solid:
        return vessel([(shade, 0), (top, tall)], 0.004, color=color).moved(at)

    if kind == "pendant":
        return [
            cone((0, 0, 0)),
            tube([(0, 0, tall * 0.8), (0, 0, tall + r.uniform(0.3, 1))], 0.006, color=BLACK),
            cylinder(0.05, 0.03, (0, 0, tall + 0.3), color=BLACK),
        ]
    if kind == "desk":
        elbow, reach = r.uniform(0.2, 0.35), r.uniform(0.1, 0.3)
        arm = tube([(0, 0, 0.02), (-0.08, 0, elbow), (reach, 0, elbow + 0.15)], 0.009, color=BLACK)
        return [
            cylinder(0.09, 0.025, color=BLACK),
            arm,
            cone((0, 0, -tall / 2)).scaled((0.7, 0.7, 0.7)).turned("y", -r.uniform(0, 40)).moved((reach, 0, elbow + 0.15)),
        ]
    high = r.uniform(1.2, 1.6) if kind != "table" else r.uniform(0.2, 0.45)
    if kind == "arc":
        bow = tube(curve([(0, 0, 0), (0, 0, high * 1.5), (0.9, 0, high * 1.3), (0.9, 0, high * 0.8)]), 0.012, color=BLACK)
        return [cylinder(0.15, 0.04, color=BLACK), bow, cone((0.9, 0, high * 0.8 - tall))]
    if kind == "table" and chance(r, 0.6):
        base = lathe(
            [(0.06, 0), (0.07, 0.02), *((float(r.uniform(0.02, 0.09)), float(z)) for z in np.linspace(0.05, high * 0.85, 4)), (0.01, high)],
            color=color,
        )
        return [base, cone((0, 0, high - tall * 0.2))]
    if kind == "floor" and chance(r, 0.3):
        return [tube([(0, 0, high * 0.8), (0.25, 0, 0)], 0.014, color=wood(r)).turned("z", a) for a in (0, 120, 240)] + [
            cone((0, 0, high * 0.8))
        ]
    return [
        cylinder(r.uniform(0.07, 0.16), 0.025, color=BLACK),
        cylinder(r.uniform(0.007, 0.02), high, color=BLACK),
        cone((0, 0, high - tall * 0.2)),
    ]


def _picture_frame(r: Generator) -> list[Solid]:
    w, h, bar, thick = r.uniform(0.1, 0.6), r.uniform(0.1, 0.6), r.uniform(0.01, 0.05), r.uniform(0.008, 0.03)
    color = wood(r)
    edges = [box((w + 2 * bar, thick, bar), (0, 0, z), color=color) for z in (0, h + bar)]
    edges += [box((bar, thick, h), (s * (w + bar) / 2, 0, bar), color=color) for s in (-1, 1)]
    picture = box((w, thick * r.uniform(0.2, 0.9), h), (0, thick * 0.1, bar), color=fabric(r))
    parts = [*edges, picture]
    kind = pick(r, ["wall", "easel", "easel", "foot"])
    if kind == "easel":
        lean = r.uniform(8, 25)
        parts = [p.turned("x", -lean) for p in parts]
        wide, high = r.uniform(0.03, 0.1), h * r.uniform(0.5, 0.8)
        back = high * np.tan(np.radians(lean))
        parts.append(tube([(0, back, high), (0, back + high * r.uniform(0.3, 0.6), 0)], wide / 2, color=BLACK, sides=4, flat=0.15))
    if kind == "foot":
        parts.append(box((w * r.uniform(0.5, 1.1), r.uniform(0.05, 0.12), 0.02), (0, 0, -0.01), color=color))
    return parts


def _mirror(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.2, 0.4), r.uniform(0.25, 0.8)
    glass = cylinder(1, 0.02, color=(0.8, 0.85, 0.9)).turned("x", 90).scaled((w, 1, h)).moved((0, 0, h))
    frame = ring(1, 0.06, color=wood(r)).turned("x", 90).scaled((w, 0.3, h)).moved((0, 0, h))
    stand = (
        [box((w * 1.4, 0.2, 0.03), (0, 0, -0.2), color=wood(r)), box((0.04, 0.04, 0.25), (0, 0, -0.2), color=wood(r))]
        if chance(r, 0.5)
        else []
    )
    return [glass, frame, *stand]


def _door(r: Generator) -> list[Solid]:
    w, h, color, thick = r.uniform(0.7, 1.0), r.uniform(1.95, 2.15), wood(r), r.uniform(0.035, 0.06)
    leaf = box((w, thick, h), color=color)
    rows, columns = int(r.integers(1, 4)), int(r.integers(1, 3))
    panels = [
        box((w / columns * 0.65, thick + 0.02, h / rows * 0.7), ((c + 0.5) * w / columns - w / 2, 0, (i + 0.15) * h / rows), color=color)
        for i in range(rows)
        for c in range(columns)
    ]
    handle = tube([(w * 0.42, -thick / 2, 1.0), (w * 0.42, -thick / 2 - 0.05, 1.0), (w * 0.3, -thick / 2 - 0.05, 1.0)], 0.01, color=BLACK)
    frame = [box((0.08, 0.12, h + 0.08), (s * (w / 2 + 0.05), 0, 0), color=WHITE) for s in (-1, 1)] + [
        box((w + 0.18, 0.12, 0.08), (0, 0, h), color=WHITE)
    ]
    turn = r.uniform(0, 90) if chance(r, 0.3) else 0.0
    moving = [p.turned("z", turn, about=(-w / 2, 0, 0)) for p in [leaf, handle, *(panels if chance(r, 0.5) else [])]]
    return moving + (frame if chance(r, 0.6) else [])


def _window(r: Generator) -> list[Solid]:
    w, h, bar, color = r.uniform(0.6, 1.4), r.uniform(0.8, 1.6), r.uniform(0.03, 0.06), wood(r)
    across, up = int(r.integers(1, 4)), int(r.integers(1, 4))
    bars = [box((bar, 0.06, h), (x, 0, 0), color=color) for x in np.linspace(-w / 2, w / 2, across + 1)]
    bars += [box((w + bar, 0.06, bar), (0, 0, z - bar / 2), color=color) for z in np.linspace(0, h, up + 1)]
    sill = [box((w * 1.15, 0.15, 0.04), (0, -0.04, -0.06), color=color)] if chance(r, 0.6) else []
    return bars + sill + ([box((w, 0.006, h), color=(0.8, 0.9, 0.95))] if chance(r, 0.5) else [])


def _curtain(r: Generator) -> list[Solid]:
    w, h, folds = r.uniform(0.4, 0.7), r.uniform(1.6, 2.4), int(r.integers(5, 12))
    gap = r.uniform(0, 0.9)
    x = np.linspace(0, w, 60)
    wave = r.uniform(0.02, 0.05) * np.sin(x / w * folds * 2 * np.pi)
    ring_low = np.concatenate([np.stack([x, wave, 0 * x], 1), np.stack([x, wave + 0.01, 0 * x], 1)[::-1]])
    cloth = skin(
        np.stack([ring_low * (r.uniform(0.5, 1.1), 1, 1), ring_low * (r.uniform(0.35, 1), 1, 1) + (0, 0, h * 0.4), ring_low + (0, 0, h)]),
        color=fabric(r),
    )
    rail = tube([(-w - gap / 2 - 0.1, 0, h), (w + gap / 2 + 0.1, 0, h)], 0.015, color=BLACK)
    return [cloth.moved((gap / 2, 0, 0)), cloth.turned("z", 180).moved((-gap / 2, 0, 0)), rail]


def _dish_rack(r: Generator) -> list[Solid]:
    w, d, h, bars = r.uniform(0.3, 0.5), r.uniform(0.22, 0.32), r.uniform(0.08, 0.14), int(r.integers(7, 14))
    rims = [
        tube([(-w / 2, -d / 2, z), (w / 2, -d / 2, z), (w / 2, d / 2, z), (-w / 2, d / 2, z), (-w / 2, -d / 2 + 1e-3, z)], 0.005)
        for z in (0.01, h)
    ]
    ribs = [tube([(x, -d / 2, h), (x, -d / 4, 0.02), (x, d / 4, 0.02), (x, d / 2, h)], 0.003) for x in np.linspace(-w / 2, w / 2, bars)]
    count = int(r.integers(0, 6))
    plates = [
        lathe([(0.05, 0), (0.12, 0.015), (0.12, 0.02), (0.05, 0.005)], color=WHITE).turned("y", 80).moved((x, 0, 0.13))
        for x in np.linspace(-w * 0.35, w * 0.3, max(count, 1))
    ]
    return rims + ribs + (plates if count else [])


def _ball(r: Generator) -> list[Solid]:
    return [lathe([(float(np.sin(a)) + 1e-4, float(-np.cos(a))) for a in np.linspace(0.01, np.pi - 0.01, 17)], color=fabric(r))]


def _cone(r: Generator) -> list[Solid]:
    high, foot = r.uniform(0.3, 0.75), r.uniform(0.12, 0.2)
    return [
        box((2.4 * foot, 2.4 * foot, 0.03), color=BLACK),
        cylinder(foot, high, (0, 0, 0.03), color=(0.95, 0.45, 0.1), top=foot * r.uniform(0.1, 0.25)),
    ]


def _umbrella(r: Generator) -> list[Solid]:
    w, ribs = r.uniform(0.45, 0.6), int(r.integers(6, 10))
    high, drop = r.uniform(0.75, 0.95), r.uniform(0.2, 0.35)
    shade = lathe(
        [
            (w, high - drop),
            (w * 0.75, high - drop * 0.45),
            (w * 0.35, high - drop * 0.08),
            (0.01, high),
            (0.01, high - 0.01),
            (w * 0.35, high - drop * 0.08 - 0.01),
            (w * 0.98, high - drop),
        ],
        color=fabric(r),
        sides=ribs,
    )
    hook = tube(np.concatenate([[(0, 0, high + 0.06)], arc((0.04, 0.05), (180, 360), at=(0.04, 0, 0.04))]), 0.007, color=wood(r))
    return [shade, hook]


def _plate(r: Generator) -> list[Solid]:
    w = r.uniform(0.08, 0.15)
    return [lathe([(w * 0.55, 0), (w, w * r.uniform(0.08, 0.22)), (w, w * 0.24), (w * 0.6, 0.012), (0.001, 0.012)], color=WHITE)]


def _box(r: Generator) -> list[Solid]:
    w, d, h, color = r.uniform(0.2, 0.5), r.uniform(0.2, 0.4), r.uniform(0.12, 0.4), (0.72, 0.55, 0.36)
    walls = [box((w, 0.006, h), (0, s * d / 2, 0), color=color) for s in (-1, 1)] + [
        box((0.006, d, h), (s * w / 2, 0, 0), color=color) for s in (-1, 1)
    ]
    flaps = [
        box((w, d / 2, 0.005), (0, s * d / 4, 0), color=color)
        .moved((0, s * d / 2, h))
        .turned("x", -s * r.uniform(0, 110), about=(0, s * d / 2, h))
        .moved((0, 0, 0))
        for s in (-1, 1)
    ]
    return [box((w, d, 0.006), color=color), *walls, *flaps]


def _coat_rack(r: Generator) -> list[Solid]:
    high, count, color = r.uniform(1.5, 1.9), int(r.integers(3, 6)), wood(r)
    feet = [
        tube(curve([(0, 0, 0.25), (0.15, 0, 0.15), (0.3, 0, 0)]), 0.018, color=color).turned("z", 360 * i / count) for i in range(count)
    ]
    hooks = [
        tube(curve([(0, 0, high - 0.2), (0.15, 0, high - 0.2), (0.2, 0, high - 0.02)]), 0.012, color=color).turned(
            "z", 360 * i / count + 30
        )
        for i in range(count)
    ]
    return [tube([(0, 0, 0.1), (0, 0, high)], 0.022, color=color), *feet, *hooks]


HOUSEHOLD: Mapping[str, Builder] = {
    "lamp": _lamp,
    "picture frame": _picture_frame,
    "mirror": _mirror,
    "door": _door,
    "window": _window,
    "curtain": _curtain,
    "dish rack": _dish_rack,
    "ball": _ball,
    "traffic cone": _cone,
    "umbrella": _umbrella,
    "plate": _plate,
    "cardboard box": _box,
    "coat rack": _coat_rack,
}
"""Builders by category."""
