"""OpenDlign's contour-aware depth maps as the text of the paper has them (Mao et al. 2024, arXiv:2404.16538, sec. 3.1 and A.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.render.base import Cameras, PointBatch
from basrelief.render.contour import ContourFilter, Voxels
from basrelief.render.contour_aware import REACH, ContourAwareProjection
from basrelief.render.ops import extents, image_parts, rotate


@dataclass(frozen=True)
class OpenDlignPaperProjection(ContourAwareProjection):
    """Depth maps with sharp contours and open gaps, ten views from a ring 20 degrees above the horizon; nearer is darker.

    The pipeline of PointCLIP V2 with a finer grid and other filters. For each view by itself:

    1. Quantise: centre the bounding box, divide by its longest side, and write each point's nearness into its voxel of a grid of
       size x size x planes; the nearest wins.
    2. Densify: each voxel takes the maximum of its 7x7x7 neighbourhood.
    3. Smooth: bilateral filter over 5x5x5, `I'_v = 1/W_v sum_j G_s1(|v - v_j|) G_s2(|I_v - I_j|) I_j`.
    4. Squeeze: the maximum x over depth. The paper says minimum: of the inverted grid, which is the same. The image is `1 - x / max(x)`.
    5. For image generation, `median=True`: a 7x7 median.

    Points stay 3 pixels from the border of the grid and 3 empty planes are added at each end, so the maximum loses nothing. The paper gives
    the steps, the windows and size 224; every other constant is an option. The authors' program computes something else, see
    `basrelief.render.opendlign`.

    Attributes:
        name: Key in `basrelief.render.PROJECTIONS`.
        rig: `opendlign-30`, `opendlign-33`, another rig's name, or orthographic cameras. "10 views along the x-axis from 30 to 330 degrees
            at intervals of 30" are 11 angles: the first keeps the interval (30 to 300), the second the range (every 33.3). Views rotate
            about the vertical, so shapes stay upright; the elevation is PointCLIP V2's pi/9, since seats are hidden from the horizon.
        size: Side of the map and the image, pixels.
        planes: Planes of the grid, B. With 56 or 112, maps of 2,048 and 10,000 points are closest to those of 300,000; with 8 or 28 the
            filter crosses edges, with 224 it is too thin to smooth slopes.
        ratio: Share of the image width that the longest side covers, as in PointCLIP V2.
        bias: Nearness of the farthest possible point before division by 1 + bias, as in PointCLIP V2; separates it from the background.
        spatial_sigma: The filter's s1, voxels; 2 blurs corners at 10,000 points.
        range_sigma: The filter's s2, nearness; maps are alike from 0.05 to 0.1, below that noise remains.
        count_empty: Whether empty voxels count as zeros in the filter, which pales the rims of far parts. They stay empty either way, or
            every silhouette would grow by 2 pixels.
        median: Whether `image` applies the 7x7 median.
        background: Value of the background in the depth image.
        image_size: Side of the depth image, the same as `size`.
        offset: Pixels by which images are shifted right and down.

    Raises:
        ConfigError: If an option is out of range or the rig is unknown.
    """

    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "size": (8, 4096),
        "planes": (1, 4096),
        "ratio": (1e-3, 1),
        "bias": (1e-3, 1e3),
        "spatial_sigma": (1e-3, 1e3),
        "range_sigma": (1e-3, 1e3),
    }
    name: str = "opendlign-paper"
    rig: str | Cameras = "opendlign-30"
    size: int = 224
    planes: int = 112
    ratio: float = 0.8
    bias: float = 0.2
    spatial_sigma: float = 1.0
    range_sigma: float = 0.05
    count_empty: bool = False
    median: bool = False
    background: float = field(default=1.0, init=False)
    image_size: int = field(init=False)
    offset: int = field(default=0, init=False)

    @property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Identity: the method works in the world frame."""
        return np.eye(3, dtype=np.float32)

    def depth(self, batch: PointBatch) -> Float[Tensor, "clouds views size size"]:
        """Return depth maps `1 - x / max(x)` in [0, 1), 0 at each view's nearest pixel, `inf` for background.

        They equal those of the dense grid to 1e-5. A cloud of one repeated point is a square of 7 pixels with depth 0.

        Args:
            batch: Clouds in the world frame, any scale and position.
        """
        filtered = ContourFilter(self.size, self.planes, self.spatial_sigma, self.range_sigma, self.count_empty)
        rotation = torch.as_tensor(self.cameras.rotation, device=batch.points.device)
        ends = [0, *torch.bincount(batch.cloud, minlength=batch.size).cumsum(0).tolist()]
        near = batch.points.new_empty(batch.size, len(rotation), self.size, self.size)
        for clouds, views in image_parts(ends, len(rotation), self.size**2 * self.planes, batch.points.device):
            rows = slice(ends[clouds.start], ends[clouds.stop])
            part = PointBatch(batch.points[rows], batch.cloud[rows] - clouds.start, clouds.stop - clouds.start)
            squeezed = filtered.squeeze(self._quantise(part, rotation[views]))
            near[clouds, views] = squeezed.view(-1, part.size, self.size, self.size).transpose(0, 1)
        return (1 - near / near.amax((2, 3), keepdim=True)).masked_fill_(near == 0, math.inf)

    def _quantise(self, part: PointBatch, rotation: Tensor) -> Voxels:
        """Step 1: compute the voxel of every point in every view; image index = view x clouds + cloud."""
        low, high = extents(part.points, partial(rotate, rotation=rotation[..., None]), len(rotation), part.cloud, part.size)
        side = (high - low).amax(0)
        side = side.masked_fill(side == 0, 1)
        unit = (rotate(part.points, rotation[..., None]) - ((high + low) / 2)[..., part.cloud]) / side[..., part.cloud]
        place = ((unit[:2] * self.ratio + 0.5) * self.size).long().clamp_(REACH, self.size - 1 - REACH)
        near = (0.5 - unit[2] + self.bias) / (1 + self.bias)
        image = torch.arange(len(rotation), device=near.device)[:, None] * part.size + part.cloud
        return Voxels(image.flatten(), place[1].flatten(), place[0].flatten(), near.flatten(), len(rotation) * part.size)
