"""Early exit: leave out the views of a shape that cannot, or will hardly, change its best label.

Views are encoded a few at a time. The best label leads each other one by some sum of cosines; it stays the best if no label can make up
for that in the remaining views. For a view v and labels a, b of unit length, v b - v a <= |b - a| (Cauchy-Schwarz). With `share=1` only
views are left out that provably cannot change the best label. Those are hardly any, because the bound is far from what views do; a
smaller share of the bound, fitted on labelled shapes, leaves out more and is right most of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError
from basrelief.tasks.pooling import Pooling
from basrelief.tasks.scoring import LabelEmbeddings

_RULES = ("mean", "sum", "concat")
_ROUNDING = 1e-6


@dataclass(frozen=True)
class EarlyExit:
    """When the remaining views of a shape are left out.

    Attributes:
        share: Part of the bound that another label is assumed to reach on average in the remaining views, in [0, 1]; with 1 the best label
            is always that of all views.
        first: Views that are encoded of every shape.
        step: Views that are encoded between two looks.

    Raises:
        ConfigError: If the share is not in [0, 1], or a number of views is below 1.
    """

    share: float = 1.0
    first: int = 4
    step: int = 2

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 <= self.share <= 1:
            raise ConfigError(
                f"Early exit has a share of {self.share}; expected a number from 0 to 1. With 1 the best label never changes."
            )
        check_at_least("first", self.first, 1, "Encode at least one view of every shape.")
        check_at_least("step", self.step, 1, "Encode at least one more view at a time.")

    def decided(
        self, similarity: Float[Tensor, "shapes seen labels"], labels: LabelEmbeddings, *, weights: Float[Tensor, " views"]
    ) -> Bool[Tensor, " shapes"]:
        """Return which shapes need no more views.

        Args:
            similarity: Of the views encoded so far, see `LabelEmbeddings.similarity`.
            labels: The labels.
            weights: Of all views, those encoded so far first; not negative.
        """
        seen = similarity.shape[1]
        total = torch.einsum("v,bvc->bc", weights[:seen], similarity)
        best = total.argmax(dim=1)
        lead = total.gather(1, best[:, None]) - total
        texts, penalty = labels.texts, labels.penalty
        apart = (2 - 2 * texts[best] @ texts.T).clamp(min=0) + _ROUNDING
        most = self.share * apart.sqrt() + penalty[best][:, None] - penalty
        safe = lead > weights[seen:].sum() * most
        return safe.scatter(1, best[:, None], True).all(dim=1)


def embed_until_decided(
    embed: Callable[[Int[Tensor, " rows"], Int[Tensor, " some"]], Float[Tensor, "rows some dim"]],
    labels: LabelEmbeddings,
    rule: EarlyExit,
    *,
    shapes: int,
    weights: Float[Tensor, " views"],
) -> tuple[Float[Tensor, "shapes views dim"], Int[Tensor, " shapes"]]:
    """Embed the views of shapes until the rule leaves out the rest.

    Args:
        embed: Returns unit-length embeddings of some views of some shapes, by their numbers.
        labels: What is to be decided between.
        rule: When to stop.
        shapes: Number of shapes.
        weights: How much each view counts, see `view_weights`.

    Returns:
        Embeddings of all views, where one that was left out has the weighted mean of those that were not, so that pooling gives their
        score; and how many views of each shape were encoded.
    """
    views, device = len(weights), labels.texts.device
    order = torch.tensor(view_order(views))
    weights = weights[order].to(device)
    found = torch.zeros(shapes, views, labels.texts.shape[1], device=device)
    encoded = torch.zeros(shapes, dtype=torch.int64)
    rows, seen = torch.arange(shapes), 0
    while len(rows) and seen < views:
        chosen = order[seen : seen + (rule.step if seen else rule.first)]
        found[rows[:, None], chosen] = embed(rows, chosen).to(device)
        seen += len(chosen)
        encoded[rows] = seen
        similarity = labels.similarity(found[rows][:, order[:seen]])
        rows = rows[~rule.decided(similarity, labels, weights=weights).cpu()]
    for row, count in enumerate(encoded.tolist()):
        share = weights[:count] / weights[:count].sum().clamp_min(_ROUNDING)
        found[row, order[count:]] = torch.einsum("v,vd->d", share, found[row, order[:count]])
    return found, encoded


def view_order(views: int) -> tuple[int, ...]:
    """Return the numbers of views so that any first few of them are spread over all: 0, the middle, the quarters and so on."""
    bits = max(1, math.ceil(math.log2(max(views, 2))))
    places = [int(f"{number:0{bits}b}"[::-1], 2) * views / 2**bits for number in range(2**bits)]
    return tuple(dict.fromkeys(int(place) for place in places))


def view_weights(pooling: Pooling, views: int) -> Float[Tensor, " views"]:
    """Return how much each view counts in a pooling rule that adds up cosines.

    Raises:
        ConfigError: If the rule is another one.
    """
    if pooling.rule not in _RULES:
        raise ConfigError(f"Early exit needs view pooling that adds up cosines ({', '.join(_RULES)}); this model has {pooling.rule!r}.")
    return torch.ones(views) if pooling.weights is None else torch.tensor(pooling.weights)
