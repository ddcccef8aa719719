"""Point formats but PCD: text, arrays, HDF5, LAS."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.formats.text import guessed_colors
from basrelief.types import PointCloud

from .conftest import POINT_RGB as RGB
from .conftest import POINTS, Put, las_bytes, loaded

h5py = pytest.importorskip("h5py")


def npy(array: np.ndarray, **keywords: bool) -> bytes:
    out = BytesIO()
    np.save(out, array, **keywords)
    return out.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    out = BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def h5(**arrays: np.ndarray) -> bytes:
    out = BytesIO()
    with h5py.File(out, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return out.getvalue()


@pytest.mark.parametrize("separator", [" ", ",", "\t", ";", ", "])
@pytest.mark.parametrize("kind", ["xyz", "txt", "pts"])
def test_text_with_any_separator(kind: str, separator: str, put: Put) -> None:
    text = "\n".join(separator.join(f"{v:.9g}" for v in row) for row in POINTS)
    assert np.array_equal(loaded(put(f"a.{kind}", text)).points, POINTS)


@pytest.mark.parametrize("top", ["# a comment\n", "// a comment\n", "x y z\n", "X,Y,Z\n", "2\n", "\ufeff", "\n\n"])
def test_text_with_something_on_top(top: str, put: Put) -> None:
    shape = loaded(put("a.txt", top + "1 2 3\n4 5 6\n"))
    assert shape.points.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_text_like_modelnet40_normal_resampled_has_normals_not_colors(put: Put) -> None:
    normals = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    text = "\n".join(",".join(f"{v:.6f}" for v in row) for row in np.hstack([POINTS, normals]))
    shape = loaded(put("chair_0001.txt", text))
    assert shape.points.shape == (30, 3)
    assert shape.colors is None


@pytest.mark.parametrize("kind", ["xyz", "pts"])
def test_text_colors(kind: str, put: Put) -> None:
    rows = np.hstack([POINTS, np.full((30, 1), 7.0), RGB]) if kind == "pts" else np.hstack([POINTS, RGB])
    shape = loaded(put(f"a.{kind}", "\n".join(" ".join(f"{v:.6g}" for v in row) for row in rows)))
    assert shape.colors is not None
    assert np.allclose(shape.colors, RGB / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("columns", "are_colors"),
    [
        (np.array([[0, 128, 255], [1, 2, 3]]), True),
        (np.array([[0.1, 0.5, 1.0], [0.0, 0.0, 0.0]]), True),
        (np.array([[0.5, 200.2, 3.0]]), False),
        (np.array([[-0.1, 0.2, 0.3]]), False),
        (np.array([[0.6, 0.8, 0.0], [0.0, 1.0, 0.0]]), False),
        (np.array([[0, 0, 300]]), False),
        (np.array([[np.nan, 0, 0]]), False),
        (np.zeros((0, 3)), False),
        (np.zeros((4, 2)), False),
    ],
)
def test_nameless_columns_are_colors_only_when_they_look_so(columns: np.ndarray, are_colors: bool) -> None:
    assert (guessed_colors(columns) is not None) == are_colors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n3 4\n", "Lines of a.xyz have 2 columns"),
        ("1 2 3\n4 5\n", "Lines of a.xyz have 3 and 2 columns"),
        ("1 2 3\n4 5 six\n", "a.xyz contains 'six'; expected numbers"),
        ("\0\1\2", "a.xyz is a binary file; expected lines of numbers"),
    ],
)
def test_text_that_is_not_points(text: str, message: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put("a.xyz", text))


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "f2", "i4", "u1"])
def test_npy_of_any_number_type(dtype: str, put: Put) -> None:
    array = np.arange(12).reshape(4, 3).astype(dtype)
    assert loaded(put("a.npy", npy(array))).points.tolist() == array.tolist()


def test_npy_columns_of_color(put: Put) -> None:
    shape = loaded(put("a.npy", npy(np.hstack([POINTS, RGB / 255]))))
    assert shape.colors is not None
    assert np.allclose(shape.colors, RGB / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 100)).T[:, :2], r"has shape \(100, 2\); expected \(N, 3\)"),
        (np.zeros(9), r"has shape \(9,\); expected \(N, 3\)"),
        (np.zeros((4, 3), dtype="S4"), "has dtype"),
        (np.zeros((4, 3), dtype=complex), "is not valid: dtype '<c16' is not that of plain numbers or strings"),
        (np.zeros((2, 300)), r"The array in a\.npy has shape \(2, 300\)\. If it is a depth map: Give the intrinsics"),
        (np.zeros((5, 4, 3)), "a.npy holds 5 shapes. Choose one with a.npy#0 to a.npy#4"),
    ],
)
def test_npy_that_is_not_points(array: np.ndarray, message: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put("a.npy", npy(array)))


@pytest.mark.parametrize("name", ["points", "xyz", "pos"])
@pytest.mark.parametrize("color", ["colors", "rgb"])
def test_npz_keys(name: str, color: str, put: Put) -> None:
    shape = loaded(put("a.npz", npz(**{"other": np.zeros(3), name: POINTS, color: RGB.astype(np.uint8)})))
    assert np.array_equal(shape.points, POINTS)
    assert shape.colors is not None
    assert np.allclose(shape.colors, RGB / 255)


def test_npz_with_one_array_needs_no_name(put: Put) -> None:
    assert np.array_equal(loaded(put("a.npz", npz(whatever=POINTS))).points, POINTS)


def test_npz_without_a_known_name_lists_what_it_has(put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.npz has no array of points; it holds 'a', 'b'"):
        shapes.load(put("a.npz", npz(a=POINTS, b=POINTS)))


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_pickles_are_never_loaded(kind: str, put: Put) -> None:
    array = np.array([[object()] * 3], dtype=object)
    data = npy(array, allow_pickle=True) if kind == "npy" else npz(points=array)
    with pytest.raises(FileFormatError, match=f"a.{kind}"):
        shapes.load(put(f"a.{kind}", data))


@pytest.mark.parametrize("name", ["data", "points"])
def test_h5_data_sets(name: str, put: Put) -> None:
    assert np.array_equal(loaded(put("a.h5", h5(**{name: POINTS}))).points, POINTS)


def test_h5_batches_need_a_row(put: Put) -> None:
    batch = np.stack([POINTS, POINTS + 1, POINTS + 2])
    path = put("a.h5", h5(data=batch))
    assert np.array_equal(loaded(f"{path}#2").points, batch[2])
    with pytest.raises(FileFormatError, match="a.h5 holds 3 shapes. Choose one with a.h5#0 to a.h5#2"):
        shapes.load(path)
    with pytest.raises(FileFormatError, match="a.h5 holds 3 shapes and has no #3"):
        shapes.load(f"{path}#3")


def test_h5_batch_of_one_needs_no_row(put: Put) -> None:
    assert np.array_equal(loaded(put("a.h5", h5(data=POINTS[None]))).points, POINTS)


def test_h5_colors(put: Put) -> None:
    shape = loaded(put("a.h5", h5(points=POINTS, rgb=RGB.astype(np.uint8))))
    assert shape.colors is not None
    assert np.allclose(shape.colors, RGB / 255)


@pytest.mark.parametrize("suffix", ["las", "laz"])
def test_las_and_laz(suffix: str, put: Put, tmp_path: Path) -> None:
    shape = shapes.load(put(f"a.{suffix}", las_bytes(suffix, POINTS, tmp_path)))
    assert isinstance(shape, PointCloud)
    assert np.allclose(shape.points, POINTS, atol=1e-4)
    assert shape.colors is not None
    assert shape.colors[:, 0].max() == 1
    assert shape.origin is not None
    assert shape.origin.up_reason == "LAS is +Z up by its specification"


def test_las_without_laspy_names_the_extra(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("a.las", las_bytes("las", POINTS, tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"Reading a\.las needs laspy.*basrelief\[lidar\]"):
        shapes.load(path)


@pytest.mark.parametrize(("at", "size", "message"), [(100, 4, "is truncated"), (107, 4, "points; at most 20,000,000 are read")])
def test_las_headers_that_lie(at: int, size: int, message: str, put: Put, tmp_path: Path) -> None:
    data = bytearray(las_bytes("las", POINTS, tmp_path))
    data[at : at + size] = b"\xff" * size
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put("a.las", bytes(data)))


def test_laz_with_a_chunk_table_that_lies(put: Put, tmp_path: Path) -> None:
    data = bytearray(las_bytes("laz", POINTS, tmp_path))
    start = int.from_bytes(data[96:100], "little")
    table = int.from_bytes(data[start : start + 8], "little")
    data[table + 4 : table + 8] = b"\xff\xff\xff\x7f"
    with pytest.raises(FileFormatError, match="is (truncated|damaged)"):
        shapes.load(put("a.laz", bytes(data)))


def test_survey_coordinates_are_moved_near_before_float32_rounds_them(put: Put) -> None:
    points = np.array([[500000.01, 5400000.01, 100.0], [500000.02, 5400000.03, 100.5], [500001.0, 5400001.0, 101.0]])
    shape = loaded(put("a.npy", npy(points)))
    assert np.allclose(np.diff(shape.points, axis=0), np.diff(points, axis=0), atol=1e-6)
    assert shape.origin is not None
    assert shape.origin.notes[0].startswith("Moved by [-500001.0, -5400001.0, -100.0], in the axes of the file")


def test_a_single_far_point_stays_where_it_is(put: Put) -> None:
    assert loaded(put("a.xyz", "1000 2000 3000\n")).points.tolist() == [[1000, 2000, 3000]]


def test_scans_are_read_in_full(shared_assets: Path) -> None:
    expected = {"room_scan1.pcd": 112586, "room_scan2.pcd": 112624}
    assert {name: len(loaded(shared_assets / "scans" / name).points) for name in expected} == expected
    for name in ("table_scene_mug_stereo_textured.pcd", "region_growing_rgb_tutorial.pcd"):
        shape = loaded(shared_assets / "scans" / name)
        assert shape.colors is not None
        assert shape.origin is not None
        dropped = int(shape.origin.notes[0].split()[0])
        assert dropped > 0
        assert dropped + len(shape.points) == 640 * 480
