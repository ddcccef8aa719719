"""Reference for `basrelief.render.mesh`: every triangle against the sight line of every pixel, one triangle at a time."""

from __future__ import annotations

import numpy as np
import torch

from basrelief.render.cameras import Viewport
from basrelief.render.zbuffer import Raster
from basrelief.types import Mesh


def rasterize_mesh(mesh: Mesh, viewport: Viewport) -> Raster:
    """Find the nearest face in every pixel of every view, like `basrelief.render.mesh.rasterize_mesh`.

    Corners are not rounded and borders belong to a face, so pixels whose centre lies within 1/4096 pixel of an edge may differ.

    Args:
        mesh: F faces, world frame, scene units.
        viewport: The pictures: cameras, size and extent.
    """
    views, size = len(viewport.cameras), viewport.size
    pixels = torch.ones(views, size, size).nonzero()
    origin, direction = (ray.numpy() for ray in viewport.rays(pixels))
    depth = np.full(len(pixels), np.inf)
    item = np.full(len(pixels), -1)
    for number, face in enumerate(mesh.faces):
        hit = _hit(origin, direction, mesh.vertices[face].astype(np.float64))
        nearer = (hit >= viewport.near) & (hit < depth)
        depth[nearer] = hit[nearer]
        item[nearer] = number
    shape = (views, size, size)
    return Raster(torch.tensor(depth, dtype=torch.float32).view(shape), torch.tensor(item).view(shape))


def _hit(origin: np.ndarray, direction: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return where lines meet a triangle, as a multiple of their direction; NaN where they miss (Möller & Trumbore 1997)."""
    first, second = corners[1] - corners[0], corners[2] - corners[0]
    across = np.cross(direction, second)
    volume = across @ first
    with np.errstate(divide="ignore", invalid="ignore"):
        start = origin - corners[0]
        u = (start * across).sum(1) / volume
        turned = np.cross(start, first)
        v = (direction * turned).sum(1) / volume
        hit: np.ndarray = np.where((u >= 0) & (v >= 0) & (u + v <= 1), turned @ second / volume, np.nan)
    return hit
