"""Points as arrays: npy, npz and HDF5."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.colors import unit_range
from basrelief.io.objects import holds_objects, read_objects
from basrelief.io.source import Raw, Source
from basrelief.io.text import guessed_colors
from basrelief.io.xml import check_archive
from basrelief.limits import limits

POINT_KEYS = ("points", "xyz", "pos", "positions", "vertices", "coord", "data", "pc", "arr_0")
COLOR_KEYS = ("colors", "rgb", "color")
MAX_COLUMNS = 256


def read_npy(source: Source) -> Raw:
    """Read one array (N, 3) or (N, 6 and more), or `xyz` and `rgb` of OpenShape's clouds; no pickle is ever run.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file, with colours where columns 4 to 6 look so.
    """
    if holds_objects(source.path):
        return _object(source, read_objects(source.path))
    return _cloud(source, np.load(source.path, mmap_mode="r", allow_pickle=False))


def read_npz(source: Source) -> Raw:
    """Read the array named as one of `POINT_KEYS`, and colours from one of `COLOR_KEYS`; never a pickle.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file.
    """
    with zipfile.ZipFile(source.path) as archive:
        check_archive(source.path, archive)
        for member in archive.infolist():
            _check_member(source.path, archive, member)
    with np.load(source.path, allow_pickle=False) as arrays:
        points = arrays[_key(source, arrays.files, POINT_KEYS)]
        color = next((key for key in COLOR_KEYS if key in arrays.files), None)
        return _cloud(source, points, None if color is None else arrays[color])


def read_h5(source: Source) -> Raw:
    """Read the data set named as one of `POINT_KEYS`: (N, 3), or (B, N, 3) with the shape named as `file.h5#12`.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file.
    """
    import h5py

    with h5py.File(source.path, "r") as file:
        points = _dataset(source, file, _key(source, list(file), POINT_KEYS))
        color = next((key for key in COLOR_KEYS if key in file), None)
        colors = None if color is None else _dataset(source, file, color)
        return _cloud(source, points, colors)


def _dataset(source: Source, file: Any, name: str) -> Any:  # noqa: ANN401 - h5py is not typed
    """Open a data set that lies in this very file and is not larger than the limit."""
    import h5py

    data = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise FileFormatError(
            f"path must hold its own data, but got {name!r} in {source.path.name}, which lies elsewhere. Copy the data into the file."
        )
    chunk = math.prod(data.chunks or (0,)) * data.dtype.itemsize
    check_count(source.path, chunk, limits().unpacked_bytes, of="bytes in a chunk")
    return data


def _object(source: Source, objects: np.ndarray) -> Raw:
    """Choose a cloud among dicts of arrays, or a row of a dict of stacked arrays."""
    record = objects.item() if objects.ndim == 0 else objects.reshape(-1)[_row(source, objects.size)]
    arrays = {key: value for key, value in record.items() if isinstance(value, np.ndarray)} if isinstance(record, dict) else {}
    points = arrays[_key(source, arrays, POINT_KEYS)]
    color = next((key for key in COLOR_KEYS if key in arrays), None)
    return _cloud(source, points, None if color is None else arrays[color])


def _cloud(source: Source, points: Any, colors: Any = None) -> Raw:  # noqa: ANN401 - an array or an HDF5 data set
    """Choose the row of a batch, then split columns; only the chosen part is read."""
    if points.ndim == 3:
        points, colors = (None if batch is None else batch[_row(source, len(points))] for batch in (points, colors))
    if points.ndim != 2 or points.shape[1] < 3:
        raise FileFormatError(
            f"path must hold an array (N, 3), but got {tuple(points.shape)} in {source.path.name}. Transpose or reshape it."
        )
    check_count(source.path, len(points), limits().points, of="points")
    check_count(source.path, points.shape[1], MAX_COLUMNS, of="columns")
    if points.dtype.kind not in "fiu":
        raise FileFormatError(f"path must hold real numbers, but got dtype {points.dtype} in {source.path.name}. Convert it to float32.")
    rows = np.asarray(points[:])
    if colors is None:
        return Raw(points=rows[:, :3], colors=guessed_colors(rows[:, 3:6]))
    usable = colors.shape in ((len(rows), 3), (len(rows), 4)) and colors.dtype.kind in "fiu"
    return Raw(points=rows[:, :3], colors=unit_range(np.asarray(colors[:])) if usable else None)


def _row(source: Source, count: int) -> int:
    row = 0 if source.row is None and count == 1 else source.row
    if row is None or row >= count:
        name = source.path.name
        given = name if row is None else f"{name}#{row}"
        raise FileFormatError(f"path must name one of {count} shapes, but got {given}. Write {name}#0 to {name}#{count - 1}.")
    return row


def _key(source: Source, names: Iterable[str], choices: tuple[str, ...]) -> str:
    present = list(names)
    found = next((key for key in choices if key in present), present[0] if len(present) == 1 else None)
    if found is None:
        shown = ", ".join(map(repr, present[:10])) or "nothing"
        raise FileFormatError(
            f"path must hold an array named one of {', '.join(choices)}, but got {shown} in {source.path.name}. Rename it."
        )
    return found


def _check_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Compare the size that an array's header declares with the bytes that the archive has for it."""
    readers: Mapping[tuple[int, int], Callable[..., Any]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        shape, _, dtype = readers[version](file)
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise FileFormatError(
            f"path must hold the data it declares, but got {member.filename!r} in {path.name} declared {shape}. The file is truncated."
        )
