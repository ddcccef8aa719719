"""Shapes with known depth, and comparison of rasters."""

from __future__ import annotations

import numpy as np
import torch
import trimesh

from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.zbuffer import Raster
from basrelief.types import Mesh


def as_mesh(source: trimesh.Trimesh, *, scale: float = 1.0) -> Mesh:
    """A trimesh as ours."""
    return Mesh((source.vertices * scale).astype(np.float32), np.asarray(source.faces, dtype=np.int64))


def ball(subdivisions: int = 3, *, radius: float = 0.8) -> Mesh:
    """An icosphere."""
    return as_mesh(trimesh.creation.icosphere(subdivisions=subdivisions), scale=radius)


def box(*extents: float) -> Mesh:
    """A box around the origin."""
    return as_mesh(trimesh.creation.box(extents=extents))


def grid_plane(cells: int, *, jitter: float = 0.0, half: float = 1.0, seed: int = 0) -> Mesh:
    """The square |x|, |y| <= half at z = 0, of 2 cells^2 triangles; inner vertices are moved by up to `jitter` cells."""
    rng = np.random.default_rng(seed)
    at = np.linspace(-half, half, cells + 1)
    x, y = np.meshgrid(at, at, indexing="ij")
    move = rng.uniform(-jitter, jitter, (2, cells + 1, cells + 1)) * 2 * half / cells
    move[:, [0, -1]] = 0
    move[:, :, [0, -1]] = 0
    vertices = np.stack([x + move[0], y + move[1], np.zeros_like(x)], axis=-1).reshape(-1, 3)
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    a, b, c, d = corner, corner + 1, corner + cells + 2, corner + cells + 1
    return Mesh(vertices.astype(np.float32), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def soup(faces: int, *, seed: int, reach: float = 1.0, side: float = 0.5) -> Mesh:
    """Triangles at random places, with corners of their own."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-reach, reach, (faces, 1, 3)) + rng.uniform(-side, side, (faces, 3, 3))
    return Mesh(corners.reshape(-1, 3).astype(np.float32), np.arange(3 * faces).reshape(-1, 3))


def viewport(size: int = 48, *, distance: float | None = None, extent: float | None = None, views: int = 3) -> Viewport:
    """Views all around, some from above and below."""
    elevation = np.linspace(-60, 75, views) if views > 1 else [20.0]
    return Viewport(look_at_cameras(np.linspace(0, 300, views), list(elevation), distance=distance), size, extent)


def from_above(size: int, *, distance: float | None = None, extent: float | None = None) -> Viewport:
    """One view straight down; the picture's right is world +Y and its bottom world +X."""
    return Viewport(look_at_cameras([0.0], 90.0, distance=distance), size, extent)


def centres(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x to the right and y downwards of each pixel centre, in [-1, 1]."""
    at = (2 * np.arange(size) + 1) / size - 1
    return np.meshgrid(at, at, indexing="xy")


def band(raster: Raster) -> torch.Tensor:
    """Pixels with a neighbour that sees another face or nothing."""
    same = torch.ones_like(raster.item, dtype=torch.bool)
    for step in [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]:
        same &= raster.item == raster.item.roll(step, (1, 2))
    return ~same


def assert_alike(fast: Raster, slow: Raster, *, edge: float = 0.01) -> None:
    """Interior pixels tight; of the others few differ, and neither side sees more."""
    inner = ~(band(fast) | band(slow))
    torch.testing.assert_close(fast.depth[inner], slow.depth[inner], atol=2e-4, rtol=1e-5)
    assert torch.equal(fast.item[inner], slow.item[inner])
    differ = fast.item != slow.item
    assert differ.float().mean() <= edge
    more, fewer = ((fast.item >= 0) & (slow.item < 0)).sum(), ((fast.item < 0) & (slow.item >= 0)).sum()
    assert abs(int(more) - int(fewer)) <= 4 + 0.1 * int(differ.sum())
