"""Accuracy, confusion and F1 from the scores of labels. Only the order of the scores counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.errors import ConfigError


def truth_ranks(scores: Float[np.ndarray, "shapes labels"], truth: Int[np.ndarray, " shapes"]) -> Int[np.ndarray, " shapes"]:
    """Find the place of the right label of each shape: 0 is first.

    Args:
        scores: Larger is better; NaN counts as the worst.
        truth: Number of the right label, in [0, labels).

    Returns:
        Places in [0, labels); equal scores stand in the order of the labels, as in a `Prediction`.

    Raises:
        ConfigError: If a number in `truth` names no label.
    """
    _check_truth(truth, scores.shape[1])
    filled = np.where(np.isnan(scores), -np.inf, scores)
    right = np.take_along_axis(filled, truth[:, None], axis=1)
    before = np.arange(scores.shape[1]) < truth[:, None]
    ranks: Int[np.ndarray, " shapes"] = ((filled > right) | ((filled == right) & before)).sum(axis=1)
    return ranks


def confusion_matrix(
    truth: Int[np.ndarray, " shapes"], answer: Int[np.ndarray, " shapes"], *, labels: int
) -> Int[np.ndarray, "labels labels"]:
    """Count shapes of label r that were called c, in row r and column c.

    Raises:
        ConfigError: If a number names no label.
    """
    _check_truth(truth, labels)
    _check_truth(answer, labels)
    counts: Int[np.ndarray, "labels labels"] = np.bincount(truth * labels + answer, minlength=labels * labels).reshape(labels, labels)
    return counts


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Precision, recall and F1 of every label, each in [0, 1], NaN where they do not exist.

    Attributes:
        support: (C,) shapes of each label.
        precision: (C,) share of right answers among those that say this label.
        recall: (C,) share of this label's shapes that were called so: its own top-1 accuracy.
        f1: (C,) harmonic mean of both; 0 for a label with shapes that was never answered rightly.
    """

    support: Int[np.ndarray, " labels"]
    precision: Float[np.ndarray, " labels"]
    recall: Float[np.ndarray, " labels"]
    f1: Float[np.ndarray, " labels"]

    @property
    def mean_accuracy(self) -> float:
        """Mean top-1 accuracy over the labels that have shapes."""
        return _mean(self.recall[self.support > 0])

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the labels that have shapes."""
        return _mean(self.f1[self.support > 0])


def class_scores(confusion: Int[np.ndarray, "labels labels"]) -> ClassScores:
    """Score every label from a confusion matrix, see `confusion_matrix`."""
    hits, support, answered = np.diag(confusion).astype(float), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall, f1 = hits / answered, hits / support, 2 * hits / (support + answered)
    return ClassScores(support, precision, recall, f1)


def _mean(values: Float[np.ndarray, " n"]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _check_truth(truth: Int[np.ndarray, " shapes"], labels: int) -> None:
    if len(truth) and not (truth.min() >= 0 and truth.max() < labels):
        raise ConfigError(f"truth ranges from {truth.min()} to {truth.max()}; expected 0 to {labels - 1}. Check the class order.")
