"""Reference for `basrelief.render.spheres`: every ball at every pixel, one ball at a time."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from basrelief.render.cameras import Viewport
from basrelief.types import PointCloud


def depth(cloud: PointCloud, viewport: Viewport, radius: float) -> Float[np.ndarray, "views size size"]:
    """Return the depth of the nearest ball's surface along each sight line, `inf` where there is none.

    Args:
        cloud: N points, world frame, scene units.
        viewport: Orthographic images of the unit sphere.
        radius: Radius of every ball, scene units, larger than a pixel.
    """
    centres = (2 * np.arange(viewport.size) + 1) / viewport.size - 1
    x, y = centres[None, :], centres[:, None]
    maps = np.full((len(viewport.cameras), viewport.size, viewport.size), math.inf)
    for view, rotation in enumerate(viewport.cameras.rotation.astype(np.float64)):
        for px, py, pz in cloud.points @ rotation.T:
            inside = radius**2 - (x - px) ** 2 - (y - py) ** 2
            surface = np.where(inside >= 0, pz - np.sqrt(np.maximum(inside, 0)), math.inf)
            maps[view] = np.minimum(maps[view], surface)
    return maps
