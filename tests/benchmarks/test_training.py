"""The training benchmarks: trained and evaluated shapes are disjoint, and small runs print their rows."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from basrelief.io import save
from basrelief.shapes import CATEGORIES, make_shape
from basrelief.tasks import HEADS, FitOptions
from basrelief.train import make_records
from support import load_script


@pytest.fixture(scope="module")
def heads() -> ModuleType:
    return load_script("benchmarks/heads.py")


@pytest.fixture(scope="module")
def clip2point() -> ModuleType:
    return load_script("benchmarks/clip2point.py")


def separable(classes: int = 3, each: int = 6, views: int = 4, dim: int = 16) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    words = F.normalize(torch.randn(classes, dim, generator=torch.Generator().manual_seed(0)), dim=-1)
    truth = np.repeat(np.arange(classes), each)
    noise = 0.05 * torch.randn(len(truth), views, dim, generator=torch.Generator().manual_seed(1))
    return words[torch.from_numpy(truth)][:, None] + noise, truth, words


@pytest.mark.parametrize("kind", ["probe", "cache"])
def test_heads_are_evaluated_on_shapes_they_were_not_trained_on(kind: str, heads: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    views, truth, words = separable()
    met: dict[str, torch.Tensor] = {}
    real_fit, real_scores = heads.fit_head, heads.head_scores

    def fit(name: str, support: torch.Tensor, **options: object) -> object:
        met["support"] = support
        return real_fit(name, support, **options)

    def scores(head: object, asked: torch.Tensor) -> torch.Tensor:
        met["asked"] = asked
        return torch.as_tensor(real_scores(head, asked))

    monkeypatch.setattr(heads, "fit_head", fit)
    monkeypatch.setattr(heads, "head_scores", scores)
    assert heads.accuracy(kind, views, truth, words, shots=2, seed=0) == 1.0
    taught, asked = ({tuple(row.flatten().tolist()) for row in met[name]} for name in ("support", "asked"))
    assert len(taught) == 6
    assert len(asked) == 3 * heads.ASKED
    assert not taught & asked


@pytest.mark.slow
def test_one_path_heads_see_half_of_the_views(heads: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    views, truth, words = separable()
    seen: list[int] = []
    real = heads.fit_head
    monkeypatch.setattr(heads, "fit_head", lambda kind, support, **o: (seen.append(support.shape[1]), real(kind, support, **o))[1])
    monkeypatch.setattr(heads, "FitOptions", partial(FitOptions, epochs=1))
    for kind in HEADS:
        heads.accuracy(kind, views, truth, words, shots=1, seed=0)
    assert seen == [4 if HEADS[kind].paths == 2 else 2 for kind in HEADS]


def test_only_large_classes_are_measured(heads: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "cache"))
    for name, count in (("chair", 3), ("mug", 3), ("rare", 1)):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for seed in range(count):
            save(make_shape("chair" if name == "rare" else name, seed=seed), tmp_path / "shapes" / name / f"{seed}.glb")
    views, truth, names, _ = heads.features(tmp_path / "shapes", 2)
    assert names == ("chair", "mug")
    assert truth.tolist() == [0, 0, 0, 1, 1, 1]
    assert views.shape == (6, 20, 512)


def test_without_shapes_nothing_is_measured(heads: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["heads.py"])
    heads.main()
    assert capsys.readouterr().out == "heads: no --root given, nothing to measure\n"


def test_the_names_of_the_miniature_can_be_generated(clip2point: ModuleType) -> None:
    assert set(clip2point.NAMES) <= set(CATEGORIES)
    assert len(set(clip2point.NAMES)) == len(clip2point.NAMES)


def test_training_and_held_out_shapes_differ(clip2point: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip2point, "NAMES", ["chair", "mug"])
    taught, held = clip2point.write(tmp_path / "a", 0, 2), clip2point.write(tmp_path / "b", 800_000, 2)
    assert taught.labels == held.labels == ("chair", "mug")
    contents = [{Path(item.path).read_bytes() for item in part.items} for part in (taught, held)]
    assert len(contents[0]) == len(contents[1]) == 4
    assert not contents[0] & contents[1]


@pytest.mark.slow
def test_the_miniature_runs_and_prints_a_row(
    clip2point: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clip2point, "NAMES", ["chair", "mug"])
    monkeypatch.setattr(clip2point, "make_records", lambda library, out, **options: make_records(library, out, maker=options["maker"]))
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(tmp_path), "--seeds", "1", "--each", "16", "--steps", "2", "--epochs", "1"])
    clip2point.main()
    out = capsys.readouterr().out
    assert "2 names, 32 pairs, 8 unseen shapes" in out
    assert "depth maps before " in out
    assert (tmp_path / "clip2point.png").is_file()


def test_an_accuracy_is_noted_and_passed_on(clip2point: ModuleType) -> None:
    curve: list[float] = []
    assert clip2point.keep(curve, lambda _: 0.25, None) == 0.25
    assert curve == [25.0]


@pytest.fixture(scope="module")
def opendlign() -> ModuleType:
    return load_script("benchmarks/opendlign.py")


@pytest.mark.slow
def test_the_alignment_in_miniature_runs_and_prints_its_rows(
    opendlign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one process: a started one would not know what this test changed."""
    assert set(opendlign.NAMES) <= set(CATEGORIES)
    monkeypatch.setattr(opendlign, "NAMES", ["chair", "mug"])
    monkeypatch.setattr(opendlign, "Workers", lambda _: None)
    given = ["--seeds", "1", "--each", "16", "--steps", "2", "--epochs", "1", "--tables", "components,aggregation"]
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(tmp_path), *given])
    opendlign.main()
    out = capsys.readouterr().out
    assert "2 names, 32 shapes with images, 8 unseen shapes" in out
    assert "seed 0: depth maps before " in out
    assert "% (tuned branch), " in out
    assert "one epoch: tokens " in out
    assert "(1.0x)" in out
    assert "Contribution of each component (Table 4)" in out
    assert "\nsplit, summed softmax | " in out
    assert (tmp_path / "opendlign.png").is_file()


@pytest.mark.filterwarnings("ignore")
def test_samplers_are_timed_on_random_numbers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.setattr(sys, "argv", ["x", "--size", "32"])
    load_script("benchmarks/diffusion.py").main()
    first, ddim, lcm, ratio = capsys.readouterr().out.splitlines()
    assert first.startswith("U-Net 0.")
    assert ddim.startswith("ddim, 20 steps, guidance 9: ")
    assert lcm.startswith("lcm, 4 steps, guidance 1: ")
    seconds = [float(line.split(": ")[1].split(" s")[0]) for line in (ddim, lcm)]
    assert 0 < seconds[1] < seconds[0], "four passes are less than forty"
    assert ratio.endswith(" times quicker")
