"""LAMB, compared with its formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from basrelief.errors import ConfigError
from basrelief.train.clip2point.lamb import Lamb


def slow_lamb(p: list[float], gradients: list[list[float]], *, lr: float, weight_decay: float) -> list[float]:
    """One tensor over several steps, in plain numbers."""
    mean, square = [0.0] * len(p), [0.0] * len(p)
    for g in gradients:
        mean = [0.9 * m + 0.1 * x for m, x in zip(mean, g, strict=True)]
        square = [0.999 * v + 0.001 * x * x for v, x in zip(square, g, strict=True)]
        update = [m / (math.sqrt(v) + 1e-6) + weight_decay * x for m, v, x in zip(mean, square, p, strict=True)]
        length = min(math.sqrt(sum(x * x for x in p)), 10.0)
        long = math.sqrt(sum(x * x for x in update))
        trust = length / long if length > 0 and long > 0 else 1.0
        p = [x - lr * trust * u for x, u in zip(p, update, strict=True)]
    return p


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_steps_follow_the_formula(scale: float, weight_decay: float) -> None:
    start = scale * torch.randn(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients = torch.randn(4, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p = nn.Parameter(start.clone())
    optimiser = Lamb([p], lr=0.01, weight_decay=weight_decay)
    for gradient in gradients:
        p.grad = gradient.clone()
        optimiser.step()
    torch.testing.assert_close(
        p.detach(), torch.tensor(slow_lamb(start.tolist(), gradients.tolist(), lr=0.01, weight_decay=weight_decay)).double()
    )


def test_the_step_length_depends_on_the_weights_alone() -> None:
    moved = []
    for factor in (1e-3, 1.0, 1e3):
        p = nn.Parameter(torch.ones(10))
        p.grad = factor * torch.linspace(0.5, 1, 10)
        Lamb([p], lr=0.1).step()
        moved.append(float((p.detach() - 1).norm()))
    assert moved == pytest.approx([0.1 * math.sqrt(10)] * 3, rel=1e-2)


def test_it_finds_a_minimum() -> None:
    target, p = torch.tensor([3.0, -2.0, 0.5]), nn.Parameter(torch.ones(3))
    optimiser = Lamb([p], lr=0.05)
    for step in range(400):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / 400)
        optimiser.zero_grad()
        (p - target).square().sum().backward()
        optimiser.step()
    torch.testing.assert_close(p.detach(), target, atol=0.05, rtol=0)


def test_its_state_resumes() -> None:
    def gradients(steps: int) -> list[torch.Tensor]:
        return list(torch.randn(steps, 4, generator=torch.Generator().manual_seed(2)))

    whole = nn.Parameter(torch.ones(4))
    optimiser = Lamb([whole], lr=0.01)
    for gradient in gradients(6):
        whole.grad = gradient
        optimiser.step()
    part = nn.Parameter(torch.ones(4))
    first = Lamb([part], lr=0.01)
    for gradient in gradients(6)[:3]:
        part.grad = gradient
        first.step()
    again = nn.Parameter(part.detach().clone())
    second = Lamb([again], lr=0.01)
    second.load_state_dict(first.state_dict())
    for gradient in gradients(6)[3:]:
        again.grad = gradient
        second.step()
    torch.testing.assert_close(again, whole, atol=0, rtol=0)


def test_parameters_without_a_gradient_stay() -> None:
    p = nn.Parameter(torch.ones(3))
    Lamb([p]).step()
    assert torch.equal(p.detach(), torch.ones(3))


def test_a_closure_computes_the_loss() -> None:
    p = nn.Parameter(torch.ones(3))

    def loss() -> float:
        p.grad = torch.ones(3)
        return 4.0

    assert Lamb([p]).step(loss) == 4.0


@pytest.mark.parametrize("settings", [{"lr": -1.0}, {"eps": 0.0}, {"weight_decay": -0.1}, {"betas": (1.0, 0.9)}])
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="LAMB needs lr >= 0, weight_decay >= 0, eps > 0"):
        Lamb([nn.Parameter(torch.ones(1))], **settings)  # type: ignore[arg-type]
