"""Voxels and normals against brute force."""

import numpy as np
import pytest

from basrelief.errors import GeometryError
from basrelief.geometry.voxels import estimate_normals, voxelize


def test_voxels_hold_the_mean_of_their_points() -> None:
    points = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    grid = voxelize(points, 0.4)
    cells = np.floor((points - points.min(axis=0)) / 0.4).astype(int)
    assert (grid.cells[grid.members] == cells).all()
    assert grid.counts.sum() == 500 and len(np.unique(cells, axis=0)) == len(grid)
    for row in (0, 7, len(grid) - 1):
        inside = (cells == grid.cells[row]).all(axis=1)
        np.testing.assert_allclose(grid.points[row], points[inside].astype(np.float64).mean(axis=0), atol=1e-6)


def test_a_grid_that_is_too_fine_is_refused() -> None:
    with pytest.raises(GeometryError, match="need too many voxels of 1e-12. Use larger voxels"):
        voxelize(np.array([[0.0, 0, 0], [1e8, 1e8, 1e8]]), 1e-12)


def test_normals_of_a_plane() -> None:
    rng = np.random.default_rng(0)
    flat = np.column_stack([rng.random((400, 2)), np.zeros(400)])
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    normals, deviations = estimate_normals(flat @ turn.T)
    np.testing.assert_allclose(np.abs(normals @ turn[:, 2]), 1, atol=1e-9)
    assert deviations.max() < 1e-9
