"""Turn the labelled boxes of a scene into scored detections, as 3DETR's `parse_predictions` does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from basrelief.checks import check_at_least, check_range
from basrelief.errors import ConfigError, unknown_choice
from basrelief.geometry.box_iou import flatten, suppress
from basrelief.geometry.boxes import Boxes

_CHOICES = {
    "classes": ("all", "best"),
    "score": ("product", "probability", "objectness"),
    "order": ("objectness", "score"),
    "suppression": ("class", "any", "footprint", "none"),
    "over": ("union", "lower"),
}


@dataclass(frozen=True)
class ScoringRules:
    """How boxes with class probabilities become detections. The defaults are those of 3DETR's final evaluation.

    Attributes:
        classes: Report each box as `all` classes, with a score for each, or as its `best` class only.
        score: Score of a detection: the `product` of the class's probability and the objectness, or one of the two.
        objectness: Whether the objectness of the proposals is used; if not, it counts as 1.
        order: What decides which of two overlapping boxes is better: `objectness`, or the `score` of its best class. It is the score where
            objectness is not used.
        min_points: Drop a box with fewer points; if that drops all, the best one stays.
        suppression: Which overlapping boxes suppress each other: those of the same best `class`, `any`, `any` by their `footprint` on the
            floor, or `none`.
        iou: A box is suppressed if its overlap with a better one is larger than this. Rotated boxes use the aligned boxes around them.
        over: Divide the overlap by the `union`, or by the volume of the `lower` box in the order (3DETR's `use_old_type_nms`).
        min_objectness: Only boxes with a larger objectness are reported.
        min_score: Only detections with at least this score are reported.

    Raises:
        ConfigError: If a value is unknown or out of range.
    """

    classes: str = "all"
    score: str = "product"
    objectness: bool = True
    order: str = "objectness"
    min_points: int = 5
    suppression: str = "class"
    iou: float = 0.25
    over: str = "union"
    min_objectness: float = 0.05
    min_score: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(unknown_choice(name, getattr(self, name), known))
        if self.classes == "all" and self.score == "objectness":
            raise ConfigError("All classes of a box would have the same score. Use classes=best with score=objectness.")
        check_at_least("min_points", self.min_points, 0, "0 keeps all boxes.")
        for name in ("iou", "min_objectness", "min_score"):
            check_range(name, getattr(self, name), 0, 1, "It is a share.")


@dataclass(frozen=True, eq=False)
class LabelledBoxes:
    """The boxes of one scene with the probabilities of the classes.

    Attributes:
        boxes: K boxes.
        objectness: (K,) in [0, 1].
        probabilities: (K, C) of the classes, without background.
        point_counts: (K,) points inside each box.
        rejected: (K,) boxes that are none of the classes or could not be labelled; they are left out.
    """

    boxes: Boxes
    objectness: Float[np.ndarray, " boxes"]
    probabilities: Float[np.ndarray, "boxes classes"]
    point_counts: Int[np.ndarray, " boxes"]
    rejected: Bool[np.ndarray, " boxes"] | None = None


def score_boxes(found: LabelledBoxes, rules: ScoringRules | None = None) -> Float64[np.ndarray, "boxes classes"]:
    """Score the boxes of one scene.

    Returns:
        (K, C); NaN where a box is no detection of a class. A box that was dropped has NaN throughout.
    """
    rules = rules or ScoringRules()
    chances = np.asarray(found.probabilities, dtype=np.float64)
    sure = np.asarray(found.objectness, dtype=np.float64) if rules.objectness else np.ones(len(chances))
    scores = {"product": chances * sure[:, None], "probability": chances, "objectness": np.broadcast_to(sure[:, None], chances.shape)}
    best = chances.argmax(axis=1) if chances.size else np.zeros(len(chances), dtype=np.int64)
    of_best = scores[rules.score].max(axis=1, initial=0.0)
    quality = sure if rules.order == "objectness" and rules.objectness else of_best
    candidates = np.arange(len(chances)) if found.rejected is None else np.flatnonzero(~found.rejected)
    candidates = _filled(candidates, found.point_counts, quality, rules.min_points)
    candidates = candidates[of_best[candidates] >= rules.min_score]
    kept = candidates[_kept(found.boxes[candidates], quality[candidates], best[candidates], rules)]
    kept = kept[sure[kept] > rules.min_objectness]
    reported = np.zeros(chances.shape, dtype=bool)
    if rules.classes == "all":
        reported[kept] = True
    elif len(kept):
        reported[kept, best[kept]] = True
    return np.where(reported & (scores[rules.score] >= rules.min_score), scores[rules.score], np.nan)


def _filled(rows: np.ndarray, point_counts: np.ndarray, quality: np.ndarray, least: int) -> np.ndarray:
    """Rows of boxes with enough points, or of the best box if there is none."""
    filled = rows[np.asarray(point_counts)[rows] >= least]
    return filled if len(filled) or not len(rows) else rows[[int(quality[rows].argmax())]]


def _kept(boxes: Boxes, quality: np.ndarray, labels: np.ndarray, rules: ScoringRules) -> np.ndarray:
    """Rows of the boxes that were not suppressed."""
    if rules.suppression == "none" or len(boxes) == 0:
        return np.arange(len(boxes))
    around = Boxes.from_bounds(*boxes.bounds().swapaxes(0, 1))
    area = flatten(around) if rules.suppression == "footprint" else around
    same = labels if rules.suppression == "class" else None
    return suppress(area, quality, same, iou=rules.iou, over="lower" if rules.over == "lower" else "union")
