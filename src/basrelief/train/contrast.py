"""The symmetric contrastive loss of CLIP (Radford et al. 2021, arXiv:2103.00020)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def symmetric_cross_entropy(logits: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """Return the mean of both cross entropies of a square of logits whose row i belongs to column i."""
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
