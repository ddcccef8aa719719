"""What is saved is what is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError, OutputError
from basrelief.geometry.appearance import linear_from_srgb, srgb_from_linear
from basrelief.io.colors import unit_range
from basrelief.io.write import CLOUD_FORMATS, MESH_FORMATS
from basrelief.types import Mesh, PointCloud

pytest.importorskip("trimesh")


@pytest.mark.parametrize("kind", MESH_FORMATS)
def test_meshes_come_back(kind: str, tetrahedron: Mesh, tmp_path: Path) -> None:
    path = shapes.save(tetrahedron, tmp_path / f"a.{kind}")
    back = shapes.load(path)
    assert path == tmp_path / f"a.{kind}"
    assert isinstance(back, Mesh)
    assert np.allclose(back.vertices[back.faces], tetrahedron.vertices[tetrahedron.faces], atol=1e-6)
    if kind in ("ply", "obj", "glb"):
        assert back.colors is not None
        assert tetrahedron.colors is not None
        assert np.allclose(back.colors[back.faces], tetrahedron.colors[tetrahedron.faces], atol=0.01)


@pytest.mark.parametrize("kind", CLOUD_FORMATS)
def test_clouds_come_back(kind: str, cloud: PointCloud, tmp_path: Path) -> None:
    back = shapes.load(shapes.save(cloud, tmp_path / f"a.{kind}"))
    assert isinstance(back, PointCloud)
    assert np.allclose(back.points, cloud.points, atol=1e-6)
    if kind != "xyz":
        assert back.colors is not None
        assert cloud.colors is not None
        assert np.allclose(back.colors, cloud.colors, atol=0.03)


@pytest.mark.parametrize("kind", ["ply", "glb", "obj"])
def test_a_mesh_without_color_stays_without(kind: str, tetrahedron: Mesh, tmp_path: Path) -> None:
    plain = Mesh(vertices=tetrahedron.vertices, faces=tetrahedron.faces)
    assert shapes.load(shapes.save(plain, tmp_path / f"a.{kind}")).colors is None


def test_a_glb_is_y_up_in_the_file(tetrahedron: Mesh, tmp_path: Path) -> None:
    back = shapes.load(shapes.save(tetrahedron, tmp_path / "a.glb"), up="z")
    assert isinstance(back, Mesh)
    assert back.vertices[:, 1].max() == pytest.approx(3)


def test_formats_that_cannot_hold_the_shape(tetrahedron: Mesh, cloud: PointCloud, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="Unknown file format 'stl'; expected one of ply, glb, xyz"):
        shapes.save(cloud, tmp_path / "a.stl")
    with pytest.raises(FileFormatError, match="Unknown file format 'xyz'; expected one of ply, obj, glb, off, stl"):
        shapes.save(tetrahedron, tmp_path / "a.xyz")


def test_an_unwritable_path(tetrahedron: Mesh, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match="Cannot write '.*a.ply': "):
        shapes.save(tetrahedron, tmp_path / "file" / "a.ply")


def test_saving_through_a_link_leaves_its_target_alone(tetrahedron: Mesh, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "a.ply").symlink_to(tmp_path / "target")
    shapes.save(tetrahedron, tmp_path / "a.ply")
    assert (tmp_path / "target").read_text() == "kept"
    assert isinstance(shapes.load(tmp_path / "a.ply"), Mesh)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ply", "target"]


def test_srgb_and_linear_light_undo_each_other() -> None:
    values = np.linspace(0, 1, 101)
    assert np.allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)
    assert srgb_from_linear(np.array([0.2140411])) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(
    "colors",
    [
        np.array([[0, 51, 255]], dtype=np.uint8),
        np.array([[0, 13107, 65535]], dtype=np.uint16),
        np.array([[0, 51, 255]], dtype=np.int64),
        np.array([[0, 0.2, 1.0]]),
        np.array([[0, 51.0, 255.0]]),
        np.array([[0, 51, 255, 9]], dtype=np.uint8),
    ],
)
def test_colors_of_any_storage_come_to_one_range(colors: np.ndarray) -> None:
    assert np.allclose(unit_range(colors), [[0, 0.2, 1]])
