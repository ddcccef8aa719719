"""Calibration error: closed forms and limits."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.errors import ConfigError
from basrelief.metrics import reliability


def test_closed_form_of_two_bins() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    right = np.array([True, True, True, False, False, False])
    assert reliability(confidence, right, bins=10).expected_calibration_error == pytest.approx((4 * 0.15 + 2 * 0.6) / 6)


def test_honest_confidence_has_a_small_error() -> None:
    random = np.random.default_rng(0)
    confidence = random.random(20000)
    assert reliability(confidence, random.random(20000) < confidence).expected_calibration_error < 0.02


def test_overconfidence_is_measured() -> None:
    assert reliability(np.ones(100), np.arange(100) < 30).expected_calibration_error == pytest.approx(0.7)


def test_bins_are_closed_above_and_hold_both_ends() -> None:
    found = reliability(np.array([0.0, 0.1, 0.1000001, 1.0]), np.array([True, True, False, True]), bins=10)
    assert found.count.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert found.accuracy[:2].tolist() == [1.0, 0.0]
    assert np.isnan(found.confidence[2])


def test_no_shapes_give_nan() -> None:
    assert np.isnan(reliability(np.empty(0), np.empty(0, dtype=bool)).expected_calibration_error)


def test_scores_are_not_taken_for_probabilities() -> None:
    with pytest.raises(ConfigError, match=r"confidence ranges from .* to 3; expected \[0, 1\]\. Pass probabilities, not scores\."):
        reliability(np.array([0.5, 3.0]), np.array([True, False]))
