"""Sample surfaces, subsample point clouds, remove outliers, choose farthest points."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int64, Real

from basrelief.checks import check_at_least
from basrelief.errors import GeometryError
from basrelief.types import Mesh, PointCloud, check_positions

_NEAR_ORIGIN = 1e-3  # squared distance to the origin below which pointnet2_ops never picks a point
_MAX_THREADS = 512  # of the pointnet2_ops kernel; its order of equal distances depends on it

_NEIGHBOURS, _DISTANCE_RATIO, _MAX_OUTLIERS = 4, 5.0, 0.2


def sample_surface(mesh: Mesh, count: int, *, seed: int = 0) -> PointCloud:
    """Sample points uniformly from the surface of a mesh.

    Triangles are chosen with probability proportional to their area, then a point uniformly inside each (Osada et al. 2002, sec. 3.1).
    The same mesh, count and seed give the same points.

    Args:
        mesh: F triangles, world frame, scene units.
        count: Points to sample, >= 1.
        seed: Seed of the random generator.

    Returns:
        `count` points, with colours interpolated from the vertices if the mesh has them; the origin is kept.

    Raises:
        GeometryError: If `count` is not positive, or no triangle has an area.
    """
    _check_count(count)
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    cumulative = np.cumsum(areas)
    if not cumulative[-1] > 0:
        raise GeometryError(f"All {len(areas)} faces of the mesh have zero area. Use its vertices as a point cloud.")
    rng = np.random.default_rng(seed)
    picked = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    root, along = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - root, root * (1 - along), root * along], axis=1)
    points = np.einsum("nk,nkd->nd", weights, corners[picked])
    colors = None if mesh.colors is None else np.einsum("nk,nkd->nd", weights, mesh.colors[mesh.faces[picked]]).clip(0, 1)
    return PointCloud(points=points, colors=colors, origin=mesh.origin)


def subsample(cloud: PointCloud, count: int, *, seed: int = 0) -> PointCloud:
    """Choose points of a cloud at random, without repeats as long as there are enough.

    Args:
        cloud: N points.
        count: Points to keep, >= 1. Above N, all points are kept and the rest are random repeats.
        seed: Seed of the random generator.

    Returns:
        `count` points with their colours, in random order.

    Raises:
        GeometryError: If `count` is not positive.
    """
    _check_count(count)
    rng = np.random.default_rng(seed)
    total = len(cloud.points)
    chosen = rng.permutation(total)[:count]
    if count > total:
        chosen = np.concatenate([chosen, rng.integers(total, size=count - total)])
    colors = None if cloud.colors is None else cloud.colors[chosen]
    return dataclasses.replace(cloud, points=cloud.points[chosen], colors=colors)


def remove_outliers(cloud: PointCloud) -> PointCloud:
    """Remove isolated points, such as the stray returns of a scanner, which would shrink a shape that is scaled to the unit sphere.

    A point is an outlier when its fourth nearest neighbour is more than five times as far away as that of the median point. A cloud in
    which more than a fifth of the points qualify is unevenly dense instead and is returned unchanged; so is one that mostly repeats
    points. Takes O(N log N) time and O(N) memory.

    Args:
        cloud: N points, any scale.

    Returns:
        The remaining points with their colours, in the same order.
    """
    from scipy.spatial import cKDTree

    if len(cloud.points) <= _NEIGHBOURS:
        return cloud
    distance = cKDTree(cloud.points).query(cloud.points, k=_NEIGHBOURS + 1)[0][:, -1]  # the nearest is the point itself
    median = float(np.median(distance))
    keep = distance <= _DISTANCE_RATIO * median
    if keep.all() or median == 0 or keep.mean() < 1 - _MAX_OUTLIERS:
        return cloud
    return dataclasses.replace(cloud, points=cloud.points[keep], colors=None if cloud.colors is None else cloud.colors[keep])


def farthest_points(
    points: Real[np.ndarray, "points 3"], count: int, *, start: int = 0, skip_near_origin: bool = False
) -> Int64[np.ndarray, " count"]:
    """Choose points one by one, each the farthest from all chosen before (Gonzalez 1985).

    Two conventions exist and mixing them changes the embeddings of point encoders. `skip_near_origin=False` is that of
    `dgl.geometry.farthest_point_sampler` (OpenShape, TAMM) with a fixed start instead of a random one; of equally far points the
    lowest index wins. `skip_near_origin=True` is that of `pointnet2_ops` (ULIP, Uni3D, 3DETR): a point with x^2 + y^2 + z^2 <= 1e-3
    is never picked after the start, and of equally far points the one wins whose index modulo T has the smallest reversed bits, then
    the lowest index (T is the largest power of two that is at most N and 512). Distances start at infinity, not at the 1e10 of both.

    Args:
        points: (N, 3); float32 is computed in float32 as the originals do, unless squares would overflow.
        count: Points to choose, >= 1. When no other position is left, index 0 repeats.
        start: Index of the first point.
        skip_near_origin: Follow `pointnet2_ops` instead of DGL.

    Returns:
        (count,) int64 indices into `points`.

    Raises:
        GeometryError: If `points` is not a finite (N, 3) array, or `count` or `start` is out of range.
    """
    _check_count(count)
    array = check_positions("points", points)
    if not 0 <= start < len(array):
        raise GeometryError(f"start is {start}; expected an index of the {len(array)} points. Use 0.")
    exact = array.dtype == np.float32 and float(np.abs(array).max()) < 1e18
    order = _kernel_order(len(array)) if skip_near_origin else np.arange(len(array))
    columns = np.ascontiguousarray(array[order].T, dtype=np.float32 if exact else np.float64)
    distance = np.full(len(array), np.inf, dtype=columns.dtype)
    if skip_near_origin:
        distance[_squared(columns).astype(np.float64) <= _NEAR_ORIGIN] = -1
    chosen = np.empty(count, dtype=np.int64)
    current = int(np.flatnonzero(order == start)[0])
    for i in range(count):
        chosen[i] = current
        np.minimum(distance, _squared(np.subtract(columns, columns[:, [current]])), out=distance)
        current = int(distance.argmax())
    return order[chosen]


def _squared(columns: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        x, y, z = np.square(columns)
    return np.asarray(x + y + z)


def _kernel_order(count: int) -> np.ndarray:
    """Order points so that of equal maxima the first is the one that pointnet2_ops's parallel reduction keeps."""
    bits = min(count, _MAX_THREADS).bit_length() - 1
    thread = np.arange(count) % (1 << bits)
    reversed_bits = sum((((thread >> bit) & 1) << (bits - 1 - bit) for bit in range(bits)), np.zeros(count, dtype=np.int64))
    return np.argsort(reversed_bits, kind="stable")


def _check_count(count: int) -> None:
    check_at_least("count", count, 1, "Pass a positive number of points.", error=GeometryError)
