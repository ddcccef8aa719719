"""Reference for PointCLIP's projection: point by point."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from basrelief.render.pointclip import POINTCLIP_VIEWS, PointClipProjection
from basrelief.render.rigs import euler


def depth(points: Float[np.ndarray, "points 3"], projection: PointClipProjection) -> Float[np.ndarray, "views size size"]:
    """Return depth maps of one cloud in the method's frame, `inf` where no point falls; computed in float64."""
    size = projection.size
    rotations = euler(POINTCLIP_VIEWS[projection.views]).astype(np.float64)
    maps = np.full((len(rotations), size, size), math.inf)
    for view, rotation in enumerate(rotations):
        held: dict[tuple[int, int], list[float]] = {}
        for point in points.astype(np.float64):
            x, y, z = rotation @ point
            d = z + projection.distance
            if d < 0:
                continue
            row = math.ceil((x / (d + 1e-12) + 1) * size / 2 - 0.5)
            column = math.ceil((y / (d + 1e-12) + 1) * size / 2 - 0.5)
            if 0 <= row < size and 0 <= column < size:
                held.setdefault((row, column), []).append(d)
        for pixel, depths in held.items():
            weights = [1 / (d + 1e-12) for d in depths]
            maps[view][pixel] = sum(d * w for d, w in zip(depths, weights, strict=True)) / sum(weights)
    return maps.astype(np.float32)
