"""The loss and the optimiser of the alignment, sec. 3.3, as the published code has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.train.contrast import symmetric_cross_entropy

PEAK_LR = 3e-4
"""Peak of the one-cycle schedule; the rate of 3e-5 in the published code has no effect."""


class AlignmentLosses(NamedTuple):
    """The loss and its two parts."""

    total: Float[Tensor, ""]
    contrast: Float[Tensor, ""]
    distance: Float[Tensor, ""]


def pool_features(
    features: Float[Tensor, "shapes views dim"], kept: Bool[Tensor, "shapes views"] | None = None
) -> Float[Tensor, "shapes dim"]:
    """Normalise each view, average, normalise.

    Args:
        features: Features of V views.
        kept: Views to average; all when None.
    """
    unit = F.normalize(features, dim=-1)
    return F.normalize(unit.mean(dim=1) if kept is None else (unit * kept[..., None]).sum(dim=1), dim=-1)


def alignment_losses(
    depth: Float[Tensor, "batch views dim"],
    pictures: Float[Tensor, "batch views dim"],
    *,
    logit_scale: Float[Tensor, ""],
    kept: Bool[Tensor, "batch views"] | None = None,
    weight: float = 1.0,
) -> AlignmentLosses:
    """Symmetric cross entropy between shapes' depth and picture features, plus their mean squared difference.

    The paper writes the second part as an L2 distance; the code takes the mean over all elements, and so does this.

    Args:
        depth: Features of depth views, from the tuned branch.
        pictures: Features of depth-aligned images, from the frozen branch; no gradient.
        logit_scale: Multiplier of the cosines, already exponentiated.
        kept: Views kept by the quality filter; the others are ignored on both sides.
        weight: Weight of the second part; 1 in the paper.
    """
    one, other = pool_features(depth, kept), pool_features(pictures, kept).detach()
    contrast = symmetric_cross_entropy(logit_scale * one @ other.T)
    distance = F.mse_loss(one, other)
    return AlignmentLosses(contrast + weight * distance, contrast, distance)


def alignment_optimiser(
    parameters: Iterable[nn.Parameter], *, steps: int, lr: float = PEAK_LR, weight_decay: float = 0.1
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """Return AdamW and its one-cycle schedule of learning rate and beta1.

    The schedule cycles beta1 between 0.95 and 0.85, so the 0.9 of the original's settings never takes effect.

    Args:
        parameters: Attention of the tuned block, see `ClipTowers.tuned_parameters`.
        steps: Steps of the whole training; 10 epochs in the paper.
        lr: Peak learning rate.
        weight_decay: Weight decay.
    """
    optimiser = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.98), eps=1e-8, weight_decay=weight_decay)
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
