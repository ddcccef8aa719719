"""Horizontal surfaces that carry things: table tops, shelves, seats; and what stands on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from basrelief.scenes.segmentation.graph import Graph
from basrelief.scenes.segmentation.voxels import SurfaceVoxels

_LEVEL, _STEP = 0.92, 0.35
_MOST = 300  # the largest surfaces


@dataclass(frozen=True, eq=False)
class Supports:
    """Horizontal surfaces.

    Attributes:
        labels: (M,) surface of each voxel; -1 if it belongs to none.
        heights: (S,) z of each surface, metres.
        low: (S, 2) lowest x and y.
        high: (S, 2) highest x and y.
    """

    labels: Int[np.ndarray, " voxels"]
    heights: Float[np.ndarray, " surfaces"]
    low: Float[np.ndarray, "surfaces 2"]
    high: Float[np.ndarray, "surfaces 2"]

    def __len__(self) -> int:
        """Return S."""
        return len(self.heights)


def find_supports(voxels: SurfaceVoxels, graph: Graph, normals: Float[np.ndarray, "voxels 3"], *, area: float) -> Supports:
    """Find level patches of connected voxels.

    Args:
        voxels: M voxels.
        graph: Their neighbours.
        normals: (M, 3) unit normals.
        area: Smallest area in square metres.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    level = np.abs(normals[:, 2]) > _LEVEL
    a, b = graph.pairs.T
    joined = level[a] & level[b] & (np.abs(voxels.centers[a, 2] - voxels.centers[b, 2]) < _STEP * voxels.size)
    matrix = coo_array((np.ones(joined.sum(), dtype=np.int8), (a[joined], b[joined])), shape=(len(voxels), len(voxels)))
    labels = connected_components(matrix, directed=False)[1]
    sizes = np.bincount(labels, minlength=1)
    large = np.flatnonzero(sizes * voxels.size**2 >= area)
    large = np.sort(large[np.argsort(-sizes[large], kind="stable")[:_MOST]])
    numbers = np.full(len(sizes), -1)
    numbers[large] = np.arange(len(large))
    labels = np.where(level, numbers[labels], -1)
    members = [np.flatnonzero(labels == number) for number in range(len(large))]
    members = [rows for rows in members if len(rows)]
    heights = np.array([np.median(voxels.centers[rows, 2]) for rows in members])
    low = np.array([voxels.low[rows, :2].min(axis=0) for rows in members]).reshape(-1, 2)
    high = np.array([voxels.high[rows, :2].max(axis=0) for rows in members]).reshape(-1, 2)
    return Supports(labels, heights, low, high)


def above_supports(
    points: Float[np.ndarray, "points 3"], supports: Supports, voxels: SurfaceVoxels, *, gap: float, reach: float
) -> Int[np.ndarray, " points"]:
    """Return the surface that each point stands above, -1 if none.

    Args:
        points: (N, 3) positions.
        supports: S surfaces.
        voxels: What the surfaces consist of.
        gap: Least height above the surface in metres.
        reach: Largest height above it.
    """
    found = np.full(len(points), -1)
    best = np.full(len(points), np.inf)
    cell = 2 * voxels.size
    for number in range(len(supports)):
        height = points[:, 2] - supports.heights[number]
        rows = np.flatnonzero(
            (height > gap)
            & (height < reach)
            & (height < best)
            & (points[:, :2] > supports.low[number] - cell).all(axis=1)
            & (points[:, :2] < supports.high[number] + cell).all(axis=1)
        )
        over = rows[_over(points[rows, :2], voxels.centers[supports.labels == number, :2], cell)]
        found[over], best[over] = number, height[over]
    return found


def _over(points: Float[np.ndarray, "points 2"], surface: Float[np.ndarray, "voxels 2"], cell: float) -> Bool[np.ndarray, " points"]:
    """Whether points lie over a surface, whose gaps are closed."""
    from scipy.ndimage import binary_closing, binary_fill_holes

    corner = surface.min(axis=0) - 4 * cell
    shape = np.ceil((surface.max(axis=0) + 4 * cell - corner) / cell).astype(np.int64) + 1
    mask = np.zeros(tuple(shape), dtype=bool)
    mask[tuple(((surface - corner) / cell).astype(np.int64).T)] = True
    mask = binary_fill_holes(binary_closing(mask, iterations=3))
    at = ((points - corner) / cell).astype(np.int64)
    inside = ((at >= 0) & (at < shape)).all(axis=1)
    over: np.ndarray = inside & mask[tuple(at.clip(0, shape - 1).T)]
    return over
