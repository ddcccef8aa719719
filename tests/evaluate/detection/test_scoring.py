"""Boxes of a scene as scored detections: every setting of 3DETR's evaluation, by its recorded output."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from basrelief.errors import ConfigError
from basrelief.evaluate.detection.scoring import LabelledBoxes, ScoringRules, score_boxes
from basrelief.geometry.box_iou import box_iou, points_in_boxes
from basrelief.geometry.boxes import Boxes
from basrelief.metrics import DetectionScores, ScoredBoxes, score_detections
from support import parity_arrays, parity_json

VARIANTS = {
    "default (exact_eval=True)": ScoringRules(),
    "exact_eval=False": ScoringRules(min_points=0),
    "class-agnostic 3D NMS": ScoringRules(suppression="any"),
    "2D NMS": ScoringRules(suppression="footprint"),
    "per_class_proposal=False": ScoringRules(classes="best", score="objectness"),
    "per_class_proposal=False, use_cls_confidence_only=True": ScoringRules(classes="best", score="probability"),
    "old-type NMS": ScoringRules(over="lower"),
    "no_nms": ScoringRules(suppression="none"),
}
DATASETS = ("scannet", "sunrgbd")


@cache
def recorded(dataset: str) -> dict[str, np.ndarray]:
    return parity_arrays(f"3detr_ap_{dataset}.npz")


def boxes(dataset: str, scene: int, kind: str) -> Boxes:
    """Boxes of the recording; 3DETR's angles are clockwise seen from above."""
    arrays = recorded(dataset)
    return Boxes(arrays[f"{kind}_center"][scene], arrays[f"{kind}_size"][scene], -arrays[f"{kind}_angle"][scene])


@cache
def scored(dataset: str, variant: str) -> list[ScoredBoxes]:
    arrays, scenes = recorded(dataset), []
    for scene in range(len(arrays["point_clouds"])):
        found, real = boxes(dataset, scene, "pred"), np.flatnonzero(arrays["gt_present"][scene])
        inside = points_in_boxes(arrays["point_clouds"][scene], found)
        objectness, chances = arrays["pred_objectness"][scene], arrays["pred_sem_cls_prob"][scene]
        scores = score_boxes(LabelledBoxes(found, objectness, chances, np.array([len(rows) for rows in inside])), VARIANTS[variant])
        overlaps = box_iou(found, boxes(dataset, scene, "gt")[real])
        scenes.append(ScoredBoxes(scores, overlaps, arrays["gt_sem_cls_label"][scene][real]))
    return scenes


def metrics(dataset: str, variant: str, iou: float) -> DetectionScores:
    names = parity_json("3detr_ap_metrics.json")[dataset]["class2type"]
    return score_detections(scored(dataset, variant), [names[str(number)] for number in range(len(names))], iou=iou)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_the_same_boxes_remain_as_in_3detr(dataset: str, variant: str) -> None:
    remain = np.stack([~np.isnan(scene.scores).all(axis=1) for scene in scored(dataset, variant)])
    assert np.array_equal(remain, recorded(dataset)[f"kept/{variant}"].astype(bool))


@pytest.mark.parametrize("iou", [0.25, 0.5])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_average_precision_and_recall_are_those_of_3detr(dataset: str, variant: str, iou: float) -> None:
    ours, theirs = metrics(dataset, variant, iou), parity_json("3detr_ap_metrics.json")[dataset]["results"][variant]
    for label, precision, recall, count in zip(ours.labels, ours.average_precisions, ours.recalls, ours.counts, strict=True):
        assert (0 if count == 0 else precision) == pytest.approx(theirs[str(iou)][f"{label} Average Precision"], abs=1e-12)
        assert (0 if count == 0 else recall) == pytest.approx(theirs[str(iou)][f"{label} Recall"], abs=1e-12)
    assert ours.mean(absent_as_zero=True) == pytest.approx(theirs[str(iou)]["mAP"], abs=5e-8)  # theirs is a float32
    assert ours.mean_recall(absent_as_zero=True) == pytest.approx(theirs[str(iou)]["AR"], abs=1e-12)


def test_the_two_ways_to_treat_classes_without_a_true_box() -> None:
    ours = metrics("scannet", "default (exact_eval=True)", 0.25)
    assert (ours.counts > 0).sum() == 7
    assert ours.mean() == pytest.approx(0.876, abs=1e-3)
    assert ours.mean(absent_as_zero=True) == pytest.approx(0.341, abs=1e-3)


@pytest.mark.parametrize("dataset", DATASETS)
def test_scores_of_all_detections_are_those_of_3detr(dataset: str) -> None:
    arrays = recorded(dataset)
    scene, label, box = arrays["detections"].T
    ours = np.stack([one.scores for one in scored(dataset, "default (exact_eval=True)")])
    assert np.isfinite(ours).sum() == len(scene)
    np.testing.assert_allclose(ours[scene, box, label], arrays["detection_scores"], rtol=1e-6)


@pytest.mark.parametrize("iou", [0.25, 0.5])
@pytest.mark.parametrize("dataset", DATASETS)
def test_curves_are_those_of_3detr(dataset: str, iou: float) -> None:
    arrays, ours = recorded(dataset), metrics(dataset, "default (exact_eval=True)", iou)
    for number in np.flatnonzero(ours.counts):
        recall, precision = ours.classes[number].curve()
        np.testing.assert_allclose(recall, arrays[f"pr/{iou}/{number}/rec"], rtol=0, atol=1e-7)
        np.testing.assert_allclose(precision, arrays[f"pr/{iou}/{number}/prec"], rtol=0, atol=1e-7)
        assert ours.average_precisions[number] == pytest.approx(float(arrays[f"pr/{iou}/{number}/ap"]), abs=1e-12)


SMALL = Boxes(np.array([[0, 0, 0], [0.1, 0, 0], [5, 0, 0]]), np.ones((3, 3)))
CHANCES = np.array([[0.6, 0.4], [0.9, 0.1], [0.3, 0.7]])


def small_scores(
    point_counts: tuple[int, ...] = (9, 9, 9), rejected: tuple[bool, ...] | None = None, **rules: object
) -> list[list[float | None]]:
    none = None if rejected is None else np.array(rejected)
    found = LabelledBoxes(SMALL, np.array([0.9, 0.5, 0.04]), CHANCES, np.array(point_counts), none)
    scores = score_boxes(found, ScoringRules(**rules))  # type: ignore[arg-type]
    return [[None if np.isnan(value) else round(float(value), 6) for value in row] for row in scores]


def test_all_classes_of_a_kept_box_are_reported() -> None:
    assert small_scores() == [[0.54, 0.36], [None, None], [None, None]]


def test_only_the_best_class_is_reported() -> None:
    assert small_scores(classes="best") == [[0.54, None], [None, None], [None, None]]
    assert small_scores(classes="best", score="objectness") == [[0.9, None], [None, None], [None, None]]
    assert small_scores(classes="best", score="probability") == [[0.6, None], [None, None], [None, None]]


def test_without_objectness_the_surer_box_suppresses_and_no_box_is_too_faint() -> None:
    assert small_scores(objectness=False) == [[None, None], [0.9, 0.1], [0.3, 0.7]]


def test_boxes_without_points_go_but_one_stays() -> None:
    assert small_scores((4, 9, 9)) == [[None, None], [0.45, 0.05], [None, None]]
    assert small_scores((0, 0, 0)) == [[0.54, 0.36], [None, None], [None, None]]


def test_boxes_that_are_none_of_the_classes_suppress_nothing() -> None:
    assert small_scores(rejected=(True, False, False)) == [[None, None], [0.45, 0.05], [None, None]]
    assert small_scores((0, 0, 0), rejected=(True, True, True)) == [[None, None]] * 3


def test_the_order_of_suppression_may_be_that_of_the_scores() -> None:
    assert small_scores(order="score", score="probability", classes="best") == [[None, None], [0.9, None], [None, None]]


def test_faint_detections_are_left_out() -> None:
    assert small_scores(min_score=0.4) == [[0.54, None], [None, None], [None, None]]
    assert small_scores(min_score=0.55) == [[None, None]] * 3


def test_no_boxes() -> None:
    none = LabelledBoxes(SMALL[:0], np.zeros(0), np.zeros((0, 2)), np.zeros(0, dtype=int))
    assert score_boxes(none).shape == (0, 2)
    assert score_boxes(none, ScoringRules(classes="best", suppression="any")).shape == (0, 2)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"classes": "some"}, "Unknown classes 'some'; expected one of all, best"),
        ({"score": "sum"}, "Unknown score 'sum'"),
        ({"suppression": "2d"}, "Unknown suppression '2d'"),
        ({"score": "objectness"}, "All classes of a box would have the same score"),
        ({"min_points": -1}, "min_points"),
        ({"iou": 1.5}, "iou"),
        ({"order": "size"}, "Unknown order 'size'"),
        ({"over": "smaller"}, "Unknown over 'smaller'"),
    ],
)
def test_rules_are_checked(rules: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScoringRules(**rules)  # type: ignore[arg-type]
