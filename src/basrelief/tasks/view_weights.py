"""PointCLIP's search for view weights, on validation shapes only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from basrelief.errors import ConfigError

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
_AT_ONCE = 1 << 24
_EXHAUSTIVE = 4096


@dataclass(frozen=True)
class ViewWeights:
    """Result of a search for view weights.

    Attributes:
        weights: One for each view.
        accuracy: Of these weights on the validation shapes, in [0, 1].
        equal: Of equal weights on the same shapes.
        tried: How many weightings were tried.
    """

    weights: tuple[float, ...]
    accuracy: float
    equal: float
    tried: int


def search_view_weights(
    similarity: Float[Tensor, "shapes views labels"], truth: Int[Tensor, " shapes"], *, grid: Sequence[float] = GRID, rounds: int = 3
) -> ViewWeights:
    """Find the view weights with the highest accuracy on validation shapes.

    Every weighting of the grid is tried where there are at most 4,096; else one view is changed at a time, all its values at once, for some
    rounds over the views. The original searched on the test set (Zhang et al. 2022, arXiv:2112.02413, post-search), which is why its
    figure could not be reproduced: give shapes that are in no reported figure.

    Args:
        similarity: Cosines of each view with each label.
        truth: Number of the right label of each shape.
        grid: Values a weight may take, at least one above 0.
        rounds: Rounds over the views.

    Returns:
        The best weights; of equally good ones the first met, so that equal weights stay where nothing is better.

    Raises:
        ConfigError: If there is no shape, or the grid has no value above 0 or one below.
    """
    shapes, views = similarity.shape[:2]
    if shapes == 0 or len(truth) != shapes:
        raise ConfigError(f"There are {len(truth)} labels for {shapes} shapes. Pass validation shapes with a label each.")
    if not grid or min(grid) < 0 or max(grid) <= 0:
        raise ConfigError(f"grid is {list(grid)}; expected values from 0 up, one of them above 0. Use {list(GRID)}.")
    best = torch.ones(views, dtype=similarity.dtype, device=similarity.device)
    equal = right = _accuracy(similarity, truth, best[None])[0].item()
    values = torch.tensor(sorted(set(grid)), dtype=similarity.dtype, device=similarity.device)
    tried = 1
    if len(values) ** views <= _EXHAUSTIVE:
        candidates = torch.cartesian_prod(*[values] * views).view(-1, views)
        found = _accuracy(similarity, truth, candidates)
        tried += len(candidates)
        if found.max() > right:
            best, right = candidates[found.argmax()], found.max().item()
    else:
        for _ in range(rounds):
            before = right
            for view in range(views):
                candidates = best.repeat(len(values), 1)
                candidates[:, view] = values
                found = _accuracy(similarity, truth, candidates)
                tried += len(candidates)
                if found.max() > right:
                    best, right = candidates[found.argmax()], found.max().item()
            if right == before:
                break
    return ViewWeights(tuple(round(float(w), 6) for w in best), right, equal, tried)


def _accuracy(similarity: Tensor, truth: Tensor, weights: Float[Tensor, "candidates views"]) -> Float[Tensor, " candidates"]:
    """Accuracy of each weighting; a weighting of nothing is never right."""
    step = max(1, _AT_ONCE // max(1, similarity.shape[0] * similarity.shape[2]))
    parts = []
    for rows in weights.split(step):
        answers = torch.einsum("kv,nvc->knc", rows, similarity).argmax(dim=2)
        parts.append((answers == truth).to(torch.float64).mean(dim=1) * (rows.sum(dim=1) > 0))
    return torch.cat(parts)
