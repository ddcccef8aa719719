"""Sample surfaces, subsample point clouds, remove outliers."""

from __future__ import annotations

import dataclasses

import numpy as np

from basrelief.checks import check_at_least
from basrelief.errors import GeometryError
from basrelief.geometry.appearance import blend_corners, surface_colors
from basrelief.types import Mesh, PointCloud

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
        `count` points, with the colours of textures, materials and vertices if the mesh has any; the origin is kept.

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
    points = blend_corners(corners[picked], weights)
    bare = mesh.colors is None and mesh.appearance is None
    colors = None if bare else surface_colors(mesh, picked, weights)[:, :3]
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


def _check_count(count: int) -> None:
    check_at_least("count", count, 1, "Pass a positive number of points.", error=GeometryError)
