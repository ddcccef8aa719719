"""OpenDlign's contour-aware depth projection (Mao et al. 2024, arXiv:2404.16538, sec. 3.1 and A.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.errors import ConfigError, unknown_choice
from basrelief.render.base import Cameras, PointBatch, Projection
from basrelief.render.contour import REACH, ContourFilter, Voxels
from basrelief.render.ops import extents, rotate
from basrelief.render.cameras import look_at_cameras

OPENDLIGN_RIGS: dict[str, tuple[float, ...]] = {
    "opendlign-30": tuple(range(30, 301, 30)),
    "opendlign-33": tuple(30 + 300 * i / 9 for i in range(10)),
}
"""Azimuths in degrees. "10 views from 30 to 330 at intervals of 30" are 11 angles: the first rig keeps the interval, the second the range."""
CONTROL_READINGS = ("complement", "reciprocal")
_VOXELS = {"cpu": 1 << 23, "cuda": 1 << 28}
_POINTS = 1 << 22


@dataclass(frozen=True)
class OpenDlignProjection(Projection):
    """Point cloud to depth maps with sharp contours: quantise, densify, smooth, squeeze.

    Attributes:
        rig: One of `OPENDLIGN_RIGS`.
    """

    rig: str = "opendlign-30"
    elevation: float = 20.0
    size: int = 224
    bins: int = 112
    object_ratio: float = 0.8
    depth_bias: float = 0.2
    spatial_sigma: float = 1.0
    range_sigma: float = 0.05
    count_empty: bool = False
    median: bool = False
    name: str = field(default="opendlign", init=False)
    background: float = field(default=1.0, init=False)
    image_size: int = field(default=224, init=False)

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "image_size", self.size)

    @cached_property
    def cameras(self) -> Cameras:  # type: ignore[override]
        """Ten orthographic cameras on a ring about the vertical, looking at the origin."""
        azimuths = OPENDLIGN_RIGS[self.rig]
        return look_at_cameras(azimuths, self.elevation)

    @property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Identity: no original code fixes another frame."""
        return np.eye(3, dtype=np.float32)

    def depth(self, batch: PointBatch) -> Float[Tensor, "clouds views size size"]:
        """Depth 1 - x / max(x) of the squeezed nearness x: 0 at the nearest pixel of a view, `inf` where nothing is seen.

        Args:
            batch: Clouds in the world frame; each view is normalised by itself, so the scale does not matter.
        """
        filtered = ContourFilter(self.size, self.bins, self.spatial_sigma, self.range_sigma, self.count_empty)
        rotation = torch.as_tensor(self.cameras.rotation, device=batch.points.device)
        ends = torch.bincount(batch.cloud, minlength=batch.size).cumsum(0).tolist()
        out = batch.points.new_empty(batch.size, len(rotation), self.size, self.size)
        for clouds, views in self._parts(ends, len(rotation), batch.points.device.type):
            rows = slice(ends[clouds.start - 1] if clouds.start else 0, ends[clouds.stop - 1])
            part = PointBatch(batch.points[rows], batch.cloud[rows] - clouds.start, clouds.stop - clouds.start)
            near = filtered.squeeze(self._quantise(part, rotation[views])).view(-1, part.size, self.size, self.size).transpose(0, 1)
            out[clouds, views] = torch.where(near > 0, 1 - near / near.amax((2, 3), keepdim=True), torch.inf)
        return out

    def _parts(self, ends: list[int], views: int, device: str) -> Iterator[tuple[slice, slice]]:
        """Cut clouds x views so that grids and points stay in bounded memory, on CPU in the processor's cache."""
        images = max(1, _VOXELS[device] // (self.size**2 * self.bins))
        step = max(1, images // views)
        for start in range(0, len(ends), step):
            clouds = slice(start, min(start + step, len(ends)))
            points = ends[clouds.stop - 1] - (ends[start - 1] if start else 0)
            width = max(1, min(views, images, _POINTS // points))
            yield from ((clouds, slice(view, min(view + width, views))) for view in range(0, views, width))

    def _quantise(self, part: PointBatch, rotation: Tensor) -> Voxels:
        """Step 1: normalise each view to [0, 1] by its longest side, centred, and find every point's voxel."""
        xyz = rotate(part.points, rotation[..., None])
        low, high = extents(part.points, rotation[..., None], part.cloud, part.size)
        side = (high - low).amax(0)
        side = torch.where(side > 0, side, 1.0)
        unit = (xyz - ((high + low) / 2)[..., part.cloud]) / side[..., part.cloud]
        pixel = ((unit[:2] * self.object_ratio + 0.5) * self.size).long().clamp_(REACH, self.size - 1 - REACH)
        near = (0.5 - unit[2] + self.depth_bias) / (1 + self.depth_bias)
        image = torch.arange(len(rotation), device=near.device)[:, None] * part.size + part.cloud
        return Voxels(image.flatten(), pixel[1].flatten(), pixel[0].flatten(), near.flatten(), len(rotation) * part.size)

    def image(self, depth: Float[Tensor, "clouds views size size"]) -> Float[Tensor, "clouds views size size"]:
        """Depth with the background at 1, in [0, 1]; smoothed by a 7x7 median if `median`."""
        image = torch.where(torch.isinf(depth), 1.0, depth)
        if not self.median:
            return image
        padded = F.pad(image, (REACH,) * 4, value=self.background)
        windows = padded.unfold(2, 7, 1).unfold(3, 7, 1)
        return torch.stack([one.flatten(-2).median(-1).values for one in windows.flatten(0, 1)]).view_as(image)
