"""Generated appliances and electronics. The front looks along -y."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from basrelief.shapes.parts import Builder, chance, fabric, knob, pick
from basrelief.shapes.primitives import Color, Solid, ball, box, cylinder, ring, tube

WHITE: Color = (0.92, 0.92, 0.92)
BLACK: Color = (0.1, 0.1, 0.11)


def _screen(r: Generator, w: float, tilt: float) -> list[Solid]:
    h, thick = w * r.uniform(0.52, 0.64), r.uniform(0.01, 0.05)
    return [
        p.turned("x", tilt)
        for p in (box((w, thick, h), color=BLACK), box((w * 0.95, thick * 1.2, h * 0.92), (0, -0.002, h * 0.04), color=(0.2, 0.22, 0.25)))
    ]


def _television(r: Generator) -> list[Solid]:
    w = r.uniform(0.7, 1.5)
    screen = _screen(r, w, 0)
    if chance(r, 0.12):
        return [*screen, box((w * 0.7, 0.35, w * 0.45), (0, 0.2, 0.03), color=BLACK, top=(0.8, 0.8))]
    if chance(r, 0.5):
        feet = [tube([(s * w * 0.35, y, -0.06), (s * w * 0.35, 0, 0.02)], 0.01, color=BLACK) for s in (-1, 1) for y in (-0.1, 0.1)]
        return [*screen, *feet]
    return [
        *screen,
        *(
            (box((w * 0.4, 0.2, 0.015), (0, 0, -0.08), color=BLACK), box((0.1, 0.04, 0.1), (0, 0.02, -0.08), color=BLACK))
            if chance(r, 0.6)
            else ()
        ),
    ]


def _monitor(r: Generator) -> list[Solid]:
    w = r.uniform(0.4, 0.65)
    base = (
        cylinder(w * 0.22, 0.012, (0, 0.05, -0.14), color=BLACK)
        if chance(r, 0.5)
        else box((w * 0.45, 0.18, 0.012), (0, 0.05, -0.14), color=BLACK)
    )
    return [
        *_screen(r, w, -r.uniform(0, 8)),
        base,
        tube([(0, 0.06, -0.13), (0, 0.06, w * 0.25)], 0.022, color=BLACK),
        box((0.06, 0.06, 0.06), (0, 0.03, w * 0.22), color=BLACK),
    ]


def _laptop(r: Generator) -> list[Solid]:
    w, d = r.uniform(0.28, 0.4), r.uniform(0.2, 0.27)
    color, lid = pick(r, [(0.7, 0.7, 0.72), BLACK]), r.uniform(-45, 0)
    keys = [box((w * 0.85, d * 0.08, 0.004), (0, d * (0.1 + 0.1 * i), 0.016), color=BLACK) for i in range(4)]
    return [
        box((w, d, 0.016), color=color),
        *keys,
        *(
            p.turned("x", lid).moved((0, d / 2, 0.014))
            for p in (box((w, 0.008, d), color=color), box((w * 0.94, 0.01, d * 0.9), (0, -0.001, d * 0.05), color=BLACK))
        ),
    ]


def _keyboard(r: Generator) -> list[Solid]:
    columns, rows, key = int(r.integers(13, 20)), int(r.integers(5, 7)), 0.018
    base = box((columns * key * 1.1, rows * key * 1.25, 0.012), color=fabric(r), top=(0.98, 0.95))
    x = (np.arange(columns) - (columns - 1) / 2) * key * 1.05
    y = (np.arange(rows) - (rows - 1) / 2) * key * 1.1
    return [
        base,
        *(box((key * 0.85, key * 0.85, 0.008), (a, b, 0.012), color=WHITE, top=(0.8, 0.8)) for a in x.tolist() for b in y.tolist()),
    ]


def _phone(r: Generator) -> list[Solid]:
    w, h, thick = r.uniform(0.06, 0.08), r.uniform(0.12, 0.165), r.uniform(0.007, 0.011)
    body = ball((w / 2, thick / 2, h / 2), color=BLACK, square=0.12)
    return [
        p.turned("x", pick(r, [0.0, 90.0, -70.0]))
        for p in (body, box((0.02, 0.003, 0.035), (-w * 0.25, thick * 0.5, h * 0.25), color=BLACK))
    ]


def _refrigerator(r: Generator) -> list[Solid]:
    w, d, h, color = r.uniform(0.55, 0.95), r.uniform(0.58, 0.75), r.uniform(1.3, 1.95), pick(r, [WHITE, (0.7, 0.7, 0.72)])
    split, pair = h * r.uniform(0.3, 0.7), w > 0.8 and chance(r, 0.6)
    doors = (
        [box((w / 2 - 0.01, 0.05, h - 0.1), (s * w / 4, -d / 2, 0.06), color=color) for s in (-1, 1)]
        if pair
        else [
            box((w, 0.05, split - 0.07), (0, -d / 2, 0.06), color=color),
            box((w, 0.05, h - split - 0.01), (0, -d / 2, split), color=color),
        ]
    )
    x = 0.03 if pair else w * 0.42
    grips = [
        tube([(s, -d / 2 - 0.06, low), (s, -d / 2 - 0.06, low + 0.4)], 0.012, color=BLACK)
        for s, low in (((x, h * 0.4), (-x, h * 0.4)) if pair else ((x, split - 0.45), (x, split + 0.05)))
    ]
    return [box((w, d - 0.05, h), color=color), *doors, *(grips if chance(r, 0.8) else [])]


def _washing_machine(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.55, 0.65), r.uniform(0.82, 0.9)
    face = [
        ring(r.uniform(0.15, 0.2), 0.025, color=(0.6, 0.6, 0.62)).turned("x", 90).moved((0, -w / 2, h * 0.5)),
        ball((0.14, 0.05, 0.14), (0, -w / 2, h * 0.5), color=BLACK),
    ]
    return [
        box((w, w, h), color=WHITE),
        *face,
        box((w * 0.98, 0.02, 0.1), (0, -w / 2, h - 0.12), color=(0.8, 0.8, 0.8)),
        knob((w * 0.3, -w / 2, h - 0.07), radius=0.03),
    ]


def _stove(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.5, 0.75), r.uniform(0.82, 0.92)
    rings = [ring(r.uniform(0.06, 0.1), 0.012, (x * w * 0.24, y * 0.14, h + 0.01), color=BLACK) for x in (-1, 1) for y in (-1, 1)]
    oven = [
        box((w * 0.85, 0.03, h * 0.5), (0, -0.3, 0.12), color=BLACK),
        tube([(-w * 0.38, -0.35, h * 0.72), (w * 0.38, -0.35, h * 0.72)], 0.012, color=(0.7, 0.7, 0.7)),
    ]
    knobs = [knob((x, -0.3, h - 0.08), radius=0.02) for x in np.linspace(-w * 0.35, w * 0.35, 5)]
    back = [box((w, 0.05, r.uniform(0.1, 0.25)), (0, 0.28, h), color=WHITE)] if chance(r, 0.5) else []
    return [box((w, 0.6, h), color=WHITE), *rings, *oven, *knobs, *back]


def _microwave(r: Generator) -> list[Solid]:
    w, h, d = r.uniform(0.42, 0.55), r.uniform(0.24, 0.32), r.uniform(0.3, 0.4)
    return [
        box((w, d, h), color=WHITE),
        box((w * 0.7, 0.02, h * 0.85), (-w * 0.12, -d / 2, h * 0.07), color=BLACK),
        tube([(w * 0.26, -d / 2 - 0.03, h * 0.2), (w * 0.26, -d / 2 - 0.03, h * 0.8)], 0.008),
        knob((w * 0.4, -d / 2, h * 0.3), radius=0.02),
    ]


def _range_hood(r: Generator) -> list[Solid]:
    w, d, color = r.uniform(0.55, 0.95), r.uniform(0.42, 0.55), (0.7, 0.7, 0.72)
    lip, chimney, tall = r.uniform(0.04, 0.1), r.uniform(0.2, 0.35), r.uniform(0.3, 0.9)
    rise = pick(r, [0.02, r.uniform(0.15, 0.35)])
    back = (0, (d - chimney) / 2 * pick(r, [0.0, 0.95]), 0)
    return [
        box((w, d, lip), color=color),
        box((w, d, rise), (0, 0, lip), color=color, top=(chimney / w, chimney / d)),
        box((chimney, chimney * 0.9, tall + rise), (back[0], back[1], lip), color=color),
    ]


def _air_conditioner(r: Generator) -> list[Solid]:
    w, h, d = r.uniform(0.7, 1.0), r.uniform(0.22, 0.34), r.uniform(0.18, 0.26)
    if chance(r, 0.35):
        h, d = r.uniform(0.5, 0.75), r.uniform(0.28, 0.38)
        fan = [ring(h * s, 0.012, (0, 0, 0), color=BLACK).turned("x", 90).moved((-w * 0.12, -d / 2, h / 2)) for s in (0.15, 0.25, 0.35)]
        return [box((w, d, h), color=WHITE), *fan, *(box((0.05, d, 0.05), (s * w * 0.35, 0, -0.05), color=BLACK) for s in (-1, 1))]
    body = ball((w / 2, d / 2, h / 2), color=WHITE, square=r.uniform(0.08, 0.25))
    flap = box((w * 0.85, d * 0.3, 0.012), (0, -d * 0.4, -h * 0.42), color=WHITE).turned(
        "x", r.uniform(-10, 40), about=(0, -d * 0.4, -h * 0.4)
    )
    grooves = [box((w * 0.9, 0.012, 0.01), (0, -d * 0.49, z), color=BLACK) for z in np.linspace(-h * 0.3, h * 0.25, int(r.integers(0, 5)))]
    return [body, flap, *grooves]


def _fan(r: Generator) -> list[Solid]:
    w, high = r.uniform(0.15, 0.22), pick(r, [r.uniform(0.25, 0.4), r.uniform(1.0, 1.3)])
    cage = [
        ring(w * s, 0.005, color=BLACK).turned("x", 90).moved((0, y, high))
        for s, y in ((1, 0), (0.95, -0.04), (0.95, 0.04), (0.6, -0.07), (0.3, -0.075))
    ]
    blades = [ball((w * 0.42, 0.012, w * 0.2), (w * 0.45, 0, 0), color=fabric(r)).turned("y", a).moved((0, 0, high)) for a in (0, 120, 240)]
    return [
        *cage,
        *blades,
        tube([(0, 0, high), (0, 0.1, high)], 0.05, color=BLACK),
        tube([(0, 0.05, high), (0, 0.05, 0.02)], 0.018, color=BLACK),
        cylinder(w * 0.8, 0.025, (0, 0.05, 0), color=BLACK),
    ]


def _clock(r: Generator) -> list[Solid]:
    w = r.uniform(0.1, 0.2)
    face = [cylinder(w, 0.03, color=WHITE).turned("x", 90), ring(w, 0.012, color=BLACK).turned("x", 90).moved((0, -0.02, 0))]
    hands = [
        box((0.008, 0.006, w * s), (0, -0.035, 0), color=BLACK).turned("y", a)
        for s, a in ((0.5, r.uniform(0, 360)), (0.8, r.uniform(0, 360)))
    ]
    marks = [box((0.008, 0.006, w * 0.12), (0, -0.033, w * 0.8), color=BLACK).turned("y", 30 * i) for i in range(12)]
    bells = (
        [ball((w * 0.35, w * 0.35, w * 0.3), (s * w * 0.6, 0, w * 0.95), color=(0.7, 0.7, 0.7)) for s in (-1, 1)] if chance(r, 0.25) else []
    )
    return [*face, *hands, *marks, *bells]


APPLIANCES: Mapping[str, Builder] = {
    "television": _television,
    "monitor": _monitor,
    "laptop": _laptop,
    "computer keyboard": _keyboard,
    "phone": _phone,
    "refrigerator": _refrigerator,
    "washing machine": _washing_machine,
    "stove": _stove,
    "microwave": _microwave,
    "range hood": _range_hood,
    "air conditioner": _air_conditioner,
    "fan": _fan,
    "clock": _clock,
}
"""Builders by category."""
