"""LAMB: Adam with layer-wise step sizes (You et al. 2020, arXiv:1904.00962)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from basrelief.errors import ConfigError


class Lamb(torch.optim.Optimizer):
    """LAMB as in CLIP2Point's code: no bias correction, and weight norms are clamped to 10.

    For a tensor p with gradient g: `m` and `v` are the running means of g and g squared, `u = m / (sqrt(v) + eps) + weight_decay p`, and
    the update is `p -= lr * min(|p|, 10) / |u| * u`; the factor is 1 where a norm is 0.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        max_norm: float = 10.0,
    ) -> None:
        if lr < 0 or eps <= 0 or weight_decay < 0 or not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            got = f"lr {lr}, betas {betas}, eps {eps}, weight_decay {weight_decay}"
            raise ConfigError(f"LAMB needs lr >= 0, weight_decay >= 0, eps > 0 and betas in [0, 1), got {got}. The paper uses lr 0.006.")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "max_norm": max_norm})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; see `torch.optim.Optimizer.step`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group)
        return loss

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
        mean, square, (b1, b2) = state["mean"], state["square"], group["betas"]
        mean.mul_(b1).add_(p.grad, alpha=1 - b1)
        square.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
        update = (mean / square.sqrt().add_(group["eps"])).add_(p, alpha=group["weight_decay"])
        weight_norm, update_norm = p.norm().clamp(max=group["max_norm"]), update.norm()
        trust = torch.where((weight_norm > 0) & (update_norm > 0), weight_norm / update_norm, torch.ones_like(weight_norm))
        p.sub_(update * (group["lr"] * trust))
