"""From a path to a shape in the world frame: right-handed, +Z up."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from basrelief.errors import ConfigError, FileFormatError, GeometryError, unknown_choice
from basrelief.geometry import UP_AXES, guess_up, rotation_to_z_up, sample_surface
from basrelief.io.arrays import read_h5, read_npy, read_npz
from basrelief.io.checks import border
from basrelief.io.dae import read_dae
from basrelief.io.gltf import read_gltf
from basrelief.io.las import read_las
from basrelief.io.obj import read_obj
from basrelief.io.off import read_off
from basrelief.io.pcd import read_pcd
from basrelief.io.ply import read_ply
from basrelief.io.sniff import check_content
from basrelief.io.source import Raw, Source, open_source
from basrelief.io.stl import read_stl
from basrelief.io.text import read_text
from basrelief.io.threemf import read_3mf
from basrelief.types import Mesh, Origin, PointCloud

_READERS: Mapping[str, Callable[[Source], Raw]] = MappingProxyType(
    {
        "glb": read_gltf,
        "gltf": read_gltf,
        "obj": read_obj,
        "stl": read_stl,
        "ply": read_ply,
        "off": read_off,
        "3mf": read_3mf,
        "dae": read_dae,
        "pcd": read_pcd,
        "xyz": read_text,
        "txt": read_text,
        "pts": read_text,
        "npy": read_npy,
        "npz": read_npz,
        "h5": read_h5,
        "hdf5": read_h5,
        "las": read_las,
        "laz": read_las,
    }
)
FORMATS: tuple[str, ...] = tuple(_READERS)

AUTO = "auto"
"""Value of `up` for a guess where the format states no axis."""

_LOOKED_AT = 4096
_FAR = 168  # distance over extent at which float32 rounding reaches 1e-5 of the extent


def load(path: str | os.PathLike[str], up: str | None = None) -> PointCloud | Mesh:
    """Read a shape from a file and turn it to the world frame.

    The up axis is `up` when given, else what the file or its format states (glTF +Y, COLLADA `<up_axis>`, 3MF, PCD and LAS +Z), else +Z.
    Rows of a point cloud that hold NaN or infinity are dropped; far-off coordinates are moved to the origin where float32 could not tell
    neighbours apart. `shape.origin` says all of it.

    With `up="auto"`, a file that states no axis is looked at: what it would stand on, its balance and symmetry decide.

    Args:
        path: A file whose suffix is one of `FORMATS`; `file.h5#12` is the twelfth shape, from zero, of a file that holds many.
        up: The axis of the file that points up: one of `x`, `y`, `z`, `-x`, `-y`, `-z`; None for the format's rule, else +Z; `auto` for the
            format's rule, else what `basrelief.geometry.guess_up` says.

    Returns:
        A mesh if the file holds faces, else a point cloud; scene units are those of the file.

    Raises:
        FileFormatError: If the file is missing, broken, too large, or not what its suffix says.
        GeometryError: If it holds no usable shape: no point, or a mesh with NaN or infinity.
        MissingExtraError: If the library for this format is not installed.
        ConfigError: If `up` is not an axis.
    """
    if up is not None and up not in (*UP_AXES, AUTO):
        raise ConfigError(unknown_choice("up", up, (*UP_AXES, AUTO)))
    source = open_source(path)
    if source.format not in _READERS:
        raise FileFormatError(unknown_choice("path suffix", source.format, FORMATS))
    check_content(source)
    with border(source.path, source.format):
        raw = _READERS[source.format](source)
    return _to_world(source, raw, up)


def _to_world(source: Source, raw: Raw, up: str | None) -> PointCloud | Mesh:
    axis, reason = _up_axis(source, raw, up)
    notes = list(raw.notes)
    points, colors = np.asarray(raw.points, dtype=np.float64), raw.colors
    if raw.faces is None:
        kept = np.atleast_1d(np.isfinite(points).all(axis=1))
        if kept.any() and not kept.all():
            notes.append(f"{int((~kept).sum())} of {len(kept)} points are not finite and were dropped.")
            points, colors = points[kept], None if colors is None else colors[kept]
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is reported by the shape itself
        points = _nearer(points, notes) @ rotation_to_z_up(axis).T
    origin = Origin(path=str(source.path), format=source.format, up=axis, up_reason=reason, notes=tuple(notes))
    if raw.faces is None:
        return PointCloud(points=points, colors=colors, origin=origin)
    return Mesh(vertices=points, faces=raw.faces, colors=colors, origin=origin)


def _up_axis(source: Source, raw: Raw, up: str | None) -> tuple[str, str]:
    if up is not None and up != AUTO:
        return up, "given by the caller"
    if raw.up is not None:
        return raw.up, raw.up_reason
    if up == AUTO:
        return _guessed(raw)
    return "z", f".{source.format} files do not say which axis is up; +Z is assumed"


def _guessed(raw: Raw) -> tuple[str, str]:
    points = np.asarray(raw.points, dtype=np.float64)
    points = points[np.isfinite(points).all(axis=1)] if raw.faces is None else points
    try:
        shape = PointCloud(points - points[:1]) if raw.faces is None else Mesh(points - points[:1], raw.faces)
        surface = sample_surface(shape, _LOOKED_AT) if isinstance(shape, Mesh) else shape
    except GeometryError:
        return "z", "nothing to guess from; +Z is assumed"
    axis, chance = guess_up(surface.points)
    return axis, f"guessed from how it stands, {chance:.0%} sure"


def _nearer(points: np.ndarray, notes: list[str]) -> np.ndarray:
    """Move points that lie too far off for float32, such as survey coordinates in metres."""
    low, high = points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    if not np.isfinite([low, high]).all():
        return points
    extent = float((high - low).max())
    if extent <= 0 or float(np.abs([low, high]).max()) <= _FAR * extent:
        return points
    middle = np.round((low + high) / 2)
    notes.append(f"Moved by {(-middle).tolist()}, in the axes of the file, because float32 cannot hold such coordinates exactly.")
    near: np.ndarray = points - middle
    return near
