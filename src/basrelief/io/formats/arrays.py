"""Point clouds from stored arrays: choose the array, the row of a batch and the columns. Shared by .npy, .npz and HDF5."""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.colors import unit_range
from basrelief.io.formats.depth import NEEDED, depth_cloud
from basrelief.io.formats.text import guessed_colors
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

POINT_KEYS = ("points", "xyz", "pos", "positions", "vertices", "coord", "data", "pc", "arr_0")
COLOR_KEYS = ("colors", "rgb", "color")
DEPTH_KEYS = ("depth", "depth_map", "depthmap", "depths")
INTRINSICS_KEYS = ("K", "intrinsics", "intrinsic", "cam_K", "camera_matrix")
"""Names of the matrix beside a depth map."""
MAX_COLUMNS = 256
_MAX_POINT_COLUMNS = 9  # with intrinsics, a wider table is a depth map
_TRANSPOSED = 10  # columns from which three rows are x, y and z, not three points
_SMALLEST_GRID = 8  # sides of an organised cloud
_SAMPLED = 200  # rows and columns of an organised cloud that are compared
_CLOSE = 0.25  # distance of neighbours over the spread of all points


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

    def read_all(self) -> np.ndarray | None:
        """Read the whole array in place of `read`; None where that costs more than the array has bytes."""


class InMemoryArray:
    """A `StoredArray` that is already in memory."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype

    def read(self, row: int | None, columns: int) -> np.ndarray:
        """Return columns; see `StoredArray.read`."""
        return (self._array if row is None else self._array[row])[:, :columns]

    def read_all(self) -> np.ndarray:
        """Return the array."""
        return self._array


def point_cloud(source: Source, points: StoredArray, colors: StoredArray | None = None) -> RawShape:
    """Read one point cloud; only the selected row and columns are loaded.

    Args:
        source: The file, with the row of a batch.
        points: (N, C) or (B, N, C), C >= 3.
        colors: Colours of the same dimensions, or None for columns 4 to 6 of `points` where they look like colours.

    Returns:
        Points in the axes of the file. An array (3, N) with ten columns or more is transposed; (H, W, 3) is an organised cloud if
        neighbours lie close together; with intrinsics, (H, W) is a depth map.

    Raises:
        FileFormatError: If the array does not hold points, or the row does not exist.
    """
    shape = points.shape
    depth = _depth_map(source, points)
    if depth is not None:
        return depth
    if len(shape) == 3 and source.row is None and shape[0] > 1 and shape[2] in (3, 4, 6):
        organised = _organised(points, colors)
        if organised is not None:
            return organised
    row = choose_row(source, shape[0]) if len(shape) == 3 else None
    if len(shape) not in (2, 3) or shape[-1] < 3:
        raise FileFormatError(f"The array in {source.path.name} has shape {shape}; expected (N, 3) or (N, 6). Transpose or reshape it.")
    if points.dtype.kind not in "fiu":
        raise FileFormatError(f"The array in {source.path.name} has dtype {points.dtype}; expected real numbers. Convert it to float32.")
    if shape[-2] == 3 and shape[-1] >= _TRANSPOSED:
        return _transposed(source, points, row)
    count, width = shape[-2:]
    check_count(source.path, count, limits().points, of="points")
    if len(shape) == 2 and width > MAX_COLUMNS and count > 1:
        raise FileFormatError(f"The array in {source.path.name} has shape {shape}. If it is a depth map: {NEEDED}.")
    check_count(source.path, width, MAX_COLUMNS, of="columns")
    if colors is None:
        rows = points.read(row, min(width, 6))
        return RawShape(points=rows[:, :3], colors=guessed_colors(rows[:, 3:6]))
    usable = colors.shape in ((*shape[:-1], 3), (*shape[:-1], 4)) and colors.dtype.kind in "fiu"
    return RawShape(points=points.read(row, 3), colors=unit_range(colors.read(row, 3)).astype(np.float32) if usable else None)


def _depth_map(source: Source, array: StoredArray) -> RawShape | None:
    """Return the points of a depth map (H, W), (H, W, 1), or (B, H, W) with a row, if intrinsics were given; None for any other array."""
    shape = array.shape
    if source.intrinsics is None or array.dtype.kind not in "fiu" or len(shape) not in (2, 3):
        return None
    size = shape[:2] if shape[-1] == 1 else shape[-2:]
    if size[-1] <= _MAX_POINT_COLUMNS:
        return None
    check_count(source.path, math.prod(size), limits().points, of="pixels")
    depth = array.read_all() if shape[-1] == 1 else array.read(choose_row(source, shape[0]) if len(shape) == 3 else None, size[-1])
    return None if depth is None else depth_cloud(source, depth.reshape(size), source.intrinsics)


def _organised(points: StoredArray, colors: StoredArray | None) -> RawShape | None:
    """Return the points of an image of positions (H, W, 3), where neighbours lie close together; None for a batch of clouds."""
    height, width, _ = points.shape
    if min(height, width) < _SMALLEST_GRID or height * width > limits().points or points.dtype.kind not in "fiu":
        return None
    whole = points.read_all()
    if whole is None or not _is_smooth(whole[..., :3]):
        return None
    rows = whole.reshape(height * width, -1)
    found = colors.read_all() if colors is not None and colors.shape == (height, width, 3) and colors.dtype.kind in "fiu" else None
    shades = guessed_colors(rows[:, 3:6].astype(np.float32)) if found is None else unit_range(found.reshape(-1, 3)).astype(np.float32)
    measured = np.isfinite(rows[:, :3]).all(axis=1) & rows[:, :3].any(axis=1)
    notes = (f"An organised cloud of {width} x {height} points: {int(measured.sum()):,} of them were measured.",)
    return RawShape(points=rows[measured, :3], colors=None if shades is None else shades[measured], notes=notes)


def _is_smooth(grid: np.ndarray) -> bool:
    """Return whether neighbours along both axes of (H, W, 3) positions are much closer to each other than the points are spread."""
    step = tuple(max(1, side // _SAMPLED) for side in grid.shape[:2])
    with np.errstate(invalid="ignore", over="ignore"):
        here = grid[:: step[0], :: step[1]].astype(np.float64)
        here[~here.any(axis=2)] = np.nan
        spread = np.linalg.norm(np.nanstd(here, axis=(0, 1)))
        right = grid[:: step[0], 1 :: step[1]].astype(np.float64)
        below = grid[1 :: step[0], :: step[1]].astype(np.float64)
        gaps = [np.nanmedian(np.linalg.norm(here[: len(next_), : next_.shape[1]] - next_, axis=2)) for next_ in (right, below)]
    return bool(max(gaps) < _CLOSE * spread)


def _transposed(source: Source, points: StoredArray, row: int | None) -> RawShape:
    """Return the points of an array (3, N) or (B, 3, N)."""
    count = points.shape[-1]
    check_count(source.path, count, limits().points, of="points")
    notes = (f"The array has shape {points.shape}; its columns were read as points.",)
    return RawShape(points=points.read(row, count).T, notes=notes)


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
    """Return the name of the array to read: the first of `choices` that exists, or the only one there is; with intrinsics a depth map.

    Raises:
        FileFormatError: If there is none.
    """
    depth = next((key for key in DEPTH_KEYS if key in names), None)
    if depth is not None and source.intrinsics is not None:
        return depth
    found = next((key for key in choices if key in names), None)
    if found is None and depth is not None:
        raise FileFormatError(f"{source.path.name} holds a depth map, {depth!r}. {NEEDED}.")
    if found is None and len(names) == 1:
        return next(iter(names))
    if found is None:
        shown = ", ".join(f"{name!r:.80}" for name in islice(names, 10)) or "nothing"
        raise FileFormatError(f"{source.path.name} has no array of points; it holds {shown}. Name it one of {', '.join(choices)}.")
    return found
