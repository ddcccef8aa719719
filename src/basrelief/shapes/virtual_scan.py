"""Scan a generated room virtually: what several scanner positions see, thinned, with noise and holes. Exact visibility from a z-buffer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.random import Generator

from basrelief.checks import check_at_least, check_positive, check_range
from basrelief.errors import GeometryError
from basrelief.geometry import sample_surface
from basrelief.shapes.rooms import Room
from basrelief.shapes.scan_rays import Hits, cast_rays, face_normals, spacing_for
from basrelief.types import Origin, PointCloud, check_positions

_CLEARANCE = 0.35
_LIGHT = np.array([0.3, 0.2, 0.93])


@dataclass(frozen=True, eq=False)
class RoomScan:
    """A virtual scan.

    Attributes:
        cloud: N points with colours, metres, +Z up, in the frame of the room.
        instances: (N,) int32, index of the object of each point; -1 structure, -2 clutter, -3 outliers.
        surfaces: (N,) int8, kind of structure of each point as in `Room.surfaces`.
        visible: (M,) share of the surface of each object that was seen, in [0, 1]; hidden inner faces count as unseen.
        positions: (P, 3) of the scanner.
        spacing: Distance between neighbouring points, metres.
    """

    cloud: PointCloud
    instances: Int[np.ndarray, " points"]
    surfaces: Int[np.ndarray, " points"]
    visible: Float[np.ndarray, " objects"]
    positions: Float[np.ndarray, "positions 3"]
    spacing: float


def scan_room(
    room: Room,
    *,
    seed: int,
    positions: Float[np.ndarray, "positions 3"] | int | None = None,
    spacing: float | None = None,
    points: int | None = None,
    noise: float | None = None,
    holes: bool = True,
    outliers: float = 0.0,
) -> RoomScan:
    """Scan a room from several positions.

    Each position sees all directions; a surface gets points only where at least one position sees it. Points are thinned to one in each
    cube of 1.2 times `spacing`, which leaves about one point on a square of side `spacing`.

    Args:
        room: The room.
        seed: At least 0; the same arguments give the same scan.
        positions: (P, 3) of the scanner, or their number, 4 to 8 by default; a tabletop is seen from 2 or 3 on one side.
        spacing: Distance between points, metres; 0.02 by default, 0.004 for a tabletop.
        points: Wanted number of points, instead of `spacing`; met to about 10 %.
        noise: Standard deviation of the measured range, metres; 0.005 by default, 0.001 for a tabletop.
        holes: Whether dark surfaces, grazing rays and random places have no or fewer points.
        outliers: Share of additional points that lie outside the room or between near and far surfaces.

    Raises:
        ConfigError: If a number is out of range.
        GeometryError: If nothing is seen from the positions.
    """
    tabletop = room.kind == "tabletop"
    step = (0.004 if tabletop else 0.02) if spacing is None else spacing
    sigma = (0.001 if tabletop else 0.005) if noise is None else noise
    check_at_least("seed", seed, 0, "Pass a whole number.")
    check_range("spacing", step, 0.001, 1.0, "Pass metres.")
    check_positive("noise", sigma, "Pass metres.", zero=True)
    check_range("outliers", outliers, 0, 0.5, "Pass a share of the points.")
    r = np.random.default_rng([20, seed])
    eyes = _positions(r, room, positions)
    if points is not None:
        check_range("points", points, 100, 20_000_000, "Pass the wanted number of points.")
        step = spacing_for(room, eyes, points)
    hits = cast_rays(r, room, eyes, spacing=step)
    if not len(hits.points):
        raise GeometryError("Nothing of the room is seen from these positions. Pass positions inside it.")
    visible = _visible_shares(room, hits, step)
    if holes:
        hits = hits[_returns(r, room, hits, eyes)]
    cloud, far = _measured(r, room, hits, eyes, sigma=sigma, outliers=outliers)
    instances = np.concatenate([room.instances[hits.faces], np.full(far, -3, dtype=np.int32)])
    surfaces = np.concatenate([room.surfaces[hits.faces], np.zeros(far, dtype=np.int8)])
    order = r.permutation(len(instances))
    shuffled = PointCloud(cloud.points[order], None if cloud.colors is None else cloud.colors[order], cloud.origin)
    return RoomScan(shuffled, instances[order], surfaces[order], visible, eyes, step)


def scanner_positions(room: Room, count: int, *, seed: int) -> Float[np.ndarray, "positions 3"]:
    """Choose scanner positions 1.2 to 1.8 m above the floor, away from surfaces and from each other.

    Args:
        room: The room; for a tabletop, positions lie on its front side, 0.6 to 1 m away.
        count: Their number, at least 1.
        seed: At least 0.

    Raises:
        ConfigError: If a number is out of range.
    """
    check_range("positions", count, 1, 1000, "Pass the number of scanner positions.")
    check_at_least("seed", seed, 0, "Pass a whole number.")
    r = np.random.default_rng([21, seed])
    low, high = room.outline.min(axis=0), room.outline.max(axis=0)
    if room.kind == "tabletop":
        azimuth = np.radians(-90 + np.linspace(-80, 80, count + 2)[1:-1] + r.uniform(-10, 10, count))
        elevation, away = np.radians(r.uniform(30, 50, count)), r.uniform(0.6, 1.0, count) + (high - low).max() / 4
        flat = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=1)
        eyes: np.ndarray = np.array([*(low + high) / 2, 0.0]) + flat * away[:, None]
        return eyes
    from scipy.spatial import cKDTree

    tree = cKDTree(sample_surface(room.mesh, 40_000).points)
    candidates = np.column_stack([r.uniform(low, high, (3000, 2)), r.uniform(1.2, 1.8, 3000)])
    distance = tree.query(candidates)[0]
    inside = _inside(room.outline, candidates[:, :2])
    good = candidates[inside & (distance > _CLEARANCE)]
    if not len(good):
        good = candidates[inside][np.argsort(-distance[inside])[:1]]
    chosen = [good[int(r.integers(len(good)))]]
    while len(chosen) < count:
        gaps = np.min([np.linalg.norm(good - c, axis=1) for c in chosen], axis=0)
        chosen.append(good[int(np.argmax(gaps + r.uniform(0, 0.5, len(good))))])
    return np.array(chosen)


def _inside(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points (N, 2) are inside a polygon (K, 2), by counting crossings."""
    inside = np.zeros(len(points), dtype=bool)
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        if crosses.any():
            inside ^= crosses & (points[:, 0] < (b[0] - a[0]) * (points[:, 1] - a[1]) / (b[1] - a[1]) + a[0])
    return inside


def _positions(r: Generator, room: Room, positions: np.ndarray | int | None) -> np.ndarray:
    low, high = (2, 4) if room.kind == "tabletop" else (4, 9)
    count = int(r.integers(low, high))
    seed = int(r.integers(1 << 31))
    if positions is None:
        return scanner_positions(room, count, seed=seed)
    if isinstance(positions, int):
        return scanner_positions(room, positions, seed=seed)
    return check_positions("positions", positions, dtype=np.float64)


def _returns(r: Generator, room: Room, hits: Hits, eyes: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Which points a scanner gets: few from dark surfaces and grazing rays, none in some round places."""
    from scipy.spatial import cKDTree

    colors = np.ones((len(room.mesh.vertices), 3)) if room.mesh.colors is None else room.mesh.colors
    dark = colors[room.mesh.faces[:, 0]].mean(axis=1)[hits.faces] < 0.14
    keep = r.random(len(hits.points)) > np.where(dark, 0.4, 0.02)
    cosines = np.abs((face_normals(room.mesh)[hits.faces] * _directions(hits, eyes)).sum(axis=1))
    keep &= r.random(len(hits.points)) < np.clip((cosines - 0.02) / 0.15, 0, 1)
    scale = 0.1 if room.kind == "tabletop" else 1.0
    centers = hits.points[r.integers(len(hits.points), size=int(r.integers(8, 30)))]
    radii = scale * r.uniform(0.03, 0.22, len(centers)) ** 1.3
    tree = cKDTree(hits.points)
    for center, radius in zip(centers, radii, strict=True):
        near = np.array(tree.query_ball_point(center, 1.3 * radius), dtype=np.int64)
        offset = hits.points[near] - center
        ragged = radius * (1 + 0.25 * np.sin(offset @ r.normal(0, 2 / radius, (3, 3))).mean(axis=1))
        keep[near[np.linalg.norm(offset, axis=1) < ragged]] = False
    return keep


def _directions(hits: Hits, eyes: np.ndarray) -> Float[np.ndarray, "n 3"]:
    """Unit vectors from the scanner to the points."""
    rays = hits.points - eyes[hits.eyes]
    unit: np.ndarray = rays / np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-9)
    return unit


def _measured(r: Generator, room: Room, hits: Hits, eyes: np.ndarray, *, sigma: float, outliers: float) -> tuple[PointCloud, int]:
    """Add noise along the rays, shading, and outliers; return the cloud and the number of these."""
    rays = _directions(hits, eyes)
    points = hits.points + rays * r.normal(0, sigma, (len(rays), 1)) + r.normal(0, sigma / 4, rays.shape)
    normals = face_normals(room.mesh)[hits.faces]
    facing = normals * -np.sign((normals * rays).sum(axis=1, keepdims=True))
    base = np.ones((len(points), 3)) if room.mesh.colors is None else room.mesh.colors[room.mesh.faces[hits.faces, 0]]
    stains = 0.03 * np.sin(hits.points @ r.normal(0, 3, (3, 4)) + r.uniform(0, 6, 4)).sum(axis=1, keepdims=True)
    light = 0.72 + 0.28 * (facing @ _LIGHT)[:, None] + stains
    colors = np.clip(base * light * r.uniform(0.85, 1.1) + r.normal(0, 0.02, base.shape), 0, 1)
    count = int(outliers * len(points))
    if count:
        chosen = r.integers(len(points), size=count)
        factor = np.where(r.random(count) < 0.5, 1 + r.exponential(0.6, count), r.uniform(0.5, 1, count))
        eye = eyes[hits.eyes[chosen]]
        points = np.concatenate([points, eye + (hits.points[chosen] - eye) * factor[:, None]])
        colors = np.concatenate([colors, colors[chosen]])
    return PointCloud(
        points.astype(np.float32), colors.astype(np.float32), Origin(path=f"scan of {room.kind} {room.seed}", format="generated")
    ), count


def _visible_shares(room: Room, hits: Hits, spacing: float) -> Float[np.ndarray, " objects"]:
    """Share of points on the surface of each object that have a seen point close by on a surface of the same orientation."""
    from scipy.spatial import cKDTree

    corners = room.mesh.vertices.astype(np.float64)[room.mesh.faces]
    normals = face_normals(room.mesh)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    owner = room.instances[hits.faces]
    shares = np.zeros(len(room.labels))
    r = np.random.default_rng(0)
    for i in range(len(shares)):
        mine = np.flatnonzero(room.instances == i)
        rows = np.flatnonzero(owner == i)
        if not len(rows):
            continue
        faces = mine[np.searchsorted(np.cumsum(areas[mine]), r.random(1500) * areas[mine].sum())]
        u, v = np.sqrt(r.random((1500, 1))), r.random((1500, 1))
        a, b, c = corners[faces].swapaxes(0, 1)
        samples = (1 - u) * a + u * (1 - v) * b + u * v * c
        reach = 1.5 * spacing
        tree = cKDTree(np.concatenate([hits.points[rows] / reach, 2 * normals[hits.faces[rows]]], axis=1))
        shares[i] = np.isfinite(
            tree.query(np.concatenate([samples / reach, 2 * normals[faces]], axis=1), distance_upper_bound=1.0)[0]
        ).mean()
    return shares


def disturbed(
    cloud: PointCloud, *, yaw: float = 0.0, scale: float = 1.0, up: str = "z", offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> tuple[PointCloud, Float[np.ndarray, "4 4"]]:
    """Move a scan into the frame of a strange file: turned, in other units, with another up axis, far from the origin.

    Args:
        cloud: Points in metres, +Z up.
        yaw: Radians about +Z, counter-clockwise.
        scale: Units per metre, e.g. 1000 for millimetres.
        up: Axis of the new frame that +Z becomes: `x`, `y`, `z`, `-x`, `-y` or `-z`.
        offset: Added last, in the new frame and unit.

    Returns:
        The moved cloud, and the matrix (4, 4) that maps old coordinates to new ones.

    Raises:
        ConfigError: If the scale is not positive or the axis is unknown.
    """
    from basrelief.geometry.transforms import axis_rotation, rotation_to_z_up

    check_positive("scale", scale, "Pass units per metre, e.g. 1000.")
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation_to_z_up(up).T @ axis_rotation("z", yaw)
    matrix[:3, 3] = offset
    moved = cloud.points.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    return replace(cloud, points=moved.astype(np.float32)), matrix
