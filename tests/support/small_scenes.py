"""Small scans of known content: generated things on a floor, far enough apart to be told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from basrelief.geometry import sample_surface
from basrelief.geometry.boxes import Boxes
from basrelief.scenes import Proposals, Scene
from basrelief.scenes.scene import FLOOR, OBJECT
from basrelief.shapes import make_shape
from basrelief.types import PointCloud

FIRST_SEED = 10_000


def planted_scene(names: Sequence[str], *, spacing: float = 2.5, points: int = 3000, floor: int = 2000) -> tuple[Scene, Boxes]:
    """Things in a row along x on a floor at z = 0, and their boxes."""
    rng = np.random.default_rng(0)
    clouds, boxes = [], []
    for place, name in enumerate(names):
        cloud = sample_surface(make_shape(name, seed=FIRST_SEED + place), points, seed=place).points.astype(np.float64)
        low, high = cloud.min(axis=0), cloud.max(axis=0)
        cloud += (place * spacing, 0, 0.02) - np.array([*(low + high)[:2] / 2, low[2]])
        clouds.append(cloud)
        boxes.append(Boxes.from_bounds(cloud.min(axis=0)[None], cloud.max(axis=0)[None]))
    ground = np.column_stack([rng.uniform(-1.5, spacing * len(names), floor), rng.uniform(-1.5, 1.5, floor), np.zeros(floor)])
    rows = np.concatenate([*clouds, ground])
    structure = np.concatenate([np.full(points * len(names), OBJECT), np.full(floor, FLOOR)]).astype(np.int8)
    return Scene(PointCloud(rows), np.eye(4), structure, floor=0.0, source="planted"), Boxes.concatenate(boxes)


def given(boxes: Boxes, *, scores: Sequence[float] | None = None) -> Proposals:
    """Proposals of boxes without points, equally likely unless scores are given."""
    return Proposals(boxes, np.ones(len(boxes), np.float32) if scores is None else np.array(scores, np.float32), "boxes")
