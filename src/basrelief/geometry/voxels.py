"""Reduce clouds of any size to the occupied cells of a grid; surface normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.checks import check_positive
from basrelief.errors import GeometryError

_CHUNK = 1 << 20  # points at a time
_CELLS = 1 << 62  # a grid of more cells cannot be numbered


@dataclass(frozen=True, eq=False)
class Voxels:
    """The V occupied cells of a cubic grid, in the order of their x, y and z.

    Attributes:
        points: (V, 3) float64, mean of the points in each cell.
        counts: (V,) int64, number of points in each.
        cells: (V, 3) int64, indices of the cell along x, y and z, from 0.
        members: (N,) int64, the row of `points` that each of the N points belongs to.
        size: Edge of a cell.
    """

    points: Float[np.ndarray, "voxels 3"]
    counts: Int[np.ndarray, " voxels"]
    cells: Int[np.ndarray, "voxels 3"]
    members: Int[np.ndarray, " points"]
    size: float

    def __len__(self) -> int:
        """Return V."""
        return len(self.points)


def voxelize(points: Float[np.ndarray, "points 3"], size: float) -> Voxels:
    """Average points in the cells of a grid. Takes about 40 bytes a point.

    Args:
        points: N >= 1 points, finite.
        size: Edge of a cell, in the unit of the points.

    Raises:
        GeometryError: If the grid would have too many cells along an axis.
        ConfigError: If `size` is not positive.
    """
    check_positive("voxel size", size, "Pass the edge of a cell.")
    low = points.min(axis=0).astype(np.float64)
    shape = np.floor((points.max(axis=0) - low) / size) + 1
    if not np.prod(shape) < _CELLS:
        raise GeometryError(f"Points that extend over {shape.max() * size:g} need too many voxels of {size:g}. Use larger voxels.")
    steps = np.array([shape[1] * shape[2], shape[2], 1]).astype(np.int64)
    keys = np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), _CHUNK):
        part = slice(start, start + _CHUNK)
        keys[part] = np.minimum((points[part] - low) / size, shape - 1).astype(np.int64) @ steps
    found, members, counts = np.unique(keys, return_inverse=True, return_counts=True)
    del keys
    sums = [np.bincount(members, weights=points[:, axis], minlength=len(found)) for axis in range(3)]
    cells = np.stack([found // steps[0], found // steps[1] % int(shape[1]), found % steps[1]], axis=1)
    return Voxels(np.stack(sums, axis=1) / counts[:, None], counts, cells, members, size)


def connected_cells(cells: Int[np.ndarray, "points 3"]) -> Int[np.ndarray, " points"]:
    """Group cells of a grid that touch each other, also by a corner; memory depends on the cells, not on the extent of the grid.

    Args:
        cells: (N, 3) indices along x, y and z; repeated ones count once.

    Returns:
        (N,) group of each, numbered from 0.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    shifted = cells - cells.min(axis=0) + 1
    shape = shifted.max(axis=0) + 2
    steps = np.array([shape[1] * shape[2], shape[2], 1])
    keys, members = np.unique(shifted @ steps, return_inverse=True)
    around = [(x, y, z) for x in (0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) > (0, 0, 0)]
    rows, columns = [], []
    for offset in np.array(around) @ steps:
        found = np.searchsorted(keys, keys + offset).clip(max=len(keys) - 1)
        touching = np.flatnonzero(keys[found] == keys + offset)
        rows.append(touching)
        columns.append(found[touching])
    ends = (np.concatenate(rows), np.concatenate(columns))
    matrix = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(len(keys), len(keys)))
    groups: np.ndarray = connected_components(matrix, directed=False)[1][members.ravel()]
    return groups


def estimate_normals(
    points: Float[np.ndarray, "points 3"], *, neighbours: int = 12
) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, " points"]]:
    """Fit a plane to the nearest neighbours of each point.

    Args:
        points: N >= 3 points, best of even density: those of `voxelize`.
        neighbours: Neighbours to fit to, the point itself included.

    Returns:
        Unit normals (N, 3) without a consistent sign, and the standard deviation of the neighbours from the plane (N,).
    """
    from scipy.spatial import cKDTree

    cloud = np.asarray(points, dtype=np.float64)
    tree = cKDTree(cloud)
    normals, deviations = np.empty_like(cloud), np.empty(len(cloud))
    for start in range(0, len(cloud), _CHUNK // 8):
        part = slice(start, start + _CHUNK // 8)
        near = cloud[tree.query(cloud[part], k=min(neighbours, len(cloud)))[1]]
        near = near - near.mean(axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", near, near) / near.shape[1])
        normals[part], deviations[part] = vectors[:, :, 0], np.sqrt(np.maximum(values[:, 0], 0))
    return normals, deviations
