"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): momentum made orthogonal, for weight matrices.

torch has one from 2.9 on; it works in bfloat16, matrix by matrix, which on processors without bfloat16 takes longer than the step itself.
This one works in float32 there, and on all matrices of one shape at once.
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
    """Nesterov momentum, orthogonalised, as long as AdamW's steps are; decay beside it.

    Args:
        matrices: Weights of two dimensions, or kernels of convolutions, each taken as a matrix of its outputs.
        lr: Step length, of AdamW's magnitude.
        decay: Weight decay.
        momentum: Share of the past.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], *, lr: float, decay: float = 0.0, momentum: float = 0.95) -> None:
        super().__init__(list(matrices), {"lr": lr, "decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(weight.flatten(1).shape, []).append((weight, weight.grad))
            for shape, pairs in alike.items():
                self._move(pairs, group, 0.2 * max(shape) ** 0.5)  # as long as AdamW's steps, by their root mean square

    def _move(self, alike: list[tuple[Tensor, Tensor]], group: dict[str, Any], length: float) -> None:
        ahead = []
        for weight, slope in alike:
            past = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
            past.lerp_(slope, 1 - group["momentum"])
            ahead.append(slope.lerp(past, group["momentum"]).flatten(1))
        for (weight, _), change in zip(alike, orthogonal(torch.stack(ahead)), strict=True):
            weight.mul_(1 - group["lr"] * group["decay"]).sub_(change.view_as(weight), alpha=group["lr"] * length)


def orthogonal(matrices: Float[Tensor, "count rows columns"]) -> Float[Tensor, "count rows columns"]:
    """Bring the singular values of each matrix near 1, by Newton and Schulz' iteration; bfloat16 on a GPU, float32 elsewhere."""
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
