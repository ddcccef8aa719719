"""Closed solids, each a skin over a sequence of rings. World frame, +Z up, metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from basrelief.types import Mesh, Origin

Color = tuple[float, float, float]
Vector = tuple[float, float, float]
Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Solid:
    """A closed surface of one colour, in float64 while it is being built.

    Attributes:
        vertices: (V, 3) positions.
        faces: (F, 3) triangles, counter-clockwise seen from outside.
        color: Red, green, blue in [0, 1].
    """

    vertices: Float[Array, "vertices 3"]
    faces: Int64[Array, "faces 3"]
    color: Color = (0.7, 0.7, 0.7)

    def moved(self, offset: Vector) -> Solid:
        """Return the solid shifted by (x, y, z)."""
        return Solid(self.vertices + np.asarray(offset), self.faces, self.color)

    def turned(self, axis: str, degrees: float, *, about: Vector = (0, 0, 0)) -> Solid:
        """Return the solid rotated counter-clockwise about an axis `x`, `y` or `z` through a point."""
        first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        matrix = np.eye(3)
        matrix[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
        return Solid((self.vertices - about) @ matrix.T + about, self.faces, self.color)

    def scaled(self, factor: Vector) -> Solid:
        """Return the solid scaled along x, y and z about the origin; factors are positive."""
        return Solid(self.vertices * np.asarray(factor), self.faces, self.color)


def join(solids: Sequence[Solid], *, name: str) -> Mesh:
    """Join solids into one coloured mesh."""
    start = np.cumsum([0] + [len(s.vertices) for s in solids[:-1]])
    faces = np.concatenate([s.faces + i for s, i in zip(solids, start, strict=True)])
    colors = np.concatenate([np.tile(np.clip(s.color, 0, 1), (len(s.vertices), 1)) for s in solids])
    return Mesh(np.concatenate([s.vertices for s in solids]), faces, colors, Origin(path=name, format="generated"))


def skin(rings: Float[Array, "rings corners 3"], *, color: Color = (0.7, 0.7, 0.7), closed: bool = False) -> Solid:
    """Cover a sequence of rings with triangles, and both ends with fans; `closed` joins the last ring to the first instead."""
    count, corners, _ = rings.shape
    a = np.arange(count if closed else count - 1)[:, None] * corners + np.arange(corners)
    right = (np.arange(corners) + 1) % corners - np.arange(corners)
    b, up = a + right, corners
    total = count * corners
    sides = np.stack([a, b, (b + up) % total, a, (b + up) % total, (a + up) % total], axis=-1).reshape(-1, 3)
    if closed:
        return Solid(rings.reshape(-1, 3), sides, color)
    ring = np.arange(corners)
    bottom = np.stack([np.full(corners, total), (ring + 1) % corners, ring], axis=1)
    top = np.stack([np.full(corners, total + 1), ring + total - corners, (ring + 1) % corners + total - corners], axis=1)
    vertices = np.concatenate([rings.reshape(-1, 3), rings[:1].mean(axis=1), rings[-1:].mean(axis=1)])
    return Solid(vertices, np.concatenate([sides, bottom, top]), color)


def box(size: Vector, at: Vector = (0, 0, 0), *, color: Color = (0.7, 0.7, 0.7), top: tuple[float, float] = (1, 1)) -> Solid:
    """Build a box with the centre of its base `at`; `top` scales the upper face in x and y."""
    x, y = size[0] / 2, size[1] / 2
    base = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]])
    lid = base * (*top, 1) + (0, 0, size[2])
    return skin(np.stack([base, lid]), color=color).moved(at)


def lathe(profile: Sequence[tuple[float, float]], at: Vector = (0, 0, 0), *, color: Color = (0.7, 0.7, 0.7), sides: int = 24) -> Solid:
    """Revolve a profile of (radius, height) about the vertical; up the outside and down the inside makes a vessel."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    radius, height = np.array(profile, dtype=float).T
    rings = np.stack([np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle)), np.repeat(height[:, None], sides, axis=1)], axis=-1)
    return skin(rings, color=color).moved(at)


def cylinder(radius: float, height: float, at: Vector = (0, 0, 0), *, color: Color = (0.7, 0.7, 0.7), top: float | None = None) -> Solid:
    """Build a cylinder standing on `at`; `top` is the upper radius where it differs."""
    return lathe([(radius, 0), (radius if top is None else top, height)], at, color=color)


def vessel(profile: Sequence[tuple[float, float]], thickness: float, *, color: Color = (0.7, 0.7, 0.7)) -> Solid:
    """Build a hollow vessel of revolution from its outer profile, bottom to rim."""
    inner = [(max(r - thickness, 1e-4), max(h, profile[0][1] + thickness)) for r, h in reversed(profile)]
    return lathe([*profile, *inner], color=color)


def ball(radius: Vector, at: Vector = (0, 0, 0), *, color: Color = (0.7, 0.7, 0.7), square: float = 1.0) -> Solid:
    """Build an ellipsoid around `at`; `square` below 1 swells it towards a box with rounded edges (a superellipsoid)."""
    around, up = np.linspace(-np.pi, np.pi, 20, endpoint=False), np.linspace(-np.pi / 2, np.pi / 2, 11)[1:-1]
    flat = _power(np.cos(up), square)[:, None]
    x, y = flat * _power(np.cos(around), square), flat * _power(np.sin(around), square)
    z = np.broadcast_to(_power(np.sin(up), square)[:, None], x.shape)
    return skin(np.stack([x, y, z], axis=-1) * radius, color=color).moved(at)


def tube(
    path: Sequence[Vector | Array] | Array,
    radius: float | Sequence[float] | Array,
    *,
    color: Color = (0.7, 0.7, 0.7),
    sides: int = 8,
    flat: float = 1.0,
) -> Solid:
    """Build a round bar along a path with one radius or one per point; `flat` flattens it within the plane of the path."""
    points = np.asarray(path, dtype=float)
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    helper = np.eye(3)[np.abs(along).max(axis=0).argmin()]
    side = np.cross(along, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    over = np.cross(along, side)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    width = np.broadcast_to(np.asarray(radius, dtype=float), len(points))[:, None, None]
    circle = np.cos(angle)[:, None] * side[:, None] * flat + np.sin(angle)[:, None] * over[:, None]
    return skin(points[:, None] + width * circle, color=color)


def extrude(outline: Sequence[tuple[float, float]] | Array, depth: float, *, color: Color = (0.7, 0.7, 0.7)) -> Solid:
    """Extrude an outline in the x-z plane along y by `depth`, centred on y = 0. The outline must be star-shaped about its mean."""
    flat = np.asarray(outline, dtype=float)
    ring = np.stack([flat[:, 0], np.zeros(len(flat)), flat[:, 1]], axis=1)
    return skin(np.stack([ring + (0, depth / 2, 0), ring - (0, depth / 2, 0)]), color=color)


def curve(points: Sequence[Vector], count: int = 12) -> Float[Array, "count 3"]:
    """Return a smooth path for control points (a Bezier curve)."""
    control = np.asarray(points, dtype=float)
    t = np.linspace(0, 1, count)[:, None, None]
    layer = np.broadcast_to(control, (count, *control.shape))
    for _ in range(len(control) - 1):
        layer = layer[:, :-1] * (1 - t) + layer[:, 1:] * t
    return np.asarray(layer[:, 0])


def arc(radius: tuple[float, float], degrees: tuple[float, float], *, at: Vector = (0, 0, 0), count: int = 14) -> Float[Array, "count 3"]:
    """Return an arc of an ellipse in the x-z plane around `at`, from one angle to another, counter-clockwise from +x."""
    angle = np.radians(np.linspace(*degrees, count))
    return np.stack([radius[0] * np.cos(angle), np.zeros(count), radius[1] * np.sin(angle)], axis=1) + at


def ring(radius: float, thickness: float, at: Vector = (0, 0, 0), *, color: Color = (0.7, 0.7, 0.7), sides: int = 24) -> Solid:
    """Build a horizontal torus around `at`."""
    around, small = np.linspace(0, 2 * np.pi, sides, endpoint=False), np.linspace(0, 2 * np.pi, 8, endpoint=False)
    distance = radius + thickness * np.cos(small)
    rings = np.stack(
        [np.outer(np.cos(around), distance), np.outer(np.sin(around), distance), np.tile(thickness * np.sin(small), (sides, 1))], axis=-1
    )
    return skin(rings[:, ::-1], color=color, closed=True).moved(at)


def _power(value: Array, exponent: float) -> Array:
    return np.asarray(np.sign(value) * np.abs(value) ** exponent)
