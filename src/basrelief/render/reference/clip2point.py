"""Reference for CLIP2Point's projection: every disc at every pixel."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from basrelief.render.clip2point import DiscProjection


def depth(points: Float[np.ndarray, "points 3"], projection: DiscProjection) -> Float[np.ndarray, "views size size"]:
    """Return depth maps of one cloud in the method's frame, `inf` where nothing is seen; computed in float64."""
    size = projection.size
    centres = (2 * np.arange(size) + 1) / size - 1
    rotations = (projection.cameras.rotation @ projection.frame.T).astype(np.float64)
    maps = np.full((len(rotations), size, size), math.inf)
    for view, rotation in enumerate(rotations):
        for point in points.astype(np.float64):
            x, y, z = rotation @ point
            if z + 1 < 0:
                continue
            covered = (centres[:, None] - y) ** 2 + (centres[None, :] - x) ** 2 < projection.radius**2
            maps[view][covered] = np.minimum(maps[view][covered], z + 1)
    return maps.astype(np.float32)
