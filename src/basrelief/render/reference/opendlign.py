"""Reference for OpenDlign's projection: the authors' program step by step, on the whole grid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from jaxtyping import Float32
from scipy.ndimage import maximum_filter

from basrelief.render.opendlign import OpenDlignProjection

_SHIFT = np.array([0.5, 0.5, 1.5], dtype=np.float32)
_PAD = 5  # pixels by which densifying and smoothing grow a silhouette


def depth(points: Float32[np.ndarray, "points 3"], projection: OpenDlignProjection) -> Float32[np.ndarray, "views size size"]:
    """Return the depth of one cloud from every view, `inf` where nothing is seen.

    Args:
        points: (N, 3) float32, the projection's frame.
        projection: Only its cameras and constants are used.
    """
    maps = []
    for view in range(len(projection.cameras)):
        camera = camera_coordinates(points, [turn[view] for turn in projection.turns])
        maps.append(squeeze(smooth(densify(quantise(camera, projection)), projection)))
    return np.stack(maps)


def camera_coordinates(
    points: Float32[np.ndarray, "points 3"], turns: Sequence[Float32[np.ndarray, "3 3"]]
) -> Float32[np.ndarray, "points 3"]:
    """Return (down, right, nearness) of points as the program computes them: products of row vectors and a sum in float32.

    Args:
        points: (N, 3) float32, +Y up.
        turns: Rotations of one view, in order.
    """
    turned = torch.from_numpy(points)
    for turn in turns:
        turned = turned @ torch.from_numpy(turn).T
    coordinates: Float32[np.ndarray, "points 3"] = turned.numpy() + _SHIFT
    return coordinates


def quantise(camera: Float32[np.ndarray, "points 3"], projection: OpenDlignProjection) -> Float32[np.ndarray, "planes rows columns"]:
    """Return the grid of one view, with a margin of 5 empty voxels around rows and columns.

    Args:
        camera: (N, 3) float32: down, right and nearness of every point, any scale.
        projection: Its constants.
    """
    one, two, size, planes = np.float32(1), np.float32(2), projection.size, projection.planes
    low, high = camera.min(axis=0), camera.max(axis=0)
    side = max((high - low).max(), np.finfo(np.float32).tiny)
    unit = (camera - (high + low) / two) / side * two
    row, column = (np.ceil((axis * np.float32(projection.ratio) + one) / two * np.float32(size)).clip(1, size - 2) for axis in unit.T[:2])
    near = ((unit[:, 2] + one) / two + np.float32(projection.bias)) / np.float32(1 + projection.bias) * np.float32(planes - 2)
    plane = np.ceil(near).clip(0, planes - 1)
    grid = np.zeros((planes, size + 2 * _PAD, size + 2 * _PAD), np.float32)
    np.maximum.at(grid, tuple(np.stack([plane, row + _PAD, column + _PAD]).astype(int)), near.clip(1, planes - 2))
    return grid


def densify(grid: Float32[np.ndarray, "planes rows columns"]) -> Float32[np.ndarray, "planes rows columns"]:
    """Return the maximum of the 7x7 neighbourhood of each voxel within its plane."""
    dense: Float32[np.ndarray, "planes rows columns"] = maximum_filter(grid, size=(1, 7, 7), mode="constant")
    return dense


def smooth(grid: Float32[np.ndarray, "planes rows columns"], projection: OpenDlignProjection) -> Float32[np.ndarray, "planes rows columns"]:
    """Apply the bilateral filter of each plane, over the 13 pixels within a distance of 2; empty voxels count as zeros."""
    scale = np.float32(0.5 / projection.sigma**2)
    padded = np.pad(grid, ((0, 0), (2, 2), (2, 2)))
    weights, total = np.zeros_like(grid), np.zeros_like(grid)
    for i, j in product(range(-2, 3), repeat=2):
        if i * i + j * j <= 4:
            neighbour = padded[:, 2 + i : 2 + i + grid.shape[1], 2 + j : 2 + j + grid.shape[2]]
            weight = np.exp(-scale * (i * i + j * j)) * np.exp(-scale * (neighbour - grid) ** 2)
            weights += weight
            total += weight * neighbour
    smoothed: Float32[np.ndarray, "planes rows columns"] = total / weights
    return smoothed


def squeeze(grid: Float32[np.ndarray, "planes rows columns"]) -> Float32[np.ndarray, "size size"]:
    """Return the depth `1 - x / max(x)` of the maximum over planes, without the margin."""
    near = grid.max(axis=0)[_PAD:-_PAD, _PAD:-_PAD]
    return np.where(near > 0, 1 - near / near.max(), np.inf).astype(np.float32)
