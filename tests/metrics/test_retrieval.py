"""Retrieval figures: closed forms, agreement with scikit-learn, and that only ranks count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basrelief.metrics import RetrievalScores


def drawn(seed: int, queries: int = 20, items: int = 40) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(queries, items)), random.random((queries, items)) < 0.2


def test_closed_form() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.1]])
    found = RetrievalScores.compute(scores, np.array([[False, True, False, True]]))
    assert found.first.tolist() == [1]
    assert found.mean_average_precision == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert found.mean_reciprocal_rank == pytest.approx(0.5)
    assert found.median_rank == 2.0
    assert [found.recall_at(k) for k in (1, 2, 5)] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_agrees_with_scikit_learn(seed: int) -> None:
    from sklearn.metrics import average_precision_score

    scores, relevant = drawn(seed)
    keep = relevant.any(axis=1)
    expected = [average_precision_score(r, s) for r, s in zip(relevant[keep], scores[keep], strict=True)]
    np.testing.assert_allclose(RetrievalScores.compute(scores, relevant).average_precision, expected)


@given(st.integers(0, 500), st.floats(-3, 3))
def test_a_shift_of_all_scores_changes_nothing(seed: int, shift: float) -> None:
    scores, relevant = drawn(seed, 5, 12)
    before, after = RetrievalScores.compute(scores, relevant), RetrievalScores.compute(scores + shift, relevant)
    assert before.first.tolist() == after.first.tolist()
    np.testing.assert_array_equal(before.average_precision, after.average_precision)


def test_a_constant_score_earns_nothing() -> None:
    relevant = np.zeros((1, 10), dtype=bool)
    relevant[0, 0] = True
    assert RetrievalScores.compute(np.ones((1, 10)), relevant).first.tolist() == [9]


def test_a_query_does_not_find_itself() -> None:
    scores = np.array([[1.0, 0.2, 0.1], [0.2, 1.0, 0.3]])
    relevant = np.array([[True, False, True], [False, True, False]])
    left_out = np.array([[True, False, False], [False, True, False]])
    found = RetrievalScores.compute(scores, relevant, left_out=left_out)
    assert found.first.tolist() == [1]
    assert found.skipped == 1


def test_queries_without_a_right_item_are_counted_not_scored() -> None:
    found = RetrievalScores.compute(np.zeros((4, 3)), np.zeros((4, 3), dtype=bool))
    assert found.skipped == 4
    assert np.isnan(found.mean_average_precision)
    assert np.isnan(found.median_rank)


def test_many_queries_are_ranked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, relevant = drawn(9)
    whole = RetrievalScores.compute(scores, relevant)
    monkeypatch.setattr("basrelief.metrics.retrieval._QUERIES_AT_ONCE", 100)
    parts = RetrievalScores.compute(scores, relevant)
    np.testing.assert_array_equal(whole.first, parts.first)
    np.testing.assert_array_equal(whole.average_precision, parts.average_precision)
