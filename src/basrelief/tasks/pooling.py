"""View pooling: how the similarities of V views become one score for each label, by name.

| rule          | score of a label                        | probabilities      | whose                        |
|---------------|-----------------------------------------|--------------------|------------------------------|
| `mean`        | scale * mean_v cos_v                    | softmax            | tiny                         |
| `max`         | scale * max_v cos_v                     | none               | ours                         |
| `concat`      | scale * sum_v weight_v cos_v / sqrt(V)  | softmax            | PointCLIP, PointCLIP V2      |
| `sum`         | scale * sum_v cos_v                     | softmax            | CLIP2Point (scale 1)         |
| `softmax-sum` | sum_v softmax_c(cos_v)                  | score / V          | OpenDlign (no temperature)   |

PointCLIP compares the concatenated view features with the text feature repeated V times and then normalised: that
hides the factor 1 / sqrt(V), which its logits, and PointCLIP V2's, do contain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.errors import ConfigError, unknown_choice

RULES = ("mean", "max", "concat", "sum", "softmax-sum")


@dataclass(frozen=True)
class Pooling:
    """A named rule with its constants.

    Attributes:
        rule: One of `RULES`.
        scale: Multiplier of the cosines; None takes the encoder's learned logit_scale. `softmax-sum` has none.
        weights: One weight per view for `concat`; None for equal weights of 1.

    Raises:
        ConfigError: If the rule is unknown or a constant does not belong to it.
    """

    rule: str
    scale: float | None = None
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check the rule and its constants."""
        if self.rule not in RULES:
            raise ConfigError(unknown_choice("pooling rule", self.rule, RULES))
        if self.weights is not None and self.rule != "concat":
            raise ConfigError(f"Pooling {self.rule!r} takes no weights, but there are {len(self.weights)}. Use rule 'concat'.")


def pool_views(
    similarity: Float[Tensor, "shapes views labels"], pooling: Pooling, *, logit_scale: float = 1.0
) -> Float[Tensor, "shapes labels"]:
    """Pool the cosines of V views into one score per label.

    Args:
        similarity: Cosines in [-1, 1].
        pooling: The rule; see the table of this module.
        logit_scale: The encoder's multiplier, already exponentiated; used where `pooling.scale` is None.

    Raises:
        ConfigError: If `pooling.weights` does not have one number per view.
    """
    views = similarity.shape[1]
    scale = logit_scale if pooling.scale is None else pooling.scale
    if pooling.rule == "softmax-sum":
        return similarity.softmax(dim=-1).sum(dim=1)
    if pooling.rule == "mean":
        return scale * similarity.mean(dim=1)
    if pooling.rule == "max":
        return scale * similarity.amax(dim=1)
    if pooling.rule == "sum":
        return scale * similarity.sum(dim=1)
    return scale / math.sqrt(views) * torch.einsum("v,bvc->bc", _view_weights(pooling, similarity), similarity)


def probabilities(scores: Float[Tensor, "shapes labels"], pooling: Pooling, *, views: int) -> Float[Tensor, "shapes labels"] | None:
    """Turn pooled scores into the probabilities the method defines.

    Args:
        scores: From `pool_views` with the same pooling.
        pooling: The rule.
        views: Number of views that were pooled.

    Returns:
        Rows that sum to 1, or None where the rule defines none (`max`).
    """
    if pooling.rule == "max":
        return None
    return scores / views if pooling.rule == "softmax-sum" else scores.softmax(dim=-1)


def _view_weights(pooling: Pooling, similarity: Tensor) -> Tensor:
    views = similarity.shape[1]
    if pooling.weights is None:
        return similarity.new_ones(views)
    if len(pooling.weights) != views:
        raise ConfigError(f"There are {len(pooling.weights)} weights for {views} views. Use the rig they were made for.")
    return similarity.new_tensor(pooling.weights)
