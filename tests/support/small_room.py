"""A small furnished room built of rectangles and boxes, with the kind of every point, for tests."""

from __future__ import annotations

import numpy as np

from basrelief.scenes.scene import CEILING, FLOOR, WALL

FURNITURE = {  # centre x, y; size x, y, z; height of the bottom
    "bed": (1.05, 1.2, 2.0, 1.6, 0.5, 0.0),
    "wardrobe": (4.0, 0.4, 1.6, 0.6, 2.0, 0.0),
    "table": (3.4, 2.8, 1.4, 0.8, 0.75, 0.0),
    "box": (3.4, 2.8, 0.3, 0.2, 0.25, 0.75),
    "cabinet": (0.35, 3.3, 0.5, 1.0, 1.1, 0.0),
    "bin": (4.6, 3.6, 0.3, 0.3, 0.4, 0.0),
    "stool": (2.4, 2.0, 0.4, 0.4, 0.5, 0.0),
    "crate": (1.6, 3.3, 0.6, 0.4, 0.4, 0.0),
    "speaker": (2.6, 3.3, 0.3, 0.3, 0.9, 0.0),
}


def small_room(
    *,
    size: tuple[float, float, float] = (5.0, 4.0, 2.6),
    density: float = 900,
    noise: float = 0.004,
    ceiling: bool = False,
    things: int = 6,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points (N, 3), the kind or number of the thing (N,) (0: floor, walls, ceiling by `kinds`), and kinds (N,)."""
    rng = np.random.default_rng(seed)
    furniture = list(FURNITURE.values())[:things]
    parts: list[tuple[np.ndarray, int, int]] = []

    def add(corner: tuple[float, ...], first: tuple[float, ...], second: tuple[float, ...], kind: int, thing: int) -> None:
        area = float(np.linalg.norm(np.cross(first, second)))
        uv = rng.random((int(area * density), 2))
        parts.append((np.array(corner) + uv[:, :1] * np.array(first) + uv[:, 1:] * np.array(second), kind, thing))

    x, y, z = size
    add((0, 0, 0), (x, 0, 0), (0, y, 0), FLOOR, -1)
    if ceiling:
        add((0, 0, z), (x, 0, 0), (0, y, 0), CEILING, -1)
    for corner, along in (((0, 0, 0), (x, 0, 0)), ((0, y, 0), (x, 0, 0)), ((0, 0, 0), (0, y, 0)), ((x, 0, 0), (0, y, 0))):
        add(corner, along, (0, 0, z), WALL, -1)
    for number, (cx, cy, w, d, h, bottom) in enumerate(furniture):
        low = (cx - w / 2, cy - d / 2, bottom)
        add((*low[:2], bottom + h), (w, 0, 0), (0, d, 0), 0, number)
        for corner, along in (
            (low, (w, 0, 0)),
            ((low[0], low[1] + d, bottom), (w, 0, 0)),
            (low, (0, d, 0)),
            ((low[0] + w, low[1], bottom), (0, d, 0)),
        ):
            add(corner, along, (0, 0, h), 0, number)
    points = np.concatenate([part for part, _, _ in parts])
    inside = np.ones(len(points), dtype=bool)
    numbers = np.concatenate([np.full(len(part), thing) for part, _, thing in parts])
    kinds = np.concatenate([np.full(len(part), kind, dtype=np.int8) for part, kind, _ in parts])
    for number, (cx, cy, w, d, h, bottom) in enumerate(furniture):  # what furniture hides
        hidden = (
            (np.abs(points[:, 0] - cx) < w / 2)
            & (np.abs(points[:, 1] - cy) < d / 2)
            & (points[:, 2] < bottom + h)
            & (points[:, 2] >= bottom)
        )
        inside &= ~(hidden & (numbers != number))
    points = points[inside] + rng.normal(scale=noise, size=(int(inside.sum()), 3))
    return points, numbers[inside], kinds[inside]
