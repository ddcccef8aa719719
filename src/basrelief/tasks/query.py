"""Queries across modalities: embeddings of words, pictures and shapes mixed into one, and what lies nearest to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError


def mix_embeddings(parts: Sequence[Float[Tensor, " dim"]], *, weights: Sequence[float] | None = None) -> Float[Tensor, " dim"]:
    """Return the weighted sum of embeddings, normalised; with equal weights, OpenDlign's average (arXiv:2404.16538, sec. 4.4).

    Args:
        parts: Each is brought to unit length first.
        weights: One for each part, of any sign; equal when None.

    Raises:
        ConfigError: If there is no part, the numbers differ, or the parts cancel out.
    """
    weights = [1.0] * len(parts) if weights is None else weights
    if not parts or len(weights) != len(parts):
        raise ConfigError(
            f"There are {len(weights)} weights for {len(parts)} parts. Pass at least one part, and one weight for each or none."
        )
    unit = F.normalize(torch.stack([part.float() for part in parts]), dim=-1)
    mixed = (unit * torch.tensor(list(weights), device=unit.device)[:, None]).sum(dim=0)
    if not float(mixed.norm()) > 1e-6:
        raise ConfigError(f"With weights {list(weights)} the parts cancel each other out. Change a weight.")
    return F.normalize(mixed, dim=-1)


def find_nearest(
    queries: Float[Tensor, "queries dim"], embeddings: Float[Tensor, "shapes dim"], *, top: int = 10
) -> tuple[Float[Tensor, "queries found"], Int[Tensor, "queries found"]]:
    """Return cosines and indices of the nearest embeddings, nearest first.

    Args:
        queries: Of any length.
        embeddings: Of any length.
        top: How many; all if there are fewer.

    Raises:
        ConfigError: If `top` is below 1.
    """
    check_at_least("top", top, 1, "Pass the number of hits.")
    cosines = F.normalize(queries, dim=-1) @ F.normalize(embeddings, dim=-1).T
    found = cosines.topk(min(top, len(embeddings)), dim=1)
    return found.values, found.indices
