"""Average precision of boxes: cases worked out by hand, a slow reference, and edge cases. Parity with 3DETR: tests/evaluate/detection."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.errors import ConfigError, GeometryError
from basrelief.metrics import ScoredBoxes, found_boxes, recall_interval, score_detections

NONE = np.nan


def scene(scores: list[list[float]], overlaps: list[list[float]], truth: list[int]) -> ScoredBoxes:
    classes = len(scores[0]) if scores else 1
    return ScoredBoxes(
        np.array(scores, dtype=np.float64).reshape(-1, classes),
        np.array(overlaps).reshape(len(scores), len(truth)),
        np.array(truth, dtype=int),
    )


def reference(scenes: list[ScoredBoxes], number: int, iou: float) -> float:
    """Average precision as one would write it down: a loop over detections, then over changes of recall."""
    detections = sorted(
        (-one.scores[row, number], place, row)
        for place, one in enumerate(scenes)
        for row in range(len(one.scores))
        if not np.isnan(one.scores[row, number])
    )
    taken, hits = set(), []
    for _, place, row in detections:
        candidates = [(one, scenes[place].overlaps[row, one]) for one in np.flatnonzero(scenes[place].truth == number)]
        best, overlap = max(candidates, key=lambda pair: pair[1], default=(-1, 0.0))
        hits.append(overlap > iou and (place, best) not in taken)
        if hits[-1]:
            taken.add((place, best))
    positives = sum(int((one.truth == number).sum()) for one in scenes)
    precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits))]
    return sum(max(precisions[i:]) for i, hit in enumerate(hits) if hit) / positives


def random_scenes(seed: int, scenes: int = 5, classes: int = 3) -> list[ScoredBoxes]:
    random = np.random.default_rng(seed)
    found = []
    for _ in range(scenes):
        boxes, truth = int(random.integers(0, 12)), random.integers(0, classes, random.integers(0, 6))
        scores = np.where(random.random((boxes, classes)) < 0.3, np.nan, random.random((boxes, classes)))
        found.append(ScoredBoxes(scores, random.random((boxes, len(truth))) ** 0.5, truth))
    return found


def test_average_precision_worked_out_by_hand() -> None:
    """Hits, in order: yes, no (second hit of one box), yes, no; 3 true boxes: 1/3 x 1 + 1/3 x 2/3 = 5/9."""
    scenes = [
        scene([[0.9], [0.8]], [[0.6, 0.1], [0.5, 0.4]], [0, 0]),  # both overlap the first box most; there is no second choice
        scene([[0.7], [0.6]], [[0.3], [0.2]], [0]),
    ]
    scores = score_detections(scenes, ["chair"], iou=0.25)
    assert scores.average_precisions == pytest.approx([5 / 9])
    assert scores.recalls == pytest.approx([2 / 3])
    recall, precision = scores.classes[0].curve()
    assert recall == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert precision == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert scores.classes[0].correct.tolist() == [True, False, True, False]
    assert score_detections(scenes, ["chair"], iou=0.5).average_precisions == pytest.approx([1 / 3])


def test_the_envelope_lifts_a_precision_that_recovers() -> None:
    """Hits: no, yes, yes; 2 true boxes. Precision 0, 1/2, 2/3 becomes 2/3 throughout."""
    found = score_detections([scene([[0.9], [0.8], [0.7]], [[0, 0], [0.9, 0], [0, 0.9]], [0, 0])], ["chair"], iou=0.25)
    assert found.average_precisions == pytest.approx([2 / 3])


def test_an_overlap_must_be_larger_than_the_threshold() -> None:
    one = scene([[0.9]], [[0.25]], [0])
    assert score_detections([one], ["chair"], iou=0.25).average_precisions.tolist() == [0]
    assert score_detections([one], ["chair"], iou=0.249).average_precisions.tolist() == [1]


def test_classes_that_are_absent_missed_or_invented() -> None:
    """The first class is found, the second missed, the third detected without a true box, the fourth neither."""
    scores = score_detections([scene([[0.9, NONE, 0.8, NONE]], [[0.7, 0.0]], [0, 1])], ["bed", "sofa", "sink", "door"], iou=0.25)
    np.testing.assert_equal(scores.average_precisions, [1, 0, np.nan, np.nan])
    np.testing.assert_equal(scores.recalls, [1, 0, np.nan, np.nan])
    assert scores.counts.tolist() == [1, 1, 0, 0]
    assert scores.mean() == pytest.approx(1 / 2)
    assert scores.mean(absent_as_zero=True) == pytest.approx(1 / 3)
    assert scores.mean_recall() == pytest.approx(1 / 2)
    assert scores.mean_recall(absent_as_zero=True) == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("iou", [0.25, 0.5])
def test_average_precision_agrees_with_the_reference(seed: int, iou: float) -> None:
    scenes = random_scenes(seed)
    scores = score_detections(scenes, ["a", "b", "c"], iou=iou)
    for number, count in enumerate(scores.counts):
        if count:
            assert scores.average_precisions[number] == pytest.approx(reference(scenes, number, iou), abs=1e-12)


def test_a_scene_that_counts_twice_is_a_scene_that_is_there_twice() -> None:
    scenes = random_scenes(3)
    weights = np.array([2.0, 1, 1, 0, 1])
    weighted = [one.average_precision(weights) for one in score_detections(scenes, ["a", "b", "c"], iou=0.25).classes]
    repeated = score_detections([scenes[0], *scenes[:3], scenes[4]], ["a", "b", "c"], iou=0.25).average_precisions
    np.testing.assert_allclose(weighted, repeated, atol=0.1)  # a repeated detection steps twice through the curve
    np.testing.assert_array_equal(np.isnan(weighted), np.isnan(repeated))


def test_interval_holds_the_mean_of_many_scenes() -> None:
    scores = score_detections(random_scenes(1, scenes=60), ["a", "b", "c"], iou=0.25)
    low, high = scores.interval()
    assert low < scores.mean() < high
    assert scores.interval() == (low, high)


def test_nothing_to_score() -> None:
    scores = score_detections([], ["chair"], iou=0.25)
    assert np.isnan(scores.mean())
    assert np.isnan(scores.interval().low)
    empty = score_detections([scene([], [], [0])], ["chair"], iou=0.25)
    assert empty.average_precisions.tolist() == [0]
    assert empty.mean() == 0


def test_recall_of_proposals_whatever_their_class() -> None:
    overlaps = [np.array([[0.1, 0.3, 0.0], [0.6, 0.2, 0.0]]), np.zeros((0, 2)), np.zeros((4, 0))]
    assert [one.tolist() for one in found_boxes(overlaps, iou=0.25)] == [[True, True, False], [False, False], []]
    assert found_boxes(overlaps, iou=0.25, limit=1)[0].tolist() == [False, True, False]
    assert found_boxes(overlaps, iou=0.5)[0].tolist() == [True, False, False]
    share, interval = recall_interval(found_boxes(overlaps, iou=0.25))
    assert share == pytest.approx(2 / 5)
    assert interval.low <= share <= interval.high


def test_recall_without_a_true_box_is_nan() -> None:
    share, interval = recall_interval([np.zeros(0, dtype=bool)])
    assert np.isnan(share)
    assert np.isnan(interval.low)


def test_sizes_and_classes_are_checked() -> None:
    with pytest.raises(GeometryError, match="do not agree with 2 true boxes"):
        scene([[0.9]], [[0.5, 0.1]], [0, 0]).__class__(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(2, dtype=int))
    with pytest.raises(GeometryError, match="A true box has class 3, but there are 1 classes"):
        scene([[0.9]], [[0.5]], [3])
    with pytest.raises(GeometryError, match="A scene has scores for 1 classes; there are 2 labels"):
        score_detections([scene([[0.9]], [[0.5]], [0])], ["bed", "sofa"], iou=0.25)
    with pytest.raises(ConfigError, match="iou"):
        score_detections([], ["bed"], iou=2)
