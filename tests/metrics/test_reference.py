"""Every metric compared with loops and definitions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basrelief.metrics import RetrievalScores, bootstrap, class_scores, confusion_matrix, reliability, truth_ranks, wilson

seeds = st.integers(0, 10_000)


def drawn(seed: int, shapes: int = 30, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 6, size=(shapes, labels)) / 6, random.integers(0, labels, shapes)


@given(seeds)
def test_ranks_by_sorting(seed: int) -> None:
    scores, truth = drawn(seed)
    slow = [sorted(range(4), key=lambda c, row=row: (-row[c], c)).index(right) for row, right in zip(scores, truth, strict=True)]  # type: ignore[misc]
    assert truth_ranks(scores, truth).tolist() == slow


@given(seeds)
def test_confusion_by_counting(seed: int) -> None:
    scores, truth = drawn(seed)
    answer = scores.argmax(axis=1)
    confusion = confusion_matrix(truth, answer, labels=4)
    for r in range(4):
        for c in range(4):
            assert confusion[r, c] == sum(t == r and a == c for t, a in zip(truth.tolist(), answer.tolist(), strict=True))


@given(seeds)
def test_class_scores_by_definition(seed: int) -> None:
    scores, truth = drawn(seed)
    answer = scores.argmax(axis=1)
    found = class_scores(confusion_matrix(truth, answer, labels=4))
    for c in range(4):
        hits = sum(t == c == a for t, a in zip(truth.tolist(), answer.tolist(), strict=True))
        shapes, said = int((truth == c).sum()), int((answer == c).sum())
        assert found.support[c] == shapes
        for value, expected in ((found.recall[c], shapes), (found.precision[c], said), (found.f1[c], (shapes + said) / 2)):
            assert math.isnan(value) if expected == 0 else value == pytest.approx(hits / expected)


@given(seeds)
def test_renumbering_the_labels_moves_the_scores_along(seed: int) -> None:
    scores, truth = drawn(seed)
    answer = scores.argmax(axis=1)
    order = np.random.default_rng(seed).permutation(4)
    one = class_scores(confusion_matrix(truth, answer, labels=4))
    other = class_scores(confusion_matrix(order[truth], order[answer], labels=4))
    np.testing.assert_array_equal(one.f1, other.f1[order])
    assert one.mean_accuracy == pytest.approx(other.mean_accuracy)


@given(seeds, st.integers(1, 20))
def test_calibration_error_by_exact_bins(seed: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    confidence = random.integers(0, 101, 40) / 100
    right = random.random(40) < confidence
    total = 0.0
    for number in range(bins):
        rows = [i for i, c in enumerate(confidence) if max(math.ceil(Fraction(round(c * 100), 100) * bins) - 1, 0) == number]
        total += abs(sum(confidence[i] for i in rows) - sum(bool(right[i]) for i in rows))
    close = any(abs(c * bins - round(c * bins)) < 1e-9 for c in confidence)
    found = reliability(confidence, right, bins=bins).expected_calibration_error
    assert found == pytest.approx(total / 40, abs=0.2 if close else 1e-9)
    assert int(reliability(confidence, right, bins=bins).count.sum()) == 40


@given(st.integers(1, 400), st.floats(0, 1))
def test_wilson_solves_its_equation(count: int, share: float) -> None:
    """Its ends are the shares p from which the seen one lies z standard errors away."""
    hits = round(share * count)
    for end in wilson(hits, count):
        if 1e-6 < end < 1 - 1e-6:
            assert abs(hits / count - end) == pytest.approx(1.959963984540054 * math.sqrt(end * (1 - end) / count), abs=1e-9)


def test_bootstrap_draws_with_replacement() -> None:
    seen: list[int] = []

    def statistic(rows: np.ndarray) -> float:
        seen.append(len(set(rows.tolist())))
        return 0.0

    bootstrap(statistic, 50, repeats=200)
    assert np.mean(seen) == pytest.approx(50 * (1 - (1 - 1 / 50) ** 50), abs=1)


@given(seeds, st.integers(1, 12))
def test_retrieval_by_definition(seed: int, items: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 4, size=(5, items)) / 4
    relevant = random.random((5, items)) < 0.4
    found = RetrievalScores.compute(scores, relevant)
    firsts, precisions = [], []
    for row, right in zip(scores, relevant, strict=True):
        order = sorted(range(items), key=lambda i, row=row, right=right: (-row[i], right[i]))  # type: ignore[misc]
        places = [place for place, i in enumerate(order) if right[i]]
        if places:
            firsts.append(places[0])
            precisions.append(sum((n + 1) / (place + 1) for n, place in enumerate(places)) / len(places))
    assert found.first.tolist() == firsts
    np.testing.assert_allclose(found.average_precision, precisions)
    assert found.skipped == 5 - len(firsts)


@given(seeds)
def test_what_is_left_out_is_as_if_it_were_not_there(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, relevant = random.random((6, 6)), random.random((6, 6)) < 0.5
    found = RetrievalScores.compute(scores, relevant, left_out=np.eye(6, dtype=bool))
    for query, place in zip([q for q in range(6) if np.delete(relevant[q], q).any()], found.first.tolist(), strict=True):
        alone = RetrievalScores.compute(
            np.delete(scores[query : query + 1], query, axis=1), np.delete(relevant[query : query + 1], query, axis=1)
        )
        assert alone.first.tolist() == [place]
