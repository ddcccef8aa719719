"""The benchmark of a point network beside `tiny`: trained, chosen and reported shapes are disjoint; a small run prints and plots."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from basrelief.datasets import maker_split
from basrelief.train.data import generated_shapes
from support import load_script
from support.tiny_training_data import write_labelled


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_script("benchmarks/point_ensemble.py")


@pytest.fixture
def few(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(bench, "CATEGORIES", ("chair", "mug"))
    monkeypatch.setattr(bench, "POINTS", 128)
    return bench


def test_no_shape_is_in_two_parts(few: ModuleType, tmp_path: Path) -> None:
    packs = maker_split().validation[0], maker_split().test[0]
    folder = write_labelled(tmp_path / "shapes", packs=packs)
    train, held_out, reported = few.parts(folder, 3)
    assert [len(part.shapes) for part in (held_out, *reported)] == [12, 2, 10]
    assert len(train.shapes) == 6
    assert {part.shapes.names for part in (held_out, *reported)} == {train.shapes.names}
    assert {"chair", "mug", "street light"} == set(train.shapes.names)
    first = maker_split().seeds["train"][0][0]
    same = generated_shapes(("chair", "mug"), 3, count=128, seed=first)
    assert torch.equal(train.shapes.points, same.points)
    assert set(train.shapes.group) == {"generated"}
    makers = [{maker_split().part(group) for group in part.shapes.group if group != "generated"} for part in (held_out, *reported)]
    assert makers == [{"validation"}, {"test"}, set()]
    made = [part.shapes.select(np.array([group == "generated" for group in part.shapes.group])) for part in (train, held_out, reported[1])]
    assert [len(shapes) for shapes in made] == [6, 10, 10]
    assert len({points.numpy().tobytes() for shapes in made for points in shapes.points}) == 26


def test_a_small_run_prints_and_plots(
    few: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(few, "SIZE", {**few.SIZE, "depth": 1, "patches": 8, "samples": 8, "heads": 1})
    monkeypatch.setattr(few, "SETTINGS", few.replace(few.SETTINGS, batch_size=4, points=64))
    arguments = ["--out", str(tmp_path / "out"), "--each", "4", "--steps", "4", "--seeds", "2", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["point_ensemble.py", *arguments])
    few.main()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"8 training shapes, 2 names, 4 steps of 4 shapes; features of tiny in \d+ s", lines[1])
    assert re.fullmatch(r"seed 0: trained in \d+ s, scales [\d.]+ and [\d.]+ by generated, validation seeds", lines[2])
    assert [line.split()[5] for line in lines[4:7]] == ["tiny", "points", "ensemble"]
    assert (tmp_path / "out" / "generated-test-seeds.png").is_file()
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "teacher.npy").shape, (8, 10, 512))


def test_features_of_other_shapes_are_refused(few: ModuleType, tmp_path: Path) -> None:
    np.save(tmp_path / "teacher.npy", np.zeros((3, 10, 512)))
    shapes = few.Part("two", generated_shapes(("chair",), 2, count=128), np.zeros((2, 128, 3), np.float16))
    with pytest.raises(SystemExit, match=r"holds features of 3 shapes, not 2; remove it"):
        few.triplets(shapes, None, tmp_path / "teacher.npy")
