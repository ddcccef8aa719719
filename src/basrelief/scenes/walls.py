"""Walls of a scan: tall, long vertical planes at its outline, or from the floor to the top of the room."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from basrelief.scenes.frame import Surface

_UPRIGHT = 0.75  # |x| or |y| of the normal of a wall
_CELL = 0.1  # metres; walls are judged column by column of this width
_ROW = 0.2  # metres; height of the cells in which a column is seen or not
_SPARSE = 4  # columns without points between two with points, in a sparse scan
_TALL = 1.5  # metres that a column at the outline must reach
_COVERED, _COVERED_FULL = 0.35, 0.5  # share of a column's height that must be seen
_SHORTEST, _SHORTEST_FULL = 0.5, 0.6  # metres of adjacent columns
_TOP_REACH = 0.2  # metres below the top of the room that still count as full height
_OPENING = 2.0  # metres; gaps up to this belong to the wall: doors, windows, furniture in front
_DEPTH = 1.0  # metres; a plane nearer in front of a wall is furniture, unless it has full height
_LAYER = 0.04  # metres; a parallel surface at this distance is another one
_SKEW = 0.02  # slope of a wall against the axes, at most
_RECESS = 0.35  # metres; a plane this little behind a wall is a door or a window
_LEAST_AREA = 0.5  # square metres
_BEYOND = 0.15  # metres behind a wall where nothing may be seen
_THINNEST, _THICKEST = 0.02, 0.06


@dataclass(frozen=True, eq=False)
class Wall:
    """Columns of a vertical plane `points @ normal = offset + slope * along`.

    Attributes:
        normal: (2,) unit vector in the ground plane.
        offset: Metres.
        slope: Of the offset along the wall.
        tolerance: Distance up to which points belong to the wall, metres.
        start: Where the first column starts along the wall, metres.
        columns: (C,) which columns of `_CELL` metres belong to the wall.
    """

    normal: Float[np.ndarray, " 2"]
    offset: float
    slope: float
    tolerance: float
    start: float
    columns: Bool[np.ndarray, " columns"]

    def contains(self, points: Float[np.ndarray, "points 3"]) -> Bool[np.ndarray, " points"]:
        """Return which points belong to the wall."""
        along = points[:, 1] * self.normal[0] - points[:, 0] * self.normal[1]
        distance = points[:, :2] @ self.normal - self.offset - self.slope * along
        column = np.floor((along - self.start) / _CELL).astype(np.int64)
        inside: np.ndarray = (np.abs(distance) <= self.tolerance) & (column >= 0) & (column < len(self.columns))
        inside[inside] = self.columns[column[inside]]
        return inside


@dataclass(frozen=True, eq=False)
class _Plane:
    """A candidate: its place and its columns."""

    offset: float
    slope: float
    spread: float
    top: Float[np.ndarray, " columns"]
    covered: Float[np.ndarray, " columns"]
    outward: int
    outer: Bool[np.ndarray, " columns"]


def find_walls(surface: Surface, sample: Float[np.ndarray, "sample 3"], *, floor: float, ceiling: float | None) -> tuple[Wall, ...]:
    """Find walls along x and y.

    Args:
        surface: Voxels with normals in the scene frame, metres.
        sample: Points of the scan, for noise and exact places.
        floor: Height of the floor.
        ceiling: Height of the ceiling, or None.
    """
    found = []
    planes = [(normal, _planes(surface, sample, normal, floor)) for normal in (np.array([1.0, 0.0]), np.array([0.0, 1.0]))]
    tops = [plane.top[(plane.top > floor + _TALL) & (plane.covered > _COVERED)] for _, some in planes for plane in some]
    room_top = ceiling if ceiling is not None else _room_top(np.concatenate(tops) if tops else np.zeros(0))
    if room_top is None:
        return ()
    for normal, some in planes:
        found += _select(some, normal, surface, floor, room_top)
    return tuple(found)


def _room_top(tops: np.ndarray) -> float | None:
    """Return the highest level that many tall columns reach."""
    if not len(tops):
        return None
    low = float(tops.min())
    counts = np.convolve(np.bincount(((tops - low) / _CELL).astype(np.int64)), np.ones(3), mode="same")
    return (
        low + (float(np.flatnonzero(counts >= 0.2 * len(tops))[-1]) + 0.5) * _CELL
        if (counts >= 0.2 * len(tops)).any()
        else float(np.median(tops))
    )


def _start(surface: Surface, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Return places along and across a direction, where columns start, and how many there are."""
    along = surface.points[:, 1] * normal[0] - surface.points[:, 0] * normal[1]
    start = float(along.min())
    return along, surface.points[:, :2] @ normal, start, int((along.max() - start) / _CELL) + 1


def _planes(surface: Surface, sample: np.ndarray, normal: np.ndarray, floor: float) -> list[_Plane]:
    """List vertical planes across a direction, largest first."""
    along, across, start, columns = _start(surface, normal)
    facing = np.abs(surface.normals[:, :2] @ normal) > _UPRIGHT
    left = facing & (surface.points[:, 2] > floor + 0.15)
    low, step = float(across.min()), 0.02
    sample_along = sample[:, 1] * normal[0] - sample[:, 0] * normal[1]
    sample_across = sample[:, :2] @ normal
    cell = max(_ROW, 1.5 * surface.size)
    reach = max(0.06, 1.2 * surface.size)
    planes: list[_Plane] = []
    while len(planes) < 40:
        counts = np.bincount(((across[left] - low) / step).astype(np.int64), minlength=1)
        width = max(3, round(reach / step))
        smooth = np.convolve(counts, np.ones(width), mode="same")
        if smooth.max() * surface.size**2 < _LEAST_AREA:
            break
        place = low + (float(smooth.argmax()) + 0.5) * step
        offset, slope, spread = _fit(sample_along, sample_across, place, reach)
        distance = across - offset - slope * along
        on = np.abs(distance) < reach
        column = ((along - start) / _CELL).astype(np.int64)
        height = surface.points[:, 2] - floor
        levels = max(int(height.max() / cell) + 1, 1)
        seen = np.zeros((columns, levels), dtype=bool)
        chosen = on & left & (height > 0)
        seen[column[chosen], np.minimum((height[chosen] / cell).astype(np.int64), levels - 1)] = True
        seen = _between(seen)
        top = np.where(seen.any(axis=1), (levels - seen[:, ::-1].argmax(axis=1)) * cell, 0.0)
        covered = seen.sum(axis=1) * cell / np.maximum(top, cell)
        behind = [_column_share(column, sign * distance > _BEYOND + reach, columns) for sign in (1, -1)]
        outward = 1 if behind[0].mean() <= behind[1].mean() else -1
        beyond = behind[0] if outward == 1 else behind[1]
        planes.append(_Plane(offset, slope, spread, top + floor, covered, outward, beyond < 0.03))
        left &= ~on
    return planes


def _between(seen: np.ndarray) -> np.ndarray:
    """Fill what lies between columns that are seen at the same height, so that sparse scans have no stripes."""
    from scipy.ndimage import binary_closing

    filled: np.ndarray = seen | binary_closing(np.pad(seen, ((_SPARSE, _SPARSE), (0, 0))), np.ones((_SPARSE + 1, 1)))[_SPARSE:-_SPARSE]
    return filled


def _column_share(column: np.ndarray, chosen: np.ndarray, columns: int) -> np.ndarray:
    window = np.ones(5)
    some, all_of = (np.convolve(np.bincount(of, minlength=columns), window)[2:-2] for of in (column[chosen], column))
    share: np.ndarray = some / np.maximum(all_of, 1)
    return share


def _fit(along: np.ndarray, across: np.ndarray, place: float, reach: float) -> tuple[float, float, float]:
    """Fit `across = offset + slope * along` to points near a place; return offset, slope and the spread of the points around it."""
    near = np.abs(across - place) < reach
    a, b = along[near].astype(np.float64), across[near].astype(np.float64)
    slope, offset = _densest_line(a, b, place, reach)
    spread = _LAYER
    for _ in range(4):
        residual = b - offset - slope * a
        inside = np.abs(residual) < spread
        if inside.sum() < 20:
            break
        slope, offset = np.polyfit(a[inside], b[inside], 1) if np.ptp(a[inside]) > 0.5 else (0.0, float(np.median(b[inside])))
        residual = b - offset - slope * a
        spread = max(3 * 1.4826 * float(np.median(np.abs(residual[np.abs(residual) < spread]))), 0.012)
    if abs(slope) > 0.05:
        offset, slope = place, 0.0
    return float(offset), float(slope), float(spread)


def _densest_line(along: np.ndarray, across: np.ndarray, place: float, reach: float) -> tuple[float, float]:
    """Return slope and offset of the line near which most points lie: the wall, where there is a back of a shelf right in front of it."""
    middle, fine = float(np.median(along)) if len(along) else 0.0, 0.005
    best, chosen = -1.0, (0.0, place)
    for slope in np.linspace(-_SKEW, _SKEW, 17):
        rows = ((across - slope * (along - middle) - place + 2 * reach) / fine).astype(np.int64)
        counts = np.convolve(np.bincount(rows[(rows >= 0) & (rows < 4 * reach / fine)], minlength=1), np.ones(3), mode="same")
        row = int(counts.argmax())
        if counts[row] > best:
            best, chosen = float(counts[row]), (float(slope), place - 2 * reach + (row + 0.5) * fine - float(slope) * middle)
    return chosen


def _select(planes: list[_Plane], normal: np.ndarray, surface: Surface, floor: float, room_top: float) -> list[Wall]:
    """Choose the columns of each plane that belong to a wall, larger walls first: what is close to one is furniture, a door or a window."""
    start = _start(surface, normal)[2]
    judged = []
    for plane in planes:
        full = (plane.top > room_top - _TOP_REACH) & (plane.covered > _COVERED_FULL)
        tall = (plane.top > floor + max(_TALL, 0.6 * (room_top - floor))) & (plane.covered > _COVERED) & plane.outer
        judged.append((plane, full, tall | full))
    walls: list[Wall] = []
    accepted: list[tuple[_Plane, np.ndarray]] = []
    for plane, full, tall in sorted(judged, key=lambda judgement: -int(judgement[2].sum())):
        for other, chosen in accepted:
            if -_RECESS < other.outward * (other.offset - plane.offset) < _DEPTH:
                first, last = np.flatnonzero(chosen)[[0, -1]]
                tall[first : last + 1] = False
        chosen = _runs(full, round(_SHORTEST_FULL / _CELL)) | _runs(tall, round(_SHORTEST / _CELL))
        if not chosen.any():
            continue
        chosen = _widened(_joined(chosen, plane.top > room_top - _TOP_REACH, round(_OPENING / _CELL)))
        accepted.append((plane, chosen))
        tolerance = float(np.clip(plane.spread + 0.005, _THINNEST, _THICKEST))
        walls.append(Wall(normal, plane.offset, plane.slope, tolerance, start, chosen))
    return walls


def _runs(mask: np.ndarray, least: int) -> np.ndarray:
    """Keep runs of at least `least` columns; single missing columns do not end a run."""
    kept = np.zeros_like(mask)
    for first, last in _spans(_closed(mask, 2)):
        if last - first >= least:
            kept[first:last] = mask[first:last]
    return kept


def _joined(chosen: np.ndarray, seen: np.ndarray, longest: int) -> np.ndarray:
    """Add the columns that are seen at the top of the room, from one chosen column to the next, with gaps of up to `longest`."""
    linked = _closed(chosen | seen, longest)
    joined = np.zeros_like(chosen)
    for first, last in _spans(linked):
        joined[first:last] = chosen[first:last].any()
    return joined


def _closed(mask: np.ndarray, longest: int) -> np.ndarray:
    """Fill gaps of up to `longest` columns."""
    filled = mask.copy()
    spans = _spans(mask)
    for (_, end), (begin, _) in pairwise(spans):
        if begin - end <= longest:
            filled[end:begin] = True
    return filled


def _widened(mask: np.ndarray) -> np.ndarray:
    wider = mask.copy()
    wider[1:] |= mask[:-1]
    wider[:-1] |= mask[1:]
    return wider


def _spans(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
