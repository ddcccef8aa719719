"""Commands that read shapes read depth maps with `--intrinsics`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Run

CAMERA = "60,60,31.5,23.5"


@pytest.fixture
def depth(tmp_path: Path) -> Path:
    """A depth image of a ball a metre away."""
    row, column = np.indices((48, 64))
    inside = (row - 23.5) ** 2 + (column - 31.5) ** 2 < 400
    away = np.where(inside, 1000 - np.sqrt(np.maximum(400 - (row - 23.5) ** 2 - (column - 31.5) ** 2, 0)) * 15, 0)
    Image.fromarray(away.astype(np.uint16)).save(tmp_path / "ball.png")
    np.save(tmp_path / "ball.npy", away / 1000)
    return tmp_path


def test_classify(run: Run, depth: Path) -> None:
    ended = run("classify", depth / "ball.png", depth / "ball.npy", "--labels", "chair,ball", "--intrinsics", CAMERA, "--json")
    assert ended.code == 0
    assert [json.loads(line)["up"] for line in ended.out.splitlines()] == ["-y", "-y"]


def test_doctor_and_render(run: Run, depth: Path) -> None:
    ended = run("doctor", depth / "ball.png", "--intrinsics", CAMERA)
    assert ended.code == 0
    assert "A depth map of 64 x 48 pixels: 1,264 have a depth, taken as millimetres." in ended.out
    (depth / "camera.json").write_text(json.dumps({"fx": 60, "fy": 60, "ppx": 31.5, "ppy": 23.5}))
    assert run("render", depth / "ball.png", "--intrinsics", depth / "camera.json", "-o", depth / "sheet.png").code == 0


@pytest.mark.slow
def test_index(run: Run, depth: Path) -> None:
    pytest.importorskip("lancedb")
    ended = run("index", depth, "--db", depth / "library.lance", "--intrinsics", CAMERA, "--jobs", 1)
    assert "1 read" in ended.out


def test_without_intrinsics_the_message_names_the_option(run: Run, depth: Path) -> None:
    ended = run("classify", depth / "ball.png", "--labels", "chair,ball")
    assert ended.code == 1
    assert "Give the intrinsics of the camera: --intrinsics fx,fy,cx,cy" in ended.err + ended.out


def test_wrong_intrinsics(run: Run, depth: Path) -> None:
    ended = run("classify", depth / "ball.png", "--labels", "chair,ball", "--intrinsics", "60,60")
    assert ended.code == 2
    assert "The intrinsics hold 2 numbers" in ended.err


def test_doctor_reads_an_organised_cloud(run: Run, tmp_path: Path) -> None:
    v, u = np.meshgrid(np.linspace(0, 3, 40), np.linspace(0, 6, 60), indexing="ij")
    np.save(tmp_path / "a.npy", np.stack([np.cos(u), np.sin(u), v], axis=2))
    assert "An organised cloud of 60 x 40 points" in run("doctor", tmp_path / "a.npy").out
