"""Augmentation of point clouds: deformation, rotation, occlusion, noise and outliers, from one generator."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor


@dataclass(frozen=True)
class Augmentation:
    """Strength of each augmentation. All zeros leave only a random yaw.

    Attributes:
        mirror: Probability of a mirrored cloud.
        stretch: Maximum log scale of each axis.
        taper: Maximum relative change of width from bottom to top.
        warp: Maximum amplitude of a low-frequency sinusoidal deformation, in unit-sphere radii.
        tilt: Standard deviation of the tilt from upright, degrees.
        topple: Probability of a cloud lying on a side or upside down.
        noise: Maximum standard deviation of the noise, in unit-sphere radii.
        outliers: Maximum share of points replaced with random ones in the unit sphere's box.
        cut: Maximum share of points removed by a random plane.
        cut_chance: Probability of a cut.
        scan_chance: Probability of keeping only the points visible from one side.
        far_outliers: Maximum share of points replaced with random ones around the shape before normalisation, which shrinks the shape.
        far_outlier_chance: Probability of such outliers.
        shift: Maximum shift of the centre and change of scale, relative to the radius.
    """

    mirror: float = 0.0
    stretch: float = 0.2
    taper: float = 0.2
    warp: float = 0.0
    tilt: float = 4.0
    topple: float = 0.0
    noise: float = 0.02
    outliers: float = 0.02
    cut: float = 0.35
    cut_chance: float = 0.2
    scan_chance: float = 0.0
    far_outliers: float = 0.0
    far_outlier_chance: float = 0.0
    shift: float = 0.08

    def scaled(self, strength: float) -> Augmentation:
        """Scale every strength and probability except `mirror`.

        Args:
            strength: Factor in [0, 1].
        """
        changes = {f.name: getattr(self, f.name) * strength for f in fields(self) if f.name != "mirror"}
        return replace(self, **changes)


def augment(
    points: Float[Tensor, "batch points 3"], augmentation: Augmentation, *, generator: Generator
) -> Float[Tensor, "batch points 3"]:
    """Augment each cloud and normalise it to the unit sphere; removed points become NaN."""
    draw = _Draw(points, generator)
    points = _deform(points, augmentation, draw)
    points = points @ _random_rotation(draw.uniform(0, 2 * math.pi), augmentation.tilt, draw).transpose(1, 2)
    points = _topple(points, augmentation.topple, draw) if augmentation.topple else points
    points = _cut(points, augmentation, draw)
    points = _occlude(points, augmentation.scan_chance, draw) if augmentation.scan_chance else points
    points = _add_far_outliers(points, augmentation, draw) if augmentation.far_outlier_chance else points
    points = _normalise(points, draw.uniform(0, 1))
    points = _add_noise(points, augmentation, draw)
    scale = 1 + augmentation.shift * draw.uniform(-1, 0.5)
    return points * scale[:, None, None] + augmentation.shift * draw.uniform(-1, 1, 3)[:, None]


@dataclass(frozen=True, eq=False)
class _Draw:
    like: Tensor
    generator: Generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(len(self.like), *shape, generator=self.generator, device=self.like.device) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(len(self.like), *shape, generator=self.generator, device=self.like.device)


def _deform(points: Tensor, augmentation: Augmentation, draw: _Draw) -> Tensor:
    points = points * torch.exp(draw.uniform(-augmentation.stretch, augmentation.stretch, 3))[:, None]
    if augmentation.mirror:
        side = torch.where(draw.uniform(0, 1) < augmentation.mirror, -1.0, 1.0)
        points = torch.cat([points[..., :1] * side[:, None, None], points[..., 1:]], dim=-1)
    if augmentation.warp:
        wave, phase = draw.normal(3, 3) * 2.0, draw.uniform(0, 2 * math.pi, 3)
        points = points + augmentation.warp * draw.uniform(0, 1)[:, None, None] * torch.sin(points @ wave + phase[:, None])
    width = 1 + augmentation.taper * draw.uniform(-1, 1)[:, None] * points[..., 2]
    return torch.cat([points[..., :2] * width[..., None], points[..., 2:]], dim=-1)


def _random_rotation(yaw: Tensor, tilt: float, draw: _Draw) -> Tensor:
    """Return rotations (B, 3, 3): yaw about +Z, then a small tilt about a random horizontal axis."""
    angle = draw.normal() * math.radians(tilt)
    axis = draw.uniform(0, 2 * math.pi)
    turn: Tensor = _about_z(axis) @ _about_x(angle) @ _about_z(yaw - axis)
    return turn


def _about_z(angle: Tensor) -> Tensor:
    c, s, o, i = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, -s, o, s, c, o, o, o, i], dim=-1).view(-1, 3, 3)


def _about_x(angle: Tensor) -> Tensor:
    c, s, o, i = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([i, o, o, o, c, -s, o, s, c], dim=-1).view(-1, 3, 3)


def _cut(points: Tensor, augmentation: Augmentation, draw: _Draw) -> Tensor:
    """Remove the points beyond a random plane."""
    share = augmentation.cut * draw.uniform(0, 1) * (draw.uniform(0, 1) < augmentation.cut_chance)
    normal = torch.nn.functional.normalize(draw.normal(3), dim=-1)
    height = (points @ normal[:, :, None])[..., 0]
    rank = height.argsort(dim=1).argsort(dim=1)
    keep = rank < ((1 - share) * points.shape[1]).clamp(min=1).ceil()[:, None]
    return torch.where(keep[..., None], points, torch.nan)


def _topple(points: Tensor, chance: float, draw: _Draw) -> Tensor:
    """Rotate some clouds by 90, 180 or 270 degrees about X, a random horizontal axis after the yaw."""
    quarter = (1 + 3 * draw.uniform(0, 1)).floor().clamp(max=3) * (draw.uniform(0, 1) < chance)
    return points @ _about_x(quarter * math.pi / 2).transpose(1, 2)


def _occlude(points: Tensor, chance: float, draw: _Draw) -> Tensor:
    """Remove occluded points: in each cell of an image grid, those well behind the nearest point."""
    count = points.shape[1]
    yaw, rise = draw.uniform(0, 2 * math.pi), draw.uniform(-0.2, 1.0)
    seen = points @ (_about_x(rise) @ _about_z(yaw)).transpose(1, 2)  # the camera looks along +Y
    side = max(8, round(math.sqrt(count) / 2.5))
    column, row = (((torch.nan_to_num(seen[..., axis]) + 1.5) / 3 * side).long().clamp(0, side - 1) for axis in (0, 2))
    cell, depth = row * side + column, torch.nan_to_num(seen[..., 1], nan=torch.inf)
    first = torch.full((len(points), side * side), torch.inf, device=points.device).scatter_reduce(1, cell, depth, "amin")
    hidden = (depth > first.gather(1, cell) + 0.15) & (draw.uniform(0, 1) < chance)[:, None]
    return torch.where(hidden[..., None], torch.nan, points)


def _add_far_outliers(points: Tensor, augmentation: Augmentation, draw: _Draw) -> Tensor:
    """Replace some points with random ones in a box around the shape."""
    count, reach = points.shape[1], draw.uniform(0.7, 1.3)
    share = augmentation.far_outliers * draw.uniform(0, 1) * (draw.uniform(0, 1) < augmentation.far_outlier_chance)
    away = draw.uniform(-1, 1, count, 3) * reach[:, None, None]
    return torch.where((draw.uniform(0, 1, count) < share[:, None])[..., None], away, points)


def _normalise(points: Tensor, share: Tensor) -> Tensor:
    """Centre on a random point between bounding box centre and mean, and scale to the unit sphere."""
    known = ~points.isnan()
    low = torch.where(known, points, torch.inf).amin(dim=1, keepdim=True)
    high = torch.where(known, points, -torch.inf).amax(dim=1, keepdim=True)
    centre = (low + high) / 2
    points = points - centre - share[:, None, None] * (points.nanmean(dim=1, keepdim=True) - centre)
    radius = torch.nan_to_num(points.square().sum(dim=-1)).amax(dim=1).sqrt().clamp(min=1e-6)
    return points / radius[:, None, None]


def _add_noise(points: Tensor, augmentation: Augmentation, draw: _Draw) -> Tensor:
    count = points.shape[1]
    spread = augmentation.noise * draw.uniform(0, 1) ** 3
    points = points + draw.normal(count, 3) * spread[:, None, None]
    outlier = draw.uniform(0, 1, count) < (augmentation.outliers * draw.uniform(0, 1) ** 2)[:, None]
    return torch.where(outlier[..., None], draw.uniform(-0.8, 0.8, count, 3), points)
