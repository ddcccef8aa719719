"""Pickled arrays are read without executing code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from basrelief.errors import FileFormatError
from basrelief.io import load
from basrelief.io.formats.objects import read_objects
from basrelief.types import PointCloud

CLOUD = np.arange(30, dtype=np.float32).reshape(10, 3)


def written(path: Path, value: object) -> Path:
    array = np.empty((), dtype=object)
    array[()] = value
    np.save(path, array, allow_pickle=True)
    return path


def forged(path: Path, value: object, protocol: int = 4) -> Path:
    """An object file whose pickle is any object at all."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(value, file, protocol=protocol)
    return path


class Reduced:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_arrays_scalars_and_texts_come_back(tmp_path: Path) -> None:
    record = {"xyz": CLOUD, "n": np.float64(2.5), "i": np.int32(7), "texts": ["a chair", None], "flags": np.array([True, False])}
    found = read_objects(written(tmp_path / "a.npy", record)).item()
    np.testing.assert_array_equal(found["xyz"], CLOUD)
    assert (found["n"], found["i"], found["texts"]) == (2.5, 7, ["a chair", None])
    assert found["flags"].tolist() == [True, False]


def test_old_protocols_are_read(tmp_path: Path) -> None:
    array = np.empty(2, dtype=object)
    array[:] = [{"xyz": CLOUD}, {"xyz": CLOUD + 1}]
    for protocol in (2, 3, 4):
        found = read_objects(forged(tmp_path / f"{protocol}.npy", array, protocol))
        np.testing.assert_array_equal(found[1]["xyz"], CLOUD + 1)


@pytest.mark.parametrize(
    "value",
    [
        Reduced(os.system, "true"),
        Reduced(eval, "1 + 1"),
        Reduced(np.load, "x.npy"),
        Reduced(np.ndarray.tofile, np.zeros(1), "x"),
        Reduced(getattr, "text", "upper"),
        {"deep": [Reduced(os.getcwd)]},
    ],
)
def test_other_names_are_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"a.npy is a pickle that names .*; only NumPy arrays are read\. Do not trust this file\."):
        read_objects(forged(tmp_path / "a.npy", value))


def test_an_array_of_a_declared_size_is_not_made(tmp_path: Path) -> None:
    reconstruct = np.zeros(1).__reduce__()[0]
    found = read_objects(forged(tmp_path / "a.npy", np.array([0])))
    assert found.shape == (1,)
    value = read_objects(forged(tmp_path / "b.npy", Reduced(reconstruct, np.ndarray, (1 << 40,), b"b")))
    assert value.nbytes == 0


def test_a_pickle_without_an_array_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="a.npy holds a dict; expected an array"):
        read_objects(forged(tmp_path / "a.npy", {"xyz": 1}))


def test_numbers_are_not_objects(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CLOUD)
    with pytest.raises(FileFormatError, match="a.npy holds an array of numbers, not Python objects"):
        read_objects(tmp_path / "a.npy")


@pytest.mark.parametrize("keep", [60, 128, 200])
def test_a_truncated_file_is_an_error(keep: int, tmp_path: Path) -> None:
    path = written(tmp_path / "a.npy", {"xyz": CLOUD})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileFormatError, match="(header of a.npy is not valid|truncated or damaged)"):
        read_objects(path)


def test_references_to_the_outside_are_refused(tmp_path: Path) -> None:
    class Outside(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return "elsewhere" if value == "x" else None

    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        Outside(file).dump(["x"])
    with pytest.raises(FileFormatError, match="a.npy is a pickle that uses the operation b'Q'"):
        read_objects(path)


def test_a_forged_scalar_is_an_error(tmp_path: Path) -> None:
    scalar = np.float64(1).__reduce__()[0]
    with pytest.raises(FileFormatError, match="A scalar in a.npy has the wrong size"):
        read_objects(forged(tmp_path / "a.npy", [Reduced(scalar, np.dtype("f8"), b"123")]))


def test_bytes_of_another_encoding_are_an_error(tmp_path: Path) -> None:
    import codecs

    with pytest.raises(FileFormatError, match="stores bytes as 'rot13'; NumPy writes latin1"):
        read_objects(forged(tmp_path / "a.npy", [Reduced(codecs.encode, "a", "rot13")]))


def test_load_reads_one_of_many_clouds(tmp_path: Path) -> None:
    array = np.empty(2, dtype=object)
    array[:] = [{"xyz": CLOUD, "rgb": np.full((10, 3), 51.0)}, {"xyz": CLOUD + 1}]
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    shape = load(f"{tmp_path}/a.npy#0", up="z")
    assert isinstance(shape, PointCloud)
    assert shape.colors is not None
    np.testing.assert_allclose(shape.colors, 0.2)
    assert load(f"{tmp_path}/a.npy#1").colors is None
    with pytest.raises(FileFormatError, match="a.npy holds 2 shapes. Choose one with a.npy#0 to a.npy#1."):
        load(tmp_path / "a.npy")


def test_load_reads_a_row_of_stacked_clouds(tmp_path: Path) -> None:
    path = written(tmp_path / "a.npy", {"xyz": np.stack([CLOUD, CLOUD + 5]), "label": np.array([0, 1])})
    found = load(f"{path}#1", up="z")
    assert isinstance(found, PointCloud)
    np.testing.assert_allclose(found.points, CLOUD + 5)


def test_load_of_objects_without_points_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="has no array of points"):
        load(written(tmp_path / "a.npy", {"text": "no cloud"}))


def test_the_last_file_is_read_once_and_a_new_one_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.npy", {"xyz": CLOUD})
    first = read_objects(path)
    assert read_objects(path) is first
    written(path, {"xyz": CLOUD, "more": CLOUD})
    assert set(read_objects(path).item()) == {"xyz", "more"}
