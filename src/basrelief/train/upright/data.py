"""Training data of the upright network: shapes, augmented point clouds, and candidates for up."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from basrelief.models.upright import POINTS
from basrelief.shapes import CATEGORIES
from basrelief.train.augment import Augmentation, augment
from basrelief.train.data import GENERATED, ShapeSet, generated_shapes, merge, read_shapes, split_by_maker

FIRST_SEED = 200_000
"""Seed of the first generated shape; `tiny`'s training uses lower ones."""


def upright_shapes(folder: Path | None, *, per_category: int) -> tuple[ShapeSet, ShapeSet | None]:
    """Sample training shapes and, from files, validation shapes.

    Args:
        folder: Folder of labelled upright shapes, see `read_shapes`; None for generated shapes alone.
        per_category: Generated shapes of each category.

    Returns:
        Training shapes, and the validation shapes of the folder (`basrelief.datasets.maker_split`) or None.
    """
    generated = generated_shapes(CATEGORIES, per_category, count=4096, seed=FIRST_SEED)
    if folder is None:
        return generated, None
    train, validation, _ = split_by_maker(read_shapes(folder, count=4096))
    return merge([generated, train]), validation


def sampling_weights(shapes: ShapeSet, file_fraction: float) -> Float[Tensor, " shapes"]:
    """Return the weight of each shape: classes by the square root of their size, separately for files and generated shapes."""
    generated = torch.tensor([group == GENERATED for group in shapes.group])
    weight = torch.zeros(len(shapes))
    for part, share in ((~generated, file_fraction), (generated, 1 - file_fraction)):
        number = torch.bincount(shapes.label[part], minlength=len(shapes.names)).float().clamp(min=1)
        each = number[shapes.label].rsqrt() * part
        weight += share * each / each.sum().clamp(min=1e-9)
    return weight


def augmented_clouds(points: Tensor, augmentation: Augmentation, generator: Generator) -> Float[Tensor, "n points 3"]:
    """Sample points of each shape, augment them, mirror half of the shapes, and scale to the unit sphere; cut points are resampled."""
    count = int(torch.randint(256, POINTS + 1, (1,), generator=generator, device=points.device))
    some = torch.randint(0, points.shape[1], (len(points), count), generator=generator, device=points.device)
    clouds = augment(points.gather(1, some[..., None].expand(-1, -1, 3)).float(), augmentation, generator=generator)
    good = clouds.isfinite().all(dim=2)
    again = torch.multinomial(good.float() + 1e-9, count, replacement=True, generator=generator)
    clouds = torch.where(good[..., None], clouds, clouds.gather(1, again[..., None].expand(-1, -1, 3))).nan_to_num()
    mirror = torch.randint(0, 2, (len(points), 1, 1), generator=generator, device=points.device) * 2 - 1
    clouds = torch.cat([clouds[..., :1] * mirror, clouds[..., 1:]], dim=2)
    centred = clouds - clouds.mean(dim=1, keepdim=True)
    scaled: Tensor = centred / centred.norm(dim=2).amax(dim=1)[:, None, None].clamp(min=1e-6)
    return scaled


def candidate_rotations(count: int, generator: Generator) -> Float[Tensor, "n 10 3 3"]:
    """Return rotations that turn a candidate for up to +Z, each with a random yaw; the first keeps the shape upright.

    The others are the five other axes, two random directions, and two that lean by 20 to 60 degrees.
    """
    device = generator.device
    axes = torch.tensor([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=torch.float32, device=device)
    anywhere = F.normalize(torch.randn(count, 2, 3, generator=generator, device=device), dim=-1)
    anywhere = torch.where(anywhere[..., 2:] > math.cos(math.radians(25)), -anywhere, anywhere)
    lean = torch.rand(count, 2, generator=generator, device=device) * math.radians(40) + math.radians(20)
    around = torch.rand(count, 2, generator=generator, device=device) * 2 * math.pi
    leaning = torch.stack([lean.sin() * around.cos(), lean.sin() * around.sin(), lean.cos()], dim=-1)
    ups = torch.cat([axes.expand(count, -1, -1), anywhere, leaning], dim=1)
    yaw = torch.rand(ups.shape[:2], generator=generator, device=device) * 2 * math.pi
    first = torch.where(ups[..., :1].abs() < 0.9, torch.tensor([1.0, 0, 0], device=device), torch.tensor([0, 1.0, 0], device=device))
    x = F.normalize(first - (first * ups).sum(dim=-1, keepdim=True) * ups, dim=-1)
    y = torch.linalg.cross(ups, x)
    turned = yaw.cos()[..., None] * x + yaw.sin()[..., None] * y
    return torch.stack([turned, torch.linalg.cross(ups, turned), ups], dim=2)
