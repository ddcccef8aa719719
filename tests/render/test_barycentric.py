"""Barycentric coordinates of what is seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.render.mesh import barycentric, rasterize_mesh
from basrelief.types import Mesh
from render.mesh_samples import soup, viewport


@pytest.mark.parametrize("distance", [None, 1.5])
def test_barycentric_coordinates_give_back_the_point_that_is_seen(distance: float | None) -> None:
    shape, view = soup(30, seed=4), viewport(32, distance=distance)
    raster = rasterize_mesh(shape, view)
    weight = barycentric(shape, view, raster)
    face = raster.item[raster.item >= 0].numpy()
    at = (shape.vertices[shape.faces[face]] * weight.numpy()[:, :, None]).sum(1)
    origin, direction = view.rays(raster.seen)
    hit = (origin + direction * raster.depth[raster.item >= 0][:, None]).numpy()
    assert np.quantile(np.abs(at - hit).max(1), 0.99) < 1e-3
    torch.testing.assert_close(weight.sum(1), torch.ones(len(weight)))
    assert weight.min() >= 0


def test_barycentric_of_an_empty_picture_is_empty() -> None:
    far = Mesh(np.float32([[50, 50, 0], [51, 50, 0], [50, 51, 0]]), np.array([[0, 1, 2]]))
    view = viewport(8)
    assert barycentric(far, view, rasterize_mesh(far, view)).shape == (0, 3)
