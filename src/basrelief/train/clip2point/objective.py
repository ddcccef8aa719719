"""The loss of the pre-training, sec. 3.2: depth features that agree with each other and with the picture."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.train.losses import invariance_loss


class PairLosses(NamedTuple):
    """The loss and its two parts."""

    total: Float[Tensor, ""]
    cross: Float[Tensor, ""]
    intra: Float[Tensor, ""]


def pair_losses(
    first: Float[Tensor, "batch dim"],
    second: Float[Tensor, "batch dim"],
    *,
    picture: Float[Tensor, "batch dim"],
    balance: Float[Tensor, ""],
    temperature: float = 0.07,
) -> PairLosses:
    """Cross-modality plus intra-modality loss of a batch.

    `intra = NTXent(first, second)`, `cross = NTXent((first + second) / 2, picture)`, and `total = cross + intra / w^2 + log(w + 1)` with a
    learned scalar w. The mean is of features as the tower gives them, not of unit length, as in the published code.

    Args:
        first: Depth features of each shape from a distance.
        second: The same from another distance.
        picture: Features of the picture from the same side, by the frozen tower.
        balance: w; it starts at 1.
        temperature: Divides the cosines.
    """
    intra = invariance_loss(first, second, temperature=temperature)
    cross = invariance_loss((first + second) / 2, picture.detach(), temperature=temperature)
    return PairLosses(cross + intra / balance**2 + torch.log(balance + 1), cross, intra)
