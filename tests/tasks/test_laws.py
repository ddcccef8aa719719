"""Properties of all pooling rules, calibrations and reject policies."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basrelief.tasks import Calibration, LabelEmbeddings, Pooling, RejectPolicy, sample_shots, score_labels
from basrelief.tasks.calibration import calibrate, decline, fit_temperature
from basrelief.tasks.pooling import RULES, pool_views, probabilities
from basrelief.types import Prediction

seeds = st.integers(0, 10_000)
rules = st.sampled_from([rule for rule in RULES if rule != "entropy"])  # which test_pooling.py compares with its own reference


def similarity(seed: int, shapes: int = 3, views: int = 4, labels: int = 5) -> torch.Tensor:
    return torch.rand(shapes, views, labels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def slow_pool(rows: list[list[float]], rule: str, scale: float) -> list[float]:
    """One shape: V lists of C cosines."""
    columns = list(zip(*rows, strict=True))
    if rule in ("mean", "sigmoid"):
        return [scale * sum(column) / len(column) for column in columns]
    if rule == "max":
        return [scale * max(column) for column in columns]
    if rule == "sum":
        return [scale * sum(column) for column in columns]
    if rule == "concat":
        return [scale * sum(column) / math.sqrt(len(column)) for column in columns]
    shares = [[math.exp(value) / sum(math.exp(other) for other in row) for value in row] for row in rows]
    return [sum(column) for column in zip(*shares, strict=True)]


@given(seeds, rules, st.floats(0.5, 100))
def test_pooling_by_loops(seed: int, rule: str, scale: float) -> None:
    values = similarity(seed)
    found = pool_views(values, Pooling(rule), logit_scale=scale)
    for shape in range(len(values)):
        np.testing.assert_allclose(found[shape].numpy(), slow_pool(values[shape].tolist(), rule, scale), rtol=1e-9)


@given(seeds, rules)
def test_the_order_of_the_views_does_not_matter(seed: int, rule: str) -> None:
    values = similarity(seed)
    mixed = values[:, torch.randperm(4, generator=torch.Generator().manual_seed(seed))]
    torch.testing.assert_close(pool_views(values, Pooling(rule)), pool_views(mixed, Pooling(rule)))


@given(seeds, rules)
def test_one_view_is_pooled_to_its_own_order(seed: int, rule: str) -> None:
    values = similarity(seed, views=1)
    found = pool_views(values, Pooling(rule), logit_scale=10.0)
    assert (found.argsort(dim=1) == values[:, 0].argsort(dim=1)).all()


@given(seeds, rules)
def test_probabilities_are_shares(seed: int, rule: str) -> None:
    values = similarity(seed)
    scores = pool_views(values, Pooling(rule))
    chances = probabilities(scores, Pooling(rule), views=4, logit_bias=-2.0)
    if rule == "max":
        assert chances is None
        return
    assert chances is not None
    if rule == "sigmoid":
        torch.testing.assert_close(chances, 1 / (1 + (2.0 - scores).exp()))
        return
    torch.testing.assert_close(chances.sum(dim=1), torch.ones(3, dtype=torch.float64))
    assert (chances >= 0).all()


def predictions(seed: int, shapes: int = 4) -> list[Prediction]:
    random = torch.Generator().manual_seed(seed)
    views = torch.nn.functional.normalize(torch.randn(shapes, 3, 8, generator=random), dim=-1)
    texts = torch.nn.functional.normalize(torch.randn(5, 8, generator=random), dim=-1)
    labels = LabelEmbeddings(texts, torch.zeros(len(texts)))
    return score_labels(views, labels, pooling=Pooling("mean"), logit_scale=20.0).predictions(tuple("abcde"))


@given(seeds, st.floats(0.01, 50))
def test_a_temperature_keeps_the_order(seed: int, temperature: float) -> None:
    for before, after in zip(predictions(seed), calibrate(predictions(seed), Calibration(temperature)), strict=True):
        assert after.labels == before.labels
        np.testing.assert_array_equal(after.scores, before.scores)
        assert after.probabilities is not None
        assert after.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert (np.diff(after.probabilities) <= 1e-7).all()


@given(seeds)
def test_hotter_is_flatter(seed: int) -> None:
    (first, *_), sure = predictions(seed), []
    for temperature in (0.1, 1.0, 10.0, 1000.0):
        (answer,) = calibrate([first], Calibration(temperature))
        assert answer.probabilities is not None
        sure.append(float(answer.probabilities[0]))
    assert sure == sorted(sure, reverse=True)
    assert sure[-1] == pytest.approx(0.2, abs=0.02)


@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_bound_never_accepts_more(seed: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    for answer in predictions(seed):
        for bound in ("min_confidence", "min_margin"):
            accepted_high = not decline(answer, **{bound: high}).declined  # type: ignore[arg-type]
            accepted_low = not decline(answer, **{bound: low}).declined  # type: ignore[arg-type]
            assert accepted_high <= accepted_low


@given(seeds)
def test_declining_changes_nothing_but_the_verdict(seed: int) -> None:
    for answer in predictions(seed):
        refused = decline(answer, min_confidence=1.0)
        assert replace(refused, declined=answer.declined).labels == answer.labels
        np.testing.assert_array_equal(refused.scores, answer.scores)


@given(seeds)
def test_a_distractor_declines_exactly_when_it_is_best(seed: int) -> None:
    for answer in predictions(seed):
        for label in "abcde":
            assert bool(decline(answer, distractors=(label,)).declined) == (answer.labels[0] == label)


def test_a_reject_policy_without_bounds_accepts_everything() -> None:
    for answer in predictions(0):
        assert RejectPolicy()(answer) == answer


@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 4.0])
def test_the_temperature_of_drawn_answers_is_found_again(true_temperature: float) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(6000, 5)) * 2
    chances = np.exp(scores / true_temperature)
    chances /= chances.sum(axis=1, keepdims=True)
    truth = np.array([random.choice(5, p=row) for row in chances])
    assert fit_temperature(scores, truth) == pytest.approx(true_temperature, rel=0.08)


@given(seeds, st.integers(1, 4))
def test_shots_are_so_many_of_each_class_and_none_twice(seed: int, shots: int) -> None:
    truth = np.random.default_rng(seed).permutation(np.repeat(np.arange(3), [4, 6, 9]))
    places = sample_shots(truth, shots, seed=seed)
    assert len(set(places.tolist())) == len(places)
    assert np.bincount(truth[places]).tolist() == [shots] * 3


@given(seeds)
def test_more_shots_of_one_seed_hold_the_fewer(seed: int) -> None:
    truth = np.repeat(np.arange(3), 5)
    for fewer, more in ((1, 2), (2, 5)):
        assert set(sample_shots(truth, fewer, seed=seed).tolist()) <= set(sample_shots(truth, more, seed=seed).tolist())
