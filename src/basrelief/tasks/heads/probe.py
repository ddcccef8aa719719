"""Heads without gradient descent: logistic regression on views, and a cache of support features (Tip-Adapter)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from basrelief.tasks.few_shot import ViewProbe
from basrelief.tasks.heads.base import FitOptions, Head
from basrelief.tasks.heads.gradient import TextClassifier


def fit_probe(
    views: Float[Tensor, "shapes views dim"], truth: Int[Tensor, " shapes"], zero_shot: TextClassifier, fit: FitOptions
) -> dict[str, Tensor]:
    """Fit `ViewProbe` on unit-length views; classes without a shape never win."""
    probe = ViewProbe(penalty=fit.penalty).fit(F.normalize(views, dim=-1).cpu().numpy(), truth.cpu().numpy())
    weight, bias = probe.linear()
    seen = torch.from_numpy(probe.classes_)
    full = torch.zeros(len(zero_shot.texts), weight.shape[1])
    full[seen] = torch.from_numpy(weight).float()
    offset = torch.full((len(zero_shot.texts),), -1e4)
    offset[seen] = torch.from_numpy(bias).float()
    return {"weight": full, "bias": offset}


def probe_scores(head: Head, views: Float[Tensor, "shapes views dim"]) -> Float[Tensor, "shapes classes"]:
    """Return logits, summed over the views."""
    return (F.normalize(views, dim=-1) @ head.tensors["weight"].T + head.tensors["bias"]).sum(dim=1)


def fit_cache(
    views: Float[Tensor, "shapes views dim"], truth: Int[Tensor, " shapes"], zero_shot: TextClassifier, fit: FitOptions
) -> dict[str, Tensor]:
    """Store the support features; nothing is trained (Tip-Adapter, Zhang et al. 2022, arXiv:2207.09519, sec. 3.1)."""
    keys = F.normalize(F.normalize(views, dim=-1).mean(dim=1), dim=-1)
    values = F.one_hot(truth, len(zero_shot.texts)).float()
    return {"keys": keys, "values": values, "texts": zero_shot.texts, "scale": torch.tensor(zero_shot.logit_scale)}


def cache_scores(head: Head, views: Float[Tensor, "shapes views dim"]) -> Float[Tensor, "shapes classes"]:
    """Return zero-shot logits plus `strength` times the sum of `exp(-sharpness (1 - cosine))` over the support shapes of each class."""
    query = F.normalize(F.normalize(views, dim=-1).mean(dim=1), dim=-1)
    near = torch.exp(-head.fit.sharpness * (1 - query @ head.tensors["keys"].T))
    return head.tensors["scale"] * query @ head.tensors["texts"].T + head.fit.strength * near @ head.tensors["values"]
