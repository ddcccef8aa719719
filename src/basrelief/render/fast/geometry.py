"""Cameras, sight lines and barycentric coordinates, compiled; like `basrelief.render.cameras` and `basrelief.render.mesh`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from basrelief.render.fast.compile import compiled, inlined
from basrelief.render.mesh import SUBPIXELS


class View(NamedTuple):
    """A camera and its image.

    Attributes:
        rotation: (3, 3) float64, world to camera.
        distance: From the eye to the origin; inf when orthographic.
        scale: Pixels per scene unit in the plane of the origin.
        near: Smallest depth that is drawn.
        size: Side of the image, pixels.
    """

    rotation: np.ndarray
    distance: float
    scale: float
    near: float
    size: int


@compiled
def project(vertices: np.ndarray, view: View, screen: np.ndarray) -> None:
    """Write into `screen` (V, 8) for each vertex: x, y, w as used for edges, 1/w, depth, and the exact x, y, w."""
    r, middle = view.rotation, (view.size - 1) / 2
    for i in range(len(vertices)):
        a, b, c = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        x = r[0, 0] * a + r[0, 1] * b + r[0, 2] * c
        y = r[1, 0] * a + r[1, 1] * b + r[1, 2] * c
        z = r[2, 0] * a + r[2, 1] * b + r[2, 2] * c
        depth, w = z, 1.0
        if view.distance < math.inf:
            depth = z + view.distance
            w = depth / view.distance
        x = x * view.scale + middle * w
        y = y * view.scale + middle * w
        screen[i, 4], screen[i, 5], screen[i, 6], screen[i, 7] = depth, x, y, w
        if depth > view.near:
            inverse = 1 / w
            factor = inverse * SUBPIXELS
            screen[i, 0] = np.rint(x * factor) / SUBPIXELS
            screen[i, 1] = np.rint(y * factor) / SUBPIXELS
            screen[i, 2] = np.rint(w * factor) / SUBPIXELS
            screen[i, 3] = inverse
        else:
            screen[i, 0], screen[i, 1], screen[i, 2], screen[i, 3] = x, y, w, 1.0


@inlined
def sight_line(view: View, row: int, column: int) -> tuple[float, float, float, float, float, float]:
    """Return origin and direction of the ray through a pixel's centre."""
    r, middle = view.rotation, (view.size - 1) / 2
    across, down = (column - middle) / view.scale, (row - middle) / view.scale
    x = across * r[0, 0] + down * r[1, 0]
    y = across * r[0, 1] + down * r[1, 1]
    z = across * r[0, 2] + down * r[1, 2]
    if view.distance < math.inf:
        d = view.distance
        return -d * r[2, 0], -d * r[2, 1], -d * r[2, 2], r[2, 0] + x / d, r[2, 1] + y / d, r[2, 2] + z / d
    return x, y, z, r[2, 0], r[2, 1], r[2, 2]


@inlined
def barycentric(
    vertices: np.ndarray, i: int, j: int, k: int, line: tuple[float, float, float, float, float, float]
) -> tuple[float, float, float]:
    """Return barycentric coordinates of the point where a sight line meets the plane of a triangle, each in [0, 1]."""
    ox, oy, oz, dx, dy, dz = line
    ax, ay, az = vertices[i, 0] - ox, vertices[i, 1] - oy, vertices[i, 2] - oz
    bx, by, bz = vertices[j, 0] - ox, vertices[j, 1] - oy, vertices[j, 2] - oz
    cx, cy, cz = vertices[k, 0] - ox, vertices[k, 1] - oy, vertices[k, 2] - oz
    u = dx * (by * cz - bz * cy) + dy * (bz * cx - bx * cz) + dz * (bx * cy - by * cx)
    v = dx * (cy * az - cz * ay) + dy * (cz * ax - cx * az) + dz * (cx * ay - cy * ax)
    w = dx * (ay * bz - az * by) + dy * (az * bx - ax * bz) + dz * (ax * by - ay * bx)
    over = 1 / (u + v + w)
    u, v, w = min(max(u * over, 0.0), 1.0), min(max(v * over, 0.0), 1.0), min(max(w * over, 0.0), 1.0)
    if not u + v + w > 0:
        return 1 / 3, 1 / 3, 1 / 3
    over = 1 / (u + v + w)
    return u * over, v * over, w * over
