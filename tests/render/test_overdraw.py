"""Meshes with thousands of overlapping faces are refused quickly."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.errors import GeometryError
from basrelief.limits import Limits, use_limits
from basrelief.render.mesh import rasterize_mesh
from basrelief.types import Mesh
from render.mesh_samples import viewport


def stacked(count: int) -> Mesh:
    corners = np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0]], np.float32)
    return Mesh(corners, np.tile([[0, 1, 2]], (count, 1)))


def test_faces_behind_each_other_are_counted() -> None:
    with use_limits(Limits(overdraw=50)):
        assert (rasterize_mesh(stacked(40), viewport(32)).item >= 0).any()
        with pytest.raises(
            GeometryError, match=r"More than 50 of the 4,000 faces lie behind each other at a pixel, on average\. Remove duplicate faces"
        ):
            rasterize_mesh(stacked(4000), viewport(32))


def test_slivers_that_cover_no_pixel_count_by_their_rows() -> None:
    corners = np.array([[0.013, -1, 0], [0.0130001, -1, 0], [0.013, 1, 0]], np.float32)
    with use_limits(Limits(overdraw=5)), pytest.raises(GeometryError, match="behind each other"):
        rasterize_mesh(Mesh(corners, np.tile([[0, 1, 2]], (3000, 1))), viewport(32))
