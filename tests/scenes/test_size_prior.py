"""The optional prior of sizes: usual sizes count nothing, unusual ones against a label, unknown words neither way."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.geometry.boxes import Boxes
from basrelief.scenes.size_prior import size_factors, usual_sizes


def boxes(*longest: float) -> Boxes:
    sizes = np.array([[0.05, side, 0.1] for side in longest]).reshape(-1, 3)
    return Boxes(np.zeros((len(longest), 3)), sizes)


def test_a_usual_size_costs_nothing() -> None:
    assert size_factors(boxes(0.45), ["computer keyboard"])[0, 0] == 1


def test_the_further_from_usual_the_smaller() -> None:
    factors = size_factors(boxes(0.5, 0.7, 1.7, 30), ["Computer keyboard"])[:, 0]
    assert factors[0] == 1
    assert (np.diff(factors) < 0).all()
    assert factors[2] < 0.01
    assert factors[3] > 0


def test_unknown_words_get_the_mean_of_the_others() -> None:
    factors = size_factors(boxes(0.4, 1.7), ["computer keyboard", "glorbule", "sofa"])
    np.testing.assert_allclose(factors[:, 1], factors[:, [0, 2]].mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(size_factors(boxes(0.4), ["glorbule"]), [[1]])


def test_without_boxes() -> None:
    assert size_factors(boxes(), ["chair"]).shape == (0, 1)


@pytest.mark.parametrize("name", list(usual_sizes()))
def test_ranges_are_in_order(name: str) -> None:
    low, high = usual_sizes()[name]
    assert 0 < low < high < 100
