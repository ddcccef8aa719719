"""NumPy .npz archives."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from basrelief.io.archive import open_archive
from basrelief.io.formats.arrays import COLOR_KEYS, DEPTH_KEYS, INTRINSICS_KEYS, POINT_KEYS, choose_key, point_cloud
from basrelief.io.formats.npy_array import NpyArray, read_header
from basrelief.io.intrinsics import Intrinsics, parse_intrinsics
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
        source = replace(source, intrinsics=source.intrinsics or _intrinsics(source, archive, names))
        key = choose_key(source, names, POINT_KEYS)
        color = next((key for key in COLOR_KEYS if key in names), None)
        with archive.open(names[key]) as points:
            if color is None:
                return point_cloud(source, _member(source, archive, points))
            with archive.open(names[color]) as colors:
                return point_cloud(source, _member(source, archive, points), _member(source, archive, colors))


def _intrinsics(source: Source, archive: zipfile.ZipFile, names: Mapping[str, str]) -> Intrinsics | None:
    """Return the camera matrix that is stored beside a depth map."""
    key = next((key for key in INTRINSICS_KEYS if key in names), None)
    if key is None or not set(DEPTH_KEYS) & set(names):
        return None
    with archive.open(names[key]) as file:
        array = _member(source, archive, file)
        if math.prod(array.shape) not in (4, 9, 16) or array.dtype.kind not in "fiu":
            return None
        return parse_intrinsics(array.read_all().reshape(-1).tolist())


def _member(source: Source, archive: zipfile.ZipFile, file: Any) -> NpyArray:  # noqa: ANN401 - a member as zipfile opens it
    name = str(file.name)
    return NpyArray(source.path, file, read_header(source.path, file), archive.getinfo(name).file_size)
