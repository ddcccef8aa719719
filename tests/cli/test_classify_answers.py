"""Answers of `classify` that are declined, calibrated, or turned upright first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from basrelief.geometry import rotate, rotation_to_z_up
from basrelief.io import save
from basrelief.shapes import make_shape
from basrelief.tasks import Calibration
from basrelief.types import Mesh, PointCloud
from support.small_room import small_room

from .conftest import Ended, Run

trimesh = pytest.importorskip("trimesh")

LABELS = "chair,airplane,car,table,mug"


@pytest.fixture
def chair(tmp_path: Path) -> Path:
    """A chair that stands, +Z up, in a format that states no axis."""
    save(make_shape("chair", seed=7), tmp_path / "chair.stl")
    return tmp_path / "chair.stl"


@pytest.fixture
def lying(tmp_path: Path) -> Path:
    """The same, lying on its side."""
    save(rotate(make_shape("chair", seed=7), rotation_to_z_up("x").T), tmp_path / "lying.stl")
    return tmp_path / "lying.stl"


def records(ended: Ended) -> list[dict[str, object]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_a_sure_answer_is_given(run: Run, chair: Path) -> None:
    (record,) = records(run("classify", chair, "-l", LABELS, "--min-confidence", 0.3, "--json"))
    assert record["label"] == "chair"
    assert not record["declined"]


def test_an_answer_that_is_not_sure_enough_is_declined_and_still_shown(run: Run, chair: Path) -> None:
    ended = run("classify", chair, "-l", LABELS, "--min-confidence", 1)
    assert ended.code == 0
    assert "none of these: the best probability " in ended.out
    assert "chair" in ended.out
    (record,) = records(run("classify", chair, "-l", LABELS, "--min-confidence", 1, "--json"))
    assert str(record["declined"]).endswith("is below 1")
    assert record["label"] == "chair"


def test_a_small_lead_is_declined(run: Run, chair: Path) -> None:
    ended = run("classify", chair, "-l", "chair,armchair,office chair", "--min-margin", 1)
    assert "none of these: the lead " in ended.out


def test_a_distractor_that_is_best_declines(run: Run, chair: Path) -> None:
    ended = run("classify", chair, "-l", "airplane,mug", "--distractors", "chair,stool")
    assert "none of these: nearest is 'chair', which is not among the labels" in ended.out
    assert "none of these" not in run("classify", chair, "-l", "chair,mug", "--distractors", "airplane,car").out


def test_a_distractor_that_is_also_asked_for_is_an_answer(run: Run, chair: Path) -> None:
    assert "none of these" not in run("classify", chair, "-l", "chair,mug", "--distractors", "chair,car").out


@pytest.mark.parametrize(("option", "value"), [("--min-confidence", 1.5), ("--min-confidence", -0.1), ("--min-margin", 2)])
def test_bounds_lie_between_0_and_1(option: str, value: float, run: Run, chair: Path) -> None:
    ended = run("classify", chair, "-l", LABELS, option, value)
    assert ended.code == 2
    assert "it must lie in [0, 1]" in ended.err


def test_a_calibration_changes_probabilities_and_no_order(run: Run, chair: Path, tmp_path: Path) -> None:
    (plain,) = records(run("classify", chair, "-l", LABELS, "--json"))
    Calibration(100.0, "tiny").save(tmp_path / "flat.json")
    Calibration(1e-3, "tiny").save(tmp_path / "sharp.json")
    (flat,) = records(run("classify", chair, "-l", LABELS, "--calibration", tmp_path / "flat.json", "--json"))
    (sharp,) = records(run("classify", chair, "-l", LABELS, "--calibration", tmp_path / "sharp.json", "--json"))
    assert plain["labels"] == flat["labels"] == sharp["labels"]
    assert flat["probabilities"][0] == pytest.approx(0.2, abs=0.02)  # type: ignore[index]
    assert sharp["probabilities"][0] == pytest.approx(1, abs=1e-3)  # type: ignore[index]


def test_a_calibration_of_another_model_is_refused(run: Run, chair: Path, tmp_path: Path) -> None:
    Calibration(1.0, "opendlign-h14").save(tmp_path / "c.json")
    ended = run("classify", chair, "-l", LABELS, "--calibration", tmp_path / "c.json")
    assert ended.code == 2
    assert "The calibration was fitted on opendlign-h14, not on tiny" in ended.err


@pytest.mark.parametrize("text", ["", "{}", '{"temperature": 0}', "[]", '{"temperature": "hot"}'])
def test_another_file_is_no_calibration(text: str, run: Run, chair: Path, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    ended = run("classify", chair, "-l", LABELS, "--calibration", tmp_path / "c.json")
    assert ended.code == 2
    assert "Cannot read the calibration" in ended.err


@pytest.mark.parametrize("pose", ["axes", "any"])
def test_a_shape_on_its_side_is_turned_before_it_is_named(pose: str, run: Run, lying: Path) -> None:
    (record,) = records(run("classify", lying, "-l", LABELS, "--pose", pose, "--json"))
    assert record["label"] == "chair"
    turn = record["pose"]
    assert isinstance(turn, dict)
    assert turn["confidence"] > 0.5
    rotation = np.array(turn["rotation"])
    assert np.degrees(np.arccos(np.clip(rotation[2] @ [1, 0, 0], -1, 1))) < 15
    if pose == "axes":
        assert turn["up"] == "x"


def test_without_a_pose_the_file_is_believed(run: Run, lying: Path) -> None:
    (record,) = records(run("classify", lying, "-l", LABELS, "--json"))
    assert record["pose"] is None
    assert record["up"] == "z"


def test_an_upright_shape_stays_as_it_is(run: Run, chair: Path) -> None:
    (record,) = records(run("classify", chair, "-l", LABELS, "--pose", "axes", "--json"))
    assert record["pose"]["up"] == "z"  # type: ignore[index]


def test_the_axis_of_a_file_that_states_none_is_guessed(run: Run, tmp_path: Path) -> None:
    turned = rotate(make_shape("chair", seed=7), rotation_to_z_up("y").T)
    assert isinstance(turned, Mesh)
    trimesh.Trimesh(turned.vertices, turned.faces).export(tmp_path / "y.stl")
    (record,) = records(run("classify", tmp_path / "y.stl", "-l", LABELS, "--up", "auto", "--json"))
    assert record["up"] == "y"
    assert "but its form says +Y" in str(record["up_reason"])
    assert record["label"] == "chair"


def test_an_unknown_pose_is_explained(run: Run, chair: Path) -> None:
    ended = run("classify", chair, "-l", LABELS, "--pose", "axis")
    assert ended.code == 2
    assert "Unknown pose 'axis'; expected one of file, axes, any. Did you mean 'axes'?" in ended.err


def test_without_labels_the_names_the_model_knows_are_used(run: Run, chair: Path) -> None:
    ended = run("classify", chair, "--json")
    (record,) = records(ended)
    assert record["label"] == "chair"
    assert ended.err == "basrelief: choosing among the 346 names tiny was trained on; --labels takes yours\n"
    assert not run("classify", chair, "-l", LABELS).err


def test_a_scan_of_several_things_is_recognised_and_still_labelled(run: Run, tmp_path: Path) -> None:
    points, _, _ = small_room(things=9, density=300)
    save(PointCloud(points.astype(np.float32)), tmp_path / "room.ply")
    ended = run("classify", tmp_path / "room.ply", "-l", LABELS, "--json")
    assert ended.code == 0
    (record,) = records(ended)
    assert record["label"] in LABELS.split(",")
    scene = record["scene"]
    assert isinstance(scene, dict)
    assert scene["things"] >= 4
    assert (
        f"This looks like a scan of a room with {scene['things']} or more things, not like one object. Run: basrelief detect" in ended.err
    )


def test_a_single_object_is_no_scene(run: Run, chair: Path) -> None:
    ended = run("classify", chair, "-l", LABELS, "--json")
    assert records(ended)[0]["scene"] is None
    assert "scan" not in ended.err
