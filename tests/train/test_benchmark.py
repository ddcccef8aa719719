"""The benchmark's own parts: what it does to clouds, how it counts, what it says when data is absent."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from support import load_script


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_script("benchmarks/tiny.py")


class _Oracle:
    """Answers with a fixed ranking for each shape, told apart by its number of points."""

    def __init__(self, rankings: dict[int, list[str]]) -> None:
        self.rankings = rankings

    def classify(self, shapes: list[SimpleNamespace], names: list[str]) -> list[SimpleNamespace]:
        ranked = [self.rankings[len(s.points)] for s in shapes]
        return [SimpleNamespace(label=r[0], labels=tuple([*r, *(n for n in names if n not in r)])) for r in ranked]


def test_scores_are_counted(bench: ModuleType) -> None:
    oracle = _Oracle({1: ["chair"], 2: ["x1", "x2", "x3", "x4", "chair"], 3: ["x1", "x2", "x3", "x4", "x5", "mug"]})
    clouds = [np.zeros((n, 3)) for n in (1, 2, 3)]
    right = [frozenset({"chair"}), frozenset({"chair", "stool"}), frozenset({"mug"})]
    top1, top5, mean, found = bench.score(oracle, clouds, right, ["chair", "mug"])
    assert (top1, top5) == pytest.approx((1 / 3, 2 / 3))
    assert mean == pytest.approx(0.25)
    assert len(found) == 3


def test_a_row_is_one_line_of_percent(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    bench.line("title", (0.5, 0.75, 0.25, [None, None]))
    assert capsys.readouterr().out.split() == "title n 2 top-1 50.0% top-5 75.0% class mean 25.0%".split()


def test_realistic_labels_may_be_several(bench: ModuleType, tmp_path: Path) -> None:
    points = np.zeros((2, 5000, 3), dtype=np.float16)
    np.savez(tmp_path / "r.npz", points=points, label=np.array(["desk", "ball"]), alt=np.array(["table|bench", ""]))
    clouds, right = bench.realistic(tmp_path / "r.npz")
    assert right == [{"desk", "table", "bench"}, {"ball"}]
    assert clouds[0].shape == (4096, 3)


@pytest.mark.parametrize("count", [256, 512, 1024, 2048, 4096])
def test_point_counts(bench: ModuleType, count: int) -> None:
    cloud = np.random.default_rng(0).normal(size=(4096, 3))
    fewer = bench.corrupted()[f"{count} points"](cloud, np.random.default_rng(1))
    assert len(fewer) == count
    assert set(map(tuple, fewer)) <= set(map(tuple, cloud))


@pytest.mark.parametrize("spread", [0.01, 0.02, 0.04])
def test_noise_has_its_spread(bench: ModuleType, spread: float) -> None:
    changed = bench.corrupted()[f"noise {spread}"](np.zeros((5000, 3)), np.random.default_rng(0))
    assert changed.std() == pytest.approx(spread, rel=0.05)


def test_half_scans_keep_one_side(bench: ModuleType) -> None:
    cloud = np.random.default_rng(0).normal(size=(2000, 3))
    kept = bench.corrupted()["half scan"](cloud, np.random.default_rng(2))
    assert 800 < len(kept) < 1200
    assert abs(kept[:, 2].mean()) < 0.1 < np.linalg.norm(kept[:, :2].mean(axis=0))


@pytest.mark.parametrize(("name", "height_kept"), [("random yaw", True), ("tilted 15 degrees", False), ("lying on its side", False)])
def test_turns_keep_lengths(bench: ModuleType, name: str, height_kept: bool) -> None:
    cloud = np.random.default_rng(0).normal(size=(50, 3))
    turned = bench.corrupted()[name](cloud, np.random.default_rng(3))
    assert np.allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(cloud, axis=1))
    assert np.allclose(turned[:, 2], cloud[:, 2]) == height_kept


def test_outliers_are_a_twentieth(bench: ModuleType) -> None:
    cloud = np.full((4000, 3), 5.0)
    moved = (bench.corrupted()["5 % outliers"](cloud, np.random.default_rng(0)) != 5).all(axis=1)
    assert moved.mean() == pytest.approx(0.05, abs=0.01)


def test_absent_data_is_said_so(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    oracle = SimpleNamespace(encoder=SimpleNamespace(fingerprint="0" * 64))
    monkeypatch.setattr(bench.br, "load_model", lambda *_, **__: oracle)
    monkeypatch.setattr(bench, "CATEGORIES", ("mug",))
    monkeypatch.setattr(bench, "score", lambda *_: (0.0, 0.0, 0.0, []))
    monkeypatch.setattr(bench, "timing", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["tiny.py", "--each", "1", "--threads", "1"])
    bench.main()
    printed = capsys.readouterr().out
    assert "held-out packs: skipped, the folder of labelled shapes is absent (--shapes)" in printed
    assert "realistic shapes: skipped, the file is absent (--realistic)" in printed
    assert "text: skipped, the folder of recorded features is absent (--clip-text)" in printed
    assert "robustness, over the generated names:" in printed


def test_a_text_tower_that_is_right_scores_in_full(bench: ModuleType, clip_text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = {name: torch.from_numpy(row) for name, row in bench.recorded_features(clip_text).items()}
    oracle = SimpleNamespace(embed_text=lambda names: torch.stack([known[name] for name in names]))
    bench.text(oracle, clip_text)
    assert "cosine 1.000, after taking off the mean 1.000" in capsys.readouterr().out
