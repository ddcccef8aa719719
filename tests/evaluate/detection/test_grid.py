"""Sources of boxes and labels, and the grid of choices, on records with figures worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from basrelief.errors import ConfigError
from basrelief.evaluate.detection.grid import TEMPERATURES, ScanResults
from basrelief.evaluate.detection.protocol import DetectionProtocol, default_protocol, detect_protocol
from basrelief.evaluate.detection.record import Labelled, ScanRecord
from basrelief.evaluate.detection.report import CLASS_TABLE, GRID_TABLE, SOURCE_TABLE, detection_result
from basrelief.evaluate.detection.scoring import ScoringRules
from basrelief.geometry.boxes import Boxes

LABELS = ("bed", "sofa", "lamp")
EASY = DetectionProtocol(scoring=ScoringRules(min_points=0))


def unit_boxes(*places: float) -> Boxes:
    """Boxes of one metre in a row along x."""
    return Boxes(np.array([(place, 0, 0.5) for place in places]).reshape(-1, 3), np.ones((len(places), 3)))


def record(
    places: tuple[float, ...], logits: list[list[float]], truth: tuple[float, ...], labels: tuple[int, ...], **others: object
) -> ScanRecord:
    """A scan whose true boxes all get the right label."""
    count = len(places)
    right = 9.0 * np.eye(3, dtype=np.float32)[list(labels)] if labels else np.zeros((0, 3), np.float32)
    made = ScanRecord(
        proposals=Labelled(unit_boxes(*places), np.array(logits, dtype=np.float32).reshape(count, len(logits[0]) if logits else 3), None),
        objectness=np.linspace(0.9, 0.5, count, dtype=np.float32),
        point_counts=np.full(count, 100),
        class_probs=None,
        truth=Labelled(unit_boxes(*truth), right, None),
        labels=np.array(labels, dtype=np.int64),
        anchors=np.zeros((8, 3), dtype=np.float32),
    )
    return dataclasses.replace(made, **others)  # type: ignore[arg-type]


def results(*records: ScanRecord, protocol: DetectionProtocol = EASY) -> ScanResults:
    return ScanResults(records, LABELS, protocol)


ONE = record((0, 5), [[9, 0, 0], [9, 0, 0]], (0, 5.2), (0, 1))
"""A bed found at its place, and a sofa found 20 cm off but called a bed; the IoU of the latter is 0.8 / 1.2."""


def test_labels_of_the_model() -> None:
    """Bed: a hit, then a false one: 1. Sofa: the surest sofa is the first box, which is none; the second box is found later: 1 / 2."""
    scores = results(ONE).score("proposals")
    np.testing.assert_allclose(scores[0.25].average_precisions, [1, 0.5, np.nan])
    assert scores[0.25].mean() == pytest.approx(0.75)
    assert scores[0.25].mean(absent_as_zero=True) == pytest.approx(0.5)
    best = dataclasses.replace(EASY, scoring=ScoringRules(classes="best", min_points=0))
    np.testing.assert_allclose(results(ONE).score("proposals", protocol=best)[0.5].average_precisions, [1, 0, np.nan])


def test_true_labels_and_true_boxes() -> None:
    np.testing.assert_allclose(results(ONE).score("true labels")[0.5].average_precisions, [1, 1, np.nan])
    np.testing.assert_allclose(results(ONE).score("true boxes")[0.5].average_precisions, [1, 1, np.nan])


def test_true_labels_leave_out_proposals_that_hold_nothing() -> None:
    """The third box overlaps the sofa by 0.1 / 1.9 only."""
    one = record((0, 5, 6.1), [[9, 0, 0]] * 3, (0, 5.2), (0, 1), objectness=np.array([0.5, 0.6, 0.9], np.float32))
    scores = results(one).score("true labels")[0.25]
    np.testing.assert_allclose(scores.average_precisions, [1, 1, np.nan])
    assert [len(found.scene) for found in scores.classes] == [2, 2, 2]


def test_the_class_head_of_the_proposer() -> None:
    assert not results(ONE).has_class_head
    own = dataclasses.replace(ONE, class_probs=np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], dtype=np.float32))
    assert results(own).has_class_head
    np.testing.assert_allclose(results(own).score("class head")[0.25].average_precisions, [1, 1, np.nan])


def test_boxes_that_could_not_be_labelled_are_left_out() -> None:
    hidden = record((0, 5), [[np.nan] * 3, [9, 0, 0]], (0, 5.2), (0, 1))
    np.testing.assert_allclose(results(hidden).score("proposals")[0.25].average_precisions, [0, 1, np.nan])


def test_background_labels_take_probability_and_may_reject() -> None:
    with_wall = record((0, 5), [[3, 0, 0, 9], [9, 0, 0, 3]], (0, 5.2), (0, 1))
    kept = results(with_wall).score("proposals")[0.25]
    assert len(kept.classes[0].scene) == 2
    assert kept.classes[0].correct.tolist() == [False, True]  # the wall takes most of the first box's probability
    rejecting = results(with_wall, protocol=dataclasses.replace(EASY, reject=True)).score("proposals")[0.25]
    assert len(rejecting.classes[0].scene) == 1


def test_the_methods_own_probabilities_may_be_used() -> None:
    own = dataclasses.replace(ONE.proposals, own=np.array([[0.2, 0, 0.8], [0.4, 0.6, 0]], dtype=np.float32))
    found = results(dataclasses.replace(ONE, proposals=own), protocol=dataclasses.replace(EASY, probabilities="method"))
    np.testing.assert_allclose(found.score("proposals")[0.25].average_precisions, [0.5, 1, np.nan])


def test_the_grid_has_every_combination_once() -> None:
    rows = results(ONE).grid()
    settings = [(row.classes, row.score, row.objectness, row.temperature) for row in rows]
    assert len(set(settings)) == len(settings) == 3 * len(TEMPERATURES) + 1 + 2 * len(TEMPERATURES)
    default = next(row for row in rows if (row.classes, row.score, row.objectness, row.temperature) == ("all", "product", True, 1.0))
    scores = results(ONE).score("proposals")
    assert (default.ap25, default.ap50) == (scores[0.25].mean(), scores[0.5].mean())
    assert default.ap25_absent_as_zero == scores[0.25].mean(absent_as_zero=True)


def test_temperature_changes_the_order_of_scores() -> None:
    """Between a sure box that is wrong and a fair one that is right, flat probabilities let the objectness decide."""
    one = record((0, 5), [[2, 0, 0], [3, 0, 0]], (0,), (0,))
    rows = {row.temperature: row.ap25 for row in results(one).grid() if (row.classes, row.score) == ("all", "product") and row.objectness}
    assert rows[100.0] == pytest.approx(1)
    sharp = {
        row.temperature: row.ap25 for row in results(one).grid() if (row.classes, row.score) == ("all", "product") and not row.objectness
    }
    assert sharp[1.0] == pytest.approx(0.5)


def test_report_of_two_scans() -> None:
    other = record((0,), [[0, 9, 0]], (0, 3, 7), (1, 1, 2))
    found = detection_result(results(ONE, other), ("one", "other"), catch_all=("lamp",), failures=[("bad", "broken")])
    values = {metric.name: metric.value for metric in found.metrics}
    assert values["recall25"] == pytest.approx(60)
    assert values["true_box_top1"] == pytest.approx(100)
    tables = {table.title: table for table in found.tables}
    assert [row[0] for row in tables[SOURCE_TABLE].rows] == ["proposals", "true boxes", "true labels", "random boxes, true labels"]
    assert tables[SOURCE_TABLE].rows[1][1] == 100
    assert [row[:2] for row in tables[CLASS_TABLE].rows] == [("bed", 1), ("sofa", 3), ("lamp", 1)]
    assert len(tables[GRID_TABLE].rows) == 16
    assert found.answers[4][:3] == ("other/2", "lamp", "lamp | bed | sofa")
    assert found.failures == (("bad", "broken"),)
    assert any(note.startswith("Without lamp: mean AP ") for note in found.notes)
    assert found.confusion is not None
    assert found.confusion.diagonal().tolist() == [1, 3, 1]


def test_report_of_nothing() -> None:
    found = detection_result(results(), ())
    assert np.isnan(found.metrics[0].value)
    empty = detection_result(results(record((), [], (), ())), ("empty",))
    assert np.isnan(empty.metrics[0].value)
    assert empty.answers == ()


def test_recall_counts_large_things_only() -> None:
    small = Labelled(Boxes(np.array([[0, 0, 0.5], [9, 0, 0]]), np.array([[1, 1, 1], [0.1, 0.1, 0.1]])), np.zeros((2, 3), np.float32), None)
    found = detection_result(results(dataclasses.replace(ONE, truth=small)), ("one",))
    recall = next(metric for metric in found.metrics if metric.name == "recall25")
    assert (recall.value, recall.count) == (100, 1)


def test_protocols_of_data_sets() -> None:
    assert default_protocol("scannet").proposals == default_protocol("sunrgbd").proposals == "3detr-m"
    assert (default_protocol("sunrgbd").limit, default_protocol("sunrgbd").sample) == (128, 20_000)
    assert default_protocol("rooms") == detect_protocol()
    assert detect_protocol().scoring.classes == "best"
    settings = detect_protocol().settings()
    assert settings["scoring.classes"] == "best"
    assert settings["crops.source"] == detect_protocol().crops.source
    measured = detect_protocol().measured_settings()
    assert "limit" in measured
    assert not {"temperature", "scoring.iou", "reject"} & set(measured)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"proposals": "votenet"}, "Unknown proposals 'votenet'"),
        ({"cloud": "half"}, "Unknown cloud 'half'; expected one of full, sample"),
        ({"probabilities": "none"}, "Unknown probabilities"),
        ({"limit": 0}, "limit is 0; it must be at least 1"),
        ({"sample": 0}, "sample is 0"),
        ({"temperature": 0}, "temperature is 0"),
    ],
)
def test_choices_are_checked(choice: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DetectionProtocol(**choice)  # type: ignore[arg-type]
