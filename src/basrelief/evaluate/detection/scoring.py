"""Turn the labelled boxes of a scene into scored detections, as 3DETR's `parse_predictions` does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

from basrelief.checks import check_at_least, check_range
from basrelief.errors import ConfigError, unknown_choice
from basrelief.geometry.box_iou import flatten, suppress
from basrelief.geometry.boxes import Boxes

CLASSES = ("all", "best")
SCORES = ("product", "probability", "objectness")
SUPPRESSIONS = ("class", "any", "footprint", "none")
_OVER = ("union", "lower")


@dataclass(frozen=True)
class ScoringRules:
    """How boxes with class probabilities become detections. The defaults are those of 3DETR's final evaluation.

    Attributes:
        classes: Report each box as `all` classes, with a score for each, or as its `best` class only.
        score: Score of a detection: the `product` of the class's probability and the objectness, or one of the two.
        objectness: Whether the objectness of the proposals is used. If not, it counts as 1, and boxes are suppressed in the order of the
            probability of their best class.
        min_points: Drop a box with fewer points; if that drops all, the one with the highest objectness stays.
        suppression: Which overlapping boxes suppress each other: those of the same best `class`, `any`, `any` by their `footprint` on the
            floor, or `none`.
        iou: A box is suppressed if its overlap with a better one is larger than this. Rotated boxes use the aligned boxes around them.
        over: Divide the overlap by the `union`, or by the box with the `lower` objectness (3DETR's `use_old_type_nms`).
        min_objectness: Only boxes above it are reported.

    Raises:
        ConfigError: If a value is unknown or out of range.
    """

    classes: str = "all"
    score: str = "product"
    objectness: bool = True
    min_points: int = 5
    suppression: str = "class"
    iou: float = 0.25
    over: str = "union"
    min_objectness: float = 0.05

    def __post_init__(self) -> None:
        """Check every field."""
        for name, known in (("classes", CLASSES), ("score", SCORES), ("suppression", SUPPRESSIONS), ("over", _OVER)):
            if getattr(self, name) not in known:
                raise ConfigError(unknown_choice(name, getattr(self, name), known))
        if self.classes == "all" and self.score == "objectness":
            raise ConfigError("All classes of a box would have the same score. Use classes=best with score=objectness.")
        check_at_least("min_points", self.min_points, 0, "0 keeps all boxes.")
        for name in ("iou", "min_objectness"):
            check_range(name, getattr(self, name), 0, 1, "It is a share.")


def score_boxes(
    boxes: Boxes,
    *,
    objectness: Float[np.ndarray, " boxes"],
    probabilities: Float[np.ndarray, "boxes classes"],
    point_counts: Int[np.ndarray, " boxes"],
    rules: ScoringRules | None = None,
) -> Float64[np.ndarray, "boxes classes"]:
    """Score the boxes of one scene.

    Args:
        boxes: K boxes.
        objectness: (K,) in [0, 1].
        probabilities: (K, C) of the classes, without background.
        point_counts: (K,) points inside each box.
        rules: What is kept, and how it is scored.

    Returns:
        (K, C); NaN where a box is no detection of a class. A box that was dropped has NaN throughout.
    """
    rules = rules or ScoringRules()
    chances = np.asarray(probabilities, dtype=np.float64)
    sure = np.asarray(objectness, dtype=np.float64) if rules.objectness else np.ones(len(boxes))
    kept = _kept(boxes, sure if rules.objectness else chances.max(axis=1, initial=0.0), chances, point_counts, rules)
    kept = kept[sure[kept] > rules.min_objectness]
    scores = {"product": chances * sure[:, None], "probability": chances, "objectness": np.broadcast_to(sure[:, None], chances.shape)}
    reported = np.zeros(chances.shape, dtype=bool)
    if rules.classes == "all":
        reported[kept] = True
    else:
        reported[kept, _best(chances[kept])] = True
    return np.where(reported, scores[rules.score], np.nan)


def _kept(boxes: Boxes, order: np.ndarray, chances: np.ndarray, point_counts: np.ndarray, rules: ScoringRules) -> np.ndarray:
    """Rows of the boxes with enough points that were not suppressed."""
    filled = np.flatnonzero(np.asarray(point_counts) >= rules.min_points)
    if len(filled) == 0 and len(boxes):
        filled = np.array([int(order.argmax())])
    if rules.suppression == "none" or len(filled) == 0:
        return filled
    around = Boxes.from_bounds(*boxes[filled].bounds().swapaxes(0, 1))
    labels = _best(chances[filled]) if rules.suppression == "class" else None
    area = flatten(around) if rules.suppression == "footprint" else around
    kept: np.ndarray = filled[suppress(area, order[filled], labels, iou=rules.iou, over="lower" if rules.over == "lower" else "union")]
    return kept


def _best(chances: np.ndarray) -> np.ndarray:
    best: np.ndarray = chances.argmax(axis=1) if chances.shape[1] else np.zeros(len(chances), dtype=np.int64)
    return best
