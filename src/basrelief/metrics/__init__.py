"""Figures of merit on arrays, numpy only: accuracy, F1, ranking, boxes, calibration, and how sure each is."""

from basrelief.metrics.calibration import reliability
from basrelief.metrics.classification import class_scores, confusion_matrix, truth_ranks
from basrelief.metrics.detection import DetectionScores, ScoredBoxes, found_boxes, recall_interval, score_detections
from basrelief.metrics.intervals import bootstrap, wilson
from basrelief.metrics.retrieval import RetrievalScores

__all__ = [
    "DetectionScores",
    "RetrievalScores",
    "ScoredBoxes",
    "bootstrap",
    "class_scores",
    "confusion_matrix",
    "found_boxes",
    "recall_interval",
    "reliability",
    "score_detections",
    "truth_ranks",
    "wilson",
]
