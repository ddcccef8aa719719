"""Intervals: closed forms, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basrelief.metrics import bootstrap, wilson


def test_wilson_of_eight_in_ten() -> None:
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-4)
    assert high == pytest.approx(0.9433, abs=1e-4)


def test_wilson_interval_of_no_trials_is_the_unit_range() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_holds_the_share_and_stays_in_the_unit_range(count: int, share: float) -> None:
    hits = round(share * count)
    low, high = wilson(hits, count)
    assert 0 <= low <= hits / count + 1e-12
    assert hits / count - 1e-12 <= high <= 1


@given(st.integers(1, 1000))
def test_wilson_is_symmetric(count: int) -> None:
    hits = count // 3
    low, high = wilson(hits, count)
    assert wilson(count - hits, count) == pytest.approx((1 - high, 1 - low))


def test_a_higher_level_is_wider() -> None:
    assert wilson(30, 100, level=0.90).low > wilson(30, 100).low > wilson(30, 100, level=0.99).low


def test_wilson_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = np.random.default_rng(0).binomial(200, 0.9, size=2000)
    inside = [low <= 0.9 <= high for low, high in (wilson(int(h), 200) for h in hits)]
    assert 0.93 < np.mean(inside) < 0.975


def test_bootstrap_of_a_mean_is_near_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, size=400)
    low, high = bootstrap(lambda rows: float(values[rows].mean()), 400)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)


def test_bootstrap_is_seeded() -> None:
    values = np.arange(50.0)

    def interval(seed: int) -> tuple[float, float]:
        return bootstrap(lambda rows: float(values[rows].mean()), 50, repeats=50, seed=seed)

    assert interval(3) == interval(3)
    assert interval(3) != interval(4)


def test_bootstrap_of_no_rows_is_nan() -> None:
    assert np.isnan(bootstrap(lambda rows: 1.0, 0)).all()
