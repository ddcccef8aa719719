"""`basrelief detect`: boxes of scans, files of every kind, other words, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import basrelief as br
from basrelief.cli.app import app
from support import REPOSITORY
from support.small_scenes import planted_scene

LABELS = "chair,lamp,bathtub"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan of three things that stand far apart, in a y-up file in millimetres."""
    scene, _ = planted_scene(LABELS.split(","), floor=20_000)
    x, y, z = scene.cloud.points.T * 1000
    return br.save(br.PointCloud(np.stack([x, z, -y], axis=1)), tmp_path_factory.mktemp("scans") / "scan.ply")


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["detect", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_things_of_a_scan_are_found_in_the_coordinates_of_the_file(scan: Path) -> None:
    code, output, _ = run(scan, "--labels", LABELS, "--json")
    assert code == 0
    document = json.loads(output)
    assert document["file"] == str(scan)
    assert document["scene"]["metres_per_unit"] == pytest.approx(0.001)
    for place, label in enumerate(LABELS.split(",")):
        near = [box for box in document["detections"] if abs(box["center"][0] - 2500 * place) < 400]
        assert near[0]["label"] == label


def test_the_table_and_files_of_every_kind(scan: Path, tmp_path: Path) -> None:
    names = [f"boxes.{suffix}" for suffix in ("json", "csv", "ply", "glb", "txt", "html", "npz")]
    outputs = [part for name in names for part in ("--out", tmp_path / name)]
    code, output, errors = run(scan, "--labels", LABELS, *outputs)
    assert code == 0
    assert "lamp" in output
    assert "up axis" in errors or "unit" in errors or not errors
    assert all((tmp_path / name).stat().st_size > 300 for name in names)
    code, output, _ = run(tmp_path / "boxes.npz", "--labels", "stool,lamp", "--json")
    assert code == 0
    assert json.loads(output)["labels"] == ["stool", "lamp"]


def test_one_bad_file_does_not_stop_the_others(scan: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.ply"
    bad.write_bytes(b"ply\nnothing")
    few = br.save(br.PointCloud(np.random.default_rng(0).random((20, 3))), tmp_path / "few.ply")
    code, output, errors = run(bad, few, scan, "--labels", LABELS, "--out", tmp_path / "found.json")
    assert code == 1
    assert "bad.ply: error: " in errors
    assert "has only 20 points" in errors
    assert "2 of 3 files failed" in errors
    assert "scan.ply: " in output
    assert (tmp_path / "found-scan.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "boxes.xyz"), "xyz"),
        (("--proposals", "magic"), "proposals"),
        (("--unit", "furlong"), "unit"),
        (("--kind", "garden"), "kind"),
        (("--labels", "chair,chair"), "occurs twice"),
    ],
)
def test_wrong_options_are_explained(scan: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(br.BasreliefError, match=message):
        run(scan, "--labels", LABELS, *arguments)


def test_the_example_scan_is_what_its_script_writes() -> None:
    cloud = br.load(REPOSITORY / "examples" / "scans" / "room.ply")
    assert isinstance(cloud, br.PointCloud)
    assert cloud.colors is not None
    assert 30_000 < len(cloud.points) < 80_000


def test_weights_for_a_method_without_weights_are_refused(scan: Path, tmp_path: Path) -> None:
    with pytest.raises(br.BasreliefError, match="weights"):
        run(scan, "--labels", LABELS, "--proposal-weights", tmp_path / "none.pth")
