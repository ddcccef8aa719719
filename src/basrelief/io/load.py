"""Load a shape from a file into the world frame: right-handed, +Z up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from basrelief.errors import ConfigError, FileFormatError, GeometryError, unknown_choice
from basrelief.geometry import UP_AXES, rotation_to_z_up
from basrelief.io.broken_faces import drop_broken_faces
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
from basrelief.io.up_axis import AxisChoice, AxisEvidence, choose_axis, read_evidence, stated_axis
from basrelief.types import AxisSource, Mesh, Origin, PointCloud

if TYPE_CHECKING:
    from basrelief.io.folder_axis import FolderVote

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

IntrinsicsLike = Intrinsics | str | os.PathLike[str] | Sequence[float]
"""Camera of a depth map as `load` takes it."""

AUTO = "auto"
"""Value of `up` that decides by evidence, as None does; commands with a memory of an earlier choice drop that."""

_CHUNK = 1 << 18  # points computed at a time
_FARTHEST = 1e18  # beyond it, squared distances overflow float32
_FAR = 168  # distance over extent at which float32 rounding reaches 1e-5 of the extent


def load(path: str | os.PathLike[str], up: str | None = None, *, intrinsics: IntrinsicsLike | None = None) -> PointCloud | Mesh:
    """Read a shape from a file and rotate it to the world frame.

    The up axis is `up` when given, else what the file or its format states (glTF +Y, COLLADA `<up_axis>`, 3MF, PCD and LAS +Z), else it is
    decided by evidence: what is common for the format, what the program that wrote it does by default, and the form of the shape.
    Points with NaN or infinity are dropped, and so are faces at such vertices; coordinates too far away for float32 are moved to the
    origin. `shape.origin` records all of it.

    Args:
        path: A file whose suffix is one of `FORMATS`; `file.h5#12` selects shape 12, counted from zero, of a file with many.
        up: The axis of the file that points up: one of `x`, `y`, `z`, `-x`, `-y`, `-z`; None or `auto` to find out.
        intrinsics: Camera of a depth map (.npy, .npz, .h5, 16-bit .png): fx, fy, cx, cy in pixels, or a JSON or text file that holds them.
            Other files do not need it.

    Returns:
        A mesh if the file holds faces, else a point cloud; scene units are those of the file.

    Raises:
        FileFormatError: If the file is missing, broken, too large, or not what its suffix says.
        GeometryError: If it holds no usable shape: no points, or no face at finite vertices.
        MissingExtraError: If the library for this format is not installed.
        ConfigError: If `up` is not an axis, or the intrinsics are incomplete.

    Example:
        >>> import basrelief as br
        >>> br.load("examples/shapes/chair.glb").origin.up
        'y'
    """
    return load_with_vote(path, up, intrinsics=intrinsics)


def load_with_vote(
    path: str | os.PathLike[str], up: str | None = None, *, vote: FolderVote | None = None, intrinsics: IntrinsicsLike | None = None
) -> PointCloud | Mesh:
    """Read a shape as `load` does; a vote of its folder decides the axis of a file that states none.

    Args:
        path: As for `load`.
        up: As for `load`.
        vote: From `FolderAxes.votes`.
        intrinsics: As for `load`.
    """
    return _load(path, up, intrinsics, lambda source, raw: _by_evidence(source, raw, vote))


def load_scan(path: str | os.PathLike[str], up: str | None = None, *, intrinsics: IntrinsicsLike | None = None) -> PointCloud | Mesh:
    """Read a scan as `load` does, but assume +Z where no axis is stated: the evidence is about single objects."""
    assumed = "files do not state it; +Z is assumed for scans"
    return _load(path, up, intrinsics, lambda source, _: AxisChoice("z", f".{source.format} {assumed}"))


def _load(
    path: str | os.PathLike[str], up: str | None, intrinsics: IntrinsicsLike | None, decide: Callable[[Source, RawShape], AxisChoice]
) -> PointCloud | Mesh:
    check_up(up)
    source, raw = _open(path, intrinsics)
    if up is not None and up != AUTO:
        return _to_world(source, raw, AxisChoice(up, "given by the caller"), "given")
    stated = stated_axis(source, raw)
    return _to_world(source, raw, stated or decide(source, raw), "stated" if stated else "evidence")


def _by_evidence(source: Source, raw: RawShape, vote: FolderVote | None) -> AxisChoice:
    return (vote and vote.choice) or choose_axis(read_evidence(source, raw), vote)


def axis_evidence(path: str | os.PathLike[str]) -> AxisEvidence | None:
    """Collect what a file says about its up axis; None if it states it.

    Raises:
        FileFormatError: If it cannot be read.
    """
    source, raw = _open(path)
    return None if stated_axis(source, raw) else read_evidence(source, raw)


def decide_axis(path: str | os.PathLike[str], *, vote: FolderVote | None = None) -> tuple[str, AxisSource]:
    """Return the up axis that `load_with_vote` finds in a file if none is given, and where it is known from.

    Raises:
        FileFormatError: If it cannot be read.
    """
    source, raw = _open(path)
    stated = stated_axis(source, raw)
    return (stated.up, "stated") if stated else (_by_evidence(source, raw, vote).up, "evidence")


def check_up(up: str | None) -> None:
    """Check an up axis as `load` takes it.

    Raises:
        ConfigError: If it is none.
    """
    if up is not None and up not in (*UP_AXES, AUTO):
        raise ConfigError(unknown_choice("up axis", up, (*UP_AXES, AUTO)))


def _open(path: str | os.PathLike[str], intrinsics: IntrinsicsLike | None = None) -> tuple[Source, RawShape]:
    source = open_source(path)
    if intrinsics is not None:
        source = replace(source, intrinsics=parse_intrinsics(intrinsics))
    if source.format not in _READERS and source.format not in IMAGES:
        raise FileFormatError(unknown_choice("file format", source.format, FORMATS))
    if source.format not in IMAGES:
        check_content(source)
    with parser_errors(source.path, source.format):
        read = read_depth_image if source.format in IMAGES else _READERS[source.format]
        return source, drop_broken_faces(read(source))


def _to_world(source: Source, raw: RawShape, axis: AxisChoice, up_source: AxisSource) -> PointCloud | Mesh:
    """Rotate a shape to the world frame in chunks, so that only one more copy of the positions exists, in float32."""
    notes = list(raw.notes)
    kept = _usable(raw, notes)
    turn = rotation_to_z_up(axis.up).T
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
    origin = Origin(
        path=str(source.path),
        format=source.format,
        up=axis.up,
        up_reason=axis.reason,
        up_source=up_source,
        notes=tuple(notes),
        offset=offset,
    )
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
