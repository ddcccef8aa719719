"""Proposals from segments: planted things, ranking, hostile input."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.errors import ConfigError
from basrelief.geometry.box_iou import box_iou
from basrelief.geometry.boxes import Boxes
from basrelief.scenes import propose
from basrelief.scenes.segments import propose_segments, suppress_softly
from support.planted_rooms import bare_scene, shell, small_room


def random_boxes(truth: Boxes, count: int) -> Boxes:
    """Boxes of the sizes of things at random places."""
    rng = np.random.default_rng(0)
    sizes = truth.sizes[rng.integers(len(truth), size=count)]
    centers = rng.uniform((0, 0, 0), (5, 4, 1.2), (count, 3))
    return Boxes(centers, sizes)


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_things_are_found_and_ranked_before_their_parts(seed: int) -> None:
    scene, truth = small_room(seed)
    found = propose(scene, limit=30)
    best = box_iou(found.boxes, truth).max(axis=0)
    assert (best > 0.6).all(), best
    by_chance = box_iou(random_boxes(truth, 30), truth).max(axis=0)
    assert (by_chance > 0.25).mean() < 0.5
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    right = box_iou(found.boxes[:7], truth).max(axis=1) > 0.5
    assert right.sum() >= 6


def test_points_of_a_proposal_lie_in_its_box() -> None:
    scene, _ = small_room(2, things=3)
    found = propose_segments(scene, most=40)
    assert found.points is not None
    for (low, high), rows in zip(found.boxes.bounds(), found.points, strict=True):
        inside = scene.cloud.points[rows]
        assert (np.diff(rows) > 0).all()
        assert (inside >= low - 1e-5).all()
        assert (inside <= high + 1e-5).all()
        assert (scene.structure[rows] == 0).all()


def test_same_scan_same_proposals() -> None:
    scene, _ = small_room(3, things=3)
    one, two = propose_segments(scene, seed=0), propose_segments(scene, seed=1)
    np.testing.assert_array_equal(one.boxes.centers, two.boxes.centers)
    np.testing.assert_array_equal(one.scores, two.scores)


def test_tiles_find_what_the_whole_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, truth = small_room(4)
    monkeypatch.setattr("basrelief.scenes.segments._TILE", 2.0)
    monkeypatch.setattr("basrelief.scenes.segments._MARGIN", 1.2)
    best = box_iou(propose(scene, limit=40).boxes, truth).max(axis=0)
    assert (best > 0.6).all(), best


def test_table_tops_get_turned_boxes() -> None:
    rng = np.random.default_rng(0)
    thing = shell(rng, np.array([-0.1, -0.04, 0.0]), np.array([0.1, 0.04, 0.15]), 0.003)
    turn = np.array([[np.cos(0.5), -np.sin(0.5), 0], [np.sin(0.5), np.cos(0.5), 0], [0, 0, 1]])
    scene = bare_scene(np.concatenate([thing @ turn.T, thing + (0.5, 0.3, 0)]), "tabletop")
    found = propose(scene, limit=5)
    truth = Boxes(np.array([[0, 0, 0.075], [0.5, 0.3, 0.075]]), np.array([[0.2, 0.08, 0.15]] * 2), np.array([0.5, 0.0]))
    assert (box_iou(found.boxes, truth).max(axis=0) > 0.85).all()
    assert propose_segments(scene, oriented=False).boxes.aligned


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((500, 3)),
        np.random.default_rng(0).random((10, 3)),
        np.random.default_rng(0).random((3000, 3)) * (2, 3, 0),
        np.random.default_rng(0).random((3000, 1)) * (1, 1, 0),
        np.zeros((1, 3)),
        np.random.default_rng(0).random((3000, 3)) * (1e5, 1, 1),
    ],
    ids=["one place", "ten points", "a plane", "a line", "one point", "long"],
)
@pytest.mark.parametrize("method", ["segments", "clusters"])
def test_hostile_scans(points: np.ndarray, method: str) -> None:
    found = propose(bare_scene(points), method)
    assert found.points is not None
    assert len(found) == len(found.points)
    assert np.isfinite(found.scores).all()


def test_nothing_but_structure() -> None:
    scene, _ = small_room(0, things=1)
    empty = type(scene)(scene.cloud, scene.to_file, np.ones_like(scene.structure))
    assert len(propose(empty)) == len(propose(empty, "clusters")) == 0


def test_wrong_options() -> None:
    scene, _ = small_room(0, things=1)
    with pytest.raises(
        ConfigError, match="voxel is 0; it must be finite and positive. Pass the edge length of a voxel in metres, e.g. 0.05."
    ):
        propose(scene, voxel=0)
    with pytest.raises(ConfigError, match="most is 0; it must be at least 1. Pass the number of boxes to keep."):
        propose(scene, most=0)


def test_overlapping_boxes_rank_lower() -> None:
    boxes = Boxes(np.array([[0, 0, 0], [0.5, 0, 0], [0.05, 0, 0], [5, 0, 0]]), np.ones((4, 3)))
    kept, scores = suppress_softly(boxes, np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float32), 10)
    assert kept.tolist() == [0, 3, 1]
    np.testing.assert_allclose(scores, [0.9, 0.6, 0.8 * (2 / 3) ** 2], rtol=1e-6)


@pytest.mark.slow
def test_memory_does_not_grow_with_points_on_the_same_surfaces() -> None:
    import tracemalloc

    peaks = []
    for spacing in (0.02, 0.01):  # four times the points
        scene, _ = small_room(0, things=1, spacing=spacing)
        tracemalloc.start()
        propose_segments(scene, most=50)
        peaks.append(tracemalloc.get_traced_memory()[1] / scene.objects.sum())
        tracemalloc.stop()
    assert peaks[1] < 0.85 * peaks[0]
    assert peaks[1] * scene.objects.sum() < 100e6
