"""Overlap of boxes, suppression and the points inside: recorded output of 3DETR, cases worked out by hand, properties."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.errors import ConfigError, GeometryError
from basrelief.geometry.box_iou import box_iou, flatten, overlap_volumes, points_in_boxes, suppress
from basrelief.geometry.boxes import Boxes
from support import parity_arrays


def recorded_boxes(arrays: dict[str, np.ndarray], part: str, number: int, row: int | slice = slice(None)) -> Boxes:
    """Boxes of the recording; 3DETR's angles are clockwise seen from above."""
    centers, sizes, angles = (arrays[f"{part}/{name}{number}"][row] for name in ("center", "size", "angle"))
    return Boxes(centers, sizes, -angles)


def random_boxes(count: int, seed: int, *, aligned: bool = False) -> Boxes:
    random = np.random.default_rng(seed)
    yaws = np.zeros(count) if aligned else random.uniform(-4, 4, count)
    return Boxes(random.uniform(-1, 1, (count, 3)), random.uniform(0.05, 2, (count, 3)), yaws)


@pytest.mark.parametrize("part", ["aligned", "rotated"])
def test_iou_is_that_of_3detr(part: str) -> None:
    arrays = parity_arrays("3detr_iou.npz")
    first, second = recorded_boxes(arrays, part, 1), recorded_boxes(arrays, part, 2)
    assert first.aligned == (part == "aligned")
    np.testing.assert_allclose(np.diag(box_iou(first, second)), arrays[f"{part}/iou3d"], rtol=0, atol=2e-15)
    np.testing.assert_allclose(np.diag(box_iou(flatten(first), flatten(second))), arrays[f"{part}/iou_bev"], rtol=0, atol=2e-15)


@pytest.mark.parametrize("clip", [False, True])
def test_iou_of_identical_nested_apart_stacked_and_touching_boxes_is_that_of_3detr(clip: bool) -> None:
    arrays = parity_arrays("3detr_iou.npz")
    rows = arrays["special/boxes"]
    yaws = np.full(len(rows), 1e-300 if clip else 0.0)  # an angle that is not 0 takes the way of rotated boxes
    first, second = Boxes(rows[:, :3], rows[:, 3:6], yaws), Boxes(rows[:, 6:9], rows[:, 9:], yaws)
    np.testing.assert_allclose(np.diag(box_iou(first, second)), arrays["special/iou3d_bev"][:, 0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(np.diag(box_iou(flatten(first), flatten(second))), arrays["special/iou3d_bev"][:, 1], rtol=0, atol=1e-15)


def test_generalised_iou_of_aligned_boxes_follows_from_the_overlap() -> None:
    """For rotated boxes the original takes pairs as apart if its shortcut for aligned ones says so."""
    arrays = parity_arrays("3detr_iou.npz")
    for scene, count in enumerate(arrays["giou/aligned/nums_k2"]):
        first = recorded_boxes(arrays, "giou/aligned", 1, scene)
        second = recorded_boxes(arrays, "giou/aligned", 2, scene)[:count]
        union = first.volumes()[:, None] + second.volumes() - overlap_volumes(first, second)
        low = np.minimum(first.bounds()[:, None, 0], second.bounds()[:, 0])
        high = np.maximum(first.bounds()[:, None, 1], second.bounds()[:, 1])
        around = (high - low).prod(axis=2)
        expected = arrays["giou/aligned/rotated_boxes=False"][scene, :, :count]
        np.testing.assert_allclose(box_iou(first, second) - (around - union) / around, expected, rtol=0, atol=2e-6)


def test_two_squares_at_45_degrees_share_an_octagon() -> None:
    square, diamond = Boxes(np.zeros((1, 3)), np.ones((1, 3))), Boxes(np.zeros((1, 3)), np.ones((1, 3)), np.array([np.pi / 4]))
    octagon = 2 * (np.sqrt(2) - 1)
    assert overlap_volumes(square, diamond)[0, 0] == pytest.approx(octagon, abs=1e-15)
    assert box_iou(square, diamond)[0, 0] == pytest.approx(octagon / (2 - octagon), abs=1e-15)


def test_overlap_agrees_with_counting_points() -> None:
    boxes = random_boxes(6, 3)
    points = np.random.default_rng(0).uniform(-2.5, 2.5, (200_000, 3))
    inside = np.zeros((6, len(points)), dtype=bool)
    for row, found in enumerate(points_in_boxes(points, boxes)):
        inside[row, found] = True
    counted = (inside[:, None] & inside[None]).sum(axis=2) * 125 / len(points)
    np.testing.assert_allclose(overlap_volumes(boxes, boxes), counted, rtol=0, atol=0.05)


def test_iou_is_symmetric_bounded_and_one_with_itself() -> None:
    boxes = random_boxes(60, 1)
    iou = box_iou(boxes, boxes)
    np.testing.assert_allclose(iou, iou.T, rtol=0, atol=1e-14)
    np.testing.assert_allclose(np.diag(iou), 1, rtol=0, atol=1e-13)
    assert iou.min() >= 0
    assert iou.max() <= 1 + 1e-13
    quarter = Boxes(boxes.centers, boxes.sizes[:, [1, 0, 2]], boxes.yaws + np.pi / 2)
    np.testing.assert_allclose(box_iou(quarter, boxes), iou, rtol=0, atol=1e-13)


def test_overlap_does_not_depend_on_where_the_boxes_are() -> None:
    boxes = random_boxes(30, 5)
    far = Boxes(boxes.centers + 1000, boxes.sizes, boxes.yaws)
    np.testing.assert_allclose(box_iou(far, far), box_iou(boxes, boxes), rtol=0, atol=1e-11)


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, scores = random_boxes(50, 2), np.random.default_rng(2).random(50)
    whole, kept = box_iou(boxes, boxes[:20]), suppress(boxes, scores, iou=0.1)
    monkeypatch.setattr("basrelief.geometry.box_iou._BLOCK", 90)
    monkeypatch.setattr("basrelief.geometry.box_iou._PAIRS", 7)
    assert np.array_equal(box_iou(boxes, boxes[:20]), whole)
    assert suppress(boxes, scores, iou=0.1).tolist() == kept.tolist()


def test_no_boxes_and_flat_boxes() -> None:
    none, flat = random_boxes(0, 0), Boxes(np.zeros((2, 3)), np.array([[1, 1, 0], [0, 0, 0]]), np.array([0.5, 0]))
    assert box_iou(none, flat).shape == (0, 2)
    assert box_iou(flat, flat).tolist() == [[0, 0], [0, 0]]
    assert suppress(none, np.zeros(0), iou=0.5).tolist() == []
    assert points_in_boxes(np.zeros((3, 3)), none) == []
    assert [rows.tolist() for rows in points_in_boxes(np.zeros((0, 3)), flat)] == [[], []]
    assert [rows.tolist() for rows in points_in_boxes(np.zeros((3, 3)), flat)] == [[0, 1, 2], [0, 1, 2]]


def test_suppression_keeps_the_better_of_two_and_what_touched_only_the_worse() -> None:
    boxes = Boxes(np.array([[0, 0, 0], [0.5, 0, 0], [1.0, 0, 0]]), np.ones((3, 3)))  # neighbours share 1/3, the outer two nothing
    assert suppress(boxes, np.array([0.9, 0.8, 0.7]), iou=0.25).tolist() == [0, 2]
    assert suppress(boxes, np.array([0.7, 0.8, 0.9]), iou=0.25).tolist() == [2, 0]
    assert suppress(boxes, np.array([0.7, 0.9, 0.8]), iou=0.25).tolist() == [1]
    assert suppress(boxes, np.array([0.9, 0.8, 0.7]), np.array([0, 1, 0]), iou=0.25).tolist() == [0, 1, 2]
    assert suppress(boxes, np.array([0.5, 0.5, 0.5]), iou=0.25).tolist() == [0, 2]
    assert suppress(boxes, np.array([0.9, 0.8, 0.7]), iou=1 / 3).tolist() == [0, 1, 2]


def test_suppression_of_a_box_inside_another() -> None:
    boxes = Boxes(np.zeros((2, 3)), np.array([[2, 2, 2], [1, 1, 1]]))  # IoU 1/8, the small one wholly inside
    assert suppress(boxes, np.array([0.9, 0.8]), iou=0.5).tolist() == [0, 1]
    assert suppress(boxes, np.array([0.9, 0.8]), iou=0.5, over="smaller").tolist() == [0]
    assert suppress(boxes, np.array([0.8, 0.9]), iou=0.5, over="smaller").tolist() == [1]
    assert suppress(boxes, np.array([0.9, 0.8]), iou=0.5, over="lower").tolist() == [0]
    assert suppress(boxes, np.array([0.8, 0.9]), iou=0.5, over="lower").tolist() == [1, 0]


def test_suppression_refuses_other_measures_and_missing_scores() -> None:
    boxes = random_boxes(2, 0)
    with pytest.raises(ConfigError, match="Unknown measure of overlap 'bigger'; expected one of union, smaller, lower"):
        suppress(boxes, np.zeros(2), iou=0.5, over="bigger")  # type: ignore[arg-type]
    with pytest.raises(GeometryError, match=r"There are 2 boxes but 3 scores\. Pass one score"):
        suppress(boxes, np.zeros(3), iou=0.5)


def test_points_on_faces_are_inside_and_rows_are_in_order() -> None:
    points = np.array([[1, 0, 0], [0, 0, 0], [-1, 1, 2], [1.01, 0, 0], [0, 0, -2], [np.nan, 0, 0]], dtype=np.float32)
    inside = points_in_boxes(points, Boxes(np.zeros((1, 3)), np.array([[2, 2, 4]])))
    assert inside[0].tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("yaw", [0.0, 0.3, np.pi / 2, -2.5])
def test_a_box_around_points_holds_all_of_them(yaw: float) -> None:
    own = np.random.default_rng(7).uniform(-30, 50, (500, 3))
    turn = Boxes(np.zeros((1, 3)), np.ones((1, 3)), np.array([yaw])).rotations()[0]
    low, high = own.min(axis=0), own.max(axis=0)
    box = Boxes((turn @ ((low + high) / 2))[None], (high - low)[None], np.array([yaw]))
    assert points_in_boxes(own @ turn.T, box)[0].tolist() == list(range(500))


def test_points_of_rotated_boxes_agree_with_their_definition() -> None:
    boxes, points = random_boxes(20, 9), np.random.default_rng(1).uniform(-2, 2, (3000, 3))
    for row, found in enumerate(points_in_boxes(points, boxes)):
        own = (points - boxes.centers[row]) @ boxes.rotations()[row]
        assert found.tolist() == np.flatnonzero((np.abs(own) <= boxes.sizes[row] / 2).all(axis=1)).tolist()
