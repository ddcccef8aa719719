"""Make a scan ready for detection: unit, axes, outliers, floor, walls. The transform back to the file is kept."""

from __future__ import annotations

import os
from typing import Literal, cast

import numpy as np
from jaxtyping import Float

from basrelief.errors import ConfigError, GeometryError, unknown_choice
from basrelief.geometry import UP_AXES, rotation_to_z_up, sample_surface
from basrelief.geometry.transforms import axis_rotation
from basrelief.geometry.voxels import Voxels, estimate_normals, voxelize
from basrelief.io.load import far_offset, load_scan
from basrelief.limits import limits
from basrelief.scenes.frame import Surface, find_unit, find_yaw, rotation_between
from basrelief.scenes.scene import FLOOR, Scene, SceneKind
from basrelief.scenes.structure import Structure, find_structure, find_support
from basrelief.scenes.trim import outlier_points
from basrelief.scenes.up import find_up
from basrelief.types import Finding, Mesh, Origin, PointCloud, Shape

KINDS = ("auto", "room", "tabletop", "object")

_LEAST_POINTS = 200
_CHUNK = 1 << 20
_SAMPLE = 300_000  # points that planes are fitted to
_VOXELS = 250_000  # at most, by larger cells
_SMALLEST_VOXEL = 1 / 150  # of the extent
_MOST_CELLS = 20_000  # voxels along an axis
_MESH_SPACING = 1 / 300  # of the extent; points of a mesh are sampled this densely
_MESH_POINTS = (20_000, 2_000_000)
_TABLETOP, _LOWEST_ROOM = 2.5, 1.8  # metres
_SUPPORT_SHARE = 0.2  # of all points that lie on the top of a table, at least
_FARTHEST = 1e15


def prepare_scene(
    shape: Shape | str | os.PathLike[str] | np.ndarray,
    *,
    up: str | None = None,
    unit: str = "auto",
    align: bool = True,
    kind: Literal["auto", "room", "tabletop", "object"] = "auto",
    trim: bool = True,
) -> Scene:
    """Bring a scan to metres, +Z up and walls along x and y; find its floor, ceiling and walls.

    Args:
        shape: File, mesh, cloud, or points (N, 3). A coarse mesh is sampled; a dense one becomes its vertices.
        up: Axis of the file that points up: one of `UP_AXES`. None: what the format says, unless the planes of the scan contradict.
        unit: Of the file: `m`, `cm`, `mm`, `inch` or `ft`; `auto` guesses metres, centimetres or millimetres from the extent.
        align: Whether to level the floor and turn walls along x and y.
        kind: What the scan shows; `auto` decides by its extent and its largest horizontal plane.
        trim: Whether to remove outliers: isolated points, and tails behind windows.

    Returns:
        The scene; its `findings` say what was decided.

    Raises:
        GeometryError: If there are fewer than 200 points, all points lie on a line or at one place, or coordinates are absurd.
        ConfigError: If an option is unknown.
        FileFormatError: If the file cannot be read.
    """
    if kind not in KINDS:
        raise ConfigError(unknown_choice("kind", kind, KINDS))
    if up is not None and up not in UP_AXES:
        raise ConfigError(unknown_choice("up axis", up, UP_AXES))
    cloud, to_file = _points(shape, up)
    _check(cloud)
    findings: list[Finding] = []
    if trim:
        cloud = _trimmed(cloud, findings)
    _check_spread(cloud)
    cloud, to_file = _scaled(cloud, to_file, unit, findings)
    _check_length(cloud)
    grid = _grid(cloud.points)
    surface = Surface(grid.points, estimate_normals(grid.points)[0], grid.counts, grid.size)
    turn = _orientation(surface, up, align, findings)
    surface = surface.rotated(turn)
    points = _moved(cloud.points, turn, np.zeros(3))
    structure, found = _structure(surface, points, kind, findings)
    shift = _middle(points, structure)
    labels = structure.label(points)
    points -= shift.astype(np.float32)
    back = np.eye(4)
    back[:3, :3], back[:3, 3] = turn.T, turn.T @ shift.astype(np.float32).astype(np.float64)
    origin = cloud.origin
    return Scene(
        cloud=PointCloud(points, cloud.colors, origin),
        to_file=to_file @ back,
        structure=labels,
        kind=found,
        floor=None if structure.floor is None else 0.0,
        findings=tuple(findings),
        source="" if origin is None else origin.path,
    )


def _points(shape: Shape | str | os.PathLike[str] | np.ndarray, up: str | None) -> tuple[PointCloud, np.ndarray]:
    """Return the points with +Z up as far as is known, and the matrix from there to the file."""
    if isinstance(shape, str | os.PathLike):
        shape = load_scan(shape, up)
    elif isinstance(shape, np.ndarray):
        shape = _from_array(shape)
    origin = shape.origin or Origin("", "array")
    cloud = _surface_points(shape) if isinstance(shape, Mesh) else shape
    base = np.eye(4)
    base[:3, :3] = rotation_to_z_up(origin.up).T
    base[:3, 3] = origin.offset
    if up is not None and up != origin.up:  # the axis counts in the file
        turn = rotation_to_z_up(up) @ base[:3, :3]
        cloud = PointCloud(_moved(cloud.points, turn, np.zeros(3)), cloud.colors, cloud.origin)
        base[:3, :3] = rotation_to_z_up(up).T
    return cloud, base


def _from_array(array: np.ndarray) -> PointCloud:
    """Return the finite points of an array; those too far away for float32 are moved."""
    if array.ndim != 2 or array.shape[1] != 3 or not len(array):
        return PointCloud(array)  # which says what is wrong
    array = array[np.isfinite(array).all(axis=1)]
    if not len(array):
        raise GeometryError("None of the points is finite. Check how the scan was exported.")
    shift = far_offset(array.min(axis=0).astype(np.float64), array.max(axis=0).astype(np.float64))
    return PointCloud(array - shift, origin=Origin("", "array", offset=(float(shift[0]), float(shift[1]), float(shift[2]))))


def _surface_points(mesh: Mesh) -> PointCloud:
    """Return the vertices of a densely triangulated mesh, else points of its surface."""
    corners = mesh.vertices[mesh.faces]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    spacing = float(np.ptp(mesh.vertices, axis=0).max()) * _MESH_SPACING
    if areas[sides > 3 * spacing].sum() < 0.05 * areas.sum():
        return PointCloud(mesh.vertices, mesh.colors, mesh.origin)
    count = int(np.clip(areas.sum() / max(spacing, 1e-30) ** 2, *_MESH_POINTS))
    return sample_surface(mesh, count)


def _check(cloud: PointCloud) -> None:
    points = cloud.points
    if len(points) < _LEAST_POINTS:
        raise GeometryError(f"The scan has only {len(points)} points; detection needs at least {_LEAST_POINTS}. Use a denser scan.")
    largest = float(np.abs(points).max())
    if largest > _FARTHEST:
        raise GeometryError(f"The scan extends to {largest:.3g} units. Check how it was exported.")


def _check_spread(cloud: PointCloud) -> None:
    points = cloud.points
    sample = points[:: max(1, len(points) // 10_000)].astype(np.float64)
    lengths = np.linalg.svd(sample - sample.mean(axis=0), compute_uv=False)
    if lengths[1] <= 1e-6 * lengths[0] or lengths[0] == 0:
        raise GeometryError("All points of the scan lie on one line or at one place. Check how it was exported.")


def _check_length(cloud: PointCloud) -> None:
    length, most = float(np.ptp(cloud.points, axis=0).max()), limits().scan_metres
    if not length <= most:
        raise GeometryError(
            f"The scan is {length:.4g} m long; at most {most:g} m are searched. Pass its unit, remove points far away, or raise the limit "
            "(see basrelief.Limits)."
        )


def _trimmed(cloud: PointCloud, findings: list[Finding]) -> PointCloud:
    outliers = outlier_points(cloud.points)
    count = int(np.count_nonzero(outliers))
    if not count:
        return cloud
    findings.append(Finding("outliers", "ok", f"{count:,} of {len(outliers):,} points far from all others were removed."))
    return PointCloud(cloud.points[~outliers], None if cloud.colors is None else cloud.colors[~outliers], cloud.origin)


def _scaled(cloud: PointCloud, to_file: np.ndarray, unit: str, findings: list[Finding]) -> tuple[PointCloud, np.ndarray]:
    sample = cloud.points[:: max(1, len(cloud.points) // _SAMPLE)]
    low, high = np.percentile(sample, [0.5, 99.5], axis=0)
    metres, finding = find_unit(float((high - low).max()), unit)
    findings.append(finding)
    if metres == 1:
        return cloud, to_file
    to_file = to_file @ np.diag([1 / metres, 1 / metres, 1 / metres, 1.0])
    return PointCloud(cloud.points * np.float32(metres), cloud.colors, cloud.origin), to_file


def _grid(points: Float[np.ndarray, "points 3"]) -> Voxels:
    """Voxels of 5 cm, smaller for small scans and larger for large ones or where a few points lie far away."""
    extent = float(np.ptp(np.percentile(points[:: max(1, len(points) // _SAMPLE)], [0.5, 99.5], axis=0), axis=0).max())
    size = max(min(0.05, extent * _SMALLEST_VOXEL), float(np.ptp(points, axis=0).max()) / _MOST_CELLS)
    grid = voxelize(points, size)
    while len(grid) > _VOXELS:
        size *= max(1.2, (len(grid) / _VOXELS) ** 0.5)
        grid = voxelize(points, size)
    return grid


def _orientation(surface: Surface, up: str | None, align: bool, findings: list[Finding]) -> np.ndarray:
    """Return the rotation to the scene frame."""
    direction, finding = find_up(surface, given=up is not None, level=align)
    findings.append(finding)
    turn = rotation_between(direction, np.array([0.0, 0.0, 1.0]))
    if not align:
        return turn
    yaw, finding = find_yaw(surface.rotated(turn))
    findings.append(finding)
    rotation: np.ndarray = axis_rotation("z", -yaw) @ turn
    return rotation


def _moved(points: np.ndarray, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return `points @ rotation.T - shift` as float32, computed some points at a time."""
    moved = np.empty(points.shape, dtype=np.float32)
    for start in range(0, len(points), _CHUNK):
        moved[start : start + _CHUNK] = points[start : start + _CHUNK].astype(np.float64) @ rotation.T - shift
    return moved


def _structure(surface: Surface, points: np.ndarray, kind: str, findings: list[Finding]) -> tuple[Structure, SceneKind]:
    sample = points[:: max(1, len(points) // _SAMPLE)]
    structure = Structure()
    if kind == "tabletop" or (kind == "auto" and _height(surface) < _LOWEST_ROOM):
        structure = find_support(surface, sample)
        if kind == "auto" and structure.floor is not None and _is_tabletop(surface, sample, structure):
            kind = "tabletop"
    if kind in ("auto", "room"):
        structure = find_structure(surface, sample)
        kind = "room" if kind == "room" or structure.floor is not None or structure.walls else "object"
    parts = [
        name
        for name, part in (("support" if kind == "tabletop" else "floor", structure.floor), ("ceiling", structure.ceiling))
        if part is not None
    ]
    walls = len(structure.walls)
    named = ", ".join([*parts, *([f"{walls} wall{'s' if walls > 1 else ''}"] if walls else [])]) or "nothing that bounds it"
    findings.append(Finding("structure", "ok" if parts or kind == "object" else "warning", f"Taken for a {kind}: {named} found."))
    return structure, cast("SceneKind", kind)


def _is_tabletop(surface: Surface, sample: np.ndarray, structure: Structure) -> bool:
    """Whether a small plane carries most of what is seen: no floor of a room, whose walls are higher than a table is wide."""
    on = structure.label(sample) == FLOOR
    if on.mean() < _SUPPORT_SHARE:
        return False
    extent = np.ptp(np.percentile(sample[on], [1, 99], axis=0), axis=0)
    return float(extent.max()) < _TABLETOP and _height(surface) < _LOWEST_ROOM


def _height(surface: Surface) -> float:
    return float(np.ptp(np.percentile(surface.points[:, 2], [1, 99])))


def _middle(points: np.ndarray, structure: Structure) -> np.ndarray:
    """Return the point that becomes the origin: the middle of the scan, at the height of the floor."""
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    middle: np.ndarray = (low + high) / 2
    middle[2] = low[2] if structure.floor is None else float(np.median(structure.floor.heights))
    return middle
