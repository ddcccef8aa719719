"""Adapters compared with computations by hand from the weights of their layers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from basrelief.tasks import FitOptions, fit_head, head_scores
from basrelief.tasks.heads.adapters import DualPathAdapter, InterViewAdapter, SimplifiedAdapter

VIEWS, DIM, SHAPES = 3, 4, 5


def stirred(adapter: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and statistics, so that no layer is the identity."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*adapter.parameters(), *(b for b in adapter.buffers() if b.is_floating_point())]:
            tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.2)
    return adapter.eval()


def given(seed: int = 1) -> Tensor:
    return torch.randn(SHAPES, VIEWS, DIM, generator=torch.Generator().manual_seed(seed))


def normal(value: float, layer: nn.BatchNorm1d, i: int, mean: float | None = None, variance: float | None = None) -> float:
    """One number through batch normalisation, by running statistics or those given."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    m = float(layer.running_mean[i]) if mean is None else mean
    v = float(layer.running_var[i]) if variance is None else variance
    return (value - m) / math.sqrt(v + layer.eps) * float(layer.weight[i].detach()) + float(layer.bias[i].detach())


def linear(row: list[float], layer: nn.Linear) -> list[float]:
    weight, bias = layer.weight.detach().tolist(), layer.bias.detach().tolist()
    return [sum(w * x for w, x in zip(line, row, strict=True)) + b for line, b in zip(weight, bias, strict=True)]


def fused(adapter: SimplifiedAdapter | InterViewAdapter, views: list[list[float]]) -> list[float]:
    """Weigh, normalise, join, normalise, cut off below zero."""
    ratio = adapter.ratio.detach().tolist()
    flat = [normal(ratio[v] * x, adapter.norm_views, i) for v, view in enumerate(views) for i, x in enumerate(view)]
    joined = linear(flat, adapter.join)
    return [max(0.0, normal(x, adapter.norm_joined, i)) for i, x in enumerate(joined)]


def test_the_simplified_adapter_by_hand() -> None:
    adapter = stirred(SimplifiedAdapter(VIEWS, DIM))
    found = adapter(given()).tolist()
    for shape, views in enumerate(given().tolist()):
        assert found[shape] == pytest.approx(linear(fused(adapter, views), adapter.out), rel=1e-4)  # type: ignore[arg-type]


def test_the_inter_view_adapter_by_hand() -> None:
    adapter = stirred(InterViewAdapter(VIEWS, DIM))
    assert isinstance(adapter, InterViewAdapter)
    found = adapter(given()).tolist()
    first, second = adapter.spread[0], adapter.spread[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    for shape, views in enumerate(given().tolist()):
        hidden = [max(0.0, x) for x in linear(fused(adapter, views), first)]
        spread = [max(0.0, x) for x in linear(hidden, second)]
        flat = [x for view in views for x in view]
        assert found[shape] == pytest.approx([0.6 * s + 0.4 * x for s, x in zip(spread, flat, strict=True)], rel=1e-4)


def test_the_dual_path_by_hand() -> None:
    adapter = stirred(DualPathAdapter(2 * VIEWS, DIM))
    assert isinstance(adapter, DualPathAdapter)
    both = torch.cat([given(1), given(2)], dim=1)
    for shape, row in enumerate(adapter(both).tolist()):
        paths = [linear(fused(path, given(seed)[shape].tolist()), path.out) for seed, path in ((1, adapter.depth), (2, adapter.image))]
        assert row == pytest.approx([(a + b) / 2 for a, b in zip(*paths, strict=True)], rel=1e-4)


def test_views_are_normalised_over_shapes_and_views_together() -> None:
    adapter = SimplifiedAdapter(VIEWS, DIM, dropout=0.0)
    adapter.train()
    values = given()
    adapter(values)
    weighed = (values * 0.5).flatten(0, 1)
    expected = 0.1 * weighed.mean(dim=0)
    torch.testing.assert_close(adapter.norm_views.running_mean, expected)
    torch.testing.assert_close(adapter.norm_views.running_var, 0.9 * torch.ones(DIM) + 0.1 * weighed.var(dim=0))


@pytest.mark.parametrize("kind", ["simplified", "inter-view"])
def test_scores_are_cosines_with_the_words_as_the_head_compares_them(kind: str) -> None:
    views = torch.randn(8, VIEWS, DIM)
    words = torch.nn.functional.normalize(torch.randn(2, DIM), dim=-1)
    head = fit_head(kind, views, truth=torch.arange(8) % 2, texts=words, fit=FitOptions(epochs=1, batch_size=4), logit_scale=30.0)
    scores = head_scores(head, views)
    scale = 30.0 if kind == "inter-view" else 1.0
    assert float(head.tensors["scale"]) == scale
    assert scores.abs().max() <= scale * 1.0001
    texts = head.tensors["texts"]
    assert texts.shape == (2, DIM if kind == "simplified" else VIEWS * DIM)
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(2))
    if kind == "inter-view":
        for view in range(VIEWS):
            torch.testing.assert_close(texts[:, view * DIM : (view + 1) * DIM] * math.sqrt(VIEWS), words)


def test_smoothing_and_scale_of_the_method_can_be_overruled() -> None:
    views, truth = torch.randn(8, VIEWS, DIM), torch.arange(8) % 2
    words = torch.nn.functional.normalize(torch.randn(2, DIM), dim=-1)
    plain = fit_head("simplified", views, truth=truth, texts=words, fit=FitOptions(epochs=3, batch_size=4))
    other = fit_head("simplified", views, truth=truth, texts=words, fit=FitOptions(epochs=3, batch_size=4, scale=50.0, smoothing=0.1))
    assert float(other.tensors["scale"]) == 50.0
    assert not torch.equal(plain.tensors["join.weight"], other.tensors["join.weight"])


def test_fewer_shapes_than_a_batch_are_one_batch() -> None:
    views, words = torch.randn(3, VIEWS, DIM), torch.nn.functional.normalize(torch.randn(3, DIM), dim=-1)
    head = fit_head("simplified", views, truth=torch.arange(3), texts=words, fit=FitOptions(epochs=2, batch_size=500))
    assert torch.isfinite(head_scores(head, views)).all()
