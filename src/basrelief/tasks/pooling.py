"""View pooling: how the similarities of V views become one score for each label, by name.

| rule          | score of a label                        | probabilities      | whose                        |
|---------------|-----------------------------------------|--------------------|------------------------------|
| `mean`        | scale * weighted mean_v cos_v           | softmax            | tiny                         |
| `max`         | scale * max_v cos_v                     | none               | ours                         |
| `concat`      | scale * sum_v weight_v cos_v / sqrt(V)  | softmax            | PointCLIP, PointCLIP V2      |
| `sum`         | scale * sum_v cos_v                     | softmax            | CLIP2Point (scale 1)         |
| `softmax-sum` | sum_v softmax_c(cos_v)                  | score / V          | OpenDlign (no temperature)   |
| `entropy`     | `mean` of the `keep` most certain views | softmax            | MV-CLIP                      |
| `sigmoid`     | scale * mean_v cos_v                    | sigmoid(it + bias) | SigLIP                       |

PointCLIP compares the concatenated view features with the text feature repeated V times and then normalised: that
hides the factor 1 / sqrt(V), which its logits, and PointCLIP V2's, do contain.

MV-CLIP (arXiv:2311.18402) keeps the views whose predictions are most confident. Here: the entropy of softmax_c(scale * cos_v) of each
view, in nats; the `keep` views of lowest entropy are averaged, of equal ones the first.

SigLIP (arXiv:2303.15343) was trained to say of each label by itself whether it fits: its probabilities do not sum to 1, and all are small
where nothing fits. The bias is the same for all labels, so that every other rule works on its cosines as on CLIP's, without the bias.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from basrelief.errors import ConfigError, unknown_choice

RULES = ("mean", "max", "concat", "sum", "softmax-sum", "entropy", "sigmoid")
_WEIGHTED = ("mean", "concat", "entropy")


@dataclass(frozen=True)
class Pooling:
    """A named rule with its constants.

    Attributes:
        rule: One of `RULES`.
        scale: Multiplier of the cosines; None takes the encoder's learned logit_scale. `softmax-sum` has none.
        weights: One weight per view for `mean`, `concat` and `entropy`; None for equal weights of 1.
        keep: Number of views that `entropy` keeps; None for other rules.

    Raises:
        ConfigError: If the rule is unknown or a constant does not belong to it.
    """

    rule: str
    scale: float | None = None
    weights: tuple[float, ...] | None = None
    keep: int | None = None

    def __post_init__(self) -> None:
        """Check the rule and its constants."""
        if self.rule not in RULES:
            raise ConfigError(unknown_choice("pooling rule", self.rule, RULES))
        if self.weights is not None and self.rule not in _WEIGHTED:
            raise ConfigError(f"Pooling {self.rule!r} takes no weights, but there are {len(self.weights)}. Use rule 'mean' or 'concat'.")
        if self.weights is not None and not (min(self.weights, default=0.0) >= 0 and sum(self.weights) > 0):
            raise ConfigError(f"weights is {list(self.weights)}; expected numbers from 0 up, one of them above 0.")
        if self.rule == "entropy" and (self.keep is None or self.keep < 1):
            raise ConfigError(f"keep is {self.keep}; 'entropy' needs the number of views to keep, at least 1.")
        if self.rule != "entropy" and self.keep is not None:
            raise ConfigError(f"Pooling {self.rule!r} keeps all views, but keep is {self.keep}. Use rule 'entropy', or leave keep out.")

    @classmethod
    def parse(cls, text: str) -> Pooling:
        """Read a rule from its name; `entropy:5` keeps five views.

        Raises:
            ConfigError: If the rule or the number is wrong.
        """
        rule, mark, keep = text.partition(":")
        if mark and not keep.isdecimal():
            raise ConfigError(f"The pooling rule {text!r} has no whole number after the colon. Example: entropy:5")
        return cls(rule, keep=int(keep) if mark else None)

    def of_views(self, views: Sequence[int]) -> Pooling:
        """Return the rule for some of the views, by their numbers; it keeps at most all of them; weights that are all 0 become equal."""
        weights = None if self.weights is None else tuple(self.weights[view] for view in views)
        weights = weights if weights is not None and sum(weights) > 0 else None
        return replace(self, weights=weights, keep=None if self.keep is None else min(self.keep, len(views)))


def pool_views(
    similarity: Float[Tensor, "shapes views labels"], pooling: Pooling, *, logit_scale: float = 1.0
) -> Float[Tensor, "shapes labels"]:
    """Pool the cosines of V views into one score per label.

    Args:
        similarity: Cosines in [-1, 1].
        pooling: The rule; see the table of this module.
        logit_scale: The encoder's multiplier, already exponentiated; used where `pooling.scale` is None.

    Raises:
        ConfigError: If `pooling.weights` does not have one number per view, or more views are to be kept than there are.
    """
    views = similarity.shape[1]
    scale = logit_scale if pooling.scale is None else pooling.scale
    if pooling.rule == "softmax-sum":
        return similarity.softmax(dim=-1).sum(dim=1)
    if pooling.rule in ("mean", "sigmoid") and pooling.weights is None:
        return scale * similarity.mean(dim=1)
    if pooling.rule in ("mean", "entropy"):
        weights = _view_weights(pooling, similarity).expand(similarity.shape[:2])
        if pooling.keep is not None:
            weights = weights * certain_views(scale * similarity, pooling.keep, among=weights > 0)
        return scale * torch.einsum("bv,bvc->bc", weights / weights.sum(dim=1, keepdim=True), similarity)
    if pooling.rule == "max":
        return scale * similarity.amax(dim=1)
    if pooling.rule == "sum":
        return scale * similarity.sum(dim=1)
    return scale / math.sqrt(views) * torch.einsum("v,bvc->bc", _view_weights(pooling, similarity), similarity)


def certain_views(
    logits: Float[Tensor, "shapes views labels"], keep: int, *, among: Bool[Tensor, "shapes views"]
) -> Float[Tensor, "shapes views"]:
    """Mark the views of lowest entropy with 1 and the others with 0.

    Args:
        logits: Scaled cosines.
        keep: Number of views to mark for each shape; of equal entropies the first.
        among: Views to prefer to the others.

    Raises:
        ConfigError: If there are fewer views.
    """
    if keep > logits.shape[1]:
        raise ConfigError(f"keep is {keep}, but there are {logits.shape[1]} views. Keep fewer.")
    chances = logits.double().softmax(dim=-1)  # float32 makes nearly certain views equal
    entropy = torch.special.entr(chances).sum(dim=-1).masked_fill(~among, torch.inf)
    first = entropy.argsort(dim=1, stable=True)[:, :keep]
    return torch.zeros_like(logits[..., 0]).scatter(1, first, 1.0)


def probabilities(
    scores: Float[Tensor, "shapes labels"], pooling: Pooling, *, views: int, logit_bias: float | None = None
) -> Float[Tensor, "shapes labels"] | None:
    """Turn pooled scores into the probabilities the method defines.

    Args:
        scores: From `pool_views` with the same pooling.
        pooling: The rule.
        views: Number of views that were pooled.
        logit_bias: The encoder's, for `sigmoid`; None if it has none.

    Returns:
        Rows that sum to 1, except for `sigmoid`, or None where the rule defines none (`max`).

    Raises:
        ConfigError: If `sigmoid` has no bias.
    """
    if pooling.rule == "max":
        return None
    if pooling.rule == "sigmoid":
        if logit_bias is None:
            raise ConfigError("Pooling 'sigmoid' needs an encoder trained with the sigmoid loss, such as SigLIP 2. Use rule 'mean'.")
        return (scores + logit_bias).sigmoid()
    return scores / views if pooling.rule == "softmax-sum" else scores.softmax(dim=-1)


def _view_weights(pooling: Pooling, similarity: Tensor) -> Tensor:
    views = similarity.shape[1]
    if pooling.weights is None:
        return similarity.new_ones(views)
    if len(pooling.weights) != views:
        raise ConfigError(f"There are {len(pooling.weights)} weights for {views} views. Use the rig they were made for.")
    return similarity.new_tensor(pooling.weights)
