"""A fixed probe of pictures and prompts on which backends are compared."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from basrelief.encoders.clip import ClipEncoder

PROMPTS = (
    "a depth map of a chair",
    "point cloud of a big airplane",
    "a photo of a small red office chair with five wheels",
    "car",
    "3D render of a potted plant, grey background",
)


@cache
def probe_images(size: int) -> Float[Tensor, "pictures 3 size size"]:
    """Return rendered views of simple solids: depth images of a ball and a cone, shaded colour views of a box and a ring.

    Args:
        size: Side, pixels.
    """
    axis = torch.linspace(-1.2, 1.2, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    radius = (x.square() + y.square()).sqrt()
    turned = (0.8 * x + 0.6 * y).abs(), (0.8 * y - 0.6 * x).abs()
    heights = (
        (1 - radius.square()).clamp_min(0).sqrt(),
        (0.9 - 0.4 * x - 0.2 * y) * (torch.maximum(*turned) < 0.7),
        (1 - radius).clamp_min(0),
        (0.09 - (radius - 0.7).square()).clamp_min(0).sqrt(),
    )
    depth = torch.stack([(height > 0) * (0.35 + 0.6 * height / height.max()) for height in heights])
    slope = torch.stack([1 + 8 * (image - image.roll((2, 3), (0, 1))) for image in depth]).clamp(0, 2) / 2
    tints = torch.tensor([[0.9, 0.2, 0.1], [0.2, 0.5, 0.9], [0.7, 0.6, 0.3], [0.3, 0.8, 0.4]])
    colour = torch.where(depth[:, None] > 0, slope[:, None] * tints[:, :, None, None], torch.tensor(0.94))
    grey = depth[:, None].expand(-1, 3, -1, -1)
    return torch.stack([grey[0], colour[1], grey[2], colour[3]])


@torch.no_grad()
def probe_features(encoder: ClipEncoder) -> tuple[Tensor, ...]:
    """Return unit-length features of the prompts and, if there is an image tower, of the pictures through every branch; uncached."""
    found = [encoder.encode_uncached(PROMPTS)]
    if encoder.towers.vision_model is not None:
        images = probe_images(encoder.image_size)
        found += encoder.encode_both(images) if encoder.has_tuned_block else [encoder.encode_images(images)]
    return tuple(F.normalize(part.float().cpu(), dim=-1) for part in found)


def smallest_cosine(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> float:
    """Return the smallest cosine between features of the probe; -1 if any is not finite."""
    cosines = torch.cat([(a * b).sum(dim=-1) for a, b in zip(first, second, strict=True)])
    return float(cosines.min()) if bool(cosines.isfinite().all()) else -1.0
