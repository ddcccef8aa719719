"""The z-buffer of balls, compiled: the same pixels as `basrelief.render.spheres`, one ball after the other."""

from __future__ import annotations

import math

import numpy as np

from basrelief.render.fast.compile import compiled
from basrelief.render.fast.geometry import View
from basrelief.render.spheres import SMALLEST


@compiled
def draw_balls(screen: np.ndarray, view: View, radius: float, depth: np.ndarray, item: np.ndarray) -> None:
    """Draw balls in ascending order.

    Args:
        screen: From `project`, of their centres.
        view: The camera.
        radius: Of every ball, scene units.
        depth: (S, S) float32, is written to.
        item: (S, S) int32, is written to.
    """
    size, short = view.size, np.float32(radius)
    depth[:] = np.inf
    item[:] = -1
    for ball in range(len(screen)):
        if not screen[ball, 4] > view.near:
            continue
        w = screen[ball, 7]
        x, y, reach = screen[ball, 5] / w, screen[ball, 6] / w, max(radius * view.scale / w, SMALLEST)
        middle, wide = np.float32(screen[ball, 4]), np.float32(reach)
        top, bottom = max(np.ceil(y - reach), 0.0), min(np.floor(y + reach), size - 1.0)
        if top > bottom:
            continue
        for row in range(int(top), int(bottom) + 1):
            half = math.sqrt(max(reach * reach - (row - y) * (row - y), 0.0))
            left, right = max(np.ceil(x - half), 0.0), min(np.floor(x + half), size - 1.0)
            if left > right:
                continue
            start, square = np.float32(left - x), np.float32(half) * np.float32(half)
            first = int(left)
            for column in range(first, int(right) + 1):
                if middle - short > depth[row, column]:
                    continue
                across = start + np.float32(column - first)
                bulge = math.sqrt(max(square - across * across, np.float32(0))) / wide
                z = middle - short * np.float32(bulge)
                if z < depth[row, column] and not (view.near > 0 and not z >= view.near):
                    depth[row, column] = z
                    item[row, column] = ball
