"""LAS and LAZ, the formats of airborne and terrestrial laser scans, by laspy (extra `lidar`)."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.checks import check_count
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

_CHANNELS = ("red", "green", "blue")
_PART_BYTES = 1 << 23  # bytes of points decoded at a time
_VLR_BYTES, _EVLR_BYTES, _CHUNK_BYTES = 54, 60, 16  # smallest size of a record header, extended header and LAZ chunk


def read_las(source: Source) -> RawShape:
    """Read all points of LAS or LAZ, with colours if the point format has them.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file; +Z is up in this format.

    Raises:
        MissingExtraError: If laspy is not installed.
        FileFormatError: If the file declares more than it can hold.
    """
    if importlib.util.find_spec("laspy") is None:
        raise MissingExtraError(f"Reading {source.path.name} needs laspy. Run `pip install 'basrelief[lidar]'`.")
    import laspy

    _check_header(source)
    try:
        with laspy.open(source.path, read_evlrs=False) as reader:
            points, colors = _points(reader)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # from the Rust decoder; not a subclass of Exception
            raise
        raise FileFormatError(f"A LAZ chunk of {source.path.name} is damaged. Download the file again.") from error
    return RawShape(points=points, colors=colors, up="z", up_reason="LAS is +Z up by its specification")


def _points(reader: Any) -> tuple[np.ndarray, np.ndarray | None]:  # noqa: ANN401 - laspy is not typed
    """Read positions and colours in parts; many writers store 8-bit colours in the 16-bit fields."""
    header = reader.header
    names = set(header.point_format.dimension_names)
    points = np.empty((header.point_count, 3))
    rgb = np.empty((header.point_count, 3), dtype=np.uint16) if names >= set(_CHANNELS) else None
    at = 0
    for part in reader.chunk_iterator(max(1, _PART_BYTES // header.point_format.size)):
        rows = slice(at, at + len(part))
        for axis, name in enumerate("xyz"):
            points[rows, axis] = getattr(part, name)
        for axis, name in enumerate(_CHANNELS if rgb is not None else ()):
            rgb[rows, axis] = part[name]  # type: ignore[index]
        at += len(part)
    if at != len(points):
        raise ValueError(f"it ends after {at:,} of {len(points):,} points")
    top = 0 if rgb is None else int(rgb.max(initial=0))
    return points, None if rgb is None or top == 0 else np.divide(rgb, 255 if top <= 255 else 65535, dtype=np.float32)


def _check_header(source: Source) -> None:
    """Check the header against the file size; laspy and its decoder trust it and would loop or run out of memory."""
    head = source.head(375).ljust(375, b"\0")
    modern = head[24:26] >= b"\x01\x04"
    start = _unsigned(head[96:100])
    count = _unsigned(head[247:255]) if modern else _unsigned(head[107:111])
    packed = head[104] >= 128
    check_count(source.path, count, limits().points, of="points")
    _check_fits(source, start, 0)
    _check_fits(source, _unsigned(head[94:96]), _unsigned(head[100:104]) * _VLR_BYTES)
    if modern:
        _check_fits(source, _unsigned(head[235:243]), _unsigned(head[243:247]) * _EVLR_BYTES)
    size = count * _unsigned(head[105:107])
    _check_fits(source, start, -(-size // limits().packing_ratio) if packed else size)
    if packed and count:
        _check_chunk_table(source, start)


def _check_chunk_table(source: Source, start: int) -> None:
    with source.path.open("rb") as file:
        file.seek(start)
        table = int.from_bytes(file.read(8), "little", signed=True)
        if table == -1:  # written as a stream: the position is at the end of the file
            file.seek(source.size - 8)
            table = int.from_bytes(file.read(8), "little", signed=True)
        _check_fits(source, max(table, 0), 8)
        file.seek(max(table, 0) + 4)
        _check_fits(source, start, _unsigned(file.read(4)) * _CHUNK_BYTES)


def _check_fits(source: Source, start: int, size: int) -> None:
    if start + size > source.size:
        raise FileFormatError(f"{source.path.name} is truncated: it holds {source.size:,} of {start + size:,} bytes. Download it again.")


def _unsigned(data: bytes) -> int:
    return int.from_bytes(data, "little")
