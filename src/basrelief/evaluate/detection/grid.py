"""Score records of scans: every source of boxes and labels, and a grid over the choices that move average precision most."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float64, Int64

from basrelief.evaluate.detection.protocol import DetectionProtocol
from basrelief.evaluate.detection.record import Labelled, ScanRecord
from basrelief.evaluate.detection.scoring import LabelledBoxes, ScoringRules, score_boxes
from basrelief.geometry.box_iou import box_iou
from basrelief.geometry.boxes import Boxes
from basrelief.metrics import DetectionScores, ScoredBoxes, score_detections
from basrelief.scenes.label import softmax

IOUS = (0.25, 0.5)
TEMPERATURES = (0.1, 1.0, 100.0)
"""Temperatures of the grid: nearly one class only, as PointCLIP V2 sums its views; CLIP's own; nearly uniform, as OpenDlign's views."""

_RULES = (("all", "product"), ("best", "product"), ("best", "probability"), ("best", "objectness"))


@dataclass(frozen=True)
class GridRow:
    """One combination of choices, and what it scores.

    Attributes:
        classes: See `ScoringRules`.
        score: The same.
        objectness: The same.
        temperature: See `DetectionProtocol`; None if it decides nothing.
        ap25: Mean average precision at IoU 0.25 over the classes with true boxes, in [0, 1].
        ap50: The same at 0.5.
        ap25_absent_as_zero: The same as `ap25` as 3DETR counts: a class that is only predicted is 0.
    """

    classes: str
    score: str
    objectness: bool
    temperature: float | None
    ap25: float
    ap50: float
    ap25_absent_as_zero: float


@dataclass(frozen=True, eq=False)
class ScanResults:
    """The records of all scans of an evaluation, ready to be scored.

    Attributes:
        records: S records.
        labels: C class names.
        protocol: The choices of the first row; the grid changes some.
        seed: Of random boxes.
    """

    records: Sequence[ScanRecord]
    labels: tuple[str, ...]
    protocol: DetectionProtocol
    seed: int = 0

    @cached_property
    def overlaps(self) -> list[Float64[np.ndarray, "boxes truth"]]:
        """IoU of the proposals of each scan with its true boxes."""
        return [box_iou(record.proposals.boxes, record.truth.boxes) for record in self.records]

    @cached_property
    def random_boxes(self) -> list[Boxes]:
        """Boxes at random points of things, with the sizes of random true boxes of all scans."""
        generator = np.random.default_rng(self.seed)
        sizes = np.concatenate([np.ones((1, 3)), *(record.truth.boxes.sizes for record in self.records)])
        sizes = sizes[1:] if len(sizes) > 1 else sizes
        return [Boxes(record.anchors, sizes[generator.integers(len(sizes), size=len(record.anchors))]) for record in self.records]

    def large(self) -> list[Bool[np.ndarray, " truth"]]:
        """Which true boxes of each scan are large, see `DetectionProtocol.large`."""
        return [record.truth.boxes.sizes.max(axis=1, initial=0.0) >= self.protocol.large for record in self.records]

    def score(self, source: str, *, protocol: DetectionProtocol | None = None) -> Mapping[float, DetectionScores]:
        """Score one source of boxes and labels.

        Args:
            source: One of `SOURCES`.
            protocol: Choices to score with; those of the evaluation when None.

        Returns:
            Scores by IoU.
        """
        chosen = protocol or self.protocol
        find, scenes = SOURCES[source], []
        for number, record in enumerate(self.records):
            found, overlaps = find(self, number, chosen)
            scenes.append(ScoredBoxes(score_boxes(found, chosen.scoring), overlaps, record.labels))
        return {iou: score_detections(scenes, self.labels, iou=iou) for iou in IOUS}

    @property
    def has_class_head(self) -> bool:
        """Whether the proposer has classes of its own that are those of the data set."""
        return bool(self.records) and all(record.class_probs is not None for record in self.records)

    def grid(self) -> list[GridRow]:
        """Score the labelled proposals under every combination of rule, objectness and temperature."""
        rows = []
        for rules, temperature in self._combinations():
            scores = self.score("proposals", protocol=dataclasses.replace(self.protocol, scoring=rules, temperature=temperature or 1.0))
            means = scores[0.25].mean(), scores[0.5].mean(), scores[0.25].mean(absent_as_zero=True)
            rows.append(GridRow(rules.classes, rules.score, rules.objectness, temperature, *means))
        return rows

    def true_labels(self) -> tuple[Int64[np.ndarray, " boxes"], Float64[np.ndarray, "boxes classes"]]:
        """Return the classes of all true boxes and the probabilities that the model gives each; NaN where it could not be labelled."""
        chances = [_probabilities(record.truth, self.protocol, len(self.labels))[0] for record in self.records]
        none = np.zeros((0, len(self.labels)))
        return np.concatenate([np.zeros(0, np.int64), *(record.labels for record in self.records)]), np.concatenate([none, *chances])

    def _combinations(self) -> Iterator[tuple[ScoringRules, float | None]]:
        for objectness in (True, False):
            for classes, score in _RULES:
                if not objectness and (classes, score) in (("best", "product"), ("best", "objectness")):
                    continue  # the product is the probability; the objectness is the same for all
                rules = dataclasses.replace(self.protocol.scoring, classes=classes, score=score, objectness=objectness, min_score=0.0)
                uses = self.protocol.probabilities == "cosine" and (score != "objectness" or rules.order == "score")
                yield from ((rules, temperature) for temperature in (TEMPERATURES if uses else (None,)))


def _proposals(results: ScanResults, number: int, protocol: DetectionProtocol) -> tuple[LabelledBoxes, np.ndarray]:
    record = results.records[number]
    chances, rejected = _probabilities(record.proposals, protocol, len(results.labels))
    found = LabelledBoxes(record.proposals.boxes, record.objectness, np.nan_to_num(chances), record.point_counts, rejected)
    return found, results.overlaps[number]


def _oracle_boxes(results: ScanResults, number: int, protocol: DetectionProtocol) -> tuple[LabelledBoxes, np.ndarray]:
    truth = results.records[number].truth
    chances, rejected = _probabilities(truth, protocol, len(results.labels))
    plenty = np.full(len(truth.boxes), protocol.scoring.min_points)
    found = LabelledBoxes(truth.boxes, np.ones(len(truth.boxes)), np.nan_to_num(chances), plenty, rejected)
    return found, box_iou(truth.boxes, truth.boxes)


def _oracle_labels(results: ScanResults, number: int, protocol: DetectionProtocol) -> tuple[LabelledBoxes, np.ndarray]:
    record, overlaps = results.records[number], results.overlaps[number]
    chances, rejected = _best_labels(overlaps, record, len(results.labels), least=min(IOUS))
    return LabelledBoxes(record.proposals.boxes, record.objectness, chances, record.point_counts, rejected), overlaps


def _class_head(results: ScanResults, number: int, protocol: DetectionProtocol) -> tuple[LabelledBoxes, np.ndarray]:
    record = results.records[number]
    chances = np.zeros((len(record.objectness), len(results.labels))) if record.class_probs is None else record.class_probs
    return LabelledBoxes(record.proposals.boxes, record.objectness, chances, record.point_counts), results.overlaps[number]


def _random_boxes(results: ScanResults, number: int, protocol: DetectionProtocol) -> tuple[LabelledBoxes, np.ndarray]:
    record, boxes = results.records[number], results.random_boxes[number]
    overlaps = box_iou(boxes, record.truth.boxes)
    chances, rejected = _best_labels(overlaps, record, len(results.labels), least=0.0)
    plenty = np.full(len(boxes), protocol.scoring.min_points)
    return LabelledBoxes(boxes, np.linspace(1.0, 0.5, len(boxes)), chances, plenty, rejected), overlaps


Source = Callable[[ScanResults, int, DetectionProtocol], tuple[LabelledBoxes, np.ndarray]]

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "proposals": _proposals,
        "true boxes": _oracle_boxes,
        "true labels": _oracle_labels,
        "class head": _class_head,
        "random boxes, true labels": _random_boxes,
    }
)
"""Boxes and labels to score. True labels are those of the true box that a box overlaps most. Proposals that overlap none by more than 0.25
are left out then, as a perfect labeller would; of random boxes only those that overlap none at all."""


def _probabilities(labelled: Labelled, protocol: DetectionProtocol, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the classes (K, C), NaN for boxes that could not be labelled, and which boxes are none of the classes."""
    use_own = protocol.probabilities == "method" and labelled.own is not None
    shares = labelled.own if use_own and labelled.own is not None else softmax(labelled.logits / protocol.temperature)
    chances, others = shares[:, :classes].astype(np.float64), shares[:, classes:]
    unlabelled = np.isnan(chances.sum(axis=1))
    if not protocol.reject:
        return chances, unlabelled
    other: np.ndarray = np.nan_to_num(others).max(axis=1, initial=0.0) > np.nan_to_num(chances).max(axis=1, initial=0.0)
    return chances, unlabelled | other


def _best_labels(overlaps: np.ndarray, record: ScanRecord, classes: int, *, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Probability 1 of the class of the true box that is overlapped most; boxes that overlap none by more than `least` are rejected."""
    best: np.ndarray = overlaps.max(axis=1, initial=0.0)
    chances = np.zeros((len(overlaps), classes))
    rows = np.flatnonzero(best > least)
    chances[rows, record.labels[overlaps[rows].argmax(axis=1)] if len(rows) else rows] = 1.0
    apart: np.ndarray = best <= least
    return chances, apart
