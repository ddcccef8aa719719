"""Generated vessels: walls of revolution with handles, spouts and lids. A handle points along +x."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from basrelief.shapes.parts import Builder, chance, fabric, pick, wood
from basrelief.shapes.primitives import Color, Solid, arc, ball, box, curve, cylinder, lathe, tube, vessel


def _handle(x: float, low: float, high: float, *, out: float, bar: float, color: Color) -> Solid:
    """A loop from the wall at `x`, between two heights, standing out by `out`."""
    return tube(curve([(x, 0, high), (x + 1.6 * out, 0, high + 0.1 * out), (x + 1.4 * out, 0, low), (x, 0, low)]), bar, color=color)


def _mug(r: Generator) -> list[Solid]:
    color, w, h = fabric(r), r.uniform(0.035, 0.055), r.uniform(0.075, 0.13)
    foot = w * r.uniform(0.7, 1.05)
    wall = vessel([(foot, 0), (w * r.uniform(0.95, 1.12), h * 0.5), (w, h)], 0.004, color=color)
    return [
        wall,
        _handle(
            w * 0.95,
            h * r.uniform(0.12, 0.3),
            h * r.uniform(0.75, 0.9),
            out=r.uniform(0.018, 0.035),
            bar=r.uniform(0.004, 0.008),
            color=color,
        ),
    ]


def _cup(r: Generator) -> list[Solid]:
    color, w, h = fabric(r), r.uniform(0.035, 0.055), r.uniform(0.05, 0.13)
    foot = w * r.uniform(0.5, 0.85)
    cup = [vessel([(foot, 0), ((foot + w) / 2 * r.uniform(1, 1.15), h * 0.5), (w, h)], 0.003, color=color)]
    if h < 0.08:
        cup.append(_handle(w * 0.9, h * 0.3, h * 0.85, out=0.018, bar=0.004, color=color))
        if chance(r, 0.5):
            cup.append(lathe([(w * 0.7, -0.012), (w * 1.6, 0), (w * 1.6, 0.003), (w * 0.6, -0.006)], color=color))
    return cup


def _bottle(r: Generator) -> list[Solid]:
    color, w, h = fabric(r), r.uniform(0.03, 0.045), r.uniform(0.18, 0.33)
    neck, shoulder = w * r.uniform(0.25, 0.5), h * r.uniform(0.5, 0.75)
    rise = r.uniform(0.03, 0.08)
    outline = [
        (w, 0),
        (w * r.uniform(0.9, 1.05), shoulder * 0.5),
        (w, shoulder),
        (w * 0.85, shoulder + rise * 0.4),
        (neck, shoulder + rise),
        (neck, h),
    ]
    bottle = [lathe(outline, color=color), cylinder(neck * 1.2, 0.02, (0, 0, h - 0.015), color=fabric(r))]
    return bottle if chance(r, 0.85) else [b.scaled((1, 0.55, 1)) for b in bottle]


def _bowl(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.06, 0.16), r.uniform(0.3, 0.75)
    t, swell = np.linspace(0, 1, 7), r.uniform(0.4, 0.75)
    outline = [
        (w * r.uniform(0.25, 0.45), 0),
        *((float(w * (0.35 + 0.65 * np.sin(a * np.pi / 2) ** swell)), float(w * h * a)) for a in t[1:]),
    ]
    return [vessel(outline, w * r.uniform(0.03, 0.08), color=fabric(r))]


def _vase(r: Generator) -> list[Solid]:
    h, count = r.uniform(0.18, 0.5), 9
    t = np.linspace(0, 1, count)
    w = h * r.uniform(0.14, 0.3)
    belly, sharp, neck = r.uniform(0.25, 0.65), r.uniform(2, 6), r.uniform(0.2, 0.6)
    radius = w * (neck + (1 - neck) * np.exp(-sharp * (t - belly) ** 2 * 2)) * (1 + r.uniform(0, 0.5) * np.clip(t - 0.85, 0, 1) * 4)
    color = fabric(r)
    parts = [vessel(list(zip(radius.tolist(), (t * h).tolist(), strict=True)), 0.004 + 0.02 * w, color=color)]
    if chance(r, 0.12):
        parts += [_handle(w * 0.8, h * 0.5, h * 0.85, out=w * 0.5, bar=0.008, color=color).turned("z", a) for a in (0, 180)]
    if chance(r, 0.3):
        for _ in range(int(r.integers(2, 7))):
            end = (r.uniform(-w, w) * 1.3, r.uniform(-w, w) * 1.3, h * r.uniform(1.3, 1.8))
            parts += [
                tube(curve([(0, 0, h * 0.6), (0, 0, h * 1.2), end]), 0.004, color=(0.3, 0.5, 0.25)),
                ball((0.03, 0.03, 0.025), end, color=fabric(r)),
            ]
    return parts


def _wine_glass(r: Generator) -> list[Solid]:
    w, stem, cup = r.uniform(0.03, 0.05), r.uniform(0.05, 0.12), r.uniform(0.06, 0.12)
    foot = w * r.uniform(0.75, 1.0)
    outline = [
        (foot, 0),
        (foot * 0.5, 0.006),
        (0.005, 0.012),
        (0.005, stem),
        (w * 0.7, stem + cup * 0.2),
        (w, stem + cup * 0.5),
        (w * r.uniform(0.6, 1.05), stem + cup),
    ]
    inner = [(r0 - 0.002, z) for r0, z in reversed(outline[4:])]
    return [lathe([*outline, *inner, (0.001, stem + 0.006)], color=(0.85, 0.9, 0.92))]


def _glass(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.03, 0.042), r.uniform(0.08, 0.16)
    return [vessel([(w * r.uniform(0.7, 1), 0), (w, h)], 0.003, color=(0.85, 0.9, 0.92))]


def _teapot(r: Generator) -> list[Solid]:
    color, w = fabric(r), r.uniform(0.07, 0.1)
    h = w * r.uniform(1.1, 1.9)
    body = lathe(
        [(w * 0.6, 0), (w, h * 0.35), (w * 0.95, h * 0.6), (w * 0.5, h), (w * 0.45, h * 1.05), (0.1 * w, h * 1.12), (0.1 * w, h * 1.22)],
        color=color,
    )
    spout = tube(
        curve([(-w * 0.85, 0, h * 0.3), (-w * 1.5, 0, h * 0.35), (-w * 1.45, 0, h * 0.8), (-w * 1.9, 0, h * r.uniform(0.85, 1.05))]),
        np.linspace(0.22, 0.09, 12) * w,
        color=color,
    )
    knob = ball((w * 0.13, w * 0.13, w * 0.13), (0, 0, h * 1.24), color=color)
    if chance(r, 0.25):
        over = tube(arc((w * 0.9, h * 0.9), (0, 180), at=(0, 0, h * 0.8)), 0.006, color=color)
        return [body, spout, knob, over]
    return [body, spout, knob, _handle(w * 0.85, h * 0.25, h * 0.8, out=w * 0.6, bar=w * 0.09, color=color)]


def _pot(r: Generator) -> list[Solid]:
    metal, w = pick(r, [(0.7, 0.7, 0.72), (0.2, 0.2, 0.22), fabric(r)]), r.uniform(0.09, 0.16)
    h = w * r.uniform(0.7, 1.5)
    parts = [vessel([(w * 0.95, 0), (w, h * 0.1), (w, h)], 0.005, color=metal)]
    parts += [
        _handle(w, h * 0.75, h * 0.8, out=w * 0.22, bar=0.007, color=metal).turned("x", 90, about=(0, 0, h * 0.77)).turned("z", a)
        for a in (0, 180)
    ]
    if chance(r, 0.6):
        parts += [
            lathe([(w * 1.02, h), (w * 0.6, h * 1.08), (0.01, h * 1.12)], color=metal),
            ball((0.018, 0.018, 0.018), (0, 0, h * 1.12 + 0.015), color=(0.1, 0.1, 0.1)),
        ]
    return parts


def _frying_pan(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.1, 0.16), r.uniform(0.03, 0.06)
    grip = tube(
        [(w * 0.98, 0, h * 0.8), (w + 0.08, 0, h), (w + r.uniform(0.15, 0.24), 0, h * r.uniform(1, 1.6))],
        [0.008, 0.011, 0.012],
        color=(0.1, 0.1, 0.1),
        flat=0.6,
    )
    return [vessel([(w * r.uniform(0.75, 0.9), 0), (w, h)], 0.004, color=(0.25, 0.25, 0.27)), grip]


def _bucket(r: Generator) -> list[Solid]:
    color, w = fabric(r), r.uniform(0.12, 0.16)
    h = w * r.uniform(1.6, 2.2)
    wall = vessel([(w * r.uniform(0.65, 0.85), 0), (w, h)], 0.004, color=color)
    rim = lathe([(w, h - 0.012), (w * 1.05, h - 0.012), (w * 1.05, h), (w * 0.97, h)], color=color)
    over = (
        tube(arc((w * 1.03, w * 1.1), (0, 180), at=(0, 0, 0)), 0.004, color=(0.6, 0.6, 0.6))
        .turned("x", r.uniform(-80, 80))
        .moved((0, 0, h - 0.02))
    )
    return [wall, rim, over]


def _trash_can(r: Generator) -> list[Solid]:
    color, w = fabric(r), r.uniform(0.11, 0.22)
    h = w * r.uniform(1.8, 3.4)
    if chance(r, 0.35):
        size = (w * 1.8, w * r.uniform(1.2, 1.9), h)
        body = box(size, color=color, top=(r.uniform(1.0, 1.2), r.uniform(1.0, 1.2)))
        lid = box((size[0] * 1.22, size[1] * 1.25, 0.04), (0, 0, h), color=color).turned("x", r.uniform(-12, 4), about=(0, 0, h))
        wheels = (
            [cylinder(0.06, 0.04, color=(0.1, 0.1, 0.1)).turned("y", 90).moved((s * w * 0.85 - 0.02, w * 0.8, 0.06)) for s in (-1, 1)]
            if chance(r, 0.5)
            else []
        )
        return [body, lid, *wheels]
    wall = vessel([(w * r.uniform(0.65, 1), 0), (w, h)], 0.006, color=color)
    if chance(r, 0.5):
        return [
            wall,
            lathe([(w * 1.03, h - 0.02), (w * 1.03, h), (w * 0.8, h + w * r.uniform(0.1, 0.5)), (0.02, h + w * 0.5)], color=color),
        ]
    return [wall]


def _bathtub(r: Generator) -> list[Solid]:
    length, wide = r.uniform(1.5, 1.8), r.uniform(0.7, 0.85)
    tub = vessel([(0.36, 0.05 if chance(r, 0.5) else 0), (0.46, 0.15), (0.5, 0.5), (0.53, 0.52)], 0.05, color=(0.93, 0.93, 0.93)).scaled(
        (length, wide, 1.05)
    )
    feet = [ball((0.05, 0.05, 0.08), (sx * length * 0.3, sy * wide * 0.3, 0.02), color=(0.7, 0.7, 0.7)) for sx in (-1, 1) for sy in (-1, 1)]
    tap = [tube(curve([(length * 0.52, 0, 0.45), (length * 0.52, 0, 0.75), (length * 0.4, 0, 0.62)]), 0.02, color=(0.7, 0.7, 0.7))]
    return [tub, *(feet if chance(r, 0.5) else []), *(tap if chance(r, 0.6) else [])]


def _sink(r: Generator) -> list[Solid]:
    white, wide = (0.93, 0.93, 0.93), r.uniform(0.45, 0.65)
    basin = (
        vessel([(0.1, 0), (0.3, 0.04), (0.46, 0.14), (0.5, 0.17)], 0.03, color=white)
        .scaled((wide, wide * r.uniform(0.7, 1), 1))
        .moved((0, 0, 0.72))
    )
    tap = tube(curve([(0, wide * 0.42, 0.85), (0, wide * 0.45, 1.12), (0, wide * 0.1, 1.02)]), 0.014, color=(0.7, 0.7, 0.7))
    if chance(r, 0.5):
        return [basin, tap, lathe([(0.13, 0), (0.08, 0.1), (0.09, 0.6), (0.15, 0.75)], color=white)]
    return [basin, tap, box((wide * 1.1, wide * 0.9, 0.86), color=wood(r)), box((wide * 1.1, wide * 0.9, 0.02), (0, 0, 0.86), color=white)]


def _jar(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.035, 0.07), r.uniform(0.08, 0.2)
    body = lathe([(w * 0.95, 0), (w, h * 0.1), (w, h * 0.75), (w * r.uniform(0.7, 0.9), h * 0.88), (w * 0.75, h)], color=fabric(r))
    return [body, cylinder(w * 0.82, h * 0.16, (0, 0, h * 0.92), color=(0.7, 0.7, 0.7))]


def _can(r: Generator) -> list[Solid]:
    w, h = r.uniform(0.03, 0.05), r.uniform(0.07, 0.16)
    return [lathe([(w * 0.85, 0), (w, h * 0.05), (w, h * 0.93), (w * r.uniform(0.8, 1), h), (w * 0.75, h * 0.98)], color=fabric(r))]


VESSELS: Mapping[str, Builder] = {
    "mug": _mug,
    "cup": _cup,
    "bottle": _bottle,
    "bowl": _bowl,
    "vase": _vase,
    "wine glass": _wine_glass,
    "glass": _glass,
    "teapot": _teapot,
    "pot": _pot,
    "frying pan": _frying_pan,
    "bucket": _bucket,
    "trash can": _trash_can,
    "bathtub": _bathtub,
    "sink": _sink,
    "jar": _jar,
    "can": _can,
}
"""Builders by category."""
