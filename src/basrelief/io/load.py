"""Load a shape from a file into the world frame: right-handed, +Z up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from basrelief.errors import ConfigError, FileFormatError, GeometryError, unknown_choice
from basrelief.geometry import UP_AXES, guess_up, rotation_to_z_up, sample_surface
from basrelief.io.checks import parser_errors
from basrelief.io.formats.dae import read_dae
from basrelief.io.formats.depth import IMAGES, read_depth_image
from basrelief.io.formats.fbx import read_fbx
from basrelief.io.formats.gltf import read_gltf
from basrelief.io.formats.hdf5 import read_h5
from basrelief.io.formats.las import read_las
from basrelief.io.formats.npy import read_npy
from basrelief.io.formats.npz import read_npz
from basrelief.io.formats.obj import read_obj
from basrelief.io.formats.off import read_off
from basrelief.io.formats.pcd import read_pcd
from basrelief.io.formats.ply import read_ply
from basrelief.io.formats.step import read_step
from basrelief.io.formats.stl import read_stl
from basrelief.io.formats.text import read_text
from basrelief.io.formats.threemf import read_3mf
from basrelief.io.formats.usd import read_usd
from basrelief.io.intrinsics import Intrinsics, parse_intrinsics
from basrelief.io.sniff import check_content
from basrelief.io.source import RawShape, Source, open_source
from basrelief.types import Mesh, Origin, PointCloud

_READERS: Mapping[str, Callable[[Source], RawShape]] = MappingProxyType(
    {
        "glb": read_gltf,
        "gltf": read_gltf,
        "obj": read_obj,
        "stl": read_stl,
        "ply": read_ply,
        "off": read_off,
        "3mf": read_3mf,
        "dae": read_dae,
        "fbx": read_fbx,
        "usd": read_usd,
        "usda": read_usd,
        "usdc": read_usd,
        "usdz": read_usd,
        "step": read_step,
        "stp": read_step,
        "iges": read_step,
        "igs": read_step,
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
"""Value of `up` that guesses the axis if the format does not state one."""

_GUESS_POINTS = 4096
_CHUNK = 1 << 18  # points computed at a time
_FARTHEST = 1e18  # beyond it, squared distances overflow float32
_FAR = 168  # distance over extent at which float32 rounding reaches 1e-5 of the extent


def load(
    path: str | os.PathLike[str], up: str | None = None, *, intrinsics: Intrinsics | str | os.PathLike[str] | Sequence[float] | None = None
) -> PointCloud | Mesh:
    """Read a shape from a file and rotate it to the world frame.

    The up axis is `up` when given, else what the file or its format states (glTF +Y, COLLADA `<up_axis>`, 3MF, PCD and LAS +Z), else +Z.
    Points with NaN or infinity are dropped; coordinates too far away for float32 are moved to the origin. `shape.origin` records both.

    With `up="auto"` the axis of a file that states none is guessed from ground contact, balance and symmetry.

    Args:
        path: A file whose suffix is one of `FORMATS`; `file.h5#12` selects shape 12, counted from zero, of a file with many.
        up: The axis of the file that points up: one of `x`, `y`, `z`, `-x`, `-y`, `-z`; None for the format's rule, else +Z; `auto` for the
            format's rule, else `basrelief.geometry.guess_up`.
        intrinsics: Camera of a depth map (.npy, .npz, .h5, 16-bit .png): fx, fy, cx, cy in pixels, or a JSON or text file that holds them.
            Other files do not need it.

    Returns:
        A mesh if the file holds faces, else a point cloud; scene units are those of the file.

    Raises:
        FileFormatError: If the file is missing, broken, too large, or not what its suffix says.
        GeometryError: If it holds no usable shape: no points, or a mesh with NaN or infinity.
        MissingExtraError: If the library for this format is not installed.
        ConfigError: If `up` is not an axis, or the intrinsics are incomplete.

    Example:
        >>> import basrelief as br
        >>> br.load("examples/shapes/chair.glb").origin.up
        'y'
    """
    if up is not None and up not in (*UP_AXES, AUTO):
        raise ConfigError(unknown_choice("up axis", up, (*UP_AXES, AUTO)))
    source = open_source(path)
    if intrinsics is not None:
        source = replace(source, intrinsics=parse_intrinsics(intrinsics))
    if source.format not in _READERS and source.format not in IMAGES:
        raise FileFormatError(unknown_choice("file format", source.format, FORMATS))
    if source.format not in IMAGES:
        check_content(source)
    return _to_world(source, _read(source), up)


def _read(source: Source) -> RawShape:
    with parser_errors(source.path, source.format):
        return (read_depth_image if source.format in IMAGES else _READERS[source.format])(source)


def _to_world(source: Source, raw: RawShape, up: str | None) -> PointCloud | Mesh:
    """Rotate a shape to the world frame in chunks, so that only one more copy of the positions exists, in float32."""
    axis, reason = _up_axis(source, raw, up)
    notes = list(raw.notes)
    kept = _usable(raw, notes)
    turn = rotation_to_z_up(axis).T
    rows = len(raw.points) if kept is None else int(np.count_nonzero(kept))
    points, at = np.empty((rows, 3), dtype=np.float32), 0
    with np.errstate(invalid="ignore", over="ignore"):  # the shape itself reports values that are not finite
        shift = _shift(raw, kept, notes)
        for chunk in _chunks(len(raw.points)):
            moved = (_positions(raw, chunk, kept) - shift) @ turn
            points[at : at + len(moved)] = moved
            at += len(moved)
    colors = raw.colors if raw.colors is None or kept is None else raw.colors[kept]
    offset = (float(shift[0]), float(shift[1]), float(shift[2]))
    origin = Origin(path=str(source.path), format=source.format, up=axis, up_reason=reason, notes=tuple(notes), offset=offset)
    if raw.faces is None:
        return PointCloud(points=points, colors=colors, origin=origin)
    return Mesh(vertices=points, faces=raw.faces, colors=colors, origin=origin, appearance=raw.appearance)


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


def _positions(raw: RawShape, chunk: slice, kept: np.ndarray | None) -> np.ndarray:
    points = raw.points[chunk] if kept is None else raw.points[chunk][kept[chunk]]
    return points.astype(np.float64)


def _usable(raw: RawShape, notes: list[str]) -> np.ndarray | None:
    """Return a mask of the points that are finite and close enough not to overflow; None if all are.

    A mesh is usable only as a whole; so is a cloud without any usable point.
    """
    usable = np.empty(len(raw.points), dtype=bool)
    finite = 0
    for chunk in _chunks(len(raw.points)):
        with np.errstate(over="ignore"):
            points = raw.points[chunk].astype(np.float64)
        usable[chunk] = (np.abs(points) <= _FARTHEST).all(axis=1)
        finite += int(np.count_nonzero(np.isfinite(points).all(axis=1)))
    left, count = int(np.count_nonzero(usable)), len(usable)
    if left == count:
        return None
    if raw.faces is None and left:
        if finite < count:
            notes.append(f"{count - finite} of {count} points are not finite and were dropped.")
        if left < finite:
            notes.append(f"{finite - left} of {count} points are more than {_FARTHEST:g} from the origin and were dropped.")
        return usable
    if finite == count:
        name = "points" if raw.faces is None else "vertices"
        raise GeometryError(f"{count - left} of {count} {name} are more than {_FARTHEST:g} from the origin. Scale the shape down.")
    return None


def _up_axis(source: Source, raw: RawShape, up: str | None) -> tuple[str, str]:
    if up is not None and up != AUTO:
        return up, "given by the caller"
    if raw.up is not None:
        return raw.up, raw.up_reason
    if up == AUTO:
        return _guessed(raw)
    return "z", f".{source.format} files do not say which axis is up; +Z is assumed"


def _guessed(raw: RawShape) -> tuple[str, str]:
    points = raw.points
    if raw.faces is None:  # some of them are enough
        points = points[:: max(1, len(points) // _GUESS_POINTS // 16)].astype(np.float64)
        points = points[np.isfinite(points).all(axis=1)]
    else:
        points = points.astype(np.float64)
    try:
        shape = PointCloud(points - points[:1]) if raw.faces is None else Mesh(points - points[:1], raw.faces)
        surface = sample_surface(shape, _GUESS_POINTS) if isinstance(shape, Mesh) else shape
    except GeometryError:
        return "z", "there is nothing to guess from; +Z is assumed"
    axis, chance = guess_up(surface.points)
    return axis, f"guessed from its geometry ({chance:.0%} sure)"


def _shift(raw: RawShape, kept: np.ndarray | None, notes: list[str]) -> np.ndarray:
    """Return the offset of points too far from the origin for float32, such as survey coordinates; zeros for others."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for chunk in _chunks(len(raw.points)):
        part = _positions(raw, chunk, kept)
        low = np.minimum(low, part.min(axis=0, initial=np.inf))
        high = np.maximum(high, part.max(axis=0, initial=-np.inf))
    middle = far_offset(low, high)
    if not middle.any() and raw.faces is None:  # a few points at the origin must not cost all others their precision
        sample = _positions(raw, slice(None, None, max(1, len(raw.points) // _CHUNK)), kept)
        middle = far_offset(*np.percentile(sample, [1, 99], axis=0)) if len(sample) else middle
    if middle.any():
        notes.append(f"Moved by {(-middle).tolist()}, in the axes of the file, because float32 cannot hold such coordinates exactly.")
    return middle


def far_offset(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the whole-number offset (3,) of points between two corners that are too far from the origin for float32; else zeros."""
    if not np.isfinite([low, high]).all():
        return np.zeros(3)
    extent = float((high - low).max())
    if extent <= 0 or float(np.abs([low, high]).max()) <= _FAR * extent:
        return np.zeros(3)
    middle: np.ndarray = np.round((low + high) / 2)
    return middle
