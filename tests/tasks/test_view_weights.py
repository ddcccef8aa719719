"""The search for view weights: finds the best ones, never worse than equal weights."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basrelief.errors import ConfigError
from basrelief.tasks import Pooling, search_view_weights
from basrelief.tasks.pooling import pool_views


def shapes(seed: int, *, views: int = 3, count: int = 30, labels: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, views, labels, generator=random), torch.randint(0, labels, (count,), generator=random)


def slow(similarity: torch.Tensor, truth: torch.Tensor, grid: tuple[float, ...]) -> float:
    """The best accuracy over every weighting, one at a time."""
    best = 0.0
    for weights in itertools.product(grid, repeat=similarity.shape[1]):
        if sum(weights) == 0:
            continue
        pooled = pool_views(similarity, Pooling("concat", weights=weights))
        best = max(best, float((pooled.argmax(dim=1) == truth).double().mean()))
    return best


@given(st.integers(0, 500))
def test_few_views_are_searched_whole(seed: int) -> None:
    similarity, truth = shapes(seed)
    found = search_view_weights(similarity, truth, grid=(0.0, 0.5, 1.0))
    assert found.accuracy == pytest.approx(slow(similarity, truth, (0.0, 0.5, 1.0)))
    assert found.tried == 28


@given(st.integers(0, 500))
def test_many_views_are_never_worse_than_equal_ones(seed: int) -> None:
    similarity, truth = shapes(seed, views=10)
    found = search_view_weights(similarity, truth)
    equal = pool_views(similarity, Pooling("concat", weights=(1.0,) * 10)).argmax(dim=1)
    assert found.equal == pytest.approx(float((equal == truth).double().mean()))
    assert found.accuracy >= found.equal
    pooled = pool_views(similarity, Pooling("concat", weights=found.weights)).argmax(dim=1)
    assert found.accuracy == pytest.approx(float((pooled == truth).double().mean()))


def test_a_misleading_view_is_down_weighted() -> None:
    truth = torch.arange(4).repeat(10)
    good = torch.nn.functional.one_hot(truth, 4).float()[:, None].expand(-1, 9, -1)
    lying = 20 * torch.nn.functional.one_hot((truth + 1) % 4, 4).float()[:, None]
    found = search_view_weights(torch.cat([good, lying], dim=1), truth)
    assert found.equal == 0
    assert found.accuracy == 1
    assert found.weights[9] == 0


def test_where_nothing_is_better_weights_stay_equal() -> None:
    truth = torch.arange(3)
    found = search_view_weights(torch.eye(3)[:, None].expand(-1, 10, -1), truth)
    assert found.weights == (1.0,) * 10
    assert found.accuracy == 1


def test_the_answer_is_the_same_every_time() -> None:
    similarity, truth = shapes(3, views=8)
    assert search_view_weights(similarity, truth) == search_view_weights(similarity, truth)


def test_what_cannot_be_searched_is_explained() -> None:
    similarity, truth = shapes(0)
    with pytest.raises(ConfigError, match="There are 0 labels for 0 shapes. Pass validation shapes"):
        search_view_weights(similarity[:0], truth[:0])
    for grid in ((), (0.0,), (-1.0, 1.0)):
        with pytest.raises(ConfigError, match="grid is .*; expected values from 0 up"):
            search_view_weights(similarity, truth, grid=grid)


def test_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from basrelief.tasks import view_weights

    similarity, truth = shapes(1, views=4)
    whole = search_view_weights(similarity, truth)
    monkeypatch.setattr(view_weights, "_AT_ONCE", 200)
    assert search_view_weights(similarity, truth) == whole
