"""What training pulls together: views with class names, and views of one shape with each other."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def alignment_loss(
    features: Float[Tensor, "batch dim"],
    texts: Float[Tensor, "labels dim"],
    target: Int[Tensor, " batch"],
    *,
    logit_scale: Float[Tensor, ""],
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Cross entropy of each embedding over all class names, CLIP's softmax with the names as the other side of the pair.

    Args:
        features: Tower output, any length.
        texts: Unit-length embedding of each class name.
        target: Number of the right name.
        logit_scale: Multiplier of the cosine, already exponentiated.
        smoothing: Share of the target spread evenly over all names.
    """
    logits = logit_scale * F.normalize(features, dim=-1) @ texts.T
    return F.cross_entropy(logits, target, label_smoothing=smoothing)


def invariance_loss(
    first: Float[Tensor, "batch dim"],
    second: Float[Tensor, "batch dim"],
    label: Int[Tensor, " batch"] | None = None,
    *,
    temperature: float = 0.07,
) -> Float[Tensor, ""]:
    """NT-Xent between two features of each shape (CLIP2Point's losses, arXiv:2210.01055, sec. 3.2).

    Args:
        first: Tower output of one view of each shape, any length.
        second: The same of another view, or of the shape's picture.
        label: Class of each shape, whose other shapes are then no negatives: with few classes a batch holds many of them. None, as in
            the paper, takes every other shape as a negative.
        temperature: Divides the cosine.
    """
    both = F.normalize(torch.cat([first, second]), dim=-1)
    count = len(first)
    partner = torch.arange(2 * count, device=both.device).roll(count)
    shape = torch.arange(count, device=both.device) if label is None else label
    same = shape.repeat(2)[:, None] == shape.repeat(2)
    same[torch.arange(2 * count, device=both.device), partner] = False
    logits = (both @ both.T / temperature).masked_fill(same, float("-inf"))
    return F.cross_entropy(logits, partner)
