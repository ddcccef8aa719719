"""Reference for OpenDlign's projection: the paper's steps on the dense grid."""

from __future__ import annotations

from itertools import product

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import maximum_filter

from basrelief.render.opendlign_paper import OpenDlignPaperProjection


def depth(points: Float32[np.ndarray, "points 3"], projection: OpenDlignPaperProjection) -> Float32[np.ndarray, "views size size"]:
    """Return the depth of one cloud from every view, by a grid of size x size x (planes + 6) voxels per view.

    Args:
        points: (N, 3) float32, the projection's frame.
        projection: Only its cameras and constants are used.

    Returns:
        (V, size, size) float32, `inf` where nothing is seen.
    """
    return np.stack([view_depth(points, rotation, projection) for rotation in projection.cameras.rotation])


def view_depth(
    points: Float32[np.ndarray, "points 3"], rotation: Float32[np.ndarray, "3 3"], projection: OpenDlignPaperProjection
) -> Float32[np.ndarray, "size size"]:
    """Return the depth of one cloud from one view: quantise, densify, smooth, squeeze."""
    nearness = smooth(densify(quantise(points, rotation, projection)), projection).max(axis=2)
    return np.where(nearness > 0, 1 - nearness / nearness.max(), np.inf).astype(np.float32)


def quantise(
    points: Float32[np.ndarray, "points 3"], rotation: Float32[np.ndarray, "3 3"], projection: OpenDlignPaperProjection
) -> Float32[np.ndarray, "size size planes"]:
    """Return the nearness of the nearest point in each voxel, 0 in empty ones, with three empty planes at each end."""
    x, y, z = points.T
    right, down, ahead = (row[0] * x + row[1] * y + row[2] * z for row in rotation)
    side = max(axis.max() - axis.min() for axis in (right, down, ahead)) or np.float32(1)
    right, down, ahead = ((axis - (axis.max() + axis.min()) / 2) / side for axis in (right, down, ahead))
    near = (np.float32(0.5) - ahead + np.float32(projection.bias)) / np.float32(1 + projection.bias)
    plane = np.floor(near * projection.planes).astype(int).clip(0, projection.planes - 1)
    row, column = (
        np.floor((axis * np.float32(projection.ratio) + np.float32(0.5)) * projection.size).astype(int).clip(3, projection.size - 4)
        for axis in (down, right)
    )
    grid = np.zeros((projection.size, projection.size, projection.planes + 6), np.float32)
    np.maximum.at(grid, (row, column, plane + 3), near)
    return grid


def densify(grid: Float32[np.ndarray, "size size planes"]) -> Float32[np.ndarray, "size size planes"]:
    """Return the maximum of the 7x7x7 neighbourhood of each voxel."""
    dense: Float32[np.ndarray, "size size planes"] = maximum_filter(grid, size=7, mode="constant")
    return dense


def smooth(grid: Float32[np.ndarray, "size size planes"], projection: OpenDlignPaperProjection) -> Float32[np.ndarray, "size size planes"]:
    """Apply the bilateral filter over the 5x5x5 neighbourhood of each voxel."""
    padded = np.pad(grid, 2)
    weights, total = np.zeros_like(grid), np.zeros_like(grid)
    for step in product(range(-2, 3), repeat=3):
        neighbour = padded[tuple(slice(2 + s, 2 + s + n) for s, n in zip(step, grid.shape, strict=True))]
        weight = np.exp(-0.5 * ((grid - neighbour) / projection.range_sigma) ** 2)
        weight *= np.exp(-0.5 * sum(s * s for s in step) / projection.spatial_sigma**2)
        if not projection.count_empty:
            weight *= neighbour > 0
        weights += weight
        total += weight * neighbour
    smoothed = np.zeros_like(grid)
    np.divide(total, weights, out=smoothed, where=grid > 0)
    return smoothed
