"""Cameras from angles, and projection of points to pixels and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basrelief.errors import ConfigError
from basrelief.render.cameras import Viewport, look_at_cameras

ANGLES = st.tuples(st.floats(-720, 720), st.floats(-90, 90))


@given(angles=st.lists(ANGLES, min_size=1, max_size=5))
def test_rotations_are_proper(angles: list[tuple[float, float]]) -> None:
    rotation = look_at_cameras([a for a, _ in angles], [e for _, e in angles]).rotation.astype(np.float64)
    assert rotation.shape == (len(angles), 3, 3)
    assert np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-6)
    assert np.allclose(np.linalg.det(rotation), 1, atol=1e-6)


@given(azimuth=st.floats(-179, 179), elevation=st.floats(-89, 89))
def test_angles_come_back(azimuth: float, elevation: float) -> None:
    cameras = look_at_cameras([azimuth], [elevation])
    assert cameras.azimuth[0] == pytest.approx(azimuth, abs=1e-3)
    assert cameras.elevation[0] == pytest.approx(elevation, abs=1e-2)


@given(azimuth=st.floats(-180, 180), elevation=st.floats(-89, 89))
def test_the_world_stands_upright(azimuth: float, elevation: float) -> None:
    up = look_at_cameras([azimuth], elevation).rotation[0] @ [0, 0, 1]
    assert up[0] == pytest.approx(0, abs=1e-6)
    assert up[1] < 0  # +Y of a camera points down


def test_the_eye_on_x_sees_y_to_the_right_and_z_upwards() -> None:
    rotation = look_at_cameras([0.0]).rotation[0]
    assert np.allclose(rotation, [[0, 1, 0], [0, 0, -1], [-1, 0, 0]], atol=1e-7)


def test_straight_above_the_azimuth_is_at_the_bottom_and_straight_below_at_the_top() -> None:
    above, below = look_at_cameras([0.0, 0.0], [90.0, -90.0]).rotation
    assert np.allclose(above @ [1, 0, 0], [0, 1, 0], atol=1e-7)
    assert np.allclose(below @ [1, 0, 0], [0, -1, 0], atol=1e-7)


def test_one_elevation_serves_all_views_and_arrays_will_do() -> None:
    cameras = look_at_cameras(np.arange(4) * 90.0, 30.0, distance=2.5)
    assert len(cameras) == 4
    assert np.allclose(cameras.elevation, 30, atol=1e-4)
    assert cameras.distance == 2.5
    assert cameras.rotation.dtype == np.float32


@pytest.mark.parametrize(
    ("azimuths", "elevations", "distance", "message"),
    [
        ([], 0.0, None, "azimuths is empty"),
        ([0.0, 1.0], [0.0], None, "There are 1 elevations, but 2 azimuths"),
        ([0.0], 91.0, None, r"An elevation is outside \[-90, 90\]"),
        ([0.0], math.nan, None, r"An elevation is outside \[-90, 90\]"),
        ([math.inf], 0.0, None, "an azimuth is not finite"),
        ([0.0], 0.0, 0.0, "distance is 0.0; it must be finite and positive"),
        ([0.0], 0.0, math.inf, "distance is inf; it must be finite and positive"),
    ],
)
def test_wrong_angles_are_refused(azimuths: list[float], elevations: float | list[float], distance: float | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        look_at_cameras(azimuths, elevations, distance=distance)


@pytest.mark.parametrize(
    ("size", "extent", "distance", "message"),
    [
        (0, None, None, "size is 0; it must be at least 1"),
        (8, 0.0, None, "extent is 0.0; it must be finite and positive"),
        (8, math.inf, None, "extent is inf; it must be finite and positive"),
        (8, None, 0.9, "The eye is inside the unit sphere .distance 0.9."),
    ],
)
def test_wrong_frames_are_refused(size: int, extent: float | None, distance: float | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Viewport(look_at_cameras([0.0], distance=distance), size, extent)


def test_an_eye_inside_the_unit_sphere_is_fine_with_an_extent() -> None:
    assert Viewport(look_at_cameras([0.0], distance=0.5), 8, 0.5).scale == 8


@pytest.mark.parametrize("distance", [None, 2.0])
def test_the_origin_lands_in_the_middle(distance: float | None) -> None:
    view = Viewport(look_at_cameras([0.0, 70.0, 200.0], [0.0, 30.0, -80.0], distance=distance), 9)
    x, y, w, depth = view.project(torch.zeros(1, 3, dtype=torch.float64))[:, :, 0]
    assert torch.equal(x / w, torch.full((3,), 4.0, dtype=torch.float64))
    assert torch.equal(y / w, torch.full((3,), 4.0, dtype=torch.float64))
    assert torch.equal(depth, torch.full((3,), distance or 0.0, dtype=torch.float64))


@pytest.mark.parametrize("extent", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("distance", [None, 2.0])
def test_extent_is_half_the_width_in_the_plane_of_the_origin(distance: float | None, extent: float) -> None:
    view = Viewport(look_at_cameras([0.0], distance=distance), 10, extent)
    x, _, w, _ = view.project(torch.tensor([[0.0, -extent, 0.0], [0.0, extent, 0.0]], dtype=torch.float64))[:, 0]
    assert (x / w).tolist() == pytest.approx([-0.5, 9.5])  # the outer borders of the first and the last pixel


@pytest.mark.parametrize("distance", [1.1, 2.0, 20.0])
def test_by_default_tangents_of_the_unit_sphere_are_the_border(distance: float) -> None:
    view = Viewport(look_at_cameras([0.0], distance=distance), 100)
    half_angle = math.asin(1 / distance)
    assert view.size / 2 / view.scale / distance == pytest.approx(math.tan(half_angle))


@pytest.mark.parametrize("distance", [None, 1.7])
def test_rays_are_projection_backwards(distance: float | None) -> None:
    view = Viewport(look_at_cameras([10.0, 150.0, -60.0], [5.0, -40.0, 80.0], distance=distance), 16)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.stack([torch.randint(high, (50,), generator=generator) for high in (3, 16, 16)], 1)
    depth = torch.rand(50, 1, generator=generator, dtype=torch.float64) + 0.5
    origin, direction = view.rays(pixels)
    x, y, w, found = view.project(origin + depth * direction)[:, pixels[:, 0], torch.arange(50)]
    torch.testing.assert_close(x / w, pixels[:, 2].double(), atol=1e-4, rtol=0)  # rotations are float32
    torch.testing.assert_close(y / w, pixels[:, 1].double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(found, depth[:, 0], atol=1e-6, rtol=1e-6)


def test_perspective_shrinks_with_distance() -> None:
    view = Viewport(look_at_cameras([0.0], distance=2.0), 101, 1.0)
    near, far = view.project(torch.tensor([[1.0, 0.5, 0.0], [-2.0, 0.5, 0.0]], dtype=torch.float64))[0, 0] / torch.tensor([0.5, 2.0])
    assert (near - 50) == pytest.approx((far - 50) * 4)


def test_equal_points_project_equally_wherever_they_stand() -> None:
    view = Viewport(look_at_cameras([33.0, 71.0], 12.0, distance=2.0), 50)
    point = torch.tensor([0.123456789, -0.987654321, 0.55555], dtype=torch.float64)
    seen = view.project(point.expand(1001, 3))
    assert torch.equal(seen, seen[:, :, :1].expand_as(seen))


def test_some_views_alone_are_those_views() -> None:
    view = Viewport(look_at_cameras(np.arange(5) * 70.0, 12.0), 50)
    points = torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(view.project(points, slice(1, 3)), view.project(points)[:, 1:3])
