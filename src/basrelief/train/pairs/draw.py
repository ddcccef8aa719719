"""Render a shape from the ten views of CLIP2Point, and sample points of its surface.

Huang et al. 2023 (arXiv:2210.01055), sec. 3.1 and 4.1: a perspective camera at twice the distance of the depth camera, Phong shading on
white. The field of view is 60 degrees, the default of the library they used. The lights are our choice: a headlight and a
directional light from a random direction for each shape.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from basrelief.errors import ConfigError
from basrelief.geometry import normalise_unit_sphere, subsample
from basrelief.limits import limits
from basrelief.render import sample_points
from basrelief.render.base import Cameras
from basrelief.render.cameras import Viewport
from basrelief.render.rigs import get_rig
from basrelief.render.shade import Lighting, shade
from basrelief.train.records.store import MAX_SIDE, png_bytes
from basrelief.types import Mesh, PointCloud, Shape

RIG = "clip2point10"
_FIELD = math.radians(60)
_MOST_SAMPLES = 8


@dataclass(frozen=True)
class PairSettings:
    """Settings of image-depth pairs.

    Attributes:
        size: Side of a picture in pixels.
        points: Points of each shape; ShapeNet55 has 8,192.
        distance: Distance from camera to origin; that of the depth cameras is 1.
        random_light: Whether each shape has its own random light direction.
        supersample: Samples along each side of a pixel.
        device: Device to render on; devices differ in rounding.
        seed: Seed of points and lights.
    """

    size: int = 224
    points: int = 8192
    distance: float = 2.0
    random_light: bool = True
    supersample: int = 2
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.size < 8 or self.points < 1 or self.supersample < 1:
            got = f"{self.size}, {self.points} and {self.supersample}"
            raise ConfigError(f"size, points and supersample are {got}; they must be at least 8, 1 and 1. Leave them out for the defaults.")
        if self.size > MAX_SIDE or self.points > limits().points or self.supersample > _MOST_SAMPLES:
            got = f"{self.size}, {self.points} and {self.supersample}"
            most = f"{MAX_SIDE}, {limits().points} and {_MOST_SAMPLES}"
            raise ConfigError(f"size, points and supersample are {got}; they must be at most {most}. Leave them out for the defaults.")
        if not 1 < self.distance < math.inf:
            raise ConfigError(f"distance is {self.distance}; it must be above 1, outside the unit sphere. The paper uses 2.")


@dataclass(frozen=True, eq=False)
class DrawnPair:
    """A rendered shape.

    Attributes:
        pictures: PNG data of each view of the rig.
        points: (N, 3) in the world frame and the unit sphere, float16.
    """

    pictures: tuple[bytes, ...]
    points: np.ndarray


def draw_pair(shape: Shape, name: str, *, style: PairSettings) -> DrawnPair:
    """Render a shape from all views of the rig.

    Args:
        shape: Shape in the world frame; textures and material colours are vertex colours.
        name: Name of the shape; with the seed, it determines light and points.
        style: Settings.

    Raises:
        GeometryError: If the surface cannot be sampled.
    """
    seed = zlib.crc32(f"{style.seed} {name}".encode(errors="replace"))
    cloud = sample_points(shape, style.points, seed=seed & 0x7FFFFFFF)
    scaled, points = _normalise(shape, cloud)
    cameras = Cameras(get_rig(RIG).rotation, style.distance)
    viewport = Viewport(cameras, style.size, style.distance * math.tan(_FIELD / 2))
    pictures = shade(scaled, viewport, lighting=_light(seed, random=style.random_light), supersample=style.supersample, device=style.device)
    bytes_ = (pictures.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return DrawnPair(tuple(png_bytes(picture) for picture in bytes_), points.astype(np.float16))


def _normalise(shape: Shape, cloud: PointCloud) -> tuple[Shape, Float32[np.ndarray, "points 3"]]:
    """Normalise the shape and its points: the mean of the points at the origin, the farthest point at radius 1."""
    points = normalise_unit_sphere(cloud.points)
    middle = cloud.points.astype(np.float64).mean(axis=0)
    radius = max(float(np.linalg.norm(cloud.points - middle, axis=1).max()), 1e-12)
    if isinstance(shape, Mesh):
        return replace(shape, vertices=((shape.vertices - middle) / radius).astype(np.float32)), points
    thin = subsample(cloud, min(len(cloud.points), 4096), seed=0)
    return replace(thin, points=((thin.points - middle) / radius).astype(np.float32)), points


def _light(seed: int, *, random: bool) -> Lighting:
    if not random:
        return Lighting(occlusion=0.0)
    x, y, z = np.random.default_rng(seed).normal(size=3).tolist()
    return Lighting(direction=(x, -abs(y) - 0.2, -abs(z) - 0.2), occlusion=0.0)
