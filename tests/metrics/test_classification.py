"""Accuracy, confusion and F1: closed forms, and agreement with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basrelief.errors import ConfigError
from basrelief.metrics import class_scores, confusion_matrix, truth_ranks


def answers(seed: int, shapes: int = 60, labels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(shapes, labels)), random.integers(0, labels, shapes)


def test_ranks_are_places_of_the_right_label() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.7, 0.2, 0.1], [0.3, 0.1, 0.2]])
    assert truth_ranks(scores, np.array([2, 0, 1])).tolist() == [1, 0, 2]


def test_equal_scores_stand_in_the_order_of_the_labels() -> None:
    scores = np.zeros((3, 3))
    assert truth_ranks(scores, np.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_a_score_that_is_no_number_never_wins() -> None:
    scores = np.array([[np.nan, 0.1], [np.nan, -5.0]])
    assert truth_ranks(scores, np.array([0, 1])).tolist() == [1, 0]


@given(st.integers(0, 1000), st.floats(-50, 50), st.floats(0.1, 10))
def test_only_the_order_counts(seed: int, shift: float, scale: float) -> None:
    scores, truth = answers(seed)
    assert (truth_ranks(scores, truth) == truth_ranks(scores * scale + shift, truth)).all()


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_agrees_with_scikit_learn(k: int) -> None:
    from sklearn.metrics import top_k_accuracy_score

    scores, truth = answers(k, labels=8)
    expected = top_k_accuracy_score(truth, scores, k=k, labels=np.arange(8))
    assert np.mean(truth_ranks(scores, truth) < k) == pytest.approx(expected)


def test_confusion_has_the_truth_in_rows() -> None:
    found = confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), labels=3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_class_scores_agree_with_scikit_learn(seed: int) -> None:
    from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

    scores, truth = answers(seed)
    answer = scores.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(truth, answer, labels=np.arange(5), zero_division=0)
    confusion = confusion_matrix(truth, answer, labels=5)
    found = class_scores(confusion)
    np.testing.assert_allclose(np.nan_to_num(found.precision), precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.f1, f1)
    assert found.support.tolist() == support.tolist()
    assert found.macro_f1 == pytest.approx(f1.mean())
    assert class_scores(confusion).mean_accuracy == pytest.approx(balanced_accuracy_score(truth, answer))


def test_a_label_without_shapes_is_in_no_mean() -> None:
    confusion = np.array([[2, 0, 0], [0, 2, 0], [0, 0, 0]])
    assert class_scores(confusion).macro_f1 == 1.0
    assert class_scores(confusion).mean_accuracy == 1.0
    assert np.isnan(class_scores(confusion).recall[2])


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_number_that_names_no_label_is_an_error(wrong: int) -> None:
    truth = np.array([0, wrong])
    with pytest.raises(ConfigError, match=r"truth ranges from .*; expected 0 to 2. Check the class order\."):
        truth_ranks(np.zeros((2, 3)), truth)
    with pytest.raises(ConfigError, match="truth ranges from .*; expected 0 to 2"):
        confusion_matrix(np.array([0, 0]), truth, labels=3)
