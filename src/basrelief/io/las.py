"""LAS and LAZ, the formats of airborne and terrestrial laser scans, by laspy (extra `lidar`)."""

from __future__ import annotations

import importlib.util

import numpy as np

from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.limits import MAX_POINTS, check_count
from basrelief.io.source import Raw, Source


def read_las(source: Source) -> Raw:
    """Read LAS or LAZ, all points, with colours where the point format has them.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file; +Z is up in this format.

    Raises:
        MissingExtraError: If laspy is not installed.
        FileFormatError: If the file declares more points than it holds or than are read.
    """
    if importlib.util.find_spec("laspy") is None:
        raise MissingExtraError(
            f"{source.path.name} must be read with laspy, but got none installed. Run `pip install 'basrelief[lidar]'`."
        )
    import laspy

    with laspy.open(source.path) as file:
        header = file.header
        check_count(source.path, header.point_count, MAX_POINTS, of="points")
        needed = header.offset_to_point_data + header.point_count * header.point_format.size
        if not header.are_points_compressed and needed > source.size:
            raise FileFormatError(
                f"path must hold the data it declares, but got {source.size:,} of {needed:,} bytes in {source.path.name}. "
                "The file is truncated."
            )
        table = file.read()
    return Raw(points=np.asarray(table.xyz), colors=_colors(table), up="z", up_reason="LAS is +Z up by its specification")


def _colors(table: object) -> np.ndarray | None:
    """Scale 16-bit colours; many writers store 8 bits in them."""
    channels = [getattr(table, name, None) for name in ("red", "green", "blue")]
    if any(channel is None for channel in channels):
        return None
    rgb = np.stack([np.asarray(channel, dtype=np.float64) for channel in channels], axis=1)
    top = rgb.max(initial=0)
    return rgb / (255 if top <= 255 else 65535) if top > 0 else None
