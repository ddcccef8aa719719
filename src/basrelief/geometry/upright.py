"""How plausibly a shape stands on the ground: contact, balance, symmetry. `up_axis` and `basrelief.models.pose` add learned models."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from basrelief.geometry.transforms import normalise_unit_sphere

CUES = ("support", "top", "height of mass", "balance", "mirror", "upside down", "tallness")
"""Names of the cues that `upright_cues` returns."""

_WEIGHTS = (2.16, 0.45, 2.05, 1.49, 1.76, -5.24, 1.0)
"""Fitted by cross entropy on 250 shapes of the training packs and 202 generated ones whose geometry shows which way is up."""

_CELLS = 24
_POINTS = 2048
_CONTACT = 0.03
_SAME = np.cos(np.radians(8))


def cue_scores(points: Float[np.ndarray, "points 3"], rotations: Float[np.ndarray, "candidates 3 3"]) -> Float[np.ndarray, " candidates"]:
    """Score candidate rotations by `upright_cues` with fitted weights; a softmax of the scores gives probabilities.

    Args:
        points: Any scale and position; a few thousand are used.
        rotations: The rotation of each candidate up direction to +Z.
    """
    cloud = points[:: max(1, len(points) // _POINTS)]
    scores: np.ndarray = np.stack([upright_cues(cloud @ rotation.T) for rotation in rotations]) @ np.array(_WEIGHTS)
    return scores


def upright_cues(points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, " cues"]:
    """Measure how plausibly a point cloud stands on the ground with +Z up.

    Args:
        points: World frame.

    Returns:
        One number in [0, 1] for each of `CUES` ([-1, 1] for `balance`): the contact area with the ground as a share of the footprint; the
        same for the top; the height of the centroid; the depth of the centroid inside the support polygon (negative outside); the best
        overlap with the mirror image in a vertical plane; the overlap with itself upside down; the height as a share of the largest extent.
    """
    cloud = normalise_unit_sphere(points.astype(np.float64), centre="bbox")
    low, high = cloud.min(axis=0), cloud.max(axis=0)
    extent = np.maximum(high - low, 1e-9)
    height = (cloud[:, 2] - low[2]) / extent[2]
    support = cloud[cloud[:, 2] <= low[2] + _CONTACT][:, :2]
    top = cloud[cloud[:, 2] >= high[2] - _CONTACT][:, :2]
    footprint = max(_area(cloud[:, :2]), 1e-9)
    grid = _occupied((cloud - low) / extent)
    mirror = max(_overlap(grid, grid[::-1]), _overlap(grid, grid[:, ::-1]))
    return np.array(
        [
            _area(support) / footprint,
            _area(top) / footprint,
            height.mean(),
            _balance(cloud[:, :2].mean(axis=0), support),
            mirror,
            _overlap(grid, grid[:, :, ::-1]),
            extent[2] / extent.max(),
        ]
    )


def up_candidates(points: Float[np.ndarray, "points 3"], *, limit: int = 20) -> Float[np.ndarray, "candidates 3"]:
    """Return candidate up directions for a shape in any pose: normals of its convex hull's sides, and its principal axes.

    Args:
        points: Any scale and position.
        limit: Largest number of candidates; larger sides come first.

    Returns:
        (K, 3) unit vectors, at least 8 degrees apart.
    """
    from scipy.spatial import ConvexHull, QhullError

    cloud = normalise_unit_sphere(points[:: max(1, len(points) // _POINTS)].astype(np.float64))
    axes = np.linalg.svd(cloud, full_matrices=False)[2]
    principal = np.concatenate([axes, -axes])
    try:
        hull = ConvexHull(cloud)
    except QhullError:  # flat or thin: only the principal axes remain
        return principal
    corners = cloud[hull.simplices]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    sides = _merged(-hull.equations[:, :3], area)[: limit - len(principal)]
    return _apart(np.concatenate([sides, principal]))[:limit]


def _merged(directions: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Merge facets of nearly equal direction into sides, largest first; a side's direction is the area-weighted mean."""
    near = directions @ directions.T > _SAME
    left = area.copy()
    found: list[tuple[float, np.ndarray]] = []
    total = near @ area
    while left.max() > 0 and len(found) < 64:
        seed = int((total * (left > 0)).argmax())
        members = near[seed] & (left > 0)
        mean = (directions[members] * area[members, None]).sum(axis=0)
        found.append((float(left[members].sum()), mean / max(np.linalg.norm(mean), 1e-12)))
        left[members] = 0
        total = near @ left
    found.sort(key=lambda side: -side[0])
    return np.array([direction for _, direction in found])


def _apart(directions: np.ndarray) -> np.ndarray:
    kept: list[np.ndarray] = []
    for direction in directions:
        if all(direction @ other < _SAME for other in kept):
            kept.append(direction)
    return np.array(kept)


def _area(flat: np.ndarray) -> float:
    """Return the area of the convex hull of points in the plane; 0 for fewer than three points or a line."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return float(ConvexHull(flat).volume) if len(flat) > 2 else 0.0
    except QhullError:
        return 0.0


def _balance(middle: np.ndarray, support: np.ndarray) -> float:
    """Return how deep a point lies inside the convex hull of others, relative to its size, in [-1, 1]; negative outside."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(support) if len(support) > 2 else None
    except QhullError:
        hull = None
    if hull is None:
        return -min(1.0, float(np.linalg.norm(support.mean(axis=0) - middle)))
    planes: np.ndarray = hull.equations
    depth = float(np.max(planes[:, :2] @ middle + planes[:, 2]))
    return max(-1.0, min(1.0, -depth / max(math.sqrt(hull.volume), 1e-9)))


def _occupied(unit: np.ndarray) -> np.ndarray:
    grid = np.zeros((_CELLS,) * 3, dtype=bool)
    cell = np.minimum((unit * _CELLS).astype(int), _CELLS - 1)
    grid[cell[:, 0], cell[:, 1], cell[:, 2]] = True
    return grid


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the intersection over union of two grids, each dilated by a cell so that sampling does not matter."""
    from scipy.ndimage import binary_dilation

    a, b = binary_dilation(first), binary_dilation(second)
    return float((a & b).sum() / max((a | b).sum(), 1))
