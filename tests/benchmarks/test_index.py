"""Parts of `benchmarks/index.py`: counting, generated rows, and a small run."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("lancedb")

from basrelief.index.schema import LibraryInfo
from basrelief.index.search import SearchOptions, search
from basrelief.index.table import Tables
from basrelief.io import load, save
from basrelief.shapes import make_shape
from basrelief.types import Mesh
from support import load_script


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_script("benchmarks/index.py")


def test_ranks_give_recall_and_average_precision(bench: ModuleType) -> None:
    scores = np.array([[0.9, 0.8, 0.1, 0.2], [0.1, 0.9, 0.8, 0.7]])
    relevant = [np.array([True, False, True, False]), np.array([True, False, False, False])]
    line = bench.ranks(scores, relevant)
    precision = (np.mean([1, 2 / 4]) + 1 / 4) / 2
    assert line.split() == ["R@1", "50.0%", "R@5", "100.0%", "mAP", f"{precision:.1%}", "n", "2"]


def test_excluded_items_are_not_counted(bench: ModuleType) -> None:
    scores = np.array([[-np.inf, 0.2, 0.1]])
    assert "R@1   0.0%" in bench.ranks(scores, [np.array([True, False, True])])
    assert "mAP  50.0%" in bench.ranks(scores, [np.array([True, False, True])])


def test_made_up_rows_can_be_searched(bench: ModuleType, tmp_path: Path) -> None:
    tables = Tables.create(str(tmp_path / "lib"), LibraryInfo("tiny", "0", 10, 512, tuple([0.0] * 512)))
    views = np.random.default_rng(0).normal(size=(5, 10, 512))
    tables.upsert([bench.made_up(number, row) for number, row in enumerate(views)])
    wanted = views[3].mean(axis=0).astype(np.float32)
    assert search(tables, wanted / np.linalg.norm(wanted), SearchOptions())[0].path == "/x/3.glb"


def test_timed_calls_print_times_and_return_answers(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[float] = []
    found = bench.timed("some search", lambda q: asked.append(float(q[0])) or ["a"], np.array([[1.0], [2.0]]))
    assert found == [["a"], ["a"]]
    assert asked == [1.0, 1.0, 2.0]  # the first is asked once more, to warm up
    assert capsys.readouterr().out.split()[:3] == ["some", "search", "median"]


def test_generated_shapes_have_about_as_many_faces_as_asked(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "CATEGORIES", ("car", "tv stand"))
    bench.generated(tmp_path, 3, faces=2000)
    assert "3 generated shapes of unseen seeds" in capsys.readouterr().out
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.glb"))
    assert files == ["car/0.glb", "car/2.glb", "tv_stand/1.glb"]
    plain = make_shape("tv stand", seed=bench.UNSEEN)
    fine = load(tmp_path / "tv_stand" / "1.glb")
    assert isinstance(plain, Mesh)
    assert isinstance(fine, Mesh)
    assert len(fine.faces) >= 1000
    assert len(fine.faces) % len(plain.faces) == 0
    assert np.allclose(np.ptp(fine.vertices, axis=0), np.ptp(plain.vertices, axis=0), rtol=1e-4)


@pytest.mark.slow
def test_a_small_run_prints_its_rows(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("chair", "mug"):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for seed in range(2):
            save(make_shape(name, seed=seed), tmp_path / "shapes" / name / f"{seed}.ply")
    monkeypatch.setattr(bench, "CATEGORIES", ("car", "table"))
    arguments = ["--shapes", str(tmp_path / "shapes"), "--files", "4", "--rows", "40", "--jobs", "1", "--many", "3"]
    monkeypatch.setattr(sys, "argv", ["index.py", *arguments])
    bench.main()
    printed = capsys.readouterr().out
    assert printed.count("4 files in ") == 2
    assert printed.count("4 shapes, 2 classes of two or more") == 2
    assert printed.count("words, text mean subtracted") == 4
    assert "40 rows, compacted" in printed
    assert "recall@10 1.000" in printed
    assert "words to hits, model and all" in printed
    assert "3 files in " in printed
    assert printed.count("most memory so far: ") == 3
    assert "most memory in all: " in printed
