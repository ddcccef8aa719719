"""Split large scans into overlapping tiles, so that proposals need bounded memory at any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from basrelief.checks import check_positive
from basrelief.geometry.boxes import Boxes
from basrelief.scenes.proposals import Proposals, Proposer
from basrelief.scenes.scene import Scene

_LARGE_EXTENT, _LARGE_COUNT = 12.0, 3_000_000
_FEWEST_POINTS = 20  # of things in a tile that is looked at


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of a scene.

    Attributes:
        scene: Its points with a margin around the core, in the frame of the whole scene.
        rows: (M,) int64, which points of the whole scene these are.
        low: (2,) lower x and y of the core, which belongs to this tile alone.
        high: (2,) upper x and y of the core.
    """

    scene: Scene
    rows: Int[np.ndarray, " inside"]
    low: Float[np.ndarray, " 2"]
    high: Float[np.ndarray, " 2"]

    def owns(self, boxes: Boxes) -> Bool[np.ndarray, " boxes"]:
        """Return which boxes have their centre in the core, so that each box is kept from one tile."""
        centers = boxes.centers[:, :2]
        owned: np.ndarray = np.all((centers >= self.low) & (centers < self.high), axis=1)
        return owned


def is_large(scene: Scene) -> bool:
    """Whether a scan should be looked at tile by tile: longer than 12 m, or more than three million points."""
    points = scene.cloud.points
    return len(points) > _LARGE_COUNT or float(np.ptp(points[:, :2], axis=0).max()) > _LARGE_EXTENT


def tiles(scene: Scene, *, size: float = 8.0, overlap: float = 1.5) -> Iterator[Tile]:
    """Split a scene into tiles that cover the ground; those without any thing in them are left out.

    Args:
        scene: From `prepare_scene`.
        size: Side of the core of a tile, metres; cores are made a little smaller, so that all are of one size.
        overlap: Width of the margin around a core, metres; things up to twice as long are seen whole in one tile.

    Yields:
        One tile after another.

    Raises:
        ConfigError: If a length is not positive.
    """
    check_positive("size", size, "Pass metres, e.g. 8.")
    check_positive("overlap", overlap, "Pass metres, or 0 for none.", zero=True)
    ground, objects = scene.cloud.points[:, :2], scene.objects
    low, high = ground.min(axis=0).astype(np.float64), ground.max(axis=0).astype(np.float64)
    counts = np.maximum(np.ceil((high - low) / size), 1).astype(np.int64)
    step = (high - low) / counts
    occupied = _occupied(
        ((ground[objects] - low) / np.maximum(step, 1e-12)).astype(np.int64), counts, reach=overlap / np.maximum(step, 1e-12)
    )
    for x in np.flatnonzero(occupied.any(axis=1)):
        beside = np.flatnonzero((ground[:, 0] >= low[0] + x * step[0] - overlap) & (ground[:, 0] <= low[0] + (x + 1) * step[0] + overlap))
        for y in np.flatnonzero(occupied[x]):
            place = np.array([x, y])
            start, end = low + place * step, low + (place + 1) * step
            rows = beside[(ground[beside, 1] >= start[1] - overlap) & (ground[beside, 1] <= end[1] + overlap)]
            if np.count_nonzero(objects[rows]) < _FEWEST_POINTS:
                continue
            part = replace(scene, cloud=scene.select(rows), structure=scene.structure[rows])
            yield Tile(part, rows, np.where(place == 0, -np.inf, start), np.where(place == counts - 1, np.inf, end))


def _occupied(cells: np.ndarray, counts: np.ndarray, *, reach: np.ndarray) -> Bool[np.ndarray, "x y"]:
    """Return which tiles may have points in their core or in the margin around it, whose width is in tiles."""
    from scipy.ndimage import maximum_filter

    occupied = np.zeros(counts, dtype=bool)
    occupied[tuple(np.minimum(cells, counts - 1).T)] = True
    widths = [2 * int(np.ceil(min(width, count))) + 1 for width, count in zip(reach, counts, strict=True)]
    spread: np.ndarray = maximum_filter(occupied, size=widths)
    return spread


def propose_by_tile(scene: Scene, proposer: Proposer, **options: object) -> Proposals:
    """Propose boxes tile by tile, and keep each box from the tile in whose core its centre lies.

    Args:
        scene: From `prepare_scene`.
        proposer: The method, one of `PROPOSERS`.
        options: Passed on to it.

    Returns:
        The proposals of all tiles.
    """
    parts = []
    for tile in tiles(scene):
        found = proposer(tile.scene, **options)
        kept = found.select(np.flatnonzero(tile.owns(found.boxes)))
        parts.append(replace(kept, points=None if kept.points is None else tuple(tile.rows[inside] for inside in kept.points)))
    return _joined(parts) if parts else proposer(scene, **options)


def _joined(parts: list[Proposals]) -> Proposals:
    points, probs = [part.points for part in parts], [part.class_probs for part in parts]
    return replace(
        parts[0],
        boxes=Boxes.concatenate([part.boxes for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        points=None if any(some is None for some in points) else tuple(inside for some in points if some is not None for inside in some),
        class_probs=None if any(some is None for some in probs) else np.concatenate([some for some in probs if some is not None]),
    )
