"""Generated appliances, electronics and things round the house. The front looks along -y."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from basrelief.testing.parts import Builder, chance, fabric, knob, pick, wood
from basrelief.testing.primitives import Color, Solid, arc, ball, box, curve, cylinder, lathe, ring, tube, vessel

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
    from basrelief.testing.primitives import skin

    cloth = skin(
        np.stack([ring_low * (r.uniform(0.5, 1.1), 1, 1), ring_low * (r.uniform(0.35, 1), 1, 1) + (0, 0, h * 0.4), ring_low + (0, 0, h)]),
        color=fabric(r),
    )
    rail = tube([(-w - gap / 2 - 0.1, 0, h), (w + gap / 2 + 0.1, 0, h)], 0.015, color=BLACK)
    return [cloth.moved((gap / 2, 0, 0)), cloth.turned("z", 180).moved((-gap / 2, 0, 0)), rail]


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
    "dish rack": _dish_rack,
    "ball": _ball,
    "traffic cone": _cone,
    "umbrella": _umbrella,
    "plate": _plate,
    "cardboard box": _box,
    "coat rack": _coat_rack,
}
"""Builders by category."""
