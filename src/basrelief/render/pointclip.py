"""PointCLIP's depth maps: one pixel per point, in perspective (Zhang et al. 2022, arXiv:2112.02413)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.checks import check_at_least, check_positive
from basrelief.errors import ConfigError
from basrelief.geometry import rotation_to_z_up
from basrelief.render.base import Cameras, PointBatch, Projection
from basrelief.render.ops import point_chunks, resize, rotate
from basrelief.render.rigs import euler

_TURNTABLE = tuple((quarter / 2, 0.0, 0.5) for quarter in range(4))
_CORNERS = tuple((a, b, 0.5) for a in (1.25, 1.75) for b in (-0.25, 0.25))
_POLES = (0.0, -0.5, 0.5), (0.0, 0.5, 0.5)

# Euler angles in units of pi, as the original lists them.
POINTCLIP_VIEWS = {6: (*_TURNTABLE, *_POLES), 10: (*_TURNTABLE, *_CORNERS, *_POLES)}

# Right, down and forward in the image are the method's y, x and z: a mirror image.
_IMAGE_AXES = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32)


@dataclass(frozen=True)
class PointClipProjection(Projection):
    """Sparse maps: a pixel holds the harmonic mean of the depths that fall into it, not the nearest; farther is brighter.

    As in the original, images are mirrored (the first pixel index, the row, is x and depth grows along z), corner views are tilted, and the
    depth image is the depth itself: 0 is background and values exceed 1 (up to about 2.6). The original's clouds have +Y up.

    Attributes:
        name: Key in `basrelief.render.PROJECTIONS`.
        views: 6 (four sides, top and bottom; zero-shot) or 10 (four corners more; few-shot).
        size: Side of the depth map, pixels.
        distance: Distance of the eye; a point on the axis at depth d spans `size / (2 d)` pixels for each unit.
        image_size: Side of the depth image, pixels; bilinear, corners aligned.
        background: Value of the background in the depth image.

    Raises:
        ConfigError: If an option is out of range.
    """

    name: str = "pointclip"
    views: int = 6
    size: int = 128
    distance: float = 1.6
    image_size: int = 224
    background: float = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        if self.views not in POINTCLIP_VIEWS:
            raise ConfigError(f"views is {self.views}; it must be 6 or 10. Use 6 as zero-shot PointCLIP does.")
        check_at_least("size", min(self.size, self.image_size), 1, "Use 128 as PointCLIP does.")
        check_positive("distance", self.distance, "Use 1.6 as PointCLIP does.")

    @property
    def cameras(self) -> Cameras:
        """The V cameras, world frame; perspective with 45 degrees from the axis to the image border, mirrored."""
        return Cameras(_IMAGE_AXES @ euler(POINTCLIP_VIEWS[self.views]) @ self.frame, self.distance)

    @property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Rotation from +Z up to the original's +Y up."""
        return rotation_to_z_up("y").T.astype(np.float32)

    def depth(self, batch: PointBatch) -> Float[Tensor, "clouds views size size"]:
        """Return depth maps in scene units from the eye, `inf` for background; points behind the eye are skipped.

        Args:
            batch: Clouds in the method's frame, in the unit sphere; parts outside the image are cut off.
        """
        device, size = batch.points.device, self.size
        rotation = torch.as_tensor(euler(POINTCLIP_VIEWS[self.views]), device=device)[..., None]
        sums = torch.zeros(2, self.views, batch.size * size**2, device=device)
        for part in point_chunks(len(batch.points), 3 * self.views, device):
            xyz = rotate(batch.points[part], rotation)
            depth = xyz[2] + self.distance
            weight = 1 / (depth + 1e-12)
            pixel = ((xyz[:2] * weight + 1) * (size / 2) - 0.5).ceil_()
            weight[((pixel < 0) | (pixel >= size)).any(0) | (depth < 0)] = 0
            row, column = pixel.clamp_(0, size - 1).long()
            index = row.mul_(size).add_(column).add_(batch.cloud[part] * size**2)
            sums[0].scatter_add_(1, index, depth.mul_(weight))
            sums[1].scatter_add_(1, index, weight)
        mean = sums[0].div_(sums[1]).masked_fill_(sums[1] == 0, math.inf)
        return mean.view(self.views, batch.size, size, size).movedim(1, 0)

    def image(self, depth: Float[Tensor, "clouds views size size"]) -> Float[Tensor, "clouds views image image"]:
        """Return depth images: depth with a background of 0, resized."""
        return resize(depth.masked_fill(depth.isinf(), self.background), self.image_size)
