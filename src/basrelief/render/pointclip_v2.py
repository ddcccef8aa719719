"""PointCLIP V2's depth maps: a grid of voxels, densified, smoothed and squeezed (Zhu et al. 2023, arXiv:2211.11682, sec. 3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.checks import check_at_least, check_positive
from basrelief.geometry import rotation_to_z_up
from basrelief.render.base import Cameras, PointBatch, Projection
from basrelief.render.ops import extents, point_chunks, resize, rotate, running_maximum
from basrelief.render.rigs import euler

# Euler angles in units of pi, as the original lists them, then the tilt of the camera about the horizontal image axis.
_SIDES = tuple((a, 0.0, 0.5) for a in (0.25, 0.75, 1.25, 1.75, 0.0, 0.5, 1.0, 1.5))
_POLES = (0.0, -0.5, 0.5), (0.0, 0.5, 0.5)
_TILT = tuple((0.0, tilt, 0.0) for tilt in (*(1 / 9,) * 8, *(1 / 15,) * 2))

# Right and down in the image are the method's y and x; large z is near.
_IMAGE_AXES = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]], dtype=np.float32)


@dataclass(frozen=True)
class PointClipV2Projection(Projection):
    """Dense, smooth maps: eight views from 20 degrees above, every 45 degrees, and two poles; nearer is darker.

    The method's steps, with the original's quirks: each view is centred on its bounding box and scaled by the largest of its three
    extents; a voxel's plane is the rounded-up depth, but the voxel keeps the depth itself (largest wins); maximum over 7x7; 3x3 Gaussian;
    maximum over planes; `1 - x / max(x)`. The original's clouds have +Y up. A cloud of one repeated point, where the original divides
    0 by 0, is one dot in the centre.

    Attributes:
        name: Key in `basrelief.render.PROJECTIONS`.
        size: Side of the depth map, pixels; the grid is `window - 5` wider.
        planes: Planes of the grid; the two outer ones stay empty except for rounding.
        window: Side of the maximum's window, pixels.
        ratio: Share of the grid's width that the largest extent covers.
        bias: Depth added in front of the cloud, in units of its largest extent.
        sigma: Width of the Gaussian, pixels.
        image_size: Side of the depth image, pixels; bilinear, corners aligned.
        background: Value of the background in the depth image.

    Raises:
        ConfigError: If an option is out of range.
    """

    name: str = "pointclip-v2"
    size: int = 110
    planes: int = 8
    window: int = 7
    ratio: float = 0.8
    bias: float = 0.2
    sigma: float = 3.0
    image_size: int = 224
    background: float = 1.0

    def __post_init__(self) -> None:
        """Check the options."""
        for option, low in (("size", 1), ("image_size", 1), ("planes", 3), ("window", 5)):
            check_at_least(option, getattr(self, option), low, "Leave it out for the paper's value.")
        for option in ("ratio", "bias", "sigma"):
            check_positive(option, getattr(self, option), "Leave it out for the paper's value.")

    @property
    def cameras(self) -> Cameras:
        """The ten cameras, world frame, orthographic."""
        return Cameras(_IMAGE_AXES @ view_rotations() @ self.frame)

    @property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Rotation from +Z up to the original's +Y up."""
        return rotation_to_z_up("y").T.astype(np.float32)

    def depth(self, batch: PointBatch) -> Float[Tensor, "clouds views size size"]:
        """Return depth maps in [0, 1), 0 at each view's nearest point, `inf` for background.

        Args:
            batch: Clouds in the method's frame, any scale.
        """
        grid, first = self.grid(batch)
        clouds, views = batch.size, grid.shape[0]
        for axis in (3, 4):
            grid = self._densified(grid, first[axis - 2] + 2, axis)
        for axis in (3, 4):
            grid = _smoothed(grid, self.sigma, axis)
        squeezed = grid.amax(2).transpose(0, 1)
        margin = self.window
        canvas = squeezed.new_zeros(clouds, views, self.size + 2 * margin, self.size + 2 * margin)
        top, left = (start + 3 + margin for start in first[1:])
        canvas[:, :, top : top + squeezed.shape[2], left : left + squeezed.shape[3]] = squeezed
        near = canvas[:, :, margin:-margin, margin:-margin]
        return (1 - near / near.amax((2, 3), keepdim=True)).masked_fill_(near == 0, math.inf)

    def image(self, depth: Float[Tensor, "clouds views size size"]) -> Float[Tensor, "clouds views image image"]:
        """Return depth images in [0, 1]: near is dark, the background white."""
        return resize(depth.clamp(max=self.background), self.image_size)

    def grid(self, batch: PointBatch) -> tuple[Float[Tensor, "views clouds planes rows columns"], tuple[int, int, int]]:
        """Return the voxels that can hold points, with the margin of empty ones that the later steps need.

        Returns:
            Nearness of each voxel, 0 if empty, else in [1, planes - 2]; and the position of the first voxel in the whole grid: plane, row,
            column (the latter two may be negative).
        """
        device = batch.points.device
        rotation = torch.as_tensor(view_rotations(), device=device)[..., None]
        low, high = extents(batch.points, partial(rotate, rotation=rotation), len(rotation), batch.cloud, batch.size)
        centre, span = (high + low) / 2, (high - low).amax(0).clamp_(min=torch.finfo(torch.float32).tiny)
        ends = [self._voxels(end, centre, span)[0].flatten(1) for end in (low, high)]
        bounds = torch.stack([ends[0].amin(1), ends[1].amax(1)]).tolist()
        row, column, plane = (int(x) for x in bounds[0])
        rows, columns, planes = (int(last - first) + 1 for first, last in zip(*bounds, strict=True))
        margin = self.window + 1
        rows, columns = rows + 2 * margin, columns + 2 * margin
        grid = torch.zeros(len(rotation), batch.size * planes * rows * columns, device=device)
        for part in point_chunks(len(batch.points), 3 * len(rotation), device):
            cloud = batch.cloud[part]
            voxel, value = self._voxels(rotate(batch.points[part], rotation), centre[:, :, cloud], span[:, cloud])
            r, c, p = voxel.long()
            index = (p + (cloud * planes - plane)).mul_(rows).add_(r + (margin - row)).mul_(columns).add_(c + (margin - column))
            grid.scatter_reduce_(1, index, value, "amax")
        return grid.view(-1, batch.size, planes, rows, columns), (plane, row - margin, column - margin)

    def _voxels(
        self, xyz: Float[Tensor, "3 views points"], centre: Float[Tensor, "3 views points"], span: Float[Tensor, "views points"]
    ) -> tuple[Float[Tensor, "3 views points"], Float[Tensor, "views points"]]:
        """Return row, column and plane of each point's voxel, and the nearness to store there."""
        resolution = self.size + self.window - 5
        scaled = (xyz - centre).div_(span).mul_(2)
        near = scaled[2].add(1).div_(2).add_(self.bias).div_(1 + self.bias).mul_(self.planes - 2)
        scaled[:2].mul_(self.ratio).add_(1).div_(2).mul_(resolution).ceil_().clamp_(1, resolution - 2)
        torch.ceil(near, out=scaled[2]).clamp_(0, self.planes - 1)
        return scaled, near.clamp_(1, self.planes - 2)

    def _densified(self, grid: Float[Tensor, "*before"], start: int, axis: int) -> Float[Tensor, "*after"]:
        """Compute the running maximum along an axis; `start` is the pixel of the first element. Pixels outside the image are cleared."""
        grid = running_maximum(grid, self.window, axis)
        before, after = max(0, -start), max(0, start + grid.shape[axis] - self.size)
        grid.narrow(axis, 0, before).zero_()
        grid.narrow(axis, grid.shape[axis] - after, after).zero_()
        return grid


def _smoothed(grid: Float[Tensor, "*before"], sigma: float, axis: int) -> Float[Tensor, "*after"]:
    """Apply a three-tap Gaussian along an axis, not normalised, since the image is divided by its maximum afterwards."""
    size = grid.shape[axis] - 2
    sides = grid.narrow(axis, 0, size) + grid.narrow(axis, 2, size)
    return sides.mul_(math.exp(-0.5 / sigma**2)).add_(grid.narrow(axis, 1, size))


@cache
def view_rotations() -> Float[np.ndarray, "views 3 3"]:
    """Return the rotations from the method's frame to its ten views."""
    turned: np.ndarray = euler(_TILT) @ euler((*_SIDES, *_POLES))
    return turned
