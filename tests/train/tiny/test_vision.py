"""Batches, steps that learn, checkpoints that resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from basrelief.encoders import ClipEncoder
from basrelief.train.data import ShapeSet
from basrelief.train.tiny.settings import Settings
from basrelief.train.tiny.towers import PROJECTION
from basrelief.train.tiny.vision import VisionTrainer, agreed, rank

SMALL = Settings(hours=1.0, batch=4)


@pytest.fixture
def trainer(encoder: ClipEncoder, shapes: ShapeSet) -> VisionTrainer:
    return VisionTrainer(encoder, shapes, SMALL)


def test_batches_hold_two_views_of_each_shape(trainer: VisionTrainer) -> None:
    images, label = trainer.batch()
    assert images.shape == (2, 4, PROJECTION.size, PROJECTION.size)
    assert label.shape == (4,)
    assert not torch.equal(images[0], images[1])
    assert images.min() >= 0
    assert images.max() <= 1


def test_batches_are_seeded(encoder: ClipEncoder, shapes: ShapeSet) -> None:
    first, second, other = (VisionTrainer(encoder, shapes, replace(SMALL, seed=seed)).batch() for seed in (0, 0, 1))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_a_step_moves_the_vision_tower_only(trainer: VisionTrainer) -> None:
    before = {name: value.clone() for name, value in trainer.encoder.towers.state_dict().items()}
    trainer.train_step()
    trainer.train_step()
    moved = {name.split(".")[0] for name, value in trainer.encoder.towers.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"vision_model", "visual_projection", "logit_scale"}
    assert trainer.step == 2


def test_steps_learn_a_batch_by_heart(encoder: ClipEncoder, shapes: ShapeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = VisionTrainer(encoder, shapes, replace(SMALL, batch=8, smoothing=0.0, invariance=0.0))
    seen = trainer.batch()
    monkeypatch.setattr(trainer, "batch", lambda: seen)
    trainer.texts, trainer.step = torch.eye(4, 512), 100
    losses = [trainer.train_step()["align"] for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]


def test_losses_are_reported_by_name(trainer: VisionTrainer) -> None:
    losses = trainer.train_step()
    assert set(losses) == {"align", "mean", "agree", "scale"}
    assert all(0 < value < 100 for value in losses.values())


@pytest.mark.parametrize(
    ("step", "elapsed", "share"), [(0, 0.0, 0.01), (99, 0.0, 1.0), (500, 1800.0, 0.5), (500, 3600.0, 0.0), (9, 1800.0, 0.05)]
)
def test_the_rate_warms_up_and_falls_with_the_clock(trainer: VisionTrainer, step: int, elapsed: float, share: float) -> None:
    trainer.step, trainer.elapsed = step, elapsed
    trainer._set_rate()
    rates = [group["lr"] for optimiser in trainer.optimisers for group in optimiser.param_groups]
    assert rates == pytest.approx([SMALL.rate * share] * len(rates))


def test_a_resumed_run_takes_the_same_step(encoder: ClipEncoder, shapes: ShapeSet, tmp_path: Path) -> None:
    trainer = VisionTrainer(encoder, shapes, SMALL)
    trainer.train_step()
    trainer.elapsed = 7.0
    torch.save(trainer.state(), tmp_path / "checkpoint.pt")
    expected = trainer.train_step()
    trainer.train_step()
    again = VisionTrainer(encoder, shapes, SMALL)
    again.restore(tmp_path / "checkpoint.pt")
    assert (again.step, again.elapsed) == (1, 7.0)
    assert again.train_step() == pytest.approx(expected, rel=1e-4)


def test_alone_there_is_nothing_to_agree_on(trainer: VisionTrainer) -> None:
    assert rank() == 0
    assert agreed(torch.tensor([3.0, 4.0])).tolist() == [3.0, 4.0]
    trainer.parameters[0].grad = torch.ones_like(trainer.parameters[0])
    trainer._share_gradients()
    assert torch.equal(trainer.parameters[0].grad, torch.ones_like(trainer.parameters[0]))
