"""Rasterize point clouds as small balls."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from basrelief.errors import ConfigError
from basrelief.render import fast
from basrelief.render.cameras import Viewport
from basrelief.render.zbuffer import CHUNK, Raster, ZBuffer, expand, pieces
from basrelief.types import PointCloud

_NEIGHBOURS, _PROBES, _MOST_POINTS, _LARGEST = 6, 256, 20_000, 0.06
SMALLEST = 0.71  # pixels: a ball of this radius covers at least one pixel centre


def ball_radius(points: Float[np.ndarray, "points 3"]) -> float:
    """Return the ball radius that closes most of the surface of a sampled shape of about unit size, scene units.

    It is 0.7 times the median distance to the sixth neighbour: of points that are spread at random, as samples of a mesh are, such balls
    cover 95 % of the surface. It is at least that of evenly spread points, and at most 0.06.

    Args:
        points: N points.
    """
    from scipy.spatial import cKDTree

    least = max(1.7 / math.sqrt(len(points)), 0.004)
    step = -(-len(points) // _MOST_POINTS)
    some = points[::step]
    if len(some) > _NEIGHBOURS and least < _LARGEST:
        distances = cKDTree(some).query(some[:: -(-len(some) // _PROBES)], k=_NEIGHBOURS + 1)[0][:, -1]
        least = max(least, 0.7 * float(np.median(distances)) / math.sqrt(step))
    return min(least, _LARGEST)


def rasterize_points(cloud: PointCloud, viewport: Viewport, *, radius: float, device: torch.device | str = "cpu") -> Raster:
    """Find the nearest ball in every pixel of every view; the depth is that of the ball's surface.

    The outline of a ball is drawn as a circle, even in perspective.

    Args:
        cloud: N points, world frame, scene units.
        viewport: Cameras, size and extent of the images.
        radius: Radius of every ball, scene units.
        device: Device to render on and of the result.

    Raises:
        ConfigError: If the radius is not positive.
    """
    if not radius > 0:
        raise ConfigError(f"radius is {radius}; it must be positive. Pass the radius of each ball in scene units.")
    if fast.usable(device):
        from basrelief.render.fast.draw import rasterize_points as compiled

        return compiled(cloud, viewport, radius)
    points = torch.tensor(cloud.points, dtype=torch.float64, device=device)
    buffer = ZBuffer(viewport, device)
    step = max(1, CHUNK // len(points))
    for first in range(0, len(viewport.cameras), step):
        x, y, w, depth = viewport.project(points, slice(first, first + step)).flatten(1)
        number = first * len(points) + torch.arange(len(depth), device=device)
        reach = (radius * viewport.scale / w).clamp(min=SMALLEST)
        front = depth > viewport.near
        _draw(torch.stack([x / w, y / w, reach, depth])[:, front], number[front], buffer, (viewport.size, len(points), radius))
    return buffer.resolve()


def _draw(balls: Float[Tensor, "4 n"], number: Int64[Tensor, " n"], buffer: ZBuffer, constants: tuple[int, int, float]) -> None:
    """Split balls (x, y, radius in pixels, depth of the centre) into rows and pixels and add these to the buffer."""
    size, points, radius = constants
    top, rows = _between(balls[1] - balls[2], balls[1] + balls[2], size)
    for piece in pieces(rows):
        ball, offset = expand(rows[piece])
        ball = ball + piece.start
        x, y, reach, depth = balls[:, ball]
        row = top[ball] + offset
        half = (reach**2 - (row - y) ** 2).clamp(min=0).sqrt()
        left, columns = _between(x - half, x + half, size)
        pixel = (torch.div(number[ball], points, rounding_mode="floor") * size + row) * size + left
        line = torch.stack([left - x, half, reach, depth]).float()
        for part in pieces(columns):
            at, step = expand(columns[part])
            at = at + part.start
            start, half_, reach_, middle = line[:, at]
            bulge = (half_**2 - (start + step) ** 2).clamp(min=0).sqrt() / reach_
            buffer.add(pixel[at] + step, middle - radius * bulge, number[ball[at]] % points)


def _between(low: Float[Tensor, " n"], high: Float[Tensor, " n"], size: int) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Return the first integer in [low, high] inside the image, and how many there are."""
    first, last = low.ceil().clamp(0, size), high.floor().clamp(-1, size - 1)
    return first.long(), (last - first + 1).clamp(min=0).long()
