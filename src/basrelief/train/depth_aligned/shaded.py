"""Depth-aligned images without weights: renderings with random materials, lights and backgrounds per view.

An image matches its depth map pixel for pixel. The images are less realistic than those of a ControlNet; use them where its weights are not
available, or for the paper's comparison with rendered images.
"""

from __future__ import annotations

import colorsys
import dataclasses

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from basrelief.geometry import subsample
from basrelief.render.base import Cameras
from basrelief.render.cameras import Viewport
from basrelief.render.contour_aware import ContourAwareProjection
from basrelief.render.shade import Lighting, shade
from basrelief.types import Mesh, PointCloud, Shape

_SUPERSAMPLE = 2
_MOST_BALLS = 4096


def shade_views(
    shape: Shape, cloud: PointCloud, *, projection: ContourAwareProjection, seed: int
) -> UInt8[np.ndarray, "views size size 3"]:
    """Render a shape in colour from every camera of a contour-aware projection, aligned with its depth maps.

    Args:
        shape: Shape in the world frame.
        cloud: Points of the depth maps.
        projection: Projection of the depth maps.
        seed: Seed of materials, lights and backgrounds.
    """
    bare = shape if isinstance(shape, Mesh) else subsample(cloud, min(len(cloud.points), _MOST_BALLS), seed=0)
    views = [
        _shade_view(bare, cloud, projection, rotation, np.random.default_rng([seed, view]))
        for view, rotation in enumerate(projection.cameras.rotation)
    ]
    pictures: np.ndarray = (torch.stack(views).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return pictures


def _shade_view(
    shape: Shape, cloud: PointCloud, projection: ContourAwareProjection, rotation: Float[np.ndarray, "3 3"], random: np.random.Generator
) -> Float[Tensor, "size size 3"]:
    seen = cloud.points @ rotation.T
    low, high = seen.min(axis=0), seen.max(axis=0)
    side = float((high - low).max()) or 1.0
    shift = side / projection.ratio / projection.size * projection.offset * np.array([1, 1, 0])
    middle = ((low + high) / 2 - shift) @ rotation
    viewport = Viewport(Cameras(rotation[None]), projection.size, 0.5 / projection.ratio)
    place = "vertices" if isinstance(shape, Mesh) else "points"
    points = ((getattr(shape, place) - middle) / side).astype(np.float32)
    colours = _material(points, shape.colors, random)
    lit = dataclasses.replace(shape, **{place: points, "colors": colours})
    ground = _background(projection.size * _SUPERSAMPLE, random)
    return shade(lit, viewport, lighting=_lighting(random), background=ground, supersample=_SUPERSAMPLE)[0]


def _material(
    points: Float32[np.ndarray, "points 3"], own: np.ndarray | None, random: np.random.Generator
) -> Float32[np.ndarray, "points 3"]:
    """Blend two random colours in soft waves; shapes with colours keep theirs in half of the views."""
    first, second = _colour(random), _colour(random)
    direction = random.normal(size=3) * random.uniform(1, 6)
    share = (0.5 + 0.5 * np.sin(points @ direction + random.uniform(0, 2 * np.pi)))[:, None] * random.uniform(0, 0.6)
    keep = random.random() < 0.5
    if own is not None and keep:
        return np.asarray(own, dtype=np.float32)
    found: np.ndarray = ((1 - share) * first + share * second).astype(np.float32)
    return found


def _lighting(random: np.random.Generator) -> Lighting:
    x, y, z = random.normal(size=3).tolist()
    return Lighting(
        ambient=random.uniform(0.15, 0.45),
        headlight=random.uniform(0.05, 0.35),
        directional=random.uniform(0.4, 0.8),
        direction=(x, -abs(y) - 0.2, -abs(z) - 0.2),
        specular=random.uniform(0, 0.5),
        shininess=random.uniform(4, 60),
        occlusion=random.uniform(0.3, 1),
    )


def _background(size: int, random: np.random.Generator) -> Float[Tensor, "size size 3"]:
    """Return a plain colour, or soft blobs of two."""
    first, second = (torch.tensor(_colour(random, most=0.5), dtype=torch.float32) for _ in range(2))
    blobs = torch.from_numpy(random.random((1, 1, 4, 4)).astype(np.float32))
    share = torch.nn.functional.interpolate(blobs, (size, size), mode="bicubic")[0, 0, :, :, None].clamp(0, 1)
    return first + share * (second - first) * float(random.random() < 0.7)


def _colour(random: np.random.Generator, *, most: float = 0.9) -> Float[np.ndarray, " 3"]:
    """Return a random colour, rarely dark, with a saturation of at most `most`."""
    return np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(0, most), random.uniform(0.25, 1)))
