"""A small scan for tests: a floor, two walls and three box-shaped things, with noise."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from basrelief.types import PointCloud

_THINGS = (((1, 1, 0), (0.6, 0.6, 0.9)), ((2.5, 1.5, 0), (1, 0.8, 0.75)), ((2.6, 0.3, 0), (0.4, 0.4, 1.6)))
"""Lowest corner and size of each thing, metres."""


def small_scan(*, spacing: float = 0.05, seed: int = 0, things: int = 3) -> PointCloud:
    """A corner of 4 x 3 x 2.4 m."""
    parts = [_plane((0, 0, 0), (4, 0, 0), (0, 3, 0), spacing), _plane((0, 0, 0), (4, 0, 0), (0, 0, 2.4), spacing)]
    parts.append(_plane((0, 0, 0), (0, 3, 0), (0, 0, 2.4), spacing))
    for low, size in _THINGS[:things]:
        x, y, z = np.diag(size).astype(float)
        sides = ((low, x, z), (low, y, z), (low + y, x, z), (low + x, y, z), (low + z, x, y))
        parts += [_plane(corner, first, second, 0.8 * spacing) for corner, first, second in sides]
    points = np.concatenate(parts)
    return PointCloud((points + np.random.default_rng(seed).normal(0, 0.003, points.shape)).astype(np.float32))


def _plane(origin: object, first: object, second: object, spacing: float) -> Float[np.ndarray, "points 3"]:
    corner, one, two = (np.asarray(value, dtype=np.float64) for value in (origin, first, second))
    counts = [max(2, round(float(np.linalg.norm(side)) / spacing)) for side in (one, two)]
    s, t = np.meshgrid(*(np.linspace(0, 1, count) for count in counts), indexing="ij")
    points: np.ndarray = corner + s.reshape(-1, 1) * one + t.reshape(-1, 1) * two
    return points
