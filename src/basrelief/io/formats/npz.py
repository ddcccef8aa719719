"""NumPy .npz archives."""

from __future__ import annotations

import zipfile
from typing import Any

from basrelief.io.archive import open_archive
from basrelief.io.formats.arrays import COLOR_KEYS, POINT_KEYS, choose_key, point_cloud
from basrelief.io.formats.npy_array import NpyArray, read_header
from basrelief.io.source import RawShape, Source


def read_npz(source: Source) -> RawShape:
    """Read .npz: the array named as one of `POINT_KEYS`, colours as one of `COLOR_KEYS`. Pickles are never read.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file.
    """
    with open_archive(source.path) as archive:
        names = {name.removesuffix(".npy"): name for name in archive.namelist()}
        key = choose_key(source, names, POINT_KEYS)
        color = next((key for key in COLOR_KEYS if key in names), None)
        with archive.open(names[key]) as points:
            if color is None:
                return point_cloud(source, _member(source, archive, points))
            with archive.open(names[color]) as colors:
                return point_cloud(source, _member(source, archive, points), _member(source, archive, colors))


def _member(source: Source, archive: zipfile.ZipFile, file: Any) -> NpyArray:  # noqa: ANN401 - a member as zipfile opens it
    name = str(file.name)
    return NpyArray(source.path, file, read_header(source.path, file), archive.getinfo(name).file_size)
