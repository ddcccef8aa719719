"""AdamW with groups of parameters, and the learning rate of every step."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from basrelief.train.point.settings import OptimiserSettings, ScheduleSettings

_BLOCK = re.compile(r"(.*\bblocks\.)(\d+)\.")


def make_optimiser(parameters: Iterable[tuple[str, nn.Parameter]], how: OptimiserSettings) -> torch.optim.AdamW:
    """Return AdamW; each group has the factor `scale` of its learning rate.

    Args:
        parameters: Trained parameters by name. Block N of L transformer blocks (`blocks.N.` in the name) has the factor
            `layer_decay ** (L - N)`, as in Uni3D.
        how: Settings.
    """
    named = [(name, parameter) for name, parameter in parameters if parameter.requires_grad]
    depth: dict[str, int] = {}
    for name, _ in named:
        if match := _BLOCK.match(name):
            depth[match[1]] = max(depth.get(match[1], 0), int(match[2]) + 1)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        match = _BLOCK.match(name)
        scale = how.layer_decay ** (depth[match[1]] - int(match[2])) if match else 1.0
        decay = how.weight_decay if how.decay_all or parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    rows: list[dict[str, Any]] = [{"params": own, "weight_decay": decay, "scale": scale} for (scale, decay), own in groups.items()]
    return torch.optim.AdamW(rows, lr=how.lr, betas=(how.beta1, how.beta2), eps=how.eps)


def learning_rate(step: int, *, lr: float, how: ScheduleSettings, total: int, per_epoch: int) -> float:
    """Return the learning rate of a step.

    Args:
        step: Optimiser steps taken so far.
        lr: Peak learning rate.
        how: Schedule.
        total: Optimiser steps of the run.
        per_epoch: Optimiser steps of an epoch.
    """
    warm_up = how.warm_up + how.warm_up_epochs * per_epoch
    if step < warm_up:
        return how.start_lr + (lr - how.start_lr) * (step + 1) / warm_up
    if how.name == "step":
        return float(lr * how.factor ** ((step - warm_up) // how.every))
    if how.name == "constant":
        return lr
    done = (step - warm_up) / max(1, total - warm_up)
    return how.end_lr + (lr - how.end_lr) * (1 + math.cos(math.pi * done)) / 2
