"""Depth images of a batch of clouds, one random camera each."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from basrelief.render.clip2point import DiscProjection, draw_discs

ELEVATIONS = ((10.0, 30.0, 0.7), (-25.0, 10.0, 0.2), (70.0, 90.0, 0.1))
"""Elevation bands (low, high, share of views) in degrees: those of the rig `turntable10`, widened."""


def random_elevations(count: int, *, generator: Generator, device: torch.device) -> Float[Tensor, " batch"]:
    """Sample elevations from `ELEVATIONS`, in degrees."""
    low, high, share = torch.tensor(ELEVATIONS, device=device).T
    band = torch.multinomial(share, count, replacement=True, generator=generator)
    drawn: Tensor = low[band] + (high - low)[band] * torch.rand(count, generator=generator, device=device)
    return drawn


def camera_points(points: Float[Tensor, "batch points 3"], elevation: Float[Tensor, " batch"]) -> Float[Tensor, "batch points 3"]:
    """Transform each cloud to the frame (OpenCV) of a camera at azimuth 0, the given elevation in degrees, and distance 1."""
    c, s = torch.deg2rad(elevation).cos(), torch.deg2rad(elevation).sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    rotation = torch.stack([zero, one, zero, s, zero, -c, -c, zero, -s], dim=-1).view(-1, 3, 3)
    seen: Tensor = points @ rotation.transpose(1, 2) + torch.tensor([0.0, 0.0, 1.0], device=points.device)
    return seen


def draw_views(
    points: Float[Tensor, "batch points 3"], elevation: Float[Tensor, " batch"], projection: DiscProjection
) -> Float[Tensor, "batch size size"]:
    """Render a depth image of each cloud from azimuth 0; NaN points are ignored.

    Args:
        points: World frame (+Z up), inside the unit sphere.
        elevation: Elevation of each camera in degrees.
        projection: Image size and disc radius.
    """
    batch, count, _ = points.shape
    seen = camera_points(points, elevation)
    seen = torch.where(seen.isnan().any(dim=-1, keepdim=True), torch.tensor([0.0, 0.0, -1.0], device=points.device), seen)
    cloud = torch.arange(batch, device=points.device).repeat_interleave(count)
    xyz = seen.flatten(0, 1).T[:, None].contiguous()
    return projection.image(draw_discs(xyz, cloud, batch, size=projection.size, radius=projection.radius))[:, 0]
