"""Helpers shared by the shape generators: random choices, colours, legs and plates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from basrelief.shapes.primitives import Color, Solid, box, cylinder, extrude, tube

Builder = Callable[[Generator], list[Solid]]
"""Builds the solids of one shape from a random generator."""

T = TypeVar("T")
_WOOD: tuple[Color, ...] = ((0.72, 0.53, 0.34), (0.45, 0.29, 0.17), (0.86, 0.74, 0.55), (0.9, 0.9, 0.88), (0.2, 0.18, 0.17))
_FABRIC: tuple[Color, ...] = (
    (0.35, 0.4, 0.48),
    (0.6, 0.3, 0.25),
    (0.75, 0.72, 0.66),
    (0.25, 0.4, 0.33),
    (0.15, 0.15, 0.17),
    (0.85, 0.65, 0.3),
)


def pick(r: Generator, choices: Sequence[T]) -> T:
    """Return one of the choices, all equally likely."""
    return choices[int(r.integers(len(choices)))]


def chance(r: Generator, share: float) -> bool:
    """Return True with the given probability."""
    return bool(r.random() < share)


def wood(r: Generator) -> Color:
    """Return a colour of wood or paint."""
    return _shade(r, pick(r, _WOOD))


def fabric(r: Generator) -> Color:
    """Return a colour of cloth or plastic."""
    return _shade(r, pick(r, _FABRIC))


def _shade(r: Generator, color: Color) -> Color:
    red, green, blue = (float(c) for c in np.clip(np.asarray(color) * r.uniform(0.85, 1.15), 0, 1))
    return red, green, blue


def plate(r: Generator, size: tuple[float, float], thick: float, z: float, *, color: Color) -> Solid:
    """Build a seat or table top with its upper face at `z`: mostly a rectangle, else rounded, tapered or an ellipse."""
    kind = pick(r, ["box", "box", "box", "rounded", "trapezoid", "ellipse"])
    x, y = size[0] / 2, size[1] / 2
    if kind == "box":
        return box((*size, thick), (0, 0, z - thick), color=color)
    if kind == "trapezoid":
        back = r.uniform(0.75, 1)
        outline = np.array([[-x, -y], [x, -y], [x * back, y], [-x * back, y]])
    else:
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        power = 1.0 if kind == "ellipse" else r.uniform(0.3, 0.6)
        c, s = np.cos(angle), np.sin(angle)
        outline = np.stack([x * np.sign(c) * np.abs(c) ** power, y * np.sign(s) * np.abs(s) ** power], axis=1)
    return extrude(outline, thick, color=color).turned("x", 90).scaled((1, 1, 1)).moved((0, 0, z - thick / 2))


def legs(
    r: Generator, size: tuple[float, float], high: float, *, color: Color, splay: tuple[float, float] = (0, 9), rails: bool = True
) -> list[Solid]:
    """Build four (sometimes three) legs under a plate, square, round or tapered, straight or splayed, often with rails or stretchers."""
    lean, thick = np.tan(np.radians(r.uniform(*splay))) * high, r.uniform(0.012, 0.03) * (1.6 if chance(r, 0.2) else 1)
    inset = r.uniform(0.0, 0.06)
    x, y = max(size[0] / 2 - thick - inset, 0.02), max(size[1] / 2 - thick - inset * 0.5, 0.02)
    if chance(r, 0.08):
        corners = [(float(np.cos(a)) * x, float(np.sin(a)) * y) for a in np.radians([90, 210, 330])]
    else:
        corners = [(x, y), (-x, y), (-x, -y), (x, -y)]
    feet = [(cx + np.sign(cx) * lean, cy + np.sign(cy) * lean * r.uniform(0.3, 1)) for cx, cy in corners]
    square, slim = chance(r, 0.5), r.uniform(0.5, 1.1)
    bars = [
        tube(
            [(fx, fy, 0), (cx, cy, high)], [thick * slim * _corner(square), thick * _corner(square)], color=color, sides=4 if square else 8
        )
        for (cx, cy), (fx, fy) in zip(corners, feet, strict=True)
    ]
    if not rails or len(corners) == 3:
        return bars
    return bars + _rails(r, corners, feet, high=high, color=color)


def _corner(square: bool) -> float:
    return 1.4 if square else 1.0


def _rails(
    r: Generator, corners: Sequence[tuple[float, float]], feet: Sequence[tuple[float, float]], *, high: float, color: Color
) -> list[Solid]:
    """An apron below the plate and stretchers lower down, each side with some chance."""
    parts: list[Solid] = []
    apron, thin, level = chance(r, 0.5), r.uniform(0.006, 0.016), r.uniform(0.12, 0.5)
    style = pick(r, ["none", "none", "all", "sides", "H", "sled", "X"])
    at = [np.array([*c, high]) * level + np.array([*f, 0.0]) * (1 - level) for c, f in zip(corners, feet, strict=True)]
    drop = r.uniform(0.02, 0.07) / 2
    for i in range(4):
        a, b = corners[i], corners[(i + 1) % 4]
        if apron:
            parts.append(tube([(*a, high - drop - 0.01), (*b, high - drop - 0.01)], drop * 1.4, color=color, sides=4, flat=0.4))
        if style == "all" or (style in ("sides", "H") and i % 2 == 1):
            parts.append(tube([at[i], at[(i + 1) % 4] + np.array([1e-4, 0, 0])], thin, color=color, sides=6))
        if style == "sled" and i % 2 == 1:
            parts.append(tube([(*feet[i], thin), (*feet[(i + 1) % 4], thin)], thin * 1.3, color=color, sides=6))
    if style == "H":
        parts.append(tube([(at[1] + at[2]) / 2, (at[3] + at[0]) / 2], thin, color=color, sides=6))
    if style == "X":
        parts += [tube([at[0], at[2]], thin, color=color, sides=6), tube([at[1], at[3]], thin, color=color, sides=6)]
    return parts


def knob(at: tuple[float, float, float], *, radius: float = 0.015, color: Color = (0.3, 0.3, 0.3)) -> Solid:
    """A drawer or door knob that stands out along -y."""
    return cylinder(radius, radius * 1.6, color=color).turned("x", 90).moved(at)
