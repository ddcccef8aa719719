"""Rotations and normalisation: properties, edge cases, messages."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from basrelief import geometry
from basrelief.errors import ConfigError, GeometryError
from basrelief.geometry import UP_AXES, normalise_unit_sphere, rotate, rotation_to_z_up
from basrelief.geometry.transforms import axis_rotation
from basrelief.types import Mesh, Origin, PointCloud

SMALL = settings(derandomize=True, max_examples=60, deadline=None, database=None)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False, width=32)
CLOUDS = st.integers(1, 20).flatmap(lambda n: arrays(np.float32, (n, 3), elements=NUMBERS))


def test_public_names_are_importable() -> None:
    assert sorted(geometry.__all__) == geometry.__all__
    assert all(hasattr(geometry, name) for name in geometry.__all__)


@pytest.mark.parametrize("up", UP_AXES)
def test_every_up_axis_becomes_z_by_a_proper_rotation(up: str) -> None:
    rotation = rotation_to_z_up(up)
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1 if up.startswith("-") else 1
    assert (rotation @ axis).tolist() == [0, 0, 1]
    assert np.array_equal(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_y_up_maps_x_y_z_to_x_minus_z_y() -> None:
    assert (rotation_to_z_up("y") @ [1, 2, 3]).tolist() == [1, -3, 2]


@pytest.mark.parametrize("up", ["w", "Z", "", "--x"])
def test_an_unknown_up_axis(up: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"Unknown up axis '{up}'; expected one of x, y, z, -x, -y, -z.")):
        rotation_to_z_up(up)


@pytest.mark.parametrize(
    ("axis", "before", "after"), [("x", [0, 1, 0], [0, 0, 1]), ("y", [0, 0, 1], [1, 0, 0]), ("z", [1, 0, 0], [0, 1, 0])]
)
def test_a_quarter_turn_is_counter_clockwise(axis: str, before: list[int], after: list[int]) -> None:
    assert np.allclose(axis_rotation(axis, np.pi / 2) @ before, after)


@SMALL
@given(st.sampled_from("xyz"), st.floats(-10, 10), st.floats(-10, 10))
def test_angles_about_an_axis_add(axis: str, first: float, second: float) -> None:
    both = axis_rotation(axis, first) @ axis_rotation(axis, second)
    assert np.allclose(both, axis_rotation(axis, first + second))
    assert np.linalg.det(both) == pytest.approx(1)


def test_an_unknown_axis() -> None:
    with pytest.raises(ConfigError, match="Unknown axis 'up'; expected one of x, y, z"):
        axis_rotation("up", 1.0)


def test_rotating_keeps_all_else() -> None:
    origin = Origin(path="a", format="test")
    mesh = Mesh(vertices=np.eye(3), faces=np.array([[0, 1, 2]]), colors=np.eye(3), origin=origin)
    turned = rotate(mesh, rotation_to_z_up("y"))
    assert isinstance(turned, Mesh)
    assert np.array_equal(turned.vertices, [[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    assert np.array_equal(turned.faces, mesh.faces)
    assert turned.colors is not None
    assert np.array_equal(turned.colors, np.eye(3))
    assert turned.origin == origin
    cloud = rotate(PointCloud(points=np.eye(3)), rotation_to_z_up("y"))
    assert isinstance(cloud, PointCloud)
    assert np.array_equal(cloud.points, turned.vertices)


@SMALL
@given(CLOUDS, st.floats(-4, 4), st.sampled_from("xyz"))
def test_turning_back_gives_the_shape_again(points: np.ndarray, angle: float, axis: str) -> None:
    rotation = axis_rotation(axis, angle)
    back = rotate(rotate(PointCloud(points=points), rotation), rotation.T)
    assert np.allclose(back.points, points, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(points).max())))


@pytest.mark.parametrize("matrix", [np.diag([1, 1, -1]), 2 * np.eye(3), np.eye(4), np.full((3, 3), np.nan), np.zeros((3, 3))])
def test_what_is_no_rotation_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(GeometryError, match=r"rotation is not a 3 x 3 rotation matrix \(orthonormal, determinant \+1\)"):
        rotate(PointCloud(points=np.eye(3)), matrix.astype(np.float64))


def test_rotated_coordinates_that_leave_float32() -> None:
    cloud = PointCloud(points=np.full((2, 3), 3e38, dtype=np.float32))
    with pytest.raises(GeometryError, match="rows of points are not finite in float32"):
        rotate(cloud, axis_rotation("z", np.pi / 4))


@SMALL
@given(CLOUDS)
def test_a_unit_sphere_holds_the_cloud_about_its_mean(points: np.ndarray) -> None:
    normal = normalise_unit_sphere(points)
    assert normal.dtype == np.float32
    radii = np.linalg.norm(normal, axis=1)
    assert np.allclose(normal.mean(axis=0), 0, atol=1e-5)
    assert radii.max() == pytest.approx(float(np.ptp(points, axis=0).any()), abs=1e-5), "1, or 0 where all points are one"


@SMALL
@given(CLOUDS, st.floats(0.1, 100), st.tuples(NUMBERS, NUMBERS, NUMBERS), st.sampled_from(["mean", "bbox"]))
def test_moving_and_scaling_change_nothing(points: np.ndarray, scale: float, shift: tuple[float, float, float], centre: str) -> None:
    exact = points.astype(np.float64)
    spread = np.ptp(exact, axis=0).max()
    if spread < 1e-3:
        return
    moved = normalise_unit_sphere(exact * scale + np.array(shift), centre=centre)
    assert np.allclose(moved, normalise_unit_sphere(exact, centre=centre), atol=1e-4)


def test_the_centre_is_a_choice() -> None:
    points = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [4, 0, 0]], dtype=np.float64)
    assert normalise_unit_sphere(points)[:, 0].tolist() == pytest.approx([-1 / 3] * 3 + [1])
    assert normalise_unit_sphere(points, centre="bbox")[:, 0].tolist() == [-1, -1, -1, 1]
    with pytest.raises(ConfigError, match="Unknown centre 'median'; expected one of mean, bbox. Did you mean 'mean'"):
        normalise_unit_sphere(points, centre="median")  # type: ignore[arg-type]


@pytest.mark.parametrize("points", [np.full((1, 3), 7.0), np.full((5, 3), -2.5), np.full((3, 3), 1e30)])
def test_points_that_coincide_become_the_origin(points: np.ndarray) -> None:
    assert not normalise_unit_sphere(points, centre="bbox").any()


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e300])
def test_extreme_scales_are_normalised_like_any_other(scale: float) -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    assert np.allclose(normalise_unit_sphere(points * scale), normalise_unit_sphere(points))


@pytest.mark.parametrize(
    ("dtype", "expected"), [(np.float64, np.float64), (np.float32, np.float32), (np.float16, np.float16), (np.int32, np.float32)]
)
def test_the_floating_type_is_kept(dtype: type, expected: type) -> None:
    points = np.array([[0, 0, 0], [1, 2, 3]], dtype=dtype)
    assert normalise_unit_sphere(points.astype(dtype)).dtype == expected


def test_the_input_is_left_alone() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    before = points.copy()
    normalise_unit_sphere(points)
    assert np.array_equal(points, before)


def test_points_that_cannot_be_normalised() -> None:
    with pytest.raises(GeometryError, match="1 of 2 rows of points are not finite in float64. Remove those rows"):
        normalise_unit_sphere(np.array([[0, 0, np.nan], [1, 2, 3]]))
    with pytest.raises(GeometryError, match=r"points is empty; expected at least one row"):
        normalise_unit_sphere(np.zeros((0, 3)))
