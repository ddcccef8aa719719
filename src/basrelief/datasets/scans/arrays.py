"""Arrays of scans: extents of instances, rigid alignment, and `.npy` files of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count, parser_errors
from basrelief.limits import limits

_RIGID = 1e-3  # how far a stored rotation may be from one


def extents(
    points: Float32[np.ndarray, "points 3"], ids: Int[np.ndarray, " points"]
) -> tuple[Int[np.ndarray, " instances"], Float32[np.ndarray, "instances 3"], Float32[np.ndarray, "instances 3"]]:
    """Return the different ids, sorted, with the lowest and highest coordinates of the points of each."""
    order = np.argsort(ids, kind="stable")
    names, starts = np.unique(ids[order], return_index=True)
    if not len(names):
        return names, np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)
    return names, np.minimum.reduceat(points[order], starts), np.maximum.reduceat(points[order], starts)


def transform(points: np.ndarray, matrix: Float[np.ndarray, "4 4"]) -> Float32[np.ndarray, "points 3"]:
    """Apply a rigid transform in float64 and round once."""
    with np.errstate(over="ignore", invalid="ignore"):  # shapes report values that are not finite
        moved: np.ndarray = (points.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
    return moved


def check_rigid(path: Path, matrix: Float[np.ndarray, "4 4"]) -> None:
    """Check that a 4 x 4 matrix is a rotation and a translation.

    Raises:
        FileFormatError: If it is anything else.
    """
    turn = matrix[:3, :3]
    fits = np.isfinite(matrix).all() and np.abs(matrix[3] - (0, 0, 0, 1)).max() < _RIGID
    if not (fits and np.abs(turn).max() < 2 and np.abs(turn @ turn.T - np.eye(3)).max() < _RIGID and np.linalg.det(turn) > 0):
        raise FileFormatError(f"The alignment of {path.name} is not a rotation with a translation. Download it again.")


def read_numbers(path: Path, *, columns: int | None, least: int = 0) -> np.ndarray:
    """Read a `.npy` file of numbers; pickles are refused.

    Args:
        path: The file.
        columns: Number of columns that are read of a table; None for a plain list.
        least: Number of columns that a table must have at least; `columns` when 0.

    Returns:
        (N, columns or less) or (N,) as stored.

    Raises:
        FileFormatError: If the file is missing, broken, too long, or anything else.
    """
    if not path.is_file():
        raise FileFormatError(f"{path.name} is missing. Export the scan again.")
    with parser_errors(path, "npy"):
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        fits = stored.ndim == 1 if columns is None else stored.ndim == 2 and stored.shape[1] >= (least or columns)
        if not fits or stored.dtype.kind not in "fiu":
            wanted = "numbers (N,)" if columns is None else f"numbers (N, {columns})"
            raise FileFormatError(f"{path.name} has shape {stored.shape} and dtype {stored.dtype}; expected {wanted}. Export it again.")
        check_count(path, len(stored), limits().points, of="rows")
        return np.array(stored if columns is None else stored[:, :columns])


def read_whole_numbers(path: Path, count: int) -> Int[np.ndarray, " points"]:
    """Read a list of whole numbers, one for each point.

    Raises:
        FileFormatError: If their number is not `count` or one is not whole.
    """
    values = read_numbers(path, columns=None)
    if len(values) != count:
        raise FileFormatError(f"{path.name} has {len(values)} numbers for {count} points. Export the scan again.")
    return whole_numbers(path, values)


def whole_numbers(path: Path, values: np.ndarray) -> Int[np.ndarray, " values"]:
    """Return numbers as int64.

    Raises:
        FileFormatError: If one is not whole.
    """
    with np.errstate(invalid="ignore"):
        whole: np.ndarray = values.astype(np.int64)
        wrong = (whole != values).any() or (np.abs(values) > 1 << 53).any()
    if wrong:
        raise FileFormatError(f"{path.name} has values that are not whole numbers. Export the scan again.")
    return whole
