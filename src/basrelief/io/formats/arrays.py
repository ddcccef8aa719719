"""Points as arrays: npy, npz and HDF5."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.archive import open_archive
from basrelief.io.checks import check_count
from basrelief.io.colors import unit_range
from basrelief.io.formats.hdf5 import H5Array
from basrelief.io.formats.npy import NpyArray, read_header
from basrelief.io.formats.objects import read_objects
from basrelief.io.formats.text import guessed_colors
from basrelief.io.source import Raw, Source
from basrelief.limits import limits

POINT_KEYS = ("points", "xyz", "pos", "positions", "vertices", "coord", "data", "pc", "arr_0")
COLOR_KEYS = ("colors", "rgb", "color")
MAX_COLUMNS = 256


@runtime_checkable
class Stored(Protocol):
    """An array that is read part by part: `NpyArray`, `H5Array`, or one in memory."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, row: int | None, columns: int) -> np.ndarray:
        """Read the first columns of a table (N, C), or of one table of a batch (B, N, C)."""


class InMemory:
    """An array in memory, in the form of `Stored`."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype

    def read(self, row: int | None, columns: int) -> np.ndarray:
        """Give the first columns of a table (N, C), or of one table of a batch (B, N, C)."""
        return (self._array if row is None else self._array[row])[:, :columns]


def read_npy(source: Source) -> Raw:
    """Read one array (N, 3) or (N, 6 and more), or `xyz` and `rgb` of OpenShape's clouds; no pickle is ever run.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file, with colours where columns 4 to 6 look so.
    """
    with source.path.open("rb") as file:
        header = read_header(source.path, file)
        if header.dtype is not None:
            return _cloud(source, NpyArray(source.path, file, header, source.size))
    return _object(source, read_objects(source.path))


def read_npz(source: Source) -> Raw:
    """Read the array named as one of `POINT_KEYS`, and colours from one of `COLOR_KEYS`; never a pickle.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file.
    """
    with open_archive(source.path) as archive:
        names = {name.removesuffix(".npy"): name for name in archive.namelist()}
        key = _key(source, names, POINT_KEYS)
        color = next((key for key in COLOR_KEYS if key in names), None)
        with archive.open(names[key]) as points:
            if color is None:
                return _cloud(source, _member(source, archive, points))
            with archive.open(names[color]) as colors:
                return _cloud(source, _member(source, archive, points), _member(source, archive, colors))


def _member(source: Source, archive: zipfile.ZipFile, file: Any) -> NpyArray:  # noqa: ANN401 - a member as zipfile opens it
    name = str(file.name)
    return NpyArray(source.path, file, read_header(source.path, file), archive.getinfo(name).file_size)


def read_h5(source: Source) -> Raw:
    """Read the data set named as one of `POINT_KEYS`: (N, 3), or (B, N, 3) with the shape named as `file.h5#12`.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file.
    """
    import h5py

    with h5py.File(source.path, "r") as file:
        points = H5Array(source, file, _key(source, file, POINT_KEYS))
        color = next((key for key in COLOR_KEYS if key in file), None)
        return _cloud(source, points, None if color is None else H5Array(source, file, color))


def _object(source: Source, objects: np.ndarray) -> Raw:
    """Choose a cloud among dicts of arrays, or a row of a dict of stacked arrays."""
    record = objects.item() if objects.ndim == 0 else objects.reshape(-1)[_row(source, objects.size)]
    arrays = {key: value for key, value in record.items() if isinstance(value, np.ndarray)} if isinstance(record, dict) else {}
    points = arrays[_key(source, arrays, POINT_KEYS)]
    color = next((key for key in COLOR_KEYS if key in arrays), None)
    return _cloud(source, InMemory(points), None if color is None else InMemory(arrays[color]))


def _cloud(source: Source, points: Stored, colors: Stored | None = None) -> Raw:
    """Choose the row of a batch, then split columns; only the chosen part is read."""
    shape = points.shape
    row = _row(source, shape[0]) if len(shape) == 3 else None
    if len(shape) not in (2, 3) or shape[-1] < 3:
        raise FileFormatError(f"The array in {source.path.name} has shape {shape}; expected (N, 3) or (N, 6). Transpose or reshape it.")
    count, width = shape[-2:]
    check_count(source.path, count, limits().points, of="points")
    check_count(source.path, width, MAX_COLUMNS, of="columns")
    if points.dtype.kind not in "fiu":
        raise FileFormatError(f"The array in {source.path.name} has dtype {points.dtype}; expected real numbers. Convert it to float32.")
    if colors is None:
        rows = points.read(row, min(width, 6))
        return Raw(points=rows[:, :3], colors=guessed_colors(rows[:, 3:6]))
    usable = colors.shape in ((*shape[:-1], 3), (*shape[:-1], 4)) and colors.dtype.kind in "fiu"
    return Raw(points=points.read(row, 3), colors=unit_range(colors.read(row, 3)).astype(np.float32) if usable else None)


def _row(source: Source, count: int) -> int:
    row = 0 if source.row is None and count == 1 else source.row
    if row is None or row >= count:
        name = source.path.name
        missing = "" if row is None else f" and has no #{row}"
        raise FileFormatError(f"{name} holds {count} shapes{missing}. Choose one with {name}#0 to {name}#{count - 1}.")
    return row


def _key(source: Source, names: Collection[str], choices: tuple[str, ...]) -> str:
    found = next((key for key in choices if key in names), next(iter(names)) if len(names) == 1 else None)
    if found is None:
        shown = ", ".join(f"{name!r:.80}" for name in islice(names, 10)) or "nothing"
        raise FileFormatError(f"{source.path.name} has no array of points; it holds {shown}. Name it one of {', '.join(choices)}.")
    return found
