"""Random meshes and clouds survive writing and reading in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basrelief.io import load, save
from basrelief.io.write import CLOUD_FORMATS, MESH_FORMATS
from basrelief.types import Mesh, PointCloud

QUICK = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
scales = st.sampled_from([1e-3, 1.0, 1e4])


def mesh(seed: int, scale: float, *, colored: bool = False) -> Mesh:
    """A random soup of triangles, each with corners of its own, so that no format may join them."""
    random = np.random.default_rng(seed)
    faces = int(random.integers(1, 20))
    vertices = (random.normal(size=(3 * faces, 3)) * scale).astype(np.float32)
    colors = random.integers(0, 256, size=(3 * faces, 3)).astype(np.float32) / 255 if colored else None
    return Mesh(vertices, np.arange(3 * faces).reshape(-1, 3), colors)


def cloud(seed: int, scale: float, *, colored: bool = False) -> PointCloud:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 60))
    colors = random.integers(0, 256, size=(count, 3)).astype(np.float32) / 255 if colored else None
    return PointCloud((random.normal(size=(count, 3)) * scale).astype(np.float32), colors)


def triangles(shape: Mesh) -> np.ndarray:
    """Corners of every triangle, in an order that does not depend on how vertices are numbered."""
    corners = shape.vertices[shape.faces].astype(np.float64)
    turned = np.stack([np.roll(t, -int(np.lexsort(t.T[::-1])[0]), axis=0) for t in corners])
    return turned[np.lexsort(turned.reshape(len(turned), -1).T[::-1])]


@pytest.mark.parametrize("kind", MESH_FORMATS)
@given(st.integers(0, 10_000), scales)
@QUICK
def test_triangles_come_back(kind: str, tmp_path: Path, seed: int, scale: float) -> None:
    shape = mesh(seed, scale)
    save(shape, tmp_path / f"a.{kind}")
    read = load(tmp_path / f"a.{kind}")
    assert isinstance(read, Mesh)
    np.testing.assert_allclose(triangles(read), triangles(shape), rtol=1e-4, atol=max(2e-6 * scale, 1e-8))


@pytest.mark.parametrize("kind", CLOUD_FORMATS)
@given(st.integers(0, 10_000), scales)
@QUICK
def test_points_come_back_in_their_order(kind: str, tmp_path: Path, seed: int, scale: float) -> None:
    shape = cloud(seed, scale)
    save(shape, tmp_path / f"a.{kind}")
    read = load(tmp_path / f"a.{kind}")
    assert isinstance(read, PointCloud)
    np.testing.assert_allclose(read.points, shape.points, rtol=1e-4, atol=max(2e-6 * scale, 1e-8))


@pytest.mark.parametrize("kind", ["ply", "obj", "glb"])
@given(st.integers(0, 10_000))
@QUICK
def test_colours_come_back_to_a_255th(kind: str, tmp_path: Path, seed: int) -> None:
    shape = mesh(seed, 1.0, colored=True)
    save(shape, tmp_path / f"a.{kind}")
    read = load(tmp_path / f"a.{kind}")
    assert isinstance(read, Mesh)
    assert read.colors is not None
    assert shape.colors is not None
    seen = {tuple(np.round(vertex, 3)): color for vertex, color in zip(read.vertices.tolist(), read.colors.tolist(), strict=True)}
    slack = 2.5 / 255 if kind == "glb" else 1.01 / 255  # glTF keeps linear light in 8 bits
    for vertex, color in zip(shape.vertices.tolist(), shape.colors.tolist(), strict=True):
        dark = min(color) < 0.2 and kind == "glb"
        np.testing.assert_allclose(seen[tuple(np.round(vertex, 3))], color, atol=0.06 if dark else slack)


@pytest.mark.parametrize("kind", ["ply", "glb"])
@given(st.integers(0, 10_000))
@QUICK
def test_a_second_way_through_a_file_changes_nothing(kind: str, tmp_path: Path, seed: int) -> None:
    save(cloud(seed, 1.0), tmp_path / f"a.{kind}")
    once = load(tmp_path / f"a.{kind}")
    save(once, tmp_path / f"b.{kind}")
    twice = load(tmp_path / f"b.{kind}")
    assert isinstance(once, PointCloud)
    assert isinstance(twice, PointCloud)
    np.testing.assert_allclose(twice.points, once.points, atol=1e-6)


@pytest.mark.parametrize("axis", ["x", "-x", "y", "-y", "-z"])
@given(st.integers(0, 10_000))
@QUICK
def test_any_axis_can_be_given_and_taken_back(axis: str, tmp_path: Path, seed: int) -> None:
    from basrelief.geometry import rotate, rotation_to_z_up

    shape = cloud(seed, 1.0)
    save(rotate(shape, rotation_to_z_up(axis).T), tmp_path / "a.ply")
    read = load(tmp_path / "a.ply", up=axis)
    assert isinstance(read, PointCloud)
    np.testing.assert_allclose(read.points, shape.points, atol=1e-5)
