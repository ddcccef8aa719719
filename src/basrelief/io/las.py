"""LAS and LAZ, the formats of airborne and terrestrial laser scans, by laspy (extra `lidar`)."""

from __future__ import annotations

import importlib.util

import numpy as np

from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.checks import check_count
from basrelief.io.source import Raw, Source
from basrelief.limits import limits

_VLR_BYTES, _EVLR_BYTES, _CHUNK_BYTES = 54, 60, 16  # the least that one record header, extended header or LAZ chunk takes


def read_las(source: Source) -> Raw:
    """Read LAS or LAZ, all points, with colours where the point format has them.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file; +Z is up in this format.

    Raises:
        MissingExtraError: If laspy is not installed.
        FileFormatError: If the file declares more than it can hold.
    """
    if importlib.util.find_spec("laspy") is None:
        raise MissingExtraError(
            f"{source.path.name} must be read with laspy, but got none installed. Run `pip install 'basrelief[lidar]'`."
        )
    import laspy

    _check_header(source)
    try:
        table = laspy.read(source.path)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the Rust decoder; not an Exception
            raise
        raise FileFormatError(f"path must hold whole LAZ chunks, but got {source.path.name} with a damaged one. Fetch it again.") from error
    return Raw(points=np.asarray(table.xyz), colors=_colors(table), up="z", up_reason="LAS is +Z up by its specification")


def _check_header(source: Source) -> None:
    """Check what the header declares against the file; laspy and its decoder believe it and would loop or run out of memory."""
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
        if table == -1:  # written by a stream: the position is at the end
            file.seek(source.size - 8)
            table = int.from_bytes(file.read(8), "little", signed=True)
        _check_fits(source, max(table, 0), 8)
        file.seek(max(table, 0) + 4)
        _check_fits(source, start, _unsigned(file.read(4)) * _CHUNK_BYTES)


def _check_fits(source: Source, start: int, size: int) -> None:
    if start + size > source.size:
        raise FileFormatError(
            f"path must hold the data it declares, but got {source.size:,} of {start + size:,} bytes in {source.path.name}. "
            "The file is truncated."
        )


def _unsigned(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _colors(table: object) -> np.ndarray | None:
    """Scale 16-bit colours; many writers store 8 bits in them."""
    channels = [getattr(table, name, None) for name in ("red", "green", "blue")]
    if any(channel is None for channel in channels):
        return None
    rgb = np.stack([np.asarray(channel, dtype=np.float64) for channel in channels], axis=1)
    top = rgb.max(initial=0)
    return rgb / (255 if top <= 255 else 65535) if top > 0 else None
