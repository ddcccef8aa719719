"""Recognise a scan of several things, so that it is not taken for one object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from basrelief.errors import GeometryError
from basrelief.geometry import sample_surface
from basrelief.geometry.transforms import axis_rotation
from basrelief.geometry.voxels import estimate_normals, voxelize
from basrelief.scenes.frame import Surface, find_yaw, footprint, rotation_between
from basrelief.scenes.up import find_up
from basrelief.types import Finding, Mesh, Shape

_POINTS = 30_000
_LEAST_POINTS, _LEAST_FACES = 5000, 2000  # a scan has more
_EXTENT, _VOXEL = 6.0, 0.08  # scans are scaled to this extent before anything is measured
_FLAT = 0.85  # |z| of the normal of a floor
_COVER, _SPAN, _SPAN_OF_MESH = 0.35, 0.5, 0.7  # share of the footprint, and of its sides, that the floor takes
_HEIGHT = (0.11, 0.85)  # over the longer side
_ASPECT = 0.45  # shorter over longer side
_INSIDE, _LARGEST = 0.5, 0.7  # share of the surface that is neither floor nor outline; of the largest thing among it
_LEAST_THING, _TALL_THING, _WIDE_THING = 20, 3, 3.0  # voxels; voxels of height; largest width
_THINGS, _THINGS_OF_OTHER_SIZE = 4, 6
_ROOM_SIZES = ((1.5, 40.0), (150.0, 40_000.0))  # in metres; in centimetres or millimetres


@dataclass(frozen=True)
class SceneGuess:
    """A scan that seems to show several things.

    Attributes:
        things: Number of separate things that stand on the floor, at least.
    """

    things: int

    @property
    def sentence(self) -> str:
        """What to tell a user."""
        return f"This looks like a scan of a room with {self.things} or more things, not like one object."

    def finding(self, file: str) -> Finding:
        """Return it as a finding about a file."""
        return Finding("scene", "warning", self.sentence, f"Run: basrelief detect {file}")


def recognise_scene(shape: Shape) -> SceneGuess | None:
    """Guess whether a shape is a scan of several things: a floor under most of it, and separate things that stand on the floor.

    Takes a fraction of a second at any size, because some ten thousand points are looked at. Shapes of one object are rarely taken for
    scenes; scans of few things, or of things that touch, may be missed.

    Args:
        shape: In any unit and with any up axis.

    Returns:
        The guess, or None for a single object.
    """
    if (len(shape.faces) < _LEAST_FACES) if isinstance(shape, Mesh) else (len(shape.points) < _LEAST_POINTS):
        return None
    points = _some_points(shape)
    low, high = np.percentile(points, [1, 99], axis=0)
    extent = float((high - low).max())
    if not 0 < extent < np.inf:
        return None
    scaled = (points.astype(np.float64) - (low + high) / 2) * (_EXTENT / extent)
    grid = voxelize(scaled[(np.abs(scaled) < _EXTENT).all(axis=1)], _VOXEL)
    if len(grid) < 10 * _LEAST_THING:
        return None
    surface = Surface(grid.points, estimate_normals(grid.points, neighbours=10)[0], grid.counts, grid.size)
    surface = surface.rotated(rotation_between(find_up(surface)[0], np.array([0.0, 0.0, 1.0])))
    surface = surface.rotated(axis_rotation("z", -find_yaw(surface)[0]))
    things = _things_on_floor(surface, span=_SPAN_OF_MESH if isinstance(shape, Mesh) else _SPAN)
    of_room_size = any(least <= extent <= most for least, most in _ROOM_SIZES)
    return SceneGuess(things) if things >= (_THINGS if of_room_size else _THINGS_OF_OTHER_SIZE) else None


def _some_points(shape: Shape) -> Float[np.ndarray, "points 3"]:
    if not isinstance(shape, Mesh):
        return shape.points[:: max(1, len(shape.points) // _POINTS)]
    try:
        return sample_surface(shape, _POINTS).points
    except GeometryError:  # no face has an area
        return shape.vertices


def _things_on_floor(surface: Surface, *, span: float) -> int:
    """Return the number of separate things on the floor; 0 if the proportions are not those of a scene."""
    points, size = surface.points, surface.size
    low, high = np.percentile(points, [1, 99], axis=0)
    sides, height = (high - low)[:2], float(high[2] - low[2])
    longer = max(float(sides.max()), 1e-9)
    if not (_HEIGHT[0] <= height / longer <= _HEIGHT[1] and sides.min() >= _ASPECT * longer):
        return 0
    flat = np.abs(surface.normals[:, 2]) > _FLAT
    rows = ((points[:, 2] - points[:, 2].min()) / size).astype(np.int64)
    areas = np.convolve(np.bincount(rows[flat], minlength=rows.max() + 1), np.ones(3), mode="same")
    if not areas.any():
        return 0
    floor = int(np.flatnonzero(areas >= 0.25 * areas.max())[0])
    on = flat & (np.abs(rows - floor) <= 1)
    if (
        on.sum() < _COVER * footprint(points[:, :2], size)
        or (rows < floor - 1).mean() > 0.02
        or (np.ptp(points[on, :2], axis=0) < span * sides).any()
    ):
        return 0
    outline = ((points[:, :2] < low[:2] + 2 * size) | (points[:, :2] > high[:2] - 2 * size)).any(axis=1)
    ceiling = flat & (points[:, 2] > high[2] - 2 * size)
    inside = (rows > floor + 2) & ~outline & ~ceiling
    return _separate_things(points[inside], rows[inside] - floor, size) if 0 < inside.mean() <= _INSIDE else 0


def _separate_things(points: np.ndarray, heights: np.ndarray, size: float) -> int:
    """Count connected groups of voxels of the size of furniture that reach down to the floor."""
    from scipy.ndimage import label

    cells = np.floor((points - points.min(axis=0)) / size).astype(np.int64)
    occupied = np.zeros(cells.max(axis=0) + 1, dtype=bool)
    occupied[tuple(cells.T)] = True
    of = label(occupied, np.ones((3, 3, 3)))[0][tuple(cells.T)]
    counts = np.bincount(of)
    low, high = np.full((len(counts), 3), np.iinfo(np.int64).max // 2), np.zeros((len(counts), 3), dtype=np.int64)
    lowest = np.full(len(counts), np.iinfo(np.int64).max)
    np.minimum.at(low, of, cells)
    np.maximum.at(high, of, cells)
    np.minimum.at(lowest, of, heights)
    extents = high - low
    stands = (counts >= _LEAST_THING) & (lowest <= 5) & (extents[:, 2] >= _TALL_THING) & (extents[:, :2].max(axis=1) * size < _WIDE_THING)
    return int(stands.sum()) if counts.max() < _LARGEST * counts.sum() else 0
