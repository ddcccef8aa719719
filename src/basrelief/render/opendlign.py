"""OpenDlign's contour-aware depth maps as the authors' program drew them (Mao et al. 2024, arXiv:2404.16538, sec. 3.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.errors import ConfigError, unknown_choice
from basrelief.geometry import rotation_to_z_up
from basrelief.render.base import Cameras, PointBatch
from basrelief.render.contour_aware import ContourAwareProjection
from basrelief.render.ops import extents, image_parts, point_chunks, rotate
from basrelief.render.plane_filter import MARGIN, PlaneFilter, PlaneGrid
from basrelief.render.rigs import euler

CONTROL_READINGS = ("complement", "reciprocal")
# Added to the camera coordinates. Normalising subtracts it again, but its rounding decides in which voxel a point on a border falls.
_SHIFT = (0.5, 0.5, 1.5)
_RIG = "opendlign-original"
_IMAGE_AXES = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]], dtype=np.float32)  # right, down, ahead to down, right, near


@dataclass(frozen=True)
class OpenDlignProjection(ContourAwareProjection):
    """Depth maps with sharp contours and open gaps, ten views from a ring above the horizon; nearer is darker.

    The authors' code was published in compiled form only. This is what it computes, in its order and rounding, for each view by itself:

    1. Quantise: centre the bounding box and divide by its longest side. Rows and columns are rounded up; a voxel's plane is the
       rounded-up nearness, but the voxel keeps the nearness itself, in [1, planes - 2]. The largest wins.
    2. Densify: each voxel takes the maximum of its 7x7 neighbourhood within its plane.
    3. Smooth: bilateral filter of each plane over the 13 pixels within a distance of 2. Empty voxels count as zeros and are filtered, too,
       so silhouettes grow by 2 pixels.
    4. Squeeze: the maximum x over planes; the image is `1 - x / max(x)`.
    5. With `median=True`, a 7x7 median. The program builds it and never calls it; the paper uses it for image generation.

    Scale and position do not matter. A cloud of one repeated point, where the program divides 0 by 0, is a dot of 7 pixels with a rim of 2.

    Attributes:
        name: Key in `basrelief.render.PROJECTIONS`.
        rig: `opendlign-original`, another rig's name, or orthographic cameras.
        size: Side of the map and the image, pixels.
        planes: Planes of the grid; the two outer ones stay empty except for rounding.
        ratio: Share of the image width that the longest side covers.
        bias: Nearness of the farthest possible point before division by 1 + bias; separates it from the background.
        sigma: Both standard deviations of the bilateral filter, in pixels and in planes.
        median: Whether `image` applies the 7x7 median.
        background: Value of the background in the depth image.
        image_size: Side of the depth image, the same as `size`.
        offset: Pixels by which images are shifted right and down, since coordinates are rounded up.

    Raises:
        ConfigError: If an option is out of range or the rig is unknown.
    """

    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "size": (8, 4096),
        "planes": (3, 24),
        "ratio": (1e-3, 1),
        "bias": (1e-3, 1e3),
        "sigma": (1e-3, 1e3),
    }
    name: str = "opendlign"
    rig: str | Cameras = _RIG
    size: int = 224
    planes: int = 8
    ratio: float = 0.9
    bias: float = 0.2
    sigma: float = 2.823
    median: bool = False
    background: float = field(default=1.0, init=False)
    image_size: int = field(init=False)
    offset: int = field(default=1, init=False)

    @property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Rotation from +Z up to the program's +Y up."""
        return rotation_to_z_up("y").T.astype(np.float32)

    @property
    def turns(self) -> tuple[Float[np.ndarray, "views 3 3"], ...]:
        """Rotations from the program's frame to (down, right, nearness), applied one after the other: two for the program's own rig."""
        return program_turns() if self.rig == _RIG else (_IMAGE_AXES @ self.cameras.rotation @ self.frame.T,)

    def depth(self, batch: PointBatch) -> Float[Tensor, "clouds views size size"]:
        """Return depth maps `1 - x / max(x)` in [0, 1), 0 at each view's nearest pixels, `inf` for background.

        Args:
            batch: Clouds in the program's frame, any scale and position.
        """
        smooth, views = PlaneFilter(self.planes - 2, self.sigma), len(self.cameras)
        ends = [0, *torch.bincount(batch.cloud, minlength=batch.size).cumsum(0).tolist()]
        voxels = (self.size + 2 * MARGIN) ** 2 * self.planes
        depth = batch.points.new_full((batch.size, views, self.size, self.size), math.inf)
        for clouds, some in image_parts(ends, views, voxels, batch.points.device):
            rows = slice(ends[clouds.start], ends[clouds.stop])
            part = PointBatch(batch.points[rows], batch.cloud[rows] - clouds.start, clouds.stop - clouds.start)
            grid = self.grid(part, some)
            near = smooth.squeeze(grid)
            drawn = (1 - near / near.amax((1, 2), keepdim=True)).masked_fill_(near == 0, math.inf)
            paste(depth[clouds, some], drawn.view(-1, part.size, grid.rows, grid.columns).transpose(0, 1), grid.origin[1:])
        return depth

    def grid(self, batch: PointBatch, views: slice = slice(None)) -> PlaneGrid:
        """Quantise (step 1): return the box of voxels that can be seen in some image; image index = view x clouds + cloud.

        Args:
            batch: Clouds in the program's frame.
            views: Which views.
        """
        device = batch.points.device
        turns = [torch.as_tensor(rotation[views], device=device)[..., None] for rotation in self.turns]
        turn, count = partial(_camera_coordinates, turns=turns), len(turns[0])
        low, high = extents(batch.points, turn, count, batch.cloud, batch.size)
        centre, side = (high + low) / 2, (high - low).amax(0).clamp_(min=torch.finfo(torch.float32).tiny)
        corners = torch.stack([self._voxels(end, centre, side)[0].flatten(1) for end in (low, high)])
        least, most = (end.int().tolist() for end in (corners.amin((0, 2)), corners.amax((0, 2))))
        grid = PlaneGrid.empty(least, most, count * batch.size, device)
        image = torch.arange(count * batch.size, device=device, dtype=torch.int32).view(count, -1)
        for part in point_chunks(len(batch.points), 3 * count, device):
            cloud = batch.cloud[part] if batch.size > 1 else slice(None)  # a single cloud is broadcast, which is faster
            voxel, value = self._voxels(turn(batch.points[part]), centre[..., cloud], side[..., cloud])
            grid.put(image[:, cloud], voxel.int(), value)
        return grid

    def _voxels(
        self, xyz: Float[Tensor, "3 views points"], centre: Float[Tensor, "3 views points_or_1"], side: Float[Tensor, "views points_or_1"]
    ) -> tuple[Float[Tensor, "3 views points"], Float[Tensor, "views points"]]:
        """Return plane, row and column of each point's voxel, and the nearness to store there."""
        down, right, near = (xyz - centre).div_(side).mul_(2)
        near = near.add_(1).div_(2).add_(self.bias).div_(1 + self.bias).mul_(self.planes - 2)
        row, column = (axis.mul_(self.ratio).add_(1).div_(2).mul_(self.size).ceil_().clamp_(1, self.size - 2) for axis in (down, right))
        return torch.stack([near.ceil().clamp_(0, self.planes - 1), row, column]), near.clamp_(1, self.planes - 2)


def paste(canvas: Float[Tensor, "*images size size"], part: Float[Tensor, "*images rows columns"], corner: tuple[int, int]) -> None:
    """Copy a part of images into them; what lies outside is cut off."""
    ends = [
        (max(0, -first), min(length, size - first)) for first, length, size in zip(corner, part.shape[-2:], canvas.shape[-2:], strict=True)
    ]
    (top, bottom), (left, right) = ends
    canvas[..., corner[0] + top : corner[0] + bottom, corner[1] + left : corner[1] + right] = part[..., top:bottom, left:right]


def _camera_coordinates(points: Float[Tensor, "points 3"], turns: list[Tensor]) -> Float[Tensor, "3 views points"]:
    """Return down, right and nearness of every point in every view, shifted as in the program."""
    for rotation in turns:
        points = rotate(points, rotation)
    return points.add_(torch.tensor(_SHIFT, device=points.device).view(3, 1, 1))


@cache
def program_turns() -> tuple[Float[np.ndarray, "views 3 3"], Float[np.ndarray, "views 3 3"]]:
    """Return the program's two rotations of each view: about the vertical and onto the image axes, then the tilt."""
    azimuths, tilts = [(a / 6, 0.0, 0.5) for a in range(1, 11)], [(0.0, 1 / 9, 0.0)] * 9 + [(0.0, 1 / 15, 0.0)]
    return euler(azimuths), euler(tilts)


def control_image(
    image: Float[Tensor, "*any size size"], *, reading: str = "complement", floor: float = 0.1
) -> Float[Tensor, "*any size size"]:
    """Return the input of a depth ControlNet: near is bright, the background 0.

    The paper gives the inverse as 1/D, without its scale.

    Args:
        image: Depth images in [0, 1], near dark, background 1.
        reading: `complement`, 1 - D; or `reciprocal`, 1/D scaled so that D = 1 gives 0 and D <= `floor` gives 1.
        floor: Smallest D that `reciprocal` distinguishes, in (0, 1).

    Raises:
        ConfigError: If the reading is unknown or `floor` is out of range.
    """
    if reading not in CONTROL_READINGS:
        raise ConfigError(unknown_choice("reading", reading, CONTROL_READINGS))
    if not 0 < floor < 1:
        raise ConfigError(f"floor is {floor}; it must lie between 0 and 1. Leave it out for 0.1.")
    return 1 - image if reading == "complement" else (1 / image.clamp(min=floor) - 1) / (1 / floor - 1)
