"""Groups of parameters, and learning rates worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from basrelief.train.point.optimiser import learning_rate, make_optimiser
from basrelief.train.point.settings import OptimiserSettings, ScheduleSettings


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(2, 2)
        self.visual = nn.Module()
        self.visual.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.scale = nn.Parameter(torch.zeros(()))


def groups(how: OptimiserSettings) -> dict[str, tuple[float, float]]:
    """Factor and weight decay of every parameter."""
    net = Net()
    optimiser = make_optimiser(net.named_parameters(), how)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    return {names[id(p)]: (group["scale"], group["weight_decay"]) for group in optimiser.param_groups for p in group["params"]}


def test_everything_decays_as_in_openshape() -> None:
    found = groups(OptimiserSettings())
    assert set(found.values()) == {(1.0, 0.01)}
    assert len(found) == 9


def test_only_matrices_decay_as_in_ulip() -> None:
    found = groups(OptimiserSettings(decay_all=False, weight_decay=0.1))
    expected = {name: 0.1 if name.endswith("weight") else 0.0 for name, _ in Net().named_parameters()}
    assert {name: decay for name, (_, decay) in found.items()} == expected


def test_earlier_blocks_learn_more_slowly_as_in_uni3d() -> None:
    found = groups(OptimiserSettings(layer_decay=0.5))
    assert [found[f"visual.blocks.{block}.weight"][0] for block in range(3)] == [0.125, 0.25, 0.5]
    assert found["stem.weight"][0] == found["scale"][0] == 1.0


def rates(how: ScheduleSettings, *steps: int, lr: float = 1.0, total: int = 100, per_epoch: int = 10) -> list[float]:
    return [learning_rate(step, lr=lr, how=how, total=total, per_epoch=per_epoch) for step in steps]


def test_steps_multiply_the_rate() -> None:
    assert rates(ScheduleSettings(every=10, factor=0.5), 0, 9, 10, 25) == [1, 1, 0.5, 0.25]


def test_the_cosine_ends_at_its_minimum() -> None:
    how = ScheduleSettings("cosine", end_lr=0.1)
    assert rates(how, 0, 50, 100) == pytest.approx([1, 0.55, 0.1])
    assert rates(how, 25) == pytest.approx([0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2])


def test_the_warm_up_is_linear_in_steps_and_epochs() -> None:
    how = ScheduleSettings("constant", warm_up=5, warm_up_epochs=1, start_lr=0.1)
    assert rates(how, 0, 4, 14, 15) == pytest.approx([0.16, 0.4, 1.0, 1.0])
