"""Propose boxes by graph segmentation at many scales; needs no weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.checks import check_at_least, check_positive
from basrelief.geometry.box_iou import box_iou, suppress
from basrelief.geometry.boxes import Boxes
from basrelief.scenes.proposals import Proposals
from basrelief.scenes.scene import Scene
from basrelief.scenes.segmentation.candidates import FAMILIES, Layer, find_candidates
from basrelief.scenes.segmentation.objectness import Features, agreement_features, box_features, load_objectness, region_features
from basrelief.scenes.segmentation.occupancy import Occupancy
from basrelief.scenes.segmentation.oriented import orient_boxes

_VOXEL, _CELLS_PER_VOXEL = 0.04, 1.25
_TILE, _MARGIN, _MOST_TILES = 12.0, 2.5, 16  # metres, metres, along an axis
_MOST_DISTINCT = 5000  # boxes of a layer, the largest ones; all pairs are compared
_MOST_OVERLAP, _DECAY = 0.65, 2.0


@dataclass(frozen=True, eq=False)
class Candidates:
    """Distinct boxes of the regions of all layers.

    Attributes:
        low: (R, 3) lowest corners.
        high: (R, 3) highest corners.
        layers: (R,) layer of each.
        regions: (R,) region in its layer.
        features: Measurements of each.
    """

    low: Float[np.ndarray, "regions 3"]
    high: Float[np.ndarray, "regions 3"]
    layers: Int[np.ndarray, " regions"]
    regions: Int[np.ndarray, " regions"]
    features: Features


def propose_segments(
    scene: Scene, *, seed: int = 0, voxel: float | None = None, oriented: bool | None = None, most: int = 500
) -> Proposals:
    """Propose boxes around the segments of a scan.

    Points of floor, walls and ceiling are left out. The others become voxels, which are segmented by their normals and colours at several
    scales (Felzenszwalb and Huttenlocher 2004); neighbouring segments are merged step by step (after Uijlings et al. 2013), and what
    stands on level surfaces is segmented again without them. A logistic model of how separate, full and stable each box is ranks them.

    Args:
        scene: From `prepare_scene`.
        seed: Unused; the result does not depend on chance.
        voxel: Edge length of a voxel in metres; 0.04, or less for small scans, when None.
        oriented: Whether to turn boxes about the vertical to fit; None: on table tops only.
        most: Return at most this many.

    Returns:
        Proposals, best first, each with its own points.
    """
    rows = np.flatnonzero(scene.objects)
    size = voxel_size(scene, rows) if voxel is None else voxel
    check_positive("voxel", size, "Pass the edge length of a voxel in metres, e.g. 0.05.")
    check_at_least("most", most, 1, "Pass the number of boxes to keep.")
    parts = [_propose_tile(scene, tile, core, size, most) for tile, core in _tiles(scene, rows, size)]
    boxes = Boxes.concatenate([part.boxes for part in parts])
    scores = np.concatenate([np.zeros(0, dtype=np.float32), *(part.scores for part in parts)])
    points = [found for part in parts for found in part.points or ()]
    kept, scores = suppress_softly(boxes, scores, most)
    chosen = [points[row] for row in kept]
    turned = scene.kind == "tabletop" if oriented is None else oriented
    found = orient_boxes(boxes[kept], scene.cloud.points, chosen) if turned else boxes[kept]
    return Proposals(found, scores, "segments", points=tuple(chosen))


def suppress_softly(
    boxes: Boxes, scores: Float[np.ndarray, " boxes"], most: int
) -> tuple[Int[np.ndarray, " kept"], Float[np.ndarray, " kept"]]:
    """Remove near duplicates and lower the scores of boxes that overlap better ones (after Bodla et al. 2017, soft-NMS).

    Returns:
        Indices of the kept boxes, best first, and their new scores: multiplied by (1 - IoU)^2 for the largest IoU with a better box.
    """
    kept = suppress(boxes, scores, iou=_MOST_OVERLAP)[: 4 * most]
    if not len(kept):
        return kept, scores[kept]
    better = np.tril(box_iou(boxes[kept], boxes[kept]), k=-1).max(axis=1)
    lowered = (scores[kept] * (1 - better) ** _DECAY).astype(np.float32)
    order = np.argsort(-lowered, kind="stable")[:most]
    return kept[order], lowered[order]


def voxel_size(scene: Scene, rows: Int[np.ndarray, " objects"]) -> float:
    """Edge length that gives at least 60 voxels along the longest side."""
    extent = float(np.ptp(scene.cloud.points[rows], axis=0).max()) if len(rows) else 0.0
    return min(_VOXEL, extent / 60) if extent > 0 else _VOXEL


def _tiles(
    scene: Scene, rows: Int[np.ndarray, " objects"], size: float
) -> Iterator[tuple[Int[np.ndarray, " points"], tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]]]:
    """Yield the rows of each tile with its margin, and the core in which boxes of that tile have their centre."""
    if not len(rows):
        return
    flat = scene.cloud.points[rows][:, :2]
    low, extent = flat.min(axis=0).astype(np.float64), np.ptp(flat, axis=0).astype(np.float64)
    factor = size / _VOXEL
    count = np.maximum(np.ceil((extent - 2 * _MARGIN * factor) / (_TILE * factor)), 1).clip(max=_MOST_TILES).astype(np.int64)
    step = extent / count
    for x in range(count[0]):
        for y in range(count[1]):
            start = np.where((x, y) == np.zeros(2), -np.inf, low + step * (x, y))
            end = np.where((x, y) == count - 1, np.inf, low + step * (x + 1, y + 1))
            near = ((flat >= start - _MARGIN * factor) & (flat <= end + _MARGIN * factor)).all(axis=1)
            if near.any():
                yield rows[near], (start, end)


def _propose_tile(
    scene: Scene, rows: Int[np.ndarray, " points"], core: tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]], size: float, most: int
) -> Proposals:
    layers, found = measure_candidates(scene, rows, size)
    middle = (found.low + found.high)[:, :2] / 2
    inside = np.flatnonzero(((middle >= core[0]) & (middle < core[1])).all(axis=1))
    boxes = Boxes.from_bounds(found.low[inside], found.high[inside])
    scores = load_objectness().score({name: values[inside] for name, values in found.features.items()})
    kept = suppress(boxes, scores, iou=_MOST_OVERLAP)[: 4 * most]
    points: list[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(kept)
    for number, layer in enumerate(layers):
        own = np.flatnonzero(found.layers[inside[kept]] == number)
        chosen = layer.regions.select(found.regions[inside[kept[own]]])
        for place, members in zip(own, chosen.points(layer.voxels), strict=True):
            points[place] = layer.rows[members]
    return Proposals(boxes[kept], scores[kept], "segments", points=tuple(points))


def measure_candidates(scene: Scene, rows: Int[np.ndarray, " points"], size: float) -> tuple[list[Layer], Candidates]:
    """Find candidate regions among some points of a scene and measure them.

    Args:
        scene: The scan.
        rows: Rows of its points.
        size: Edge length of a voxel in metres.
    """
    points = scene.cloud.points[rows].astype(np.float64)
    floor = scene.floor if scene.floor is not None else float(points[:, 2].min())
    colors = None if scene.cloud.colors is None else scene.cloud.colors[rows]
    layers = find_candidates(points, rows, colors, size=size, floor=floor)
    first = layers[0]
    occupancy = Occupancy.build(
        {
            "object": points,
            "structure": scene.cloud.points[~scene.objects].astype(np.float64),
            "level": first.voxels.centers[np.abs(first.normals[:, 2]) > 0.9],
        },
        _CELLS_PER_VOXEL * size,
    )
    shares = np.zeros(len(scene.cloud.points), dtype=np.float32)
    shares[rows] = occupancy.shares(points)
    parts = [_distinct(layer, number, size, shares) for number, layer in enumerate(layers)]
    low, high = (np.concatenate([getattr(part, name) for part, _ in parts]) for name in ("low", "high"))
    families = np.concatenate([made for _, made in parts])
    features = box_features(low, high, occupancy, floor)
    features |= {name: np.concatenate([part.features[name] for part, _ in parts]) for name in parts[0][0].features}
    features["purity"] = features["cells"] / np.maximum(occupancy.count("object", *occupancy.cells(low, high)), 1)
    features |= agreement_features(Boxes.from_bounds(low, high), families)
    layer_of, region_of = (np.concatenate([getattr(part, name) for part, _ in parts]) for name in ("layers", "regions"))
    return layers, Candidates(low, high, layer_of, region_of, features)


def _distinct(layer: Layer, number: int, size: float, shares: Float[np.ndarray, " points"]) -> tuple[Candidates, np.ndarray]:
    """Measure one region of each distinct box of a layer; also return how often each family made that box."""
    low, high = layer.bounds()
    grid = np.round(np.hstack([low, high]) / (size / 2)).astype(np.int64)
    _, first, same = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    families = np.zeros((len(first), len(FAMILIES)))
    np.add.at(families, (same.ravel(), layer.families), 1)
    large = (high - low)[first].max(axis=1, initial=0) > 2 * size
    first, families = first[large], families[large]
    if len(first) > _MOST_DISTINCT:
        largest = np.sort(np.argsort(-layer.regions.sizes[first], kind="stable")[:_MOST_DISTINCT])
        first, families = first[largest], families[largest]
    ordered = np.append(shares[layer.rows[layer.voxels.order]], 0.0)  # a closing zero: reduceat of an empty list
    cells = np.add.reduceat(ordered, layer.voxels.starts)[:-1]
    features = region_features(layer.regions.select(first), layer.graph.pairs, layer.weights, cells)
    features["finer"] = np.full(len(first), float(number > 0))
    return Candidates(low[first], high[first], np.full(len(first), number), first, features), families
