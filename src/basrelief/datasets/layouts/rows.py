"""Labels of files that store one shape per row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import parser_errors

MAX_ROWS = 1_000_000


def row_labels(path: Path, classes: int) -> list[int]:
    """Read `label` of an HDF5 file, one number for each row of `data`.

    Args:
        path: The file.
        classes: Number of classes.

    Raises:
        FileFormatError: If the file is broken, lacks `data` or `label`, or a label is out of range.
    """
    import h5py

    with parser_errors(path, "h5"), h5py.File(path, "r") as file:
        data, label = (file.get(key) if isinstance(file.get(key, getlink=True), h5py.HardLink) else None for key in ("data", "label"))
        if not isinstance(data, h5py.Dataset) or not isinstance(label, h5py.Dataset) or not _readable(label) or not data.ndim:
            raise FileFormatError(f"{path.name} has {sorted(file)[:9]}; expected `data` and `label`. Download the file again.")
        labels = np.asarray(label[:]).reshape(-1)
        rows = len(data)
    return checked_labels(labels, rows=rows, classes=classes, path=path)


def _readable(label: Any) -> bool:  # noqa: ANN401 - h5py is imported late
    """Return whether a data set is numeric, stored in this file, and has at most `MAX_ROWS` values."""
    return bool(label.dtype.kind in "iuf" and label.size <= MAX_ROWS and not label.external and not label.is_virtual)


def checked_labels(labels: np.ndarray, *, rows: int, classes: int, path: Path) -> list[int]:
    """Check the class numbers of the rows of a file and return them as integers.

    Raises:
        FileFormatError: If their number is not `rows`, or one is not a whole number in [0, `classes`).
    """
    if len(labels) != rows:
        raise FileFormatError(f"{path.name} has {len(labels)} labels for {rows} shapes. Download it again.")
    if labels.dtype.kind not in "iuf" or not np.isfinite(labels).all() or (labels != labels.astype(np.int64)).any():
        raise FileFormatError(f"{path.name} has labels that are not whole numbers ({labels.dtype}). Download it again.")
    if rows and (labels.min() < 0 or labels.max() >= classes):
        raise FileFormatError(
            f"{path.name} has labels from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}. This is other data."
        )
    return [int(label) for label in labels]
