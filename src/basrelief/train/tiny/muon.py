"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): orthogonalised momentum for weight matrices.

torch's own (2.9 and newer) computes in bfloat16, one matrix at a time, which is slow on CPUs without bfloat16.
This one uses float32 on CPUs, and batches matrices of one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum, scaled to the size of AdamW's updates, with decoupled weight decay.

    Args:
        matrices: 2D weights, or convolution kernels, which are flattened to (outputs, rest).
        lr: Learning rate, of AdamW's magnitude.
        weight_decay: Weight decay.
        momentum: Momentum.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], *, lr: float, weight_decay: float = 0.0, momentum: float = 0.95) -> None:
        super().__init__(list(matrices), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.flatten(1).shape, []).append((weight, weight.grad))
            for shape, pairs in by_shape.items():
                self._update(pairs, group, 0.2 * max(shape) ** 0.5)  # matches the RMS of AdamW's updates

    def _update(self, pairs: list[tuple[Tensor, Tensor]], group: dict[str, Any], scale: float) -> None:
        ahead = []
        for weight, grad in pairs:
            past = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
            past.lerp_(grad, 1 - group["momentum"])
            ahead.append(grad.lerp(past, group["momentum"]).flatten(1))
        for (weight, _), change in zip(pairs, orthogonal(torch.stack(ahead)), strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change.view_as(weight), alpha=group["lr"] * scale)


def orthogonal(matrices: Float[Tensor, "count rows columns"]) -> Float[Tensor, "count rows columns"]:
    """Orthogonalise matrices by Newton-Schulz iteration, in bfloat16 on a GPU and float32 elsewhere."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.transpose(1, 2)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    x = x.bfloat16() if x.is_cuda else x
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.to(matrices.dtype)
    return x if wide else x.transpose(1, 2)
