"""The loss of the pre-training (Huang et al. 2023, arXiv:2210.01055, sec. 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


class PairLosses(NamedTuple):
    """The loss and its two parts."""

    total: Float[Tensor, ""]
    cross: Float[Tensor, ""]
    intra: Float[Tensor, ""]


def invariance_loss(
    first: Float[Tensor, "batch dim"],
    second: Float[Tensor, "batch dim"],
    label: Int[Tensor, " batch"] | None = None,
    *,
    temperature: float = 0.07,
) -> Float[Tensor, ""]:
    """Compute NT-Xent between two features of each shape (eq. 2 to 4).

    Args:
        first: Features of one view of each shape, of any length.
        second: Features of another view, or of the shape's picture.
        label: Class of each shape; shapes of the same class are then not used as negatives. None, as in the paper, uses every other shape.
        temperature: Divides the cosines.
    """
    both = F.normalize(torch.cat([first, second]), dim=-1)
    count = len(first)
    partner = torch.arange(2 * count, device=both.device).roll(count)
    shape = torch.arange(count, device=both.device) if label is None else label
    same = shape.repeat(2)[:, None] == shape.repeat(2)
    same[torch.arange(2 * count, device=both.device), partner] = False
    logits = (both @ both.T / temperature).masked_fill(same, float("-inf"))
    return F.cross_entropy(logits, partner)


def pair_losses(
    first: Float[Tensor, "batch dim"],
    second: Float[Tensor, "batch dim"],
    *,
    picture: Float[Tensor, "pictured dim"],
    balance: Float[Tensor, ""],
    temperature: float = 0.07,
    label: Int[Tensor, " batch"] | None = None,
) -> PairLosses:
    """Compute the cross-modality and the intra-modality loss of a batch.

    `intra = NTXent(first, second)`, `cross = NTXent((first + second) / 2, picture)`, and `total = cross + intra / w^2 + log(w + 1)` with a
    learned scalar w. The mean is of features as the tower gives them, not of unit length, as in the published code.

    Args:
        first: Depth features of each shape from one distance.
        second: Depth features from another distance.
        picture: Features of the picture from the same view, by the frozen tower; if not all shapes have one, of the first shapes.
        balance: w, initially 1.
        temperature: Divides the cosines.
        label: Class of each shape, see `invariance_loss`; None in the paper.
    """
    seen = len(picture)
    intra = invariance_loss(first, second, label, temperature=temperature)
    mean, shown = (first[:seen] + second[:seen]) / 2, None if label is None else label[:seen]
    cross = invariance_loss(mean, picture.detach(), shown, temperature=temperature)
    return PairLosses(cross + intra / balance**2 + torch.log(balance + 1), cross, intra)
