"""Propose boxes by graph segmentation at many scales; needs no training and no weights."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from basrelief.checks import check_positive
from basrelief.geometry.boxes import Boxes
from basrelief.scenes.proposals import Proposals
from basrelief.scenes.scene import Scene
from basrelief.scenes.segmentation.graph import felzenszwalb, neighbour_graph, sort_edges, voxel_normals
from basrelief.scenes.segmentation.regions import Regions
from basrelief.scenes.segmentation.voxels import make_voxels

_SCALES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
_FEWEST, _DUPLICATE, _STABLE = 12, 0.7, 0.6


def propose_segments(scene: Scene, *, seed: int = 0, voxel: float | None = None) -> Proposals:
    """Propose boxes around the segments of a scan.

    Points of floor, walls and ceiling are left out. The others become voxels, which are segmented by their normals (Felzenszwalb and
    Huttenlocher 2004) at several scales; connected parts are proposals, too. A box that many scales agree on scores high.

    Args:
        scene: From `prepare_scene`.
        seed: Unused; the result does not depend on chance.
        voxel: Edge length of a voxel in metres; chosen by the extent of the scan when None.

    Returns:
        Proposals, best first, each with its own points.
    """
    rows = np.flatnonzero(scene.objects)
    size = _voxel_size(scene, rows) if voxel is None else voxel
    check_positive("voxel", size, "Pass the edge length of a voxel in metres, e.g. 0.05.")
    points = scene.cloud.points[rows].astype(np.float64)
    colors = None if scene.cloud.colors is None else scene.cloud.colors[rows]
    voxels = make_voxels(points, size, colors)
    graph = neighbour_graph(voxels.centers, neighbours=8, reach=3 * size)
    normals, _ = voxel_normals(voxels, graph)
    weights = 1 - np.abs(np.einsum("ni,ni->n", normals[graph.pairs[:, 0]], normals[graph.pairs[:, 1]]))
    if voxels.colors is not None:
        weights = weights + 0.5 * np.linalg.norm(voxels.colors[graph.pairs[:, 0]] - voxels.colors[graph.pairs[:, 1]], axis=1)
    pairs, heights = sort_edges(graph.pairs, weights)
    labelings = [felzenszwalb(len(voxels), pairs, heights, scale) for scale in (*_SCALES, np.inf)]
    regions = Regions.concatenate([Regions.from_labels(labels) for labels in labelings])
    regions = regions.select(regions.sizes >= _FEWEST)
    low, high = regions.bounds(voxels)
    kept, scores = _most_stable(low, high)
    scores = (scores + (np.log(regions.sizes[kept] / _FEWEST) / 5).clip(0, 1)) / 2
    best = np.argsort(-scores, kind="stable")
    kept, scores = kept[best], scores[best]
    chosen = regions.select(kept)
    found = tuple(rows[inside] for inside in chosen.points(voxels))
    return Proposals(Boxes.from_bounds(low[kept], high[kept]), scores.astype(np.float32), "segments", points=found)


def _voxel_size(scene: Scene, rows: Int[np.ndarray, " objects"]) -> float:
    if not len(rows):
        return 0.05
    extent = float(np.ptp(scene.cloud.points[rows], axis=0).max())
    return min(0.04, max(extent / 100, 0.001))


def _overlaps(low: Float[np.ndarray, "n 3"], high: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n n"]:
    shared = (np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])).clip(0).prod(axis=2)
    volume = (high - low).prod(axis=1)
    overlap: np.ndarray = shared / np.maximum(volume[:, None] + volume[None] - shared, 1e-12)
    return overlap


def _most_stable(low: Float[np.ndarray, "n 3"], high: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of distinct boxes, most stable first, and their scores: how many others are alike."""
    if not len(low):
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    overlap = _overlaps(low, high)
    alike = (overlap > _STABLE).sum(axis=1)
    kept: list[int] = []
    for row in np.argsort(-alike, kind="stable"):
        if not (overlap[row, kept] > _DUPLICATE).any():
            kept.append(int(row))
    chosen = np.array(kept)
    return chosen, alike[chosen] / alike.max()
