"""Figures of merit on arrays, numpy only: accuracy, F1, ranking, calibration, and how sure each is."""

from basrelief.metrics.calibration import expected_calibration_error, reliability
from basrelief.metrics.classification import (
    class_scores,
    confusion_matrix,
    mean_class_accuracy,
    top_k_accuracy,
    truth_ranks,
)
from basrelief.metrics.intervals import Interval, bootstrap, wilson
from basrelief.metrics.retrieval import RetrievalScores, retrieval_scores

__all__ = [
    "Interval",
    "RetrievalScores",
    "bootstrap",
    "class_scores",
    "confusion_matrix",
    "expected_calibration_error",
    "mean_class_accuracy",
    "reliability",
    "retrieval_scores",
    "top_k_accuracy",
    "truth_ranks",
    "wilson",
]
