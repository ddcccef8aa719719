"""Figures of merit on arrays, numpy only: accuracy, F1, ranking, boxes, calibration, and how sure each is."""

from basrelief.metrics.calibration import reliability
from basrelief.metrics.classification import class_scores, confusion_matrix, truth_ranks
from basrelief.metrics.intervals import bootstrap, wilson
from basrelief.metrics.retrieval import RetrievalScores

__all__ = ["RetrievalScores", "bootstrap", "class_scores", "confusion_matrix", "reliability", "truth_ranks", "wilson"]
