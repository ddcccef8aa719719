"""NumPy .npy files: one array, or OpenShape's dicts of arrays."""

from __future__ import annotations

import numpy as np

from basrelief.io.formats.arrays import COLOR_KEYS, POINT_KEYS, InMemoryArray, choose_key, choose_row, point_cloud
from basrelief.io.formats.npy_array import NpyArray, read_header
from basrelief.io.formats.objects import read_objects
from basrelief.io.source import RawShape, Source


def read_npy(source: Source) -> RawShape:
    """Read .npy: an array (N, 3) or (N, 6 or more), or `xyz` and `rgb` of OpenShape's clouds. Pickles are never executed.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file, with colours where columns 4 to 6 look like colours.
    """
    with source.path.open("rb") as file:
        header = read_header(source.path, file)
        if header.dtype is not None:
            return point_cloud(source, NpyArray(source.path, file, header, source.size))
    return _from_objects(source, read_objects(source.path))


def _from_objects(source: Source, objects: np.ndarray) -> RawShape:
    """Select a cloud among dicts of arrays, or a row of a dict of stacked arrays."""
    record = objects.item() if objects.ndim == 0 else objects.reshape(-1)[choose_row(source, objects.size)]
    arrays = {key: value for key, value in record.items() if isinstance(value, np.ndarray)} if isinstance(record, dict) else {}
    points = arrays[choose_key(source, arrays, POINT_KEYS)]
    color = next((key for key in COLOR_KEYS if key in arrays), None)
    return point_cloud(source, InMemoryArray(points), None if color is None else InMemoryArray(arrays[color]))
