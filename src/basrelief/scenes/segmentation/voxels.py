"""Voxels of a point cloud: what segmentation works on, so that its cost depends on surface, not on points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_AXIS_BITS = 21


@dataclass(frozen=True, eq=False)
class Voxels:
    """Occupied voxels of a cloud.

    Attributes:
        size: Edge length in metres.
        keys: (M,) int64, ascending: 21 bits for each of the x, y and z cell.
        centers: (M, 3) float64, mean of the points of each voxel.
        low: (M, 3) lowest coordinates of its points.
        high: (M, 3) highest coordinates of its points.
        moments: (M, 3, 3) sum of (p - centre)(p - centre)^T over its points.
        counts: (M,) points of each voxel.
        colors: (M, 3) mean colour, or None.
        order: (N,) rows of the cloud, sorted by voxel.
        starts: (M + 1,) where each voxel starts in `order`.
    """

    size: float
    keys: Int[np.ndarray, " voxels"]
    centers: Float[np.ndarray, "voxels 3"]
    low: Float[np.ndarray, "voxels 3"]
    high: Float[np.ndarray, "voxels 3"]
    moments: Float[np.ndarray, "voxels 3 3"]
    counts: Int[np.ndarray, " voxels"]
    colors: Float[np.ndarray, "voxels 3"] | None
    order: Int[np.ndarray, " points"]
    starts: Int[np.ndarray, " bounds"]

    def __len__(self) -> int:
        """Return M."""
        return len(self.keys)


def make_voxels(points: Float[np.ndarray, "points 3"], size: float, colors: Float[np.ndarray, "points 3"] | None = None) -> Voxels:
    """Group points by cells of a regular grid.

    Args:
        points: (N, 3) positions in metres.
        size: Edge length of a cell in metres; enlarged if the extent has more than two million of them along an axis.
        colors: (N, 3) colours in [0, 1].
    """
    points = np.asarray(points, dtype=np.float64)
    origin = points.min(axis=0) if len(points) else np.zeros(3)
    extent = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    size = max(size, extent / (2**_AXIS_BITS - 2))
    cells = ((points - origin) / size).astype(np.int64)
    keys = cells[:, 0] << (2 * _AXIS_BITS) | cells[:, 1] << _AXIS_BITS | cells[:, 2]
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    starts = np.append(first, len(points))
    counts = np.diff(starts)
    inside = points[order]
    if not len(first):
        empty = np.zeros((0, 3))
        return Voxels(size, keys, empty, empty, empty, np.zeros((0, 3, 3)), counts, None if colors is None else empty, order, starts)
    centers = np.add.reduceat(inside, first) / counts[:, None]
    offsets = inside - np.repeat(centers, counts, axis=0)
    moments = np.empty((len(first), 3, 3))
    for row in range(3):
        for column in range(row + 1):
            moments[:, row, column] = moments[:, column, row] = np.add.reduceat(offsets[:, row] * offsets[:, column], first)
    mean_colors = None if colors is None else np.add.reduceat(np.asarray(colors, dtype=np.float64)[order], first) / counts[:, None]
    low, high = np.minimum.reduceat(inside, first), np.maximum.reduceat(inside, first)
    return Voxels(size, ordered[first], centers, low, high, moments, counts, mean_colors, order, starts)
