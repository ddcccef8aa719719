"""CLIP2Point's depth maps: every point is a small disc, the nearest disc wins (Huang et al. 2023, arXiv:2210.01055)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError
from basrelief.render.base import Cameras, PointBatch, Projection
from basrelief.render.ops import point_chunks, rotate
from basrelief.render.rigs import CLIP2POINT_TURN, clip2point_look, get_rig

_INFINITY = 0x7F800000  # the bits of float32 infinity


@dataclass(frozen=True)
class DiscProjection(Projection):
    """Orthographic discs on the unit sphere, any rig of cameras.

    Depth is 1 at the origin and smaller nearer the eye; points behind the eye (depth below 0) are skipped. A disc covers a pixel if the
    pixel's centre is closer than `radius` to the point. Shapes are upright in turntable views and not mirrored.

    Attributes:
        name: Key in `basrelief.render.PROJECTIONS`.
        rig: Name of a rig, or orthographic cameras.
        size: Side of the depth map and of the depth image, pixels.
        radius: Radius of a disc; the image is 2 wide.
        rot: Whether `depth` takes clouds with +Z up and rotates them like the original's `rot=True` (ModelNet40); False takes clouds with
            +Y up (ShapeNet). `frame` follows, so `render_depth` gives the same maps either way.
        background: Value of the background in the depth image.
        image_size: Side of the depth image, the same as `size`.

    Raises:
        ConfigError: If `size` or `radius` is out of range, or the rig is unknown.
    """

    name: str = "discs"
    rig: str | Cameras = "turntable10"
    size: int = 224
    radius: float = 0.02
    rot: bool = True
    background: float = 1.0
    image_size: int = field(init=False)

    def __post_init__(self) -> None:
        """Check the options."""
        check_at_least("size", self.size, 1, "Use 224 for CLIP.")
        if not 0 < self.radius * self.size < self.size:
            raise ConfigError(f"radius is {self.radius}; it must lie between 0 and 1. The image is 2 wide; the paper uses 0.02.")
        if 2 * _reach(self.radius, self.size) + 1 > self.size:
            raise ConfigError(f"radius is {self.radius}, but such a disc does not fit into {self.size} pixels. Make it smaller.")
        object.__setattr__(self, "image_size", self.size)
        _ = self.cameras

    @property
    def cameras(self) -> Cameras:
        """The V cameras, world frame, orthographic."""
        return get_rig(self.rig) if isinstance(self.rig, str) else self.rig

    @property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Identity with `rot`, else the rotation from +Z up to CLIP2Point's +Y up."""
        return np.eye(3, dtype=np.float32) if self.rot else CLIP2POINT_TURN

    def depth(self, batch: PointBatch) -> Float[Tensor, "clouds views size size"]:
        """Return depth maps in [0, inf), 1 at the origin, `inf` for background.

        Args:
            batch: Clouds in the method's frame (see `rot`), in the unit sphere; parts outside the image are cut off.
        """
        rotation = torch.as_tensor(self.cameras.rotation @ self.frame.T, device=batch.points.device)[..., None]

        def place(part: slice) -> Tensor:
            xyz = rotate(batch.points[part], rotation)
            xyz[2] += 1
            return xyz

        return _draw(place, batch.cloud, batch.size, views=len(rotation), size=self.size, radius=self.radius)

    def pair(
        self,
        batch: PointBatch,
        azimuth: Float[Tensor, " clouds"],
        elevation: Float[Tensor, " clouds"],
        distance: Float[Tensor, "clouds 2"],
    ) -> Float[Tensor, "clouds 2 size size"]:
        """Render each cloud from its own camera at two distances: the pre-training views of the paper's sec. 3.2.

        A farther camera shrinks the cloud by 1/distance and adds the distance to its depth.

        Args:
            batch: B clouds in the method's frame (see `rot`); the paper trains with `rot=False`.
            azimuth: (B,) degrees, CLIP2Point's convention (`rigs.clip2point_look`).
            elevation: (B,) degrees.
            distance: (B, 2), e.g. from `jitter_distance`.
        """
        device = batch.points.device
        rotation = clip2point_look(azimuth.cpu(), elevation.cpu())
        if self.rot:
            rotation = rotation @ torch.as_tensor(CLIP2POINT_TURN)
        rotation, away = rotation.to(device), distance.to(device, torch.float32).T

        def place(part: slice) -> Tensor:
            cloud = batch.cloud[part]
            xyz = rotate(batch.points[part], rotation[cloud].movedim(0, -1)[None]) / away[:, cloud]
            xyz[2] += away[:, cloud]
            return xyz

        return _draw(place, batch.cloud, batch.size, views=2, size=self.size, radius=self.radius)

    def image(self, depth: Float[Tensor, "clouds views size size"]) -> Float[Tensor, "clouds views size size"]:
        """Return depth images in [0, 1]: the nearest point of a view is black, the background white; an empty view is white.

        As in the original the farthest point is not 200/255 but (far - near) / far of it, and the nearest depth counts as 1 at most.
        """
        seen = (depth > 0) & (depth < math.inf)
        far = depth.masked_fill(~seen, -1).amax((-2, -1), keepdim=True)
        filled = depth.masked_fill(~seen, 1)
        near = filled.amin((-2, -1), keepdim=True)
        return filled.sub_(near).mul_(200 / 255 / far).masked_fill_(~seen, self.background)


def jitter_distance(distance: Float[Tensor, " clouds"], *, generator: torch.Generator) -> Float[Tensor, "clouds 2"]:
    """Draw two distances for each cloud, each within a tenth of the given one: `d * (1 + (u - 0.5) / 5)` with u uniform in [0, 1).

    Args:
        distance: (B,), 1 in the paper.
        generator: Source of randomness, on the CPU.
    """
    u = torch.rand(len(distance), 2, generator=generator)
    return distance[:, None] * (1 + (u.to(distance.device) - 0.5) / 5)


def draw_discs(
    xyz: Float[Tensor, "3 views points"], cloud: Int[Tensor, " points"], clouds: int, *, size: int, radius: float
) -> Float[Tensor, "clouds views size size"]:
    """Return the depth of the nearest disc at each pixel for orthographic cameras that see [-1, 1] x [-1, 1].

    Args:
        xyz: Camera frame (OpenCV) of each view; depth below 0 is not drawn.
        cloud: Index of the cloud of each point.
        clouds: Number of clouds B.
        size: Side of the map, pixels.
        radius: Radius of a disc; a pixel centre at exactly that distance is not covered.

    Returns:
        (B, V, size, size) float32, `inf` for background.
    """
    return _draw(lambda part: xyz[:, :, part].contiguous(), cloud, clouds, views=xyz.shape[1], size=size, radius=radius)


def _draw(
    place: Callable[[slice], Tensor], cloud: Int[Tensor, " points"], clouds: int, *, views: int, size: int, radius: float
) -> Float[Tensor, "clouds views size size"]:
    """Implement `draw_discs` with points projected to the camera frames in parts."""
    device = cloud.device
    reach = _reach(radius, size)
    step = torch.arange(-reach, reach + 1, device=device)[:, None]
    start = cloud * size**2
    limit = float(np.float32(radius) ** 2)
    # Depths are compared as integers: for floats >= 0 the bits have the same order as the numbers, and integer minima are faster.
    nearest = torch.full((views, clouds * size**2), _INFINITY, dtype=torch.int32, device=device)
    for part in point_chunks(len(cloud), views * len(step) ** 2, device):
        x, y, z = place(part)
        column, dx2 = _window(x, step, size)
        row, dy2 = _window(y, step, size)
        depth = z.masked_fill(z < 0, math.inf).view(torch.int32)
        covered = dy2[:, :, None] + dx2[:, None] < limit
        pixel = ((row * size).add_(column).add_(start[part]))[:, None, None] + (step * size + step.T)[..., None]
        value = torch.where(covered, depth[:, None, None], _INFINITY)
        nearest.scatter_reduce_(1, pixel.flatten(1), value.flatten(1), "amin")
    return nearest.view(torch.float32).view(views, clouds, size, size).movedim(1, 0)


def _reach(radius: float, size: int) -> int:
    return math.ceil(radius * size / 2 + 0.501) - 1  # half a pixel plus a thousandth for rounding


def _window(
    position: Float[Tensor, "views points"], step: Int[Tensor, "window 1"], size: int
) -> tuple[Int[Tensor, "views points"], Float[Tensor, "views window points"]]:
    """Return the middle pixel of a disc's window, moved inside the image, and the squared distances to the window's pixel centres."""
    reach = len(step) // 2
    middle = ((position + 1) * (size / 2) - 0.5).round_().clamp_(reach, size - 1 - reach)
    centre = 1 - (2 * (size - middle[:, None] - step) - 1) / size
    return middle.long(), (centre - position[:, None]).square_()
