"""All formats: choice of the up axis, misleading names, and saving and loading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError
from basrelief.geometry import UP_AXES, rotation_to_z_up
from basrelief.io.write import CLOUD_FORMATS, MESH_FORMATS
from basrelief.types import Mesh, PointCloud

from .conftest import Put

pytest.importorskip("trimesh")

STATED = {
    "glb": ("y", "glTF is +Y up by its specification"),
    "gltf": ("y", "glTF is +Y up by its specification"),
    "dae": ("y", "<up_axis> of the file is Y_UP"),
    "fbx": ("y", "the settings of the FBX file say so"),
    "3mf": ("z", "3MF is +Z up by its specification"),
    "pcd": ("z", "PCD is +Z up by convention"),
    "las": ("z", "LAS is +Z up by its specification"),
    "laz": ("z", "LAS is +Z up by its specification"),
}
ELSEWHERE = ("hdf5", "usd", "usda", "usdc", "usdz", "step", "stp", "iges", "igs")  # h5 under another name; tested in files of their own
KINDS = [kind for kind in shapes.FORMATS if kind not in ELSEWHERE]
SIGNED = ("glb", "ply", "3mf", "npy", "npz", "h5", "las", "laz", "pcd", "dae")


def positions(shape: Mesh | PointCloud) -> np.ndarray:
    return shape.vertices if isinstance(shape, Mesh) else shape.points


@pytest.mark.parametrize("kind", KINDS)
def test_each_format_says_its_axis_and_why(kind: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    path = put(f"a.{kind}", valid_files[kind][0])
    origin = shapes.load(path).origin
    assert origin is not None
    if kind in STATED:
        assert (origin.up, origin.up_reason, origin.up_source) == (*STATED[kind], "stated")
    else:
        common = "y" if kind == "obj" else "z"
        reason = f".{kind} files do not state it; +{common.upper()} is most common, and there is no form to look at"
        assert (origin.up, origin.up_reason.rpartition(" (")[0], origin.up_source) == (common, reason, "evidence")
    assert (origin.path, origin.format) == (str(path), kind)
    assert origin.notes == () or kind == "fbx"  # the picture of that file is missing


@pytest.mark.parametrize("kind", KINDS)
def test_the_caller_overrides_each_format(kind: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    path = put(f"a.{kind}", valid_files[kind][0])
    plain = positions(shapes.load(path, up="z"))
    for up in UP_AXES:
        shape = shapes.load(path, up=up)
        assert shape.origin is not None
        assert (shape.origin.up, shape.origin.up_reason) == (up, "given by the caller")
        assert np.allclose(positions(shape), plain @ rotation_to_z_up(up).T, atol=1e-6)


@pytest.mark.parametrize("up", UP_AXES)
def test_turning_to_the_world_never_mirrors(up: str, tetrahedron: Mesh, tmp_path: Path) -> None:
    shape = shapes.load(shapes.save(tetrahedron, tmp_path / "a.ply"), up=up)
    assert isinstance(shape, Mesh)
    assert np.linalg.det(shape.vertices[shape.faces].astype(np.float64)).sum() == pytest.approx(6)


@pytest.mark.parametrize(("true", "told"), [(a, b) for a in SIGNED for b in KINDS if a != b and {a, b} != {"las", "laz"}])
def test_no_content_is_read_as_another_format(true: str, told: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    with pytest.raises((FileFormatError, GeometryError)) as caught:
        shapes.load(put(f"a.{told}", valid_files[true][0]))
    assert f"a.{told}" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a.{}", "A.{}", "a b.{}", "ä.{}", "a.b.{}", "#1.{}"])
def test_names_of_any_kind(kind: str, name: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    lower = shapes.load(put(name.format(kind), valid_files[kind][0]))
    upper = shapes.load(put(name.format(kind.upper()), valid_files[kind][0]))
    assert np.array_equal(positions(lower), positions(upper))
    assert upper.origin is not None
    assert upper.origin.format == kind


@pytest.mark.parametrize("kind", KINDS)
def test_reading_twice_gives_the_same(kind: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    path = put(f"a.{kind}", valid_files[kind][0])
    first, second = shapes.load(path), shapes.load(str(path))
    assert np.array_equal(positions(first), positions(second))
    assert (first.colors is None) == (second.colors is None)
    if first.colors is not None and second.colors is not None:
        assert np.array_equal(first.colors, second.colors)


NUMBERS = st.floats(-100, 100, width=32)
ROUND_TRIP = settings(derandomize=True, max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", CLOUD_FORMATS)
@ROUND_TRIP
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=20))
def test_any_cloud_comes_back(kind: str, rows: list[tuple[float, float, float]], tmp_path: Path) -> None:
    points = np.array(rows, dtype=np.float32)
    shape = shapes.load(shapes.save(PointCloud(points=points), tmp_path / f"a.{kind}"))
    assert isinstance(shape, PointCloud)
    moved = bool(shape.origin and shape.origin.notes)
    difference = shape.points - points
    assert np.allclose(difference, difference[0] if moved else 0, atol=1e-4)


@pytest.mark.parametrize("kind", MESH_FORMATS)
@ROUND_TRIP
@given(seed=st.integers(0, 10**6), count=st.integers(3, 12))
def test_any_mesh_comes_back(kind: str, seed: int, count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    faces = np.stack([rng.permutation(count)[:3] for _ in range(5)])
    mesh = Mesh(vertices=rng.uniform(-1, 1, (count, 3)), faces=faces, colors=rng.integers(0, 256, (count, 3)).astype(np.uint8))
    shape = shapes.load(shapes.save(mesh, tmp_path / f"a.{kind}"))
    assert isinstance(shape, Mesh)
    assert np.allclose(shape.vertices[shape.faces], mesh.vertices[mesh.faces], atol=1e-5)
    if kind in ("ply", "obj", "glb"):
        assert shape.colors is not None
        assert mesh.colors is not None
        assert np.allclose(shape.colors[shape.faces], mesh.colors[mesh.faces], atol=0.06)
    else:
        assert shape.colors is None


def test_an_older_file_is_replaced(tetrahedron: Mesh, put: Put) -> None:
    path = shapes.save(tetrahedron, put("a.ply", b"x" * 10_000))
    assert isinstance(shapes.load(path), Mesh)
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize("kind", ["PLY", "Glb"])
def test_suffixes_to_save_may_be_in_capitals(kind: str, tetrahedron: Mesh, tmp_path: Path) -> None:
    assert isinstance(shapes.load(shapes.save(tetrahedron, str(tmp_path / f"a.{kind}"))), Mesh)


@pytest.mark.parametrize(("name", "near"), [("a.plyy", "ply"), ("a.obbj", "obj"), ("a", None), ("a.", None)])
def test_a_suffix_that_cannot_be_saved(name: str, near: str | None, tetrahedron: Mesh, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="Unknown file format '.*'; expected one of ply, obj, glb, off, stl") as caught:
        shapes.save(tetrahedron, tmp_path / name)
    assert ("Did you mean" in str(caught.value)) == (near is not None)
    assert list(tmp_path.iterdir()) == []


def test_which_formats_keep_the_colors_of_vertices(put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    keeps = {kind for kind in ("ply", "obj", "glb", "off", "stl") if shapes.load(put(f"a.{kind}", valid_files[kind][0])).colors is not None}
    assert keeps == {"ply", "obj", "glb"}
