"""Checks of one shape file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from basrelief.evaluate.doctor.files import check_file
from basrelief.io import save
from basrelief.models import get_recipe
from basrelief.types import PointCloud
from support.small_models import box
from support.small_room import small_room

from .conftest import Put, levels, lying, of, standing


def test_a_good_file_has_no_findings(tmp_path: Path) -> None:
    save(box(), tmp_path / "box.glb")
    findings = check_file(tmp_path / "box.glb", vote=standing())
    assert levels(findings) == {"reading": "ok", "up axis": "ok", "upright": "ok", "scale": "ok", "colour": "ok"}
    assert of(findings, "reading").fact == "12 faces, glb."
    assert of(findings, "up axis").fact == "y of the file: glTF is +Y up by its specification."


@pytest.mark.parametrize("content", [b"", b"ply\nnonsense", b"\0" * 100])
def test_a_file_that_cannot_be_read_is_one_finding(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(content)
    (finding,) = check_file(tmp_path / "a.ply", vote=standing())
    assert (finding.check, finding.level) == ("reading", "wrong")
    assert finding.remedy.startswith("Export it again")


def test_an_absent_file_is_one_finding(tmp_path: Path) -> None:
    (finding,) = check_file(tmp_path / "absent.ply", vote=standing())
    assert finding.level == "wrong"
    assert "absent.ply" in finding.fact


def test_a_shape_that_lies_is_a_warning_that_names_the_axis(cloud: Put) -> None:
    finding = of(check_file(cloud(), vote=standing("x", 0.9)), "upright")
    assert finding.level == "warning"
    assert finding.fact == "World x seems to be up (90% sure): by what the test says."
    assert "--up" in finding.remedy
    assert "--pose axes" in finding.remedy


def test_an_ambiguous_shape_is_not_reported(cloud: Put) -> None:
    finding = of(check_file(cloud(), vote=standing("x", 0.5)), "upright")
    assert finding.level == "ok"
    assert finding.fact == "Its form does not tell which way is up."


def test_an_unsure_answer_reports_its_confidence(cloud: Put) -> None:
    assert of(check_file(cloud(), vote=standing("z", 0.5)), "upright").fact == "It looks upright (50% sure)."


def test_the_real_vote_sees_a_chair_on_its_side(tmp_path: Path) -> None:
    wrong = of(check_file(lying("chair", tmp_path / "chair.ply")), "upright")
    assert wrong.level == "warning"
    assert "World y seems to be up" in wrong.fact
    right = of(check_file(tmp_path / "chair.ply", up="y"), "upright")
    assert right.level == "ok"


@pytest.mark.parametrize(("scale", "unit"), [(1.0, "metres or normalised"), (1000.0, "millimetres or a scene"), (1e-5, "very small units")])
def test_units_are_inferred_from_size(scale: float, unit: str, cloud: Put) -> None:
    finding = of(check_file(cloud(scale=scale), vote=standing()), "scale")
    assert finding.level == "ok"
    assert f"({unit})" in finding.fact


def test_a_normalised_cloud_is_recognised(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(500, 3))
    rows -= rows.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1).max()
    save(PointCloud(rows.astype(np.float32)), tmp_path / "a.ply")
    assert of(check_file(tmp_path / "a.ply", vote=standing()), "scale").fact.endswith("It already fits a unit sphere.")


def test_one_place_is_no_shape(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("1 2 3\n" * 50)
    findings = check_file(tmp_path / "a.xyz")
    assert of(findings, "scale").level == "wrong"
    assert of(findings, "scale").fact == "All points are at one position."


@pytest.mark.parametrize(
    ("points", "level", "said"), [(1000, "warning", "1,000 points, "), (20000, "ok", "of which opendlign-h14 samples 10,000")]
)
def test_points_are_compared_with_what_the_model_draws(points: int, level: str, said: str, cloud: Put) -> None:
    finding = of(check_file(cloud(points), recipe=get_recipe("opendlign-h14"), vote=standing()), "points")
    assert finding.level == level
    assert said in finding.fact


def test_meshes_have_no_points_to_compare(tmp_path: Path) -> None:
    save(box(), tmp_path / "box.glb")
    assert "points" not in levels(check_file(tmp_path / "box.glb", recipe=get_recipe("opendlign-h14"), vote=standing()))


def test_colours_are_read_by_their_range(cloud: Put) -> None:
    many = np.random.default_rng(0).random((500, 3))
    assert of(check_file(cloud(500, colors=many), vote=standing()), "colour").fact.startswith("Colours from 0.00 to 1.00")
    one = np.full((500, 3), 0.4)
    assert of(check_file(cloud(500, colors=one), vote=standing()), "colour").fact.startswith(
        "One colour, 0.40 0.40 0.40: the same as none."
    )
    assert of(check_file(cloud(500), vote=standing()), "colour").fact.startswith("No colour.")


def test_points_that_are_there_twice_are_counted(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    save(PointCloud(np.concatenate([rows, rows])), tmp_path / "a.ply")
    finding = of(check_file(tmp_path / "a.ply", vote=standing()), "form")
    assert finding.level == "warning"
    assert finding.fact == "100 of 200 points are duplicates."


def test_a_sheet_is_flat(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32) * [1, 1, 0]
    save(PointCloud(rows.astype(np.float32)), tmp_path / "a.ply")
    assert of(check_file(tmp_path / "a.ply", vote=standing()), "form").fact == "It is flat: all points lie in one plane."


@pytest.mark.parametrize(("drawn", "kind"), [(0.05, "sparse"), (0.6, "dense")])
def test_depth_maps_are_distinguished_from_clouds(drawn: float, kind: str, tmp_path: Path) -> None:
    maps = (np.random.default_rng(0).random((10, 32, 32)) < drawn).astype(np.float32)
    maps[:, 0, 0] = 0
    np.save(tmp_path / "a_dm.npy", maps)
    (finding,) = check_file(tmp_path / "a_dm.npy")
    assert (finding.check, finding.level) == ("input", "wrong")
    assert f"depth maps (10, 32, 32), {maps[0].mean():.0%} of the first one covered: {kind}" in finding.fact
    assert "Use the point cloud or mesh" in finding.remedy


@pytest.mark.parametrize("dimensions", [(500, 3), (500, 6), (2, 500, 3)])
def test_clouds_in_arrays_are_no_depth_maps(dimensions: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random(dimensions, dtype=np.float32))
    assert "input" not in levels(check_file(tmp_path / "a.npy", vote=standing()))


def test_what_was_done_while_reading_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("1 2 3\n4 5 6\nnan 0 0\n7 8 10\n")
    findings = [f for f in check_file(tmp_path / "a.xyz", vote=standing()) if f.check == "reading"]
    assert findings[0].level == "ok"
    assert all(f.level == "warning" for f in findings[1:])


def test_a_scan_of_several_things_is_a_warning(tmp_path: Path) -> None:
    points, _, _ = small_room(things=9, density=300)
    save(PointCloud(points.astype(np.float32)), tmp_path / "room.ply")
    finding = of(check_file(tmp_path / "room.ply", vote=standing()), "scene")
    assert finding.level == "warning"
    assert "more things, not like one object" in finding.fact
    assert finding.remedy.startswith("Run: basrelief detect ")


def test_a_model_that_suits_the_file_is_named_if_none_is_given(tmp_path: Path) -> None:
    save(box(), tmp_path / "a box.glb")
    finding = of(check_file(tmp_path / "a box.glb", vote=standing(), suggest=True), "model")
    assert finding.level == "ok"
    assert finding.fact.startswith("views-depth-")
    assert " suits it and this machine: about " in finding.fact
    assert finding.fact.endswith(f"More: basrelief models recommend '{tmp_path / 'a box.glb'}'.")


def test_colour_views_need_no_number_of_points(cloud: Put) -> None:
    assert "points" not in levels(check_file(cloud(), vote=standing(), recipe=get_recipe("views-clip-b32")))
