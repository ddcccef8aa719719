"""Turn boxes about the vertical to fit the points inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from basrelief.geometry.boxes import Boxes

_GAIN = 0.95  # a turned rectangle must be smaller than this share of the aligned one


def orient_boxes(boxes: Boxes, points: Float[np.ndarray, "points 3"], members: Sequence[Int[np.ndarray, " inside"]]) -> Boxes:
    """Replace each footprint by the rectangle of least area around its points; heights stay.

    A box stays aligned if turning it gains less than 5 % of its area, as with round things.

    Args:
        boxes: N aligned boxes.
        points: (P, 3) positions.
        members: For each box the rows of its points.

    Returns:
        Boxes with yaws in (-pi/4, pi/4].
    """
    centers, sizes, yaws = boxes.centers.copy(), boxes.sizes.copy(), boxes.yaws.copy()
    for number, rows in enumerate(members):
        found = smallest_rectangle(points[rows, :2].astype(np.float64))
        if found is not None and found[1].prod() < _GAIN * sizes[number, :2].prod():
            centers[number, :2], sizes[number, :2], yaws[number] = found
    return Boxes(centers, sizes, yaws)


def smallest_rectangle(points: Float[np.ndarray, "points 2"]) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"], float] | None:
    """Return centre, size and yaw in (-pi/4, pi/4] of the rectangle of least area around points; one of its sides lies on the hull.

    Returns:
        None if the points lie on a line. Among equal rectangles the one with the smallest turn.
    """
    from scipy.spatial import ConvexHull, QhullError

    if len(points) < 3:
        return None
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:
        return None
    edges = np.roll(corners, -1, axis=0) - corners
    angles = np.arctan2(edges[:, 1], edges[:, 0])
    angles = np.unique(np.round(np.pi / 4 - (np.pi / 4 - angles) % (np.pi / 2), 9))
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    along, across = cos * corners[:, 0] + sin * corners[:, 1], cos * corners[:, 1] - sin * corners[:, 0]
    areas = np.ptp(along, axis=1) * np.ptp(across, axis=1)
    near = np.flatnonzero(areas <= areas.min() * (1 + 1e-9))
    best = near[np.argmin(np.abs(angles[near]))]
    middle = np.array([along[best].max() + along[best].min(), across[best].max() + across[best].min()]) / 2
    turn = np.array([[cos[best, 0], -sin[best, 0]], [sin[best, 0], cos[best, 0]]])
    return turn @ middle, np.array([np.ptp(along[best]), np.ptp(across[best])]), float(angles[best])
