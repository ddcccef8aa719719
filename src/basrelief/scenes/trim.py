"""Points of a scan that belong to nothing: isolated returns and tails behind windows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from basrelief.geometry.voxels import voxelize

_CELLS = 60  # of the grid along the extent that holds nearly all points
_GAP = 2  # empty cells that part a group from the others
_LARGEST_GROUP = 0.01  # share of all points; a larger group stays wherever it is


def outlier_points(points: Float[np.ndarray, "points 3"]) -> Bool[np.ndarray, " points"]:
    """Find points far from the bulk of a scan.

    The scan is split into groups that are at least a thirtieth of its extent apart. Groups with less than 1 % of the points are outliers,
    unless they lie within the bounds of the largest group: lamps, pictures and parts of furniture may be seen apart from the rest.

    Args:
        points: N points of any unit.

    Returns:
        A mask (N,) of outliers.
    """
    from scipy.ndimage import binary_dilation, find_objects, label

    sample = points[:: max(1, len(points) // 200_000)]
    low, high = np.percentile(sample, [2, 98], axis=0)
    size = float((high - low).max()) / _CELLS
    if not size > 0:
        return np.zeros(len(points), dtype=bool)
    margin = 3 * (high - low).max()
    near = ((points > low - margin) & (points < high + margin)).all(axis=1)
    grid = voxelize(points[near], size)
    occupied = np.zeros(grid.cells.max(axis=0) + 1 + 2 * _GAP, dtype=bool)
    occupied[tuple((grid.cells + _GAP).T)] = True
    groups, count = label(binary_dilation(occupied, np.ones((3, 3, 3)), iterations=_GAP // 2), np.ones((3, 3, 3)))
    of = groups[tuple((grid.cells + _GAP).T)]
    weights = np.bincount(of, weights=grid.counts, minlength=count + 1)
    main = int(weights.argmax())
    kept = weights >= _LARGEST_GROUP * len(points)
    bounds = find_objects(groups)
    for group in np.flatnonzero(weights):
        kept[group] |= all(b.start >= m.start and b.stop <= m.stop for b, m in zip(bounds[group - 1], bounds[main - 1], strict=True))
    kept[main] = True
    outliers: np.ndarray = ~near
    outliers[near] = ~kept[of][grid.members]
    return outliers
