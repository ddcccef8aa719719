"""Propose boxes around connected parts: fast and few, for things that stand apart."""

from __future__ import annotations

import numpy as np

from basrelief.checks import check_at_least, check_positive
from basrelief.geometry.boxes import Boxes
from basrelief.scenes.proposals import Proposals
from basrelief.scenes.scene import Scene
from basrelief.scenes.segmentation.candidates import Layer, connected_layers
from basrelief.scenes.segmentation.oriented import orient_boxes
from basrelief.scenes.segments import suppress_softly, voxel_size


def propose_clusters(
    scene: Scene, *, seed: int = 0, distance: float | None = None, fewest: int = 30, oriented: bool | None = None, most: int = 500
) -> Proposals:
    """Propose boxes around parts that nothing connects.

    Points of floor, walls and ceiling are left out; parts are found once with and once without the level surfaces that things stand on.

    Args:
        scene: From `prepare_scene`.
        seed: Unused; the result does not depend on chance.
        distance: Largest gap inside a thing in metres; chosen by the extent of the scan when None.
        fewest: Points of a thing, at least.
        oriented: Whether to turn boxes about the vertical to fit; None: on table tops only.
        most: Return at most this many.

    Returns:
        Proposals, those with the most occupied voxels first, each with its own points.
    """
    rows = np.flatnonzero(scene.objects)
    size = voxel_size(scene, rows) if distance is None else distance / 2
    check_positive("distance", size, "Pass the largest gap inside a thing in metres, e.g. 0.1.")
    check_at_least("fewest", fewest, 1, "Pass a number of points.")
    check_at_least("most", most, 1, "Pass the number of boxes to keep.")
    if not len(rows):
        return Proposals(Boxes.concatenate([]), np.zeros(0, dtype=np.float32), "clusters", points=())
    points = scene.cloud.points[rows].astype(np.float64)
    floor = scene.floor if scene.floor is not None else float(points[:, 2].min())
    layers = connected_layers(points, rows, size=size, floor=floor)
    boxes = Boxes.concatenate([Boxes.from_bounds(*layer.bounds()) for layer in layers])
    members = [found for layer in layers for found in _points(layer)]
    area = np.concatenate([layer.regions.sizes * layer.voxels.size**2 for layer in layers])
    large = np.array([len(found) >= fewest for found in members], dtype=bool)
    scores = np.where(large, area / max(float(area.max(initial=0)), 1e-12), 0).astype(np.float32)
    kept, scores = suppress_softly(boxes, scores, most)
    kept, scores = kept[large[kept]], scores[large[kept]]
    chosen = [members[row] for row in kept]
    turned = scene.kind == "tabletop" if oriented is None else oriented
    found = orient_boxes(boxes[kept], scene.cloud.points, chosen) if turned else boxes[kept]
    return Proposals(found, scores, "clusters", points=tuple(chosen))


def _points(layer: Layer) -> list[np.ndarray]:
    return [layer.rows[found] for found in layer.regions.points(layer.voxels)]
