"""Corners of faces: check them, and find those that are equal in several attributes."""

from __future__ import annotations

import numpy as np

from basrelief.errors import GeometryError


def check_corners(corners: np.ndarray, count: int) -> None:
    """Check that the corners of faces are among the vertices.

    Args:
        corners: Integers of any shape.
        count: Number of vertices.

    Raises:
        GeometryError: If one is negative, or `count` or above.
    """
    if corners.size and (corners.min() < 0 or corners.max() >= count):
        raise GeometryError(
            f"Faces use vertices {corners.min()} to {corners.max()}, but there are only {count}. The file is probably truncated."
        )


def distinct_corners(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the distinct combinations of several integers of each corner.

    Args:
        columns: (N,) integers each, less than 2**40 times the number of combinations apart.

    Returns:
        The first position (M,) of each distinct combination, sorted by the last column, and for each of the N corners the index of its
        combination.
    """
    first, index = _unique(columns[0])
    for column in columns[1:]:
        first, index = _unique(column.astype(np.int64) * len(first) + index)
    return first, index


def split_corners(corners: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the corners that need vertices of their own because they have other texture coordinates.

    Args:
        corners: (N,) vertex of each corner.
        uv: (N, 2) texture coordinates of each corner.

    Returns:
        As `distinct_corners`, of vertices together with texture coordinates.
    """
    return distinct_corners(corners, _unique(np.ascontiguousarray(uv, dtype=np.float32).view(np.int64)[:, 0])[1])


def _unique(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first position of each distinct key, in key order, and for each key the index of its match."""
    order = np.argsort(keys, kind="stable").astype(np.int32)
    new = np.ones(len(keys), dtype=bool)
    sorted_keys = keys[order]
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=new[1:])
    del sorted_keys
    index = np.empty(len(keys), dtype=np.int32)
    index[order] = np.cumsum(new, dtype=np.int32) - 1
    return order[new], index
