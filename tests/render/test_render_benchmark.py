"""The benchmark of the projections runs and knows every one of them."""

from __future__ import annotations

import re
import runpy
import sys

import pytest
import torch

from basrelief.render import PROJECTIONS
from basrelief.render.base import PointBatch
from support import REPOSITORY

SCRIPT = str(REPOSITORY / "benchmarks" / "render.py")


def test_prints_times_and_ratios(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    options = [
        "--projection",
        "pointclip-v2",
        "discs",
        "--points",
        "64",
        "1024",
        "--repeats",
        "1",
        "--threads",
        "1",
        "--reference-up-to",
        "64",
    ]
    monkeypatch.setattr(sys, "argv", [SCRIPT, *options])
    try:
        runpy.run_path(SCRIPT, run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["pointclip-v2", "pointclip-v2", "discs", "discs"]
    small, large = (line.split() for line in lines[2:4])
    assert small[4] == small[5] == "-"  # no recording at 64 points
    assert float(small[9].rstrip("x")) > 1
    assert large[4] == "45.0"
    assert re.fullmatch(r"[\d.,]+x", large[5])
    assert large[6:] == ["-"] * 4


def test_every_projection_has_a_reference() -> None:
    script = runpy.run_path(SCRIPT)
    assert set(script["REFERENCES"]) == set(PROJECTIONS)
    assert {name for name, _ in script["ORIGINAL_MS"]} <= set(PROJECTIONS)


def test_peer_draws_the_same_images() -> None:
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    script, projection = runpy.run_path(SCRIPT), PROJECTIONS["opendlign"]
    points = script["shell"](1024)
    ours = projection.image(projection.depth(PointBatch.pack([points])))[0]
    assert ((ours - script["peer"](points, projection)).abs() > 1e-5).float().mean() < 4e-4
