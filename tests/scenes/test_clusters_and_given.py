"""Proposals from connected parts, and boxes that the user has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from basrelief.errors import ConfigError, FileFormatError
from basrelief.geometry.box_iou import box_iou
from basrelief.geometry.boxes import Boxes
from basrelief.scenes import Scene, propose
from basrelief.scenes.given import propose_boxes, read_boxes
from support.planted_rooms import bare_scene, small_room


def test_clusters_find_what_stands_apart_and_what_stands_on_it() -> None:
    scene, truth = small_room(0)
    found = propose(scene, "clusters")
    assert (box_iou(found.boxes, truth).max(axis=0) > 0.6).all()
    assert len(found) < 40


def turned_scene(rotation: np.ndarray, scale: float = 1.0) -> Scene:
    scene = bare_scene(np.random.default_rng(0).random((300, 3)))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation * scale, (1, 2, 3)
    return Scene(scene.cloud, matrix, scene.structure)


QUARTER = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@pytest.mark.parametrize("rotation", [np.eye(3), QUARTER], ids=["same axes", "a quarter turn"])
def test_given_boxes_come_back_in_the_coordinates_of_the_file(rotation: np.ndarray) -> None:
    scene = turned_scene(rotation, scale=1000.0)
    given = Boxes(np.array([[100.0, 200, 300], [500, 600, 700]]), np.array([[200.0, 300, 400], [1, 2, 3]]))
    found = propose(scene, "boxes", boxes=given)
    assert found.boxes.aligned
    centers, sizes, rotations = scene.boxes_in_file(found.boxes)
    np.testing.assert_allclose(centers, given.centers)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", np.abs(rotations), sizes), given.sizes, atol=1e-9)
    assert found.scores.tolist() == [1, 1]


def test_given_boxes_keep_their_turn() -> None:
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    given = Boxes(np.array([[1.0, 2, 3]]), np.array([[1.0, 2, 3]]), np.array([0.5]))
    found = propose_boxes(turned_scene(turn), boxes=given)
    np.testing.assert_allclose(found.boxes.yaws, [0.5 - angle])
    np.testing.assert_allclose(found.boxes.sizes, given.sizes)


def test_given_boxes_of_a_file_with_y_up() -> None:
    scene = turned_scene(Y_UP)
    found = propose_boxes(scene, boxes=Boxes(np.array([[1.0, 2, 3]]), np.array([[1.0, 2, 3]])))
    np.testing.assert_allclose(found.boxes.sizes, [[1, 3, 2]])
    tilted = propose_boxes(scene, boxes=Boxes(np.zeros((1, 3)), np.ones((1, 3)), np.array([np.pi / 4])))
    np.testing.assert_allclose(tilted.boxes.sizes, [[2**0.5, 1, 2**0.5]])


def test_records_of_detections_come_back(tmp_path: Path) -> None:
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    scene = turned_scene(Y_UP @ turn, scale=100.0)
    boxes = Boxes(np.array([[1.0, 2, 3], [0, 0, 0]]), np.array([[1.0, 2, 3], [1, 1, 2]]), np.array([0.5, 0]))
    centers, sizes, rotations = scene.boxes_in_file(boxes)
    rows = [
        {"center": c.tolist(), "size": s.tolist(), "rotation": r.round(6).tolist()}
        for c, s, r in zip(centers, sizes, rotations, strict=True)
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    found = propose_boxes(scene, boxes=tmp_path / "boxes.json").boxes
    np.testing.assert_allclose(found.centers, boxes.centers, atol=1e-9)
    np.testing.assert_allclose(found.sizes, boxes.sizes, rtol=1e-5)
    np.testing.assert_allclose(found.yaws, boxes.yaws, atol=1e-5)


def test_files_of_boxes(tmp_path: Path) -> None:
    records = [{"center": [0, 0, 1], "size": [1, 2, 3]}, {"center": [1, 1, 1], "size": [1, 1, 1], "yaw": 0.5, "score": 0.25}]
    (tmp_path / "list.json").write_text(json.dumps(records))
    (tmp_path / "object.json").write_text(json.dumps({"detections": records}))
    (tmp_path / "table.csv").write_text("x,y,z,width,depth,height,yaw,score\n0,0,1,1,2,3,,\n1,1,1,1,1,1,0.5,0.25\n")
    for name in ("list.json", "object.json", "table.csv"):
        _, sizes, rotations, scores = read_boxes(tmp_path / name)
        assert sizes.tolist() == [[1, 2, 3], [1, 1, 1]]
        np.testing.assert_allclose(np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0]), [0, 0.5])
        assert scores.tolist() == [1, 0.25]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{", "cannot be read as boxes: Expecting property name"),
        ("a.json", "[" * 100_000, "cannot be read as boxes: "),
        ("a.json", "{}", "cannot be read as boxes: no list of boxes. Expected JSON records with center and size, or CSV columns x, y, z, width, depth, height."),
        ("a.json", '[{"center": [0, 0], "size": [1, 1, 1]}]', "cannot be read as boxes: center and size need three numbers."),
        ("a.json", '[{"size": [1, 1, 1]}]', "cannot be read as boxes: a box has no 'x'."),
        ("a.json", '[{"center": [0, 0, 0], "size": [1, 1, 1], "score": 7}]', "has scores outside [0, 1]. Leave them out or scale them."),
        ("a.json", '[{"center": [0, 0, 0], "size": [1, 1, -1]}]', "has boxes with negative sizes or values that are not finite. Correct or remove them."),
        ("a.json", '[{"center": [0, 0, NaN], "size": [1, 1, 1]}]', "has boxes with negative sizes or values that are not finite. Correct or remove them."),
        ("a.json", '[{"center": [0, 0, 0], "size": [1, 1, 1], "rotation": [1]}]', "cannot be read as boxes: rotation needs three rows of three numbers."),
        ("a.json", '[{"center": [0, 0, 0], "size": [1, 1, 1], "rotation": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}]', "has a rotation whose columns are not perpendicular unit vectors. Correct it, or give a yaw."),
        ("a.csv", "x,y,z\n1,2,3\n", "cannot be read as boxes: a box has no 'width'."),
        ("a.csv", "x,y,z,width,depth,height\n1,2,3,a,b,c\n", "cannot be read as boxes: could not convert string to float: 'a'."),
    ],
)  # fmt: skip
def test_broken_files_of_boxes(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FileFormatError) as caught:
        read_boxes(tmp_path / name)
    assert reason in str(caught.value)


def test_boxes_that_cannot_be_used(tmp_path: Path) -> None:
    scene = bare_scene(np.random.default_rng(0).random((300, 3)))
    with pytest.raises(FileFormatError, match=r"File 'none.json' with boxes not found. Check its name."):
        propose_boxes(scene, boxes="none.json")
    with pytest.raises(ConfigError, match="There are no boxes to use. Pass at least one, or leave out boxes to find some."):
        propose_boxes(scene, boxes=Boxes.concatenate([]))
    (tmp_path / "long.json").write_text(" " * 65_000_000)
    with pytest.raises(FileFormatError, match="boxes may have 64000000. Raise the limit list_bytes."):
        read_boxes(tmp_path / "long.json")
