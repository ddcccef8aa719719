"""The loss of the pre-training, sec. 3.2: depth features that agree with each other and with the picture."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
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
    picture: Float[Tensor, "pictured dim"],
    balance: Float[Tensor, ""],
    temperature: float = 0.07,
    label: Int[Tensor, " batch"] | None = None,
) -> PairLosses:
    """Cross-modality plus intra-modality loss of a batch.

    `intra = NTXent(first, second)`, `cross = NTXent((first + second) / 2, picture)`, and `total = cross + intra / w^2 + log(w + 1)` with a
    learned scalar w. The mean is of features as the tower gives them, not of unit length, as in the published code.

    Args:
        first: Depth features of each shape from a distance.
        second: The same from another distance.
        picture: Features of the picture from the same side, by the frozen tower; of fewer shapes, the first ones, where not all have one.
        balance: w; it starts at 1.
        temperature: Divides the cosines.
        label: Class of each shape where shapes of one class are to be no negatives, see `invariance_loss`; None in the paper.
    """
    seen = len(picture)
    intra = invariance_loss(first, second, label, temperature=temperature)
    mean, shown = (first[:seen] + second[:seen]) / 2, None if label is None else label[:seen]
    cross = invariance_loss(mean, picture.detach(), shown, temperature=temperature)
    return PairLosses(cross + intra / balance**2 + torch.log(balance + 1), cross, intra)
