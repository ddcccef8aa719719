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
    ground = scene.cloud.points[:, :2]
    low, high = ground.min(axis=0).astype(np.float64), ground.max(axis=0).astype(np.float64)
    counts = np.maximum(np.ceil((high - low) / size), 1).astype(np.int64)
    step = (high - low) / counts
    for place in np.ndindex(*counts):
        start, end = low + np.array(place) * step, low + (np.array(place) + 1) * step
        near = ((ground >= start - overlap) & (ground <= end + overlap)).all(axis=1)
        if np.count_nonzero(near & scene.objects) < _FEWEST_POINTS:
            continue
        rows = np.flatnonzero(near)
        at_edge = np.array(place) == counts - 1
        part = replace(scene, cloud=scene.select(rows), structure=scene.structure[rows])
        yield Tile(part, rows, np.where(np.array(place) == 0, -np.inf, start), np.where(at_edge, np.inf, end))


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
