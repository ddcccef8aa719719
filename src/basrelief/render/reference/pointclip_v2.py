"""Reference for PointCLIP V2's projection: the full grid, step by step."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from basrelief.render.pointclip_v2 import PointClipV2Projection, view_rotations


def depth(points: Float[np.ndarray, "points 3"], projection: PointClipV2Projection) -> Float[np.ndarray, "views size size"]:
    """Return depth maps of one cloud in the method's frame, `inf` where no smoothed point reaches."""
    maps = []
    for rotation in view_rotations():
        grid = voxels(points, rotation, projection)
        near = _smooth(_densify(grid, projection), projection).max(axis=0)
        maps.append(np.where(near == 0, math.inf, 1 - near / near.max()))
    return np.stack(maps).astype(np.float32)


def voxels(
    points: Float[np.ndarray, "points 3"], rotation: Float[np.ndarray, "3 3"], projection: PointClipV2Projection
) -> Float[np.ndarray, "planes rows columns"]:
    """Return the grid of one view.

    Computed in float32 like the original: the extreme points lie exactly on the border of two planes, where any other rounding picks the
    other plane.
    """
    resolution = projection.size + projection.window - 5
    x, y, z = points.astype(np.float32).T
    turned = np.stack([row[0] * x + row[1] * y + row[2] * z for row in rotation])
    low, high = turned.min(axis=1), turned.max(axis=1)
    span = max((high - low).max(), np.finfo(np.float32).tiny)
    turned = (turned - ((low + high) / 2)[:, None]) / span * np.float32(2)
    grid = np.zeros((projection.planes, resolution, resolution), dtype=np.float32)
    for point in turned.T:
        row, column = ((point[:2] * np.float32(projection.ratio) + np.float32(1)) / np.float32(2) * np.float32(resolution)).tolist()
        near = float(
            ((point[2] + np.float32(1)) / np.float32(2) + np.float32(projection.bias))
            / np.float32(1 + projection.bias)
            * np.float32(projection.planes - 2)
        )
        cell = (
            min(max(math.ceil(near), 0), projection.planes - 1),
            min(max(math.ceil(row), 1), resolution - 2),
            min(max(math.ceil(column), 1), resolution - 2),
        )
        grid[cell] = max(grid[cell], min(max(near, 1), projection.planes - 2))
    return grid


def _densify(grid: np.ndarray, projection: PointClipV2Projection) -> np.ndarray:
    size, window = projection.size, projection.window
    padded = np.pad(grid, ((0, 0), (2, 2), (2, 2)))
    out = np.zeros((len(grid), size, size))
    for row in range(size):
        for column in range(size):
            out[:, row, column] = padded[:, row : row + window, column : column + window].max(axis=(1, 2))
    return out


def _smooth(grid: np.ndarray, projection: PointClipV2Projection) -> np.ndarray:
    size = projection.size
    padded = np.pad(grid, ((0, 0), (1, 1), (1, 1)))
    kernel = np.exp([[-(i * i + j * j) / (2 * projection.sigma**2) for j in (-1, 0, 1)] for i in (-1, 0, 1)])
    kernel /= kernel.sum()
    return sum((kernel[i, j] * padded[:, i : i + size, j : j + size] for i in range(3) for j in range(3)), np.zeros_like(grid))
