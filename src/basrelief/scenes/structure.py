"""Floor, ceiling and walls of a scan in the scene frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.scenes.frame import Surface, footprint
from basrelief.scenes.scene import CEILING, FLOOR, OBJECT, WALL
from basrelief.scenes.walls import Wall, find_walls

_CHUNK = 1 << 20
_FLAT = 0.85  # |z| of the normal of a horizontal surface
_FLOOR_SHARE = 0.1  # of the footprint that must show the floor
_CEILING_SHARE = 0.15
_HEADROOM = 1.8  # metres from the floor to a ceiling, at least
_TILE = 0.5  # metres; the floor may be uneven from tile to tile
_CEILING_REACH = 0.25  # metres; scanners bend it, and nothing else is there
_THINNEST, _THICKEST = 0.02, 0.06  # metres; tolerance of a plane to noise
_SUPPORT_REACH, _SUPPORT_THINNEST = 0.03, 0.004  # metres; a table top is flat
_CARRIED = 0.03  # of all voxels that are above a support, at least
_MOST_LEVELS = 500  # heights at which a support is looked for, the highest ones
_OVERHANG = 0.1  # metres that a thing may stick out over the edge of its support


@dataclass(frozen=True, eq=False)
class Level:
    """A nearly horizontal surface: its height above each tile of the ground.

    Attributes:
        heights: (X, Y) metres.
        corner: Of the first tile, x and y.
        tolerance: Distance up to which points belong to it.
    """

    heights: Float[np.ndarray, "x y"]
    corner: Float[np.ndarray, " 2"]
    tolerance: float

    def above(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, " points"]:
        """Return the height of points above the surface."""
        tile = np.clip(((points[:, :2] - self.corner) / _TILE).astype(np.int64), 0, np.array(self.heights.shape) - 1)
        height: np.ndarray = points[:, 2] - self.heights[tile[:, 0], tile[:, 1]]
        return height


@dataclass(frozen=True, eq=False)
class Structure:
    """What bounds a room.

    Attributes:
        floor: Floor or support, or None.
        ceiling: Ceiling, or None.
        walls: Parts of vertical planes.
        outline: (K, 3) lines around a support: `points @ outline[:, :2] + outline[:, 2]` is positive outside; None for rooms.
    """

    floor: Level | None = None
    ceiling: Level | None = None
    walls: tuple[Wall, ...] = ()
    outline: Float[np.ndarray, "lines 3"] | None = None

    def label(self, points: Float[np.ndarray, "points 3"]) -> Int[np.ndarray, " points"]:
        """Return the kind of each point as in `Scene.structure`."""
        kinds = np.full(len(points), OBJECT, dtype=np.int8)
        for start in range(0, len(points), _CHUNK):
            part, chosen = points[start : start + _CHUNK].astype(np.float64), kinds[start : start + _CHUNK]
            for wall in self.walls:
                chosen[wall.contains(part)] = WALL
            if self.ceiling is not None:
                chosen[self.ceiling.above(part) >= -self.ceiling.tolerance] = CEILING
            if self.floor is not None:
                chosen[self.floor.above(part) <= self.floor.tolerance] = FLOOR
            if self.outline is not None:
                for line in self.outline:
                    chosen[part[:, :2] @ line[:2] + line[2] > _OVERHANG] = WALL
        return kinds


def find_structure(surface: Surface, sample: Float[np.ndarray, "sample 3"]) -> Structure:
    """Find floor, ceiling and walls of a room.

    Args:
        surface: Voxels with normals in the scene frame, metres.
        sample: Points of the scan, for noise and exact places; some hundred thousand are enough.
    """
    levels, areas, ground = _horizontal(surface)
    strong = np.flatnonzero(areas >= max(_FLOOR_SHARE * ground, 0.25 * areas.max()))
    if not len(strong):
        return Structure(walls=find_walls(surface, sample, floor=float(np.percentile(surface.points[:, 2], 1)), ceiling=None))
    bottom = _summit(areas, int(strong[0]))
    floor = fit_level(surface, sample, float(levels[bottom]))
    covering = np.flatnonzero((areas >= _CEILING_SHARE * ground) & (levels > levels[bottom] + _HEADROOM))
    ceiling = None
    if len(covering):
        top = _summit(areas, int(covering[-1]), step=-1)
        if (surface.points[:, 2] > levels[top] + 0.15).mean() < 0.05:
            ceiling = fit_level(surface, sample, float(levels[top]), reach=_CEILING_REACH)
    walls = find_walls(surface, sample, floor=float(levels[bottom]), ceiling=None if ceiling is None else float(levels[top]))
    return Structure(floor, ceiling, walls)


def find_support(surface: Surface, sample: Float[np.ndarray, "sample 3"]) -> Structure:
    """Find the horizontal plane that most points lie on: the top of a table. What is seen beyond its outline counts as wall.

    Args:
        surface: Voxels with normals in the scene frame, metres.
        sample: Points of the scan, for noise and exact places.
    """
    from scipy.spatial import ConvexHull, QhullError

    levels, areas, _ = _horizontal(surface, surface.counts)
    if not areas.any():
        return Structure()
    best = int(areas.argmax())
    for row in np.flatnonzero(areas >= 0.25 * areas.max())[::-1][
        :_MOST_LEVELS
    ]:  # the highest that carries something, so no floor under a table
        on = surface.points[np.abs(surface.points[:, 2] - levels[row]) < surface.size]
        if not len(on):  # nothing but what is smoothed in from the rows around
            continue
        low, high = np.percentile(on[:, :2], [1, 99], axis=0)
        over = (surface.points[:, 2] > levels[row] + _SUPPORT_REACH) & ((surface.points[:, :2] > low) & (surface.points[:, :2] < high)).all(
            axis=1
        )
        if over.mean() > _CARRIED:
            best = _summit(areas, int(row), step=-1)
            break
    floor = fit_level(surface, sample, float(levels[best]), reach=_SUPPORT_REACH, thinnest=_SUPPORT_THINNEST)
    on = sample[np.abs(floor.above(sample)) < floor.tolerance].astype(np.float64)
    low, high = np.percentile(on[:, :2], [0.2, 99.8], axis=0) if len(on) else (np.zeros(2), np.zeros(2))
    try:
        hull = ConvexHull(on[((on[:, :2] >= low) & (on[:, :2] <= high)).all(axis=1), :2])
    except (QhullError, ValueError):
        return Structure()
    return Structure(floor, outline=np.unique(hull.equations.round(9), axis=0))


def _horizontal(surface: Surface, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, float]:
    """Return heights, the area (in voxels, or weighted) of horizontal surface around each, and the footprint of the scan (in voxels)."""
    chosen = np.abs(surface.normals[:, 2]) > _FLAT
    flat = surface.points[chosen]
    low, step = float(surface.points[:, 2].min()), surface.size / 2
    rows = ((flat[:, 2] - low) / step).astype(np.int64)
    count = int((surface.points[:, 2].max() - low) / step) + 1
    areas = np.convolve(np.bincount(rows, None if weights is None else weights[chosen], minlength=count), np.ones(5), mode="same")[:count]
    ground = footprint(surface.points[:, :2], surface.size)
    return low + (np.arange(count) + 0.5) * step, areas, float(ground)


def _summit(areas: np.ndarray, row: int, step: int = 1) -> int:
    """Climb from a row to the top of its peak."""
    while 0 <= row + step < len(areas) and areas[row + step] >= areas[row]:
        row += step
    return row


def fit_level(surface: Surface, sample: np.ndarray, height: float, *, reach: float = 0.08, thinnest: float = _THINNEST) -> Level:
    """Fit a slightly uneven horizontal surface near a height: a plane, then a correction for each tile."""
    reach = max(reach, 1.5 * surface.size)
    near = sample[np.abs(sample[:, 2] - height) < reach].astype(np.float64)
    slope = np.array([0.0, 0.0, height])
    corner, far = sample[:, :2].min(axis=0).astype(np.float64), sample[:, :2].max(axis=0)
    shape = np.floor((far - corner) / _TILE).astype(np.int64) + 1
    spread = reach
    for _ in range(4):
        design = np.column_stack([near[:, :2] - corner, np.ones(len(near))])
        residual = near[:, 2] - design @ slope
        inside = np.abs(residual - np.median(residual)) < spread
        if inside.sum() < 20:
            break
        slope = np.linalg.lstsq(design[inside], near[inside, 2], rcond=None)[0]
        residual = near[:, 2] - design @ slope
        spread = max(3 * 1.4826 * float(np.median(np.abs(residual[np.abs(residual) < spread]))), 0.75 * thinnest)
    middle = np.stack(np.meshgrid(*((np.arange(n) + 0.5) * _TILE for n in shape), indexing="ij"), axis=-1)
    heights = middle @ slope[:2] + slope[2]
    residual = near[:, 2] - np.column_stack([near[:, :2] - corner, np.ones(len(near))]) @ slope
    bent = max(2 * spread, reach / 2)
    inside = np.abs(residual) < bent
    tiles = ((near[inside, :2] - corner) / _TILE).astype(np.int64) @ np.array([shape[1], 1])
    order = np.lexsort((residual[inside], tiles))
    found, first, counts = np.unique(tiles[order], return_index=True, return_counts=True)
    many = counts >= 20
    medians = residual[inside][order][first[many] + counts[many] // 2]
    heights.reshape(-1)[found[many]] += medians
    return Level(heights, corner, float(np.clip(spread + thinnest / 4, thinnest, _THICKEST)))
