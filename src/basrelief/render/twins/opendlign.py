"""OpenDlign's projection word by word on the dense grid: slow, obvious, for comparison only."""

from __future__ import annotations

from itertools import product

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import maximum_filter

from basrelief.render.opendlign import OpenDlignProjection


def depth(points: Float32[np.ndarray, "points 3"], projection: OpenDlignProjection) -> Float32[np.ndarray, "views size size"]:
    """Depth of one cloud from every view, by a grid of size x size x bins voxels per view.

    Args:
        points: (N, 3) float32, the projection's frame.
        projection: Its rig and constants are used, none of its steps.

    Returns:
        (V, size, size) float32, `inf` where nothing is seen.
    """
    return np.stack([_view(_turn(points, rotation), projection) for rotation in projection.cameras.rotation])


def _turn(points: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in rotation], axis=1)


def _view(points: np.ndarray, projection: OpenDlignProjection) -> np.ndarray:
    grid = maximum_filter(_quantise(points, projection), size=7, mode="constant")
    nearness = _bilateral(grid, projection).max(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(nearness > 0, 1 - nearness / nearness.max(), np.inf).astype(np.float32)


def _quantise(points: np.ndarray, projection: OpenDlignProjection) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    side = (high - low).max()
    unit = (points - (high + low) / 2) / (side if side > 0 else np.float32(1))
    near = (np.float32(0.5) - unit[:, 2] + np.float32(projection.depth_bias)) / np.float32(1 + projection.depth_bias)
    column, row = ((unit[:, :2] * np.float32(projection.object_ratio) + np.float32(0.5)) * projection.size).astype(int).T
    layer = np.minimum((near * np.float32(projection.bins)).astype(int), projection.bins - 1)
    row, column = (v.clip(3, projection.size - 4) for v in (row, column))
    grid = np.zeros((projection.size, projection.size, projection.bins + 6), np.float32)
    np.maximum.at(grid, (row, column, layer + 3), near)
    return grid


def _bilateral(grid: np.ndarray, projection: OpenDlignProjection) -> np.ndarray:
    padded = np.pad(grid, 2)
    total, mean = np.zeros_like(grid), np.zeros_like(grid)
    for step in product(range(-2, 3), repeat=3):
        neighbour = padded[tuple(slice(2 + s, 2 + s + n) for s, n in zip(step, grid.shape, strict=True))]
        spatial = np.exp(-0.5 * sum(s * s for s in step) / projection.spatial_sigma**2)
        weight = spatial * np.exp(-0.5 * ((grid - neighbour) / projection.range_sigma) ** 2)
        if not projection.count_empty:
            weight = np.where(neighbour > 0, weight, 0)
        total += weight
        mean += weight * neighbour
    return np.where(grid > 0, mean / np.where(grid > 0, total, 1), 0)
