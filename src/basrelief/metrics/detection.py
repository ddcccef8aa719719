"""Average precision and recall of boxes, as VoteNet and 3DETR compute them. Overlaps come from the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from basrelief.checks import check_range
from basrelief.errors import GeometryError
from basrelief.metrics.intervals import Interval, bootstrap


@dataclass(frozen=True, eq=False)
class ScoredBoxes:
    """The scored boxes of one scene against its true boxes.

    Attributes:
        scores: (K, C) float64, score of each box as each class; NaN where the box is no detection of that class.
        overlaps: (K, G) float64, intersection over union with each true box.
        truth: (G,) int64, class of each true box.

    Raises:
        GeometryError: If the sizes do not agree or a class is out of range.
    """

    scores: Float[np.ndarray, "boxes classes"]
    overlaps: Float[np.ndarray, "boxes truth"]
    truth: Int[np.ndarray, " truth"]

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.scores.ndim != 2 or self.overlaps.shape != (len(self.scores), len(self.truth)):
            raise GeometryError(
                f"scores {self.scores.shape} and overlaps {self.overlaps.shape} do not agree with {len(self.truth)} true boxes. "
                "Pass (K, C) and (K, G)."
            )
        if len(self.truth) and not 0 <= self.truth.min() <= self.truth.max() < self.scores.shape[1]:
            raise GeometryError(f"A true box has class {self.truth.max()}, but there are {self.scores.shape[1]} classes. Leave it out.")


@dataclass(frozen=True, eq=False)
class ClassDetections:
    """All detections of one class, by falling score.

    Attributes:
        scene: (D,) int64, the scene of each.
        correct: (D,) whether it is the first to hit its true box.
        truth: (S,) int64, true boxes of the class in each scene.
    """

    scene: Int64[np.ndarray, " detections"]
    correct: Bool[np.ndarray, " detections"]
    truth: Int64[np.ndarray, " scenes"]

    def curve(self, weights: Float[np.ndarray, " scenes"] | None = None) -> tuple[Float64[np.ndarray, " d"], Float64[np.ndarray, " d"]]:
        """Return recall and precision after each detection; recall is NaN without a true box.

        Args:
            weights: (S,) how often each scene counts; once when None.
        """
        each = np.ones(len(self.scene)) if weights is None else weights[self.scene]
        hits, shown = np.cumsum(each * self.correct), np.cumsum(each)
        positives = float(self.truth.sum() if weights is None else self.truth @ weights)
        recall = hits / positives if positives else np.full(len(hits), np.nan)
        return recall, hits / np.maximum(shown, np.finfo(np.float64).eps)

    def average_precision(self, weights: Float[np.ndarray, " scenes"] | None = None) -> float:
        """Return the area under the precision envelope (PASCAL VOC 2010, all points); NaN without a true box."""
        recall, precision = self.curve(weights)
        if not (self.truth.sum() if weights is None else self.truth @ weights):
            return float("nan")
        envelope = np.maximum.accumulate(np.concatenate([precision, [0.0]])[::-1])[::-1][:-1]
        return float(np.diff(recall, prepend=0.0) @ envelope)

    def recall(self) -> float:
        """Return the share of true boxes that were hit; NaN without a true box."""
        return float(self.correct.sum() / self.truth.sum()) if self.truth.sum() else float("nan")


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """Average precision of each class at one overlap.

    Attributes:
        labels: C class names.
        classes: The detections of each class.
        iou: The overlap from which a box counts as found.
    """

    labels: tuple[str, ...]
    classes: tuple[ClassDetections, ...]
    iou: float

    @cached_property
    def average_precisions(self) -> Float64[np.ndarray, " classes"]:
        """Average precision of each class in [0, 1]; NaN for a class without a true box."""
        return np.array([one.average_precision() for one in self.classes])

    @cached_property
    def recalls(self) -> Float64[np.ndarray, " classes"]:
        """Recall of each class after its last detection; NaN for a class without a true box."""
        return np.array([one.recall() for one in self.classes])

    @property
    def counts(self) -> Int64[np.ndarray, " classes"]:
        """Number of true boxes of each class."""
        return np.array([one.truth.sum() for one in self.classes], dtype=np.int64)

    def mean(self, *, absent_as_zero: bool = False) -> float:
        """Mean average precision over the classes.

        Args:
            absent_as_zero: Count a class that was detected but has no true box as 0, as 3DETR does. By default, it is left out.
        """
        return self._mean(self.average_precisions, absent_as_zero=absent_as_zero)

    def mean_recall(self, *, absent_as_zero: bool = False) -> float:
        """Mean recall over the classes (`AR` of 3DETR); see `mean`."""
        return self._mean(self.recalls, absent_as_zero=absent_as_zero)

    def interval(self, *, repeats: int = 200, level: float = 0.95, seed: int = 0) -> Interval:
        """Return the bootstrap interval of `mean()` over scenes.

        A scene drawn twice counts twice; its detections keep their order among all.
        """
        scenes = len(self.classes[0].truth) if self.classes else 0

        def statistic(rows: np.ndarray) -> float:
            weights = np.bincount(rows, minlength=scenes).astype(np.float64)
            return _nanmean(np.array([one.average_precision(weights) for one in self.classes]))

        return bootstrap(statistic, scenes, repeats=repeats, level=level, seed=seed)

    def _mean(self, values: np.ndarray, *, absent_as_zero: bool) -> float:
        detected = np.array([len(one.scene) > 0 for one in self.classes], dtype=bool)
        return _nanmean(np.where(np.isnan(values) & detected, 0.0, values) if absent_as_zero else values)


def score_detections(scenes: Sequence[ScoredBoxes], labels: Sequence[str], *, iou: float) -> DetectionScores:
    """Match detections with true boxes and rank them.

    Detections of a class are taken by falling score over all scenes. Each looks at the true box of its class and scene that it overlaps
    most; it is correct if the overlap is larger than `iou` and no earlier detection took that box. There is no second choice.

    Args:
        scenes: S scenes.
        labels: C class names.
        iou: In (0, 1).

    Raises:
        GeometryError: If a scene has scores for another number of classes.
    """
    check_range("iou", iou, 0, 1, "It is a share.")
    for scene in scenes:
        if scene.scores.shape[1] != len(labels):
            raise GeometryError(f"A scene has scores for {scene.scores.shape[1]} classes; there are {len(labels)} labels. Pass one each.")
    return DetectionScores(tuple(labels), tuple(_match(scenes, number, iou) for number in range(len(labels))), iou)


def found_boxes(
    overlaps: Sequence[Float[np.ndarray, "boxes truth"]], *, iou: float, limit: int | None = None
) -> list[Bool[np.ndarray, " truth"]]:
    """Tell for each scene which true boxes are covered by a proposal, whatever their class.

    Args:
        overlaps: (K, G) of each scene; rows are proposals, best first.
        iou: A box is covered if its overlap with some proposal is larger.
        limit: Look at this many proposals of each scene; at all when None.
    """
    return [scene[:limit].max(axis=0, initial=0.0) > iou for scene in overlaps]


def recall_interval(found: Sequence[Bool[np.ndarray, " truth"]], *, repeats: int = 1000, seed: int = 0) -> tuple[float, Interval]:
    """Return the share of true boxes that are found in all scenes, with its bootstrap interval over scenes.

    Args:
        found: For each scene, which of its true boxes are found; leave out boxes that do not count.
        repeats: How often to draw.
        seed: Of the draws.
    """
    hits, counts = (np.array([function(scene) for scene in found], dtype=np.float64) for function in (np.sum, len))

    def share(rows: np.ndarray) -> float:
        return float(hits[rows].sum() / counts[rows].sum()) if counts[rows].any() else float("nan")

    return share(np.arange(len(found))), bootstrap(share, len(found), repeats=repeats, seed=seed)


def _match(scenes: Sequence[ScoredBoxes], number: int, iou: float) -> ClassDetections:
    """Rank the detections of one class and tell the correct ones."""
    truth = np.array([(scene.truth == number).sum() for scene in scenes], dtype=np.int64)
    firsts = np.concatenate([[0], np.cumsum(truth)])
    scores, scene_of, target = [np.zeros(0)], [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for place, scene in enumerate(scenes):
        rows = np.flatnonzero(~np.isnan(scene.scores[:, number]))
        overlaps = scene.overlaps[rows][:, scene.truth == number]
        best = overlaps.argmax(axis=1) if overlaps.shape[1] else np.zeros(len(rows), dtype=np.int64)
        hit = overlaps.max(axis=1, initial=-np.inf) > iou
        scores.append(scene.scores[rows, number])
        scene_of.append(np.full(len(rows), place))
        target.append(np.where(hit, firsts[place] + best, -1))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    ranked = np.concatenate(target)[order]
    correct = np.zeros(len(order), dtype=bool)
    correct[np.unique(ranked, return_index=True)[1]] = True
    return ClassDetections(np.concatenate(scene_of)[order], correct & (ranked >= 0), truth)


def _nanmean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")
