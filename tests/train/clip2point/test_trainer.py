"""The pre-training loop: it learns, is seeded, resumes, and keeps the best tower."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.encoders import ClipEncoder
from basrelief.errors import ConfigError
from basrelief.geometry import sample_surface
from basrelief.shapes import make_shape
from basrelief.train import Clip2PointSettings
from basrelief.train.clip2point.settings import OptimiserSettings
from basrelief.train.clip2point.trainer import AZIMUTH, ELEVATION, Pretrainer, _PretrainRun, pretrain
from basrelief.train.pairs.read import PairSet
from basrelief.types import Mesh
from support.small_models import small_encoder

SETTINGS = Clip2PointSettings(
    batch_size=4, epochs=3, points=128, save_every=2, workers=2, optimiser=OptimiserSettings("adamw", lr=1e-3, min_lr=0.0)
)


class Made(PairSet):
    """Generated shapes; the picture of a view is a plain colour of shape and view."""

    def __init__(self, each: int = 5) -> None:
        names = ("chair", "mug")
        self.labels, self._clouds = names, []
        truth: list[int] = []
        for label, name in enumerate(names):
            for seed in range(each):
                shape = make_shape(name, seed=seed)
                assert isinstance(shape, Mesh)
                self._clouds.append(sample_surface(shape, 256, seed=0).points)
                truth.append(label)
        self.truth: Sequence[int] = truth
        self.keys: Sequence[str] = [str(i) for i in range(len(truth))]

    def points(self, row: int) -> np.ndarray:
        return np.asarray(self._clouds[row], dtype=np.float32)

    def picture(self, row: int, view: int) -> np.ndarray:
        return np.full((32, 32, 3), (row * 23 + view * 7) % 256, dtype=np.uint8)


@pytest.fixture(scope="module")
def pairs() -> Made:
    return Made()


def curve(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["total"] for line in lines if line["stage"] == "train"]


def towers(encoder: ClipEncoder) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in encoder.towers.state_dict().items()}


def test_a_run_writes_its_files_and_does_not_change_the_encoder(pairs: Made, tmp_path: Path) -> None:
    encoder = small_encoder()
    before = towers(encoder)
    trained = pretrain(pairs, encoder, out=tmp_path / "run", settings=SETTINGS)
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"checkpoint.pt", "log.jsonl", "depth_tower.safetensors"}
    for name, tensor in encoder.towers.state_dict().items():
        assert torch.equal(tensor, before[name])
    changed = [name for name, tensor in trained.towers.state_dict().items() if not torch.equal(tensor, before[name])]
    assert changed
    assert not any(name.startswith("text_model") for name in changed)
    assert len(curve(tmp_path / "run")) == 3 * (len(pairs) // 4)


def test_the_loss_falls(pairs: Made, tmp_path: Path) -> None:
    settings = Clip2PointSettings(
        batch_size=8, epochs=30, points=128, workers=2, save_every=1000, optimiser=OptimiserSettings("adamw", lr=2e-3)
    )
    pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=settings)
    found = curve(tmp_path / "run")
    assert np.mean(found[-5:]) < np.mean(found[:5]) - 0.2


@pytest.mark.parametrize("optimiser", ["lamb", "adamw"])
def test_training_is_seeded(optimiser: str, pairs: Made, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=1, optimiser=OptimiserSettings(optimiser, lr=1e-3))
    one = pretrain(pairs, small_encoder(), out=tmp_path / "a", settings=settings)
    other = pretrain(pairs, small_encoder(), out=tmp_path / "b", settings=settings)
    for name, tensor in one.towers.state_dict().items():
        assert torch.equal(tensor, other.towers.state_dict()[name])
    third = pretrain(pairs, small_encoder(), out=tmp_path / "c", settings=replace(settings, seed=1))
    assert any(not torch.equal(tensor, third.towers.state_dict()[name]) for name, tensor in one.towers.state_dict().items())


def test_an_interrupted_run_resumes_on_the_same_curve(pairs: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pretrain(pairs, small_encoder(), out=tmp_path / "whole", settings=SETTINGS)
    real = _PretrainRun.train_step

    def stopped(self: _PretrainRun, content: object) -> object:
        if self.step == 3:  # after the checkpoint of step 2
            raise KeyboardInterrupt
        return real(self, content)  # type: ignore[arg-type]

    monkeypatch.setattr(_PretrainRun, "train_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        pretrain(pairs, small_encoder(), out=tmp_path / "stopped", settings=SETTINGS)
    monkeypatch.setattr(_PretrainRun, "train_step", real)
    again = pretrain(pairs, small_encoder(), out=tmp_path / "stopped", settings=SETTINGS)
    for name, tensor in whole.towers.state_dict().items():
        assert torch.equal(tensor, again.towers.state_dict()[name])
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole"), "no step twice, none left out"


def test_a_finished_run_is_not_repeated(pairs: Made, tmp_path: Path) -> None:
    pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=SETTINGS)
    before = (tmp_path / "run" / "depth_tower.safetensors").read_bytes()
    pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=SETTINGS)
    assert (tmp_path / "run" / "depth_tower.safetensors").read_bytes() == before


def test_a_run_with_other_settings_is_rejected(pairs: Made, tmp_path: Path) -> None:
    pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, epochs=1))
    with pytest.raises(ConfigError, match="Folder 'run' holds a run with other settings or data. Name another folder with --out."):
        pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, epochs=2))


def test_the_best_validation_is_kept(pairs: Made, tmp_path: Path) -> None:
    answers = iter([0.3, 0.9, 0.5])
    kept: list[dict[str, torch.Tensor]] = []

    def validate(encoder: ClipEncoder) -> float:
        kept.append(towers(encoder))
        return next(answers)

    found = pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, epochs=3), validate=validate)
    assert len(kept) == 3
    for name, tensor in found.towers.state_dict().items():
        if name.startswith("vision_model"):
            torch.testing.assert_close(tensor, kept[1][name], atol=0, rtol=0)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["accuracy"] for line in lines if line["stage"] == "validation"] == [0.3, 0.9, 0.5]


def test_the_learning_rate_falls_and_restarts(pairs: Made, tmp_path: Path) -> None:
    settings = Clip2PointSettings(
        batch_size=4, epochs=5, points=64, workers=1, optimiser=OptimiserSettings(lr=0.01, restart_epochs=2, min_lr=0.001)
    )
    pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=settings)
    rates = [json.loads(line)["lr"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    each = len(pairs) // 4
    period = rates[: 2 * each]
    assert period[0] == 0.01
    assert period == sorted(period, reverse=True)
    assert rates[2 * each : 4 * each] == period


def test_saved_towers_fit_where_clip2points_own_fit(pairs: Made, tmp_path: Path) -> None:
    trained = pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=SETTINGS)
    read = small_encoder().load_visual(tmp_path / "run" / "depth_tower.safetensors")
    for name, tensor in trained.towers.state_dict().items():
        assert torch.equal(tensor, read.towers.state_dict()[name])


@pytest.mark.parametrize("batch", [11, 100])
def test_a_batch_that_does_not_fit_is_explained(batch: int, pairs: Made, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"batch_size is {batch}, but there are only 10 pairs\. Lower batch_size"):
        pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, batch_size=batch))


def test_every_shape_is_used_once_per_epoch(pairs: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[int] = []
    real = Made.points
    monkeypatch.setattr(Made, "points", lambda self, row: (met.append(row), real(self, row))[1])
    pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, batch_size=5, epochs=1))
    assert sorted(met) == list(range(10))


def test_views_are_those_of_the_pictures() -> None:
    from basrelief.render.rigs import CLIP2POINT_TURN, clip2point_look, get_rig

    looked = clip2point_look(torch.tensor(AZIMUTH), torch.tensor(ELEVATION)).numpy() @ CLIP2POINT_TURN
    np.testing.assert_allclose(looked, get_rig("clip2point10").rotation, atol=1e-6)


def test_two_distances_give_two_maps_of_one_view(pairs: Made) -> None:
    made = Pretrainer(small_encoder())
    depth = made.draw([pairs.points(0), pairs.points(1)], torch.tensor([0, 4]), generator=torch.Generator().manual_seed(0))
    assert depth.shape == (2, 2, 32, 32)
    assert not torch.equal(depth[:, 0], depth[:, 1])
    assert (depth[:, 0] < 1).float().mean() > 0.02


def test_gradients_can_be_accumulated(pairs: Made, tmp_path: Path) -> None:
    still = small_encoder()
    settings = replace(SETTINGS, epochs=1, accumulate=100, optimiser=OptimiserSettings("adamw", lr=1e-3, weight_decay=0.0))
    found = pretrain(pairs, still, out=tmp_path / "run", settings=settings)
    assert all(torch.equal(tensor, still.towers.state_dict()[name]) for name, tensor in found.towers.state_dict().items())


@pytest.mark.slow  # in a full quick run its signal has ended the worker
def test_a_stop_request_saves_and_the_run_resumes(pairs: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    settings = replace(SETTINGS, save_every=1000)
    whole = pretrain(pairs, small_encoder(), out=tmp_path / "whole", settings=settings)
    real = _PretrainRun.train_step

    def asked(self: _PretrainRun, content: object) -> object:
        if self.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return real(self, content)  # type: ignore[arg-type]

    monkeypatch.setattr(_PretrainRun, "train_step", asked)
    with pytest.raises(KeyboardInterrupt):
        pretrain(pairs, small_encoder(), out=tmp_path / "asked", settings=settings)
    monkeypatch.setattr(_PretrainRun, "train_step", real)
    assert len(curve(tmp_path / "asked")) == 3, "the step was finished"
    again = pretrain(pairs, small_encoder(), out=tmp_path / "asked", settings=settings)
    assert curve(tmp_path / "asked") == curve(tmp_path / "whole"), "no step twice, none left out"
    for name, tensor in whole.towers.state_dict().items():
        assert torch.equal(tensor, again.towers.state_dict()[name])


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_lower_precision_trains(precision: str, pairs: Made, tmp_path: Path) -> None:
    found = pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, epochs=1, precision=precision))
    assert all(torch.isfinite(tensor).all() for tensor in found.towers.state_dict().values())
    assert {tensor.dtype for tensor in found.towers.state_dict().values() if tensor.is_floating_point()} == {torch.float32}


def test_tensorboard_gets_the_curves(pairs: Made, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pretrain(pairs, small_encoder(), out=tmp_path / "run", settings=replace(SETTINGS, epochs=1))
    events = list((tmp_path / "run" / "tensorboard").iterdir())
    assert len(events) == 1
    assert b"train/total" in events[0].read_bytes()


@pytest.mark.slow  # in a full quick run its signal has ended the worker
def test_accumulating_gradients_are_not_checkpointed(pairs: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between two halves of an accumulated step, it finishes the step first."""
    import signal

    settings = replace(SETTINGS, epochs=4, accumulate=2, save_every=3)
    whole = pretrain(pairs, small_encoder(), out=tmp_path / "whole", settings=settings)
    real = _PretrainRun.train_step

    def asked(self: _PretrainRun, content: object) -> object:
        if self.step == 4:  # the first half of the third pair of steps
            signal.raise_signal(signal.SIGINT)
        return real(self, content)  # type: ignore[arg-type]

    monkeypatch.setattr(_PretrainRun, "train_step", asked)
    with pytest.raises(KeyboardInterrupt):
        pretrain(pairs, small_encoder(), out=tmp_path / "asked", settings=settings)
    monkeypatch.setattr(_PretrainRun, "train_step", real)
    assert len(curve(tmp_path / "asked")) == 6
    again = pretrain(pairs, small_encoder(), out=tmp_path / "asked", settings=settings)
    assert curve(tmp_path / "asked") == curve(tmp_path / "whole")
    for name, tensor in whole.towers.state_dict().items():
        assert torch.equal(tensor, again.towers.state_dict()[name])
