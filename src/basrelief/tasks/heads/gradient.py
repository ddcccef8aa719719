"""Fit an adapter by gradient descent on precomputed features; takes seconds on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.tasks.heads.adapters import adapter_loss
from basrelief.tasks.heads.base import FitOptions


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """Zero-shot classifier that a head starts from.

    Attributes:
        texts: (C, D) unit-length embedding of each class name.
        logit_scale: The encoder's multiplier of cosines.
    """

    texts: Float[Tensor, "classes dim"]
    logit_scale: float = 100.0


def fit_adapter(
    adapter: nn.Module,
    views: Float[Tensor, "shapes views dim"],
    truth: Int[Tensor, " shapes"],
    *,
    zero_shot: TextClassifier,
    fit: FitOptions,
) -> dict[str, Tensor]:
    """Train an adapter with AdamW and a cosine schedule on the cross entropy of its cosines with the class embeddings.

    Args:
        adapter: Module that maps (N, V, D) views to (N, D) or (N, V * D); trained in place.
        views: (N, V, D) features before normalisation.
        truth: Class number of each shape.
        zero_shot: Embedded class names and logit scale.
        fit: Options, with `scale` and `smoothing` set.

    Returns:
        The tensors of the adapter, the class embeddings (`texts`) and the multiplier of cosines (`scale`).
    """
    device = views.device
    adapter = adapter.to(device).train()
    repeats = _width(adapter, views) // zero_shot.texts.shape[1]
    texts = F.normalize(zero_shot.texts.to(device).repeat(1, repeats), dim=-1)
    scale = fit.scale or 1.0
    optimiser = torch.optim.AdamW(adapter.parameters(), lr=fit.lr, weight_decay=fit.weight_decay, fused=True)
    batch = min(fit.batch_size, len(views))
    steps = fit.epochs * max(1, len(views) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draw = torch.Generator().manual_seed(fit.seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(fit.seed)  # for dropout
        for _ in range(fit.epochs):
            order = torch.randperm(len(views), generator=draw).to(device)
            for rows in order[: len(views) // batch * batch].split(batch):
                cosine = F.normalize(adapter(views[rows]), dim=-1) @ texts.T
                loss = adapter_loss(scale * cosine, truth[rows], smoothing=fit.smoothing or 0.0)
                optimiser.zero_grad(set_to_none=False)
                loss.backward()
                optimiser.step()
                schedule.step()
    return {**adapter.eval().state_dict(), "texts": texts, "scale": torch.tensor(scale)}


def _width(adapter: nn.Module, views: Tensor) -> int:
    was = adapter.training
    with torch.no_grad():
        width: int = adapter.eval()(views[:1]).shape[1]
    adapter.train(was)
    return width
