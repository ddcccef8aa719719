"""Point clouds from stored arrays: choose the array, the row of a batch and the columns. Shared by .npy, .npz and HDF5."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.colors import unit_range
from basrelief.io.formats.text import guessed_colors
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

POINT_KEYS = ("points", "xyz", "pos", "positions", "vertices", "coord", "data", "pc", "arr_0")
COLOR_KEYS = ("colors", "rgb", "color")
MAX_COLUMNS = 256


@runtime_checkable
class StoredArray(Protocol):
    """An array that is read in part: `NpyArray`, `H5Array` or `InMemoryArray`.

    Attributes:
        shape: Dimensions.
        dtype: Type of the elements.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, row: int | None, columns: int) -> np.ndarray:
        """Read the first columns of a table, or of one table of a batch; call it once.

        Args:
            row: Which table of a batch (B, N, C); None for a table (N, C).
            columns: How many columns.

        Returns:
            (N, columns).

        Raises:
            FileFormatError: If the data are incomplete.
        """


class InMemoryArray:
    """A `StoredArray` that is already in memory."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype

    def read(self, row: int | None, columns: int) -> np.ndarray:
        """Return columns; see `StoredArray.read`."""
        return (self._array if row is None else self._array[row])[:, :columns]


def point_cloud(source: Source, points: StoredArray, colors: StoredArray | None = None) -> RawShape:
    """Read one point cloud; only the selected row and columns are loaded.

    Args:
        source: The file, with the row of a batch.
        points: (N, C) or (B, N, C), C >= 3.
        colors: Colours of the same dimensions, or None for columns 4 to 6 of `points` where they look like colours.

    Returns:
        Points in the axes of the file.

    Raises:
        FileFormatError: If the array does not hold points, or the row does not exist.
    """
    shape = points.shape
    row = choose_row(source, shape[0]) if len(shape) == 3 else None
    if len(shape) not in (2, 3) or shape[-1] < 3:
        raise FileFormatError(f"The array in {source.path.name} has shape {shape}; expected (N, 3) or (N, 6). Transpose or reshape it.")
    count, width = shape[-2:]
    check_count(source.path, count, limits().points, of="points")
    check_count(source.path, width, MAX_COLUMNS, of="columns")
    if points.dtype.kind not in "fiu":
        raise FileFormatError(f"The array in {source.path.name} has dtype {points.dtype}; expected real numbers. Convert it to float32.")
    if colors is None:
        rows = points.read(row, min(width, 6))
        return RawShape(points=rows[:, :3], colors=guessed_colors(rows[:, 3:6]))
    usable = colors.shape in ((*shape[:-1], 3), (*shape[:-1], 4)) and colors.dtype.kind in "fiu"
    return RawShape(points=points.read(row, 3), colors=unit_range(colors.read(row, 3)).astype(np.float32) if usable else None)


def choose_row(source: Source, count: int) -> int:
    """Return the row that the path selects among `count`; a single one needs no number.

    Raises:
        FileFormatError: If there are several and none is selected, or it does not exist.
    """
    row = 0 if source.row is None and count == 1 else source.row
    if row is None or row >= count:
        name = source.path.name
        if count == 1:
            raise FileFormatError(f"{name} holds one shape and has no #{row}. Leave the number out.")
        missing = "" if row is None else f" and has no #{row}"
        raise FileFormatError(f"{name} holds {count} shapes{missing}. Choose one with {name}#0 to {name}#{count - 1}.")
    return row


def choose_key(source: Source, names: Collection[str], choices: tuple[str, ...]) -> str:
    """Return the name of the array to read: the first of `choices` that exists, or the only one there is.

    Raises:
        FileFormatError: If there is none.
    """
    found = next((key for key in choices if key in names), next(iter(names)) if len(names) == 1 else None)
    if found is None:
        shown = ", ".join(f"{name!r:.80}" for name in islice(names, 10)) or "nothing"
        raise FileFormatError(f"{source.path.name} has no array of points; it holds {shown}. Name it one of {', '.join(choices)}.")
    return found
