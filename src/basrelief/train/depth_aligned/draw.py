"""Draw a shape for image generation: depth maps, ControlNet input, seed and, for `shaded`, the images."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from basrelief.render import sample_points
from basrelief.render.base import PointBatch
from basrelief.render.opendlign import control_image
from basrelief.train.depth_aligned.settings import AlignedSettings
from basrelief.train.depth_aligned.shaded import shade_views
from basrelief.types import Shape


@dataclass(frozen=True, eq=False)
class DrawnViews:
    """A drawn shape.

    Attributes:
        depth: Depth images, near dark, background 255: input of the depth branch.
        control: Input of the ControlNet, bright is near; None if it is not used.
        pictures: Images, if the source needs no painter.
        seed: Seed of the first image; it increases by one per view.
    """

    depth: UInt8[np.ndarray, "views size size"]
    control: UInt8[np.ndarray, "views size size"] | None
    pictures: UInt8[np.ndarray, "views size size 3"] | None
    seed: int


def draw_views(shape: Shape, name: str, *, settings: AlignedSettings) -> DrawnViews:
    """Draw the views of a shape.

    Args:
        shape: Shape in the world frame.
        name: Name of the shape; with the seed, it determines points and images.
        settings: Settings.

    Raises:
        GeometryError: If the surface cannot be sampled.
    """
    seed = zlib.crc32(f"{settings.seed} {name}".encode(errors="replace")) & 0x7FFFFFFF
    cloud = sample_points(shape, settings.points, seed=seed)
    projection = settings.map_projection()
    depth = projection.depth(PointBatch.pack([cloud.points @ projection.frame.T]))
    if settings.source == "shaded":
        return DrawnViews(_bytes(projection.image(depth)[0]), None, shade_views(shape, cloud, projection=projection, seed=seed), seed)
    smooth = settings.map_projection(median=True).image(depth)
    control = control_image(smooth, reading=settings.diffusion.reading)
    return DrawnViews(_bytes(projection.image(depth)[0]), _bytes(control[0]), None, seed)


def _bytes(image: Float[Tensor, "views size size"]) -> UInt8[np.ndarray, "views size size"]:
    found: np.ndarray = (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return found
