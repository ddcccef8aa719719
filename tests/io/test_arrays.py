"""Arrays in npy, npz and HDF5: choice of array and row, and columns of colours."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.formats.arrays import COLOR_KEYS, POINT_KEYS
from basrelief.types import PointCloud

from .conftest import Put

h5py = pytest.importorskip("h5py")

RNG = np.random.default_rng(5)
POINTS = RNG.normal(size=(12, 3)).astype(np.float32)
BATCH = RNG.normal(size=(4, 12, 3)).astype(np.float32)
RGB = RNG.integers(0, 256, size=(12, 3)).astype(np.uint8)


def archive(kind: str, **arrays: np.ndarray) -> bytes:
    out = BytesIO()
    if kind == "npz":
        np.savez(out, **arrays)
    else:
        with h5py.File(out, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = BytesIO()
    np.save(out, array)
    return out.getvalue()


def loaded(path: Path | str) -> PointCloud:
    shape = shapes.load(path)
    assert isinstance(shape, PointCloud)
    return shape


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize("key", POINT_KEYS)
def test_every_known_name_of_points(kind: str, key: str, put: Put) -> None:
    data = archive(kind, **{"aaa": np.zeros(5), key: POINTS, "zzz": np.ones((2, 2))})
    assert np.array_equal(loaded(put(f"a.{kind}", data)).points, POINTS)


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize(("first", "second"), list(pairwise(POINT_KEYS)))
def test_the_earlier_name_wins(kind: str, first: str, second: str, put: Put) -> None:
    data = archive(kind, **{second: POINTS + 1, first: POINTS})
    assert np.array_equal(loaded(put(f"a.{kind}", data)).points, POINTS)


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize("key", COLOR_KEYS)
@pytest.mark.parametrize("scale", [1, 255])
def test_every_known_name_of_colors(kind: str, key: str, scale: int, put: Put) -> None:
    colors = RGB if scale == 255 else RGB / np.float32(255)
    shape = loaded(put(f"a.{kind}", archive(kind, points=POINTS, **{key: colors})))
    assert shape.colors is not None
    assert np.allclose(shape.colors, RGB / 255, atol=1e-6)


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize("colors", [RGB[:5], RGB[:, :2], RGB[:, 0], np.full((12, 3), b"red")])
def test_colors_that_do_not_fit_are_left_out(kind: str, colors: np.ndarray, put: Put) -> None:
    assert loaded(put(f"a.{kind}", archive(kind, points=POINTS, colors=colors))).colors is None


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_colors_with_alpha_lose_it(kind: str, put: Put) -> None:
    shape = loaded(put(f"a.{kind}", archive(kind, points=POINTS, rgb=np.hstack([RGB, RGB[:, :1]]))))
    assert shape.colors is not None
    assert np.allclose(shape.colors, RGB / 255)


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_an_archive_without_arrays(kind: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=f"a.{kind} has no array of points; it holds nothing|empty ZIP"):
        shapes.load(put(f"a.{kind}", archive(kind)))


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_names_that_are_not_known_are_listed_but_not_all(kind: str, put: Put) -> None:
    data = archive(kind, **{f"name{i:02}": POINTS for i in range(30)})
    with pytest.raises(FileFormatError, match="it holds 'name00', .*'name09'. Name it one of points, xyz"):
        shapes.load(put(f"a.{kind}", data))


def test_a_group_of_hdf5_is_no_array(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("points")["x"] = POINTS
    with pytest.raises(FileFormatError, match="'points' in a.h5 is not stored in the file itself"):
        shapes.load(tmp_path / "a.h5")


def test_compressed_and_chunked_hdf5(tmp_path: Path) -> None:
    for name, options in {"gzip": {"compression": "gzip"}, "lzf": {"compression": "lzf"}, "plain": {"chunks": (5, 3)}}.items():
        with h5py.File(tmp_path / f"{name}.hdf5", "w") as file:
            file.create_dataset("points", data=POINTS, **options)
        assert np.array_equal(loaded(tmp_path / f"{name}.hdf5").points, POINTS)


def batch(kind: str) -> bytes:
    return npy(BATCH) if kind == "npy" else archive(kind, data=BATCH)


@pytest.mark.parametrize("kind", ["npy", "npz", "h5"])
def test_each_row_of_a_batch(kind: str, put: Put) -> None:
    path = put(f"a.{kind}", batch(kind))
    for row in range(4):
        shape = loaded(f"{path}#{row}")
        assert np.array_equal(shape.points, BATCH[row])
        assert shape.origin is not None
        assert (shape.origin.path, shape.origin.format) == (str(path), kind)


@pytest.mark.parametrize("kind", ["npy", "npz", "h5"])
@pytest.mark.parametrize("row", ["", "#4", "#999999999"])
def test_a_row_must_be_given_and_exist(kind: str, row: str, put: Put) -> None:
    path = put(f"a.{kind}", batch(kind))
    missing = f" and has no {row}" if row else ""
    message = f"a.{kind} holds 4 shapes{missing}. Choose one with a.{kind}#0 to a.{kind}#3"
    with pytest.raises(FileFormatError, match=message):
        shapes.load(f"{path}{row}")


@pytest.mark.parametrize("row", ["#", "#x", "#-1", "#1.5", "#٣", "#1#", "#9999999999", "# 1"])
def test_what_is_no_row_is_part_of_the_name(row: str, put: Put) -> None:
    path = put("a.npy", batch("npy"))
    with pytest.raises(FileFormatError, match="not found"):
        shapes.load(f"{path}{row}")


def test_leading_zeros_and_capitals_of_a_row(put: Put) -> None:
    path = put("a.H5", batch("h5"))
    assert np.array_equal(loaded(f"{path}#02").points, BATCH[2])


def test_a_row_of_a_file_without_rows_changes_nothing(put: Put) -> None:
    assert np.array_equal(loaded(f"{put('a.npy', npy(POINTS))}#7").points, POINTS)


def test_a_batch_of_one_has_row_zero_only(put: Put) -> None:
    path = put("a.npy", npy(BATCH[:1]))
    assert np.array_equal(loaded(path).points, loaded(f"{path}#0").points)
    with pytest.raises(FileFormatError, match="a.npy holds one shape and has no #1. Leave the number out"):
        shapes.load(f"{path}#1")


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_colors_of_a_batch_go_with_their_row(kind: str, put: Put) -> None:
    colors = RNG.integers(0, 256, size=(4, 12, 3)).astype(np.uint8)
    shape = loaded(f"{put(f'a.{kind}', archive(kind, points=BATCH, colors=colors))}#3")
    assert shape.colors is not None
    assert np.allclose(shape.colors, colors[3] / 255)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0, 3)])
def test_no_points_at_all(shape: tuple[int, ...], put: Put) -> None:
    path = put("a.npy", npy(np.zeros(shape)))
    with pytest.raises(GeometryError, match="points is empty; expected at least one row"):
        shapes.load(path if len(shape) == 2 else f"{path}#0")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<i2", "u1"])
def test_any_order_in_memory(order: str, kind: str, put: Put) -> None:
    array = np.asarray(np.arange(12).reshape(4, 3), dtype=kind, order=order)  # type: ignore[call-overload]
    assert loaded(put("a.npy", npy(array))).points.tolist() == array.tolist()


@pytest.mark.parametrize(("rows", "dropped"), [([1], 1), ([0, 5, 11], 3), (list(range(11)), 11)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_dropped_rows_are_counted_and_take_their_colors_along(rows: list[int], dropped: int, value: float, put: Put) -> None:
    points = POINTS.copy()
    points[rows, 1] = value
    shape = loaded(put("a.npz", archive("npz", points=points, colors=RGB)))
    kept = np.delete(np.arange(12), rows)
    assert np.array_equal(shape.points, POINTS[kept])
    assert shape.colors is not None
    assert np.allclose(shape.colors, RGB[kept] / 255)
    assert shape.origin is not None
    assert shape.origin.notes == (f"{dropped} of 12 points are not finite and were dropped.",)


def test_notes_stand_in_the_order_of_what_was_done(put: Put) -> None:
    points = POINTS.astype(np.float64) + [4e6, 0, -5e6]
    points[0] = np.nan
    shape = loaded(put("a.npy", npy(points)))
    assert shape.origin is not None
    dropped, moved = shape.origin.notes
    assert dropped == "1 of 12 points are not finite and were dropped."
    assert moved.endswith("in the axes of the file, because float32 cannot hold such coordinates exactly.")
    assert np.allclose(np.ptp(shape.points, axis=0), np.ptp(points[1:], axis=0), atol=1e-6)


@pytest.mark.parametrize("up", ["y", "-x"])
def test_the_shift_is_reported_in_the_axes_of_the_file(up: str, put: Put) -> None:
    shape = shapes.load(put("a.npy", npy(np.array([[1e6, 0, 0], [1e6 + 2, 2, 2]]))), up=up)
    assert shape.origin is not None
    assert shape.origin.notes[0].startswith("Moved by [-1000001.0, -1.0, -1.0]")
