"""Point clouds rendered as spheres."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from basrelief.errors import ConfigError
from basrelief.render import spheres
from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.mesh import rasterize_mesh
from basrelief.render.reference import spheres as reference
from basrelief.render.spheres import ball_radius, rasterize_points
from basrelief.types import PointCloud
from render.mesh_samples import ball, centres, from_above, viewport


def cloud(count: int, *, seed: int = 0) -> PointCloud:
    return PointCloud(np.random.default_rng(seed).uniform(-0.6, 0.6, (count, 3)).astype(np.float32))


def test_one_ball_is_a_ball() -> None:
    raster = rasterize_points(PointCloud(np.zeros((1, 3), np.float32)), viewport(64), radius=0.5)
    x, y = centres(64)
    inside = x**2 + y**2 < 0.25
    assert np.array_equal(raster.item.numpy() == 0, np.broadcast_to(inside, (3, 64, 64)))
    expected = -np.sqrt(0.25 - (x**2 + y**2)[inside])
    assert np.abs(raster.depth.numpy()[:, inside] - expected).max() < 1e-5


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), radius=st.floats(0.05, 0.4))
def test_agrees_with_the_reference(seed: int, radius: float) -> None:
    points, view = cloud(40, seed=seed), viewport(32)
    raster = rasterize_points(points, view, radius=radius)
    expected = torch.tensor(reference.depth(points, view, radius), dtype=torch.float32)
    differ = (raster.depth - expected).nan_to_num(0.0).abs() > 2e-3  # inf - inf is nan: both see nothing
    assert differ.float().mean() < 0.002


def test_balls_all_over_a_surface_are_that_surface_a_little_out() -> None:
    view = viewport(48)
    points = rasterize_points(PointCloud(ball(5).vertices), view, radius=0.03)
    mesh = rasterize_mesh(ball(5, radius=0.83), view)
    x, y = centres(48)
    inside = np.hypot(x, y) < 0.7
    assert (points.depth - mesh.depth)[:, inside].abs().max() < 0.03
    assert (points.depth.isfinite() == mesh.depth.isfinite()).float().mean() > 0.99


@pytest.mark.parametrize("size", [1, 16, 33])
@pytest.mark.parametrize("distance", [None, 3.0])
def test_the_smallest_point_is_never_lost_between_pixels(size: int, distance: float | None) -> None:
    points = cloud(60, seed=3)
    for point in points.points:
        raster = rasterize_points(PointCloud(point[None]), viewport(size, distance=distance), radius=1e-9)
        assert (raster.item >= 0).flatten(1).any(1).all()


def test_perspective_makes_near_balls_larger() -> None:
    pair = PointCloud(np.float32([[0, -0.4, 0.7], [0, 0.4, -0.7]]))
    raster = rasterize_points(pair, from_above(100, distance=2.0), radius=0.1)
    near, far = ((raster.item == i).sum().item() for i in (0, 1))
    assert near / far == pytest.approx((2.7 / 1.3) ** 2, rel=0.1)


def test_points_behind_the_eye_are_not_drawn() -> None:
    behind = PointCloud(np.float32([[0, 0, 5.0]]))
    assert (rasterize_points(behind, from_above(16, distance=2.0), radius=0.5).item == -1).all()


def test_points_outside_the_picture_are_not_drawn_and_those_on_its_border_in_part() -> None:
    outside = rasterize_points(PointCloud(np.float32([[3, 3, 0]])), from_above(16), radius=0.5)
    border = rasterize_points(PointCloud(np.float32([[0, 1, 0]])), from_above(64), radius=0.5)
    assert (outside.item == -1).all()
    assert (border.item >= 0).sum().item() == pytest.approx(math.pi * 16**2 / 2, rel=0.03)


def test_all_views_at_once_and_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    points, view = cloud(80), viewport(24, distance=2.0, views=4)
    whole = rasterize_points(points, view, radius=0.1)
    pieces = spheres.pieces
    monkeypatch.setattr(spheres, "CHUNK", 50)
    monkeypatch.setattr(spheres, "pieces", lambda counts: pieces(counts, 50))
    small = rasterize_points(points, view, radius=0.1)
    assert torch.equal(whole.depth, small.depth)
    assert torch.equal(whole.item, small.item)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_order_of_points_does_not_matter(seed: int) -> None:
    points, view = cloud(50, seed=seed), viewport(24)
    order = np.random.default_rng(seed).permutation(50)
    first = rasterize_points(points, view, radius=0.1)
    second = rasterize_points(PointCloud(points.points[order]), view, radius=0.1)
    assert torch.equal(first.depth, second.depth)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan])
def test_a_radius_must_be_positive(radius: float) -> None:
    with pytest.raises(ConfigError, match="radius is .*; it must be positive"):
        rasterize_points(cloud(3), Viewport(look_at_cameras([0.0]), 8), radius=radius)


def test_balls_close_the_surface_of_random_samples() -> None:
    radii = []
    for count in (1, 100, 1024, 10_000, 50_000):
        direction = np.random.default_rng(count).normal(size=(count, 3))
        points = (0.9 * direction / np.linalg.norm(direction, axis=1, keepdims=True)).astype(np.float32)
        radii.append(ball_radius(points))
        if count > 2000:
            cover = 1 - np.exp(-count * (radii[-1] / 0.9) ** 2 / 4)  # of balls on a sphere
            assert 0.9 < cover < 0.99
    assert radii == sorted(radii, reverse=True)
    assert radii[0] == 0.06
    assert radii[-1] >= 0.004


def test_points_at_one_place_have_balls() -> None:
    assert 0.004 <= ball_radius(np.zeros((1000, 3), np.float32)) <= 0.06


@pytest.mark.gpu
def test_cuda_gives_the_picture_of_the_cpu() -> None:
    points, view = cloud(300), viewport(48, views=4)
    cpu, cuda = rasterize_points(points, view, radius=0.1), rasterize_points(points, view, radius=0.1, device="cuda")
    assert (cpu.item == cuda.item.cpu()).float().mean() > 0.999
