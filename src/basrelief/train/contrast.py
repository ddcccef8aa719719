"""The symmetric contrastive loss of CLIP (Radford et al. 2021, arXiv:2103.00020), over the rows of several processes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, distributed
from torch.nn import functional as F


def symmetric_cross_entropy(logits: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """Return the mean of both cross entropies of a square of logits whose row i belongs to column i."""
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def gather_rows(rows: Shaped[Tensor, "own *rest"]) -> Shaped[Tensor, "all *rest"]:
    """Return the rows of all processes, in their order; gradients flow back to the process that a row came from.

    Every process computes the same loss on the result, so that the mean of their gradients is the gradient of that loss.

    Args:
        rows: As many in every process.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return rows
    if rows.requires_grad:
        from torch.distributed.nn.functional import all_gather

        return torch.cat(all_gather(rows.contiguous()))
    own = rows.to(torch.uint8).contiguous() if rows.dtype == torch.bool else rows.contiguous()
    parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, own)
    return torch.cat(parts).to(rows.dtype)
