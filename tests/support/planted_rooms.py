"""Small rooms of plain boxes, and what is true of them."""

from __future__ import annotations

import numpy as np

from basrelief.geometry.boxes import Boxes
from basrelief.scenes.scene import FLOOR, WALL, Scene
from basrelief.types import PointCloud


def shell(rng: np.random.Generator, low: np.ndarray, high: np.ndarray, spacing: float) -> np.ndarray:
    """Points on the sides and the top of a box."""
    size = high - low
    areas = np.array([size[1] * size[2], size[1] * size[2], size[0] * size[2], size[0] * size[2], size[0] * size[1]])
    points = []
    for side, area in enumerate(areas):
        part = rng.random((int(area / spacing**2) + 1, 3))
        part[:, (0, 0, 1, 1, 2)[side]] = (0, 1, 0, 1, 1)[side]
        points.append(low + part * size)
    return np.concatenate(points)


def small_room(seed: int, *, things: int = 6, spacing: float = 0.02) -> tuple[Scene, Boxes]:
    """A room of 5 x 4 m with boxes on a grid of places on the floor, and a small one on the first of them."""
    rng = np.random.default_rng(seed)
    places = rng.permutation([(x, y) for x in (0.8, 2.1, 3.4, 4.5) for y in (0.7, 2.0, 3.3)])[:things]
    sizes = rng.uniform((0.3, 0.3, 0.3), (0.9, 0.9, 1.2), (things, 3))
    low = np.column_stack([places - sizes[:, :2] / 2, np.zeros(things)])
    high = low + sizes
    top = rng.uniform(0.2, 0.25, 3)
    low = np.vstack([low, [*(places[0] - top[:2] / 2), high[0, 2]]])
    high = np.vstack([high, low[-1] + top])
    parts = [shell(rng, a, b, spacing) for a, b in zip(low, high, strict=True)]
    count = int(5 * 4 / spacing**2)
    parts += [rng.random((count, 3)) * (5, 4, 0), rng.random((count // 2, 3)) * (5, 0, 2.4)]
    points = np.concatenate(parts) + rng.normal(scale=0.003, size=(sum(map(len, parts)), 3))
    things_points = sum(len(part) for part in parts[:-2])
    structure = np.repeat(np.array([0, FLOOR, WALL], dtype=np.int8), [things_points, count, count // 2])
    return Scene(PointCloud(points.astype(np.float32)), np.eye(4), structure, floor=0.0), Boxes.from_bounds(low, high)


def bare_scene(points: np.ndarray, kind: str = "room") -> Scene:
    """A scene in which every point belongs to a thing."""
    return Scene(PointCloud(points.astype(np.float32)), np.eye(4), np.zeros(len(points), dtype=np.int8), kind=kind)  # type: ignore[arg-type]
