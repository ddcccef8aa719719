"""Voxels of a scan with the extent, colour and spread of their points: what segmentation works on, so that its cost depends on surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.geometry.voxels import voxelize

_MOST_ALONG = 1_600_000  # voxels along an axis, so that all can be numbered


@dataclass(frozen=True, eq=False)
class SurfaceVoxels:
    """M occupied voxels and their points.

    Attributes:
        size: Edge length in metres.
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
        return len(self.centers)


def make_voxels(points: Float[np.ndarray, "points 3"], size: float, colors: Float[np.ndarray, "points 3"] | None = None) -> SurfaceVoxels:
    """Group points by cells of a regular grid.

    Args:
        points: N >= 1 positions in metres.
        size: Edge length of a cell in metres; enlarged if the extent has more than 1.6 million of them.
        colors: (N, 3) colours in [0, 1].
    """
    size = max(size, float(np.ptp(points, axis=0).max()) / _MOST_ALONG)
    grid = voxelize(points, size)
    order = np.argsort(grid.members, kind="stable")
    starts = np.concatenate([[0], np.cumsum(grid.counts)])
    inside = points[order].astype(np.float64)
    offsets = inside - grid.points[grid.members[order]]
    moments = np.empty((len(grid), 3, 3))
    for row in range(3):
        for column in range(row + 1):
            moments[:, row, column] = moments[:, column, row] = np.add.reduceat(offsets[:, row] * offsets[:, column], starts[:-1])
    mean_colors = None if colors is None else np.add.reduceat(colors[order].astype(np.float64), starts[:-1]) / grid.counts[:, None]
    low, high = np.minimum.reduceat(inside, starts[:-1]), np.maximum.reduceat(inside, starts[:-1])
    return SurfaceVoxels(size, grid.points, low, high, moments, grid.counts, mean_colors, order, starts)
