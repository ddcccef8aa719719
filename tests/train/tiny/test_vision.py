"""Batches, targets, training steps, and resuming from checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from basrelief.encoders import ClipEncoder
from basrelief.train.augment import Augmentation, augment
from basrelief.train.data import ShapeSet
from basrelief.train.run import RunContext, make_accelerator
from basrelief.train.tiny.settings import TinySettings
from basrelief.train.tiny.towers import PROJECTION
from basrelief.train.tiny.vision import Batch, Pictures, VisionModel, VisionRun, label_targets, optimisers

SMALL = TinySettings(batch_size=4, with_images=2, epochs=1, epoch_steps=8, warm_up=2, patches=20, text_steps=1)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    generator = torch.Generator().manual_seed(3)
    colour = torch.randint(0, 256, (3, 2, PROJECTION.size, PROJECTION.size, 3), generator=generator, dtype=torch.uint8)
    return Pictures(colour, colour[..., 0], torch.tensor([0, 4, 7]))


def _run(encoder: ClipEncoder, shapes: ShapeSet, pictures: Pictures, out: Path, settings: TinySettings = SMALL) -> VisionRun:
    targets, texts = label_targets(encoder, shapes, ["gate", "mug"], settings=settings)
    context = RunContext(make_accelerator("float32", cpu=True), out)
    return VisionRun(VisionModel(encoder, targets, texts, settings), shapes, pictures, settings=settings, context=context)


def test_a_batch_holds_two_views_of_each_shape_and_pictures_of_the_first(
    encoder: ClipEncoder, shapes: ShapeSet, pictures: Pictures, tmp_path: Path
) -> None:
    batch = _run(encoder, shapes, pictures, tmp_path).batch()
    side = PROJECTION.size
    assert batch.views.shape == (2, 4, side, side)
    assert batch.maps.shape == (2, side, side)
    assert batch.pictures.shape == (2, 3, side, side)
    assert not torch.equal(batch.views[0], batch.views[1])
    for images in (batch.views, batch.maps, batch.pictures):
        assert images.min() >= 0
        assert images.max() <= 1
    assert torch.equal(batch.pictures[:, 0], batch.maps)  # of the same view
    assert set(batch.label[:2].tolist()) <= set(shapes.label[pictures.row].tolist())


def test_a_batch_depends_on_seed_and_step_alone(encoder: ClipEncoder, shapes: ShapeSet, pictures: Pictures, tmp_path: Path) -> None:
    one, same, other = (_run(encoder, shapes, pictures, tmp_path, replace(SMALL, seed=seed)) for seed in (0, 0, 1))
    first = one.batch()
    assert torch.equal(first.views, same.batch().views)
    assert not torch.equal(first.views, other.batch().views)
    same.step = 1
    assert not torch.equal(first.views, same.batch().views)


def test_augmentation_grows_with_the_steps(
    encoder: ClipEncoder, shapes: ShapeSet, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Augmentation] = []

    def watched(points: torch.Tensor, how: Augmentation, *, generator: torch.Generator) -> torch.Tensor:
        seen.append(how)
        return augment(points, how, generator=generator)

    monkeypatch.setattr("basrelief.train.tiny.vision.augment", watched)
    run = _run(encoder, shapes, pictures, tmp_path)  # 8 steps, 4 of them until the changes are whole
    for run.step in range(8):
        run.batch()
    assert [how.warp / SMALL.augmentation.warp for how in seen] == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1, 1, 1])
    assert {how.mirror for how in seen} == {SMALL.augmentation.mirror}
    sudden = _run(encoder, shapes, pictures, tmp_path, replace(SMALL, augmentation_ramp=0.0))
    sudden.batch()
    assert seen[-1] == SMALL.augmentation


def test_a_step_moves_the_image_tower_only(encoder: ClipEncoder, shapes: ShapeSet, pictures: Pictures, tmp_path: Path) -> None:
    run = _run(encoder, shapes, pictures, tmp_path)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    for _ in range(2):
        run.train_step([])
        run.step += 1
    moved = {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[1] for name in moved if "." in name} == {"vision_model", "visual_projection", "logit_scale"}
    assert "balance" in moved
    assert "texts" not in moved


def test_steps_overfit_a_batch(
    encoder: ClipEncoder, shapes: ShapeSet, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(encoder, shapes, pictures, tmp_path, replace(SMALL, batch_size=8, smoothing=0.0, epoch_steps=40))
    seen = run.batch()
    monkeypatch.setattr(run, "batch", lambda: seen)
    losses = []
    for _ in range(20):
        losses.append(float(run.train_step([]).total))
        run.step += 1
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(("step", "share"), [(0, 0.5), (2, 0.75), (4, 0.5), (7, 0.125)])
def test_the_rate_warms_up_and_falls_with_the_steps(
    encoder: ClipEncoder, shapes: ShapeSet, pictures: Pictures, tmp_path: Path, step: int, share: float
) -> None:
    run = _run(encoder, shapes, pictures, tmp_path)
    run.step = step
    run._set_lr()
    rates = [group["lr"] for optimiser in (run.muon, run.optimiser) for group in optimiser.param_groups]
    assert rates == pytest.approx([SMALL.lr * share] * len(rates))


def test_a_resumed_run_takes_the_same_step(encoder: ClipEncoder, shapes: ShapeSet, pictures: Pictures, tmp_path: Path) -> None:
    run = _run(encoder, shapes, pictures, tmp_path)
    for _ in range(2):
        run.train_step([])
        run.step += 1
    run.save()
    expected = run.train_step([])
    run.train_step([])
    again = _run(encoder, shapes, pictures, tmp_path)
    again.restore()
    assert again.step == 2
    assert [float(value) for value in again.train_step([])] == pytest.approx([float(value) for value in expected], rel=1e-4)


def test_gradients_are_accumulated(encoder: ClipEncoder, shapes: ShapeSet, pictures: Pictures, tmp_path: Path) -> None:
    run = _run(encoder, shapes, pictures, tmp_path, replace(SMALL, accumulate=2))
    weight = run.model.balance.clone()
    run.train_step([])
    run.step += 1
    assert torch.equal(run.model.balance, weight)
    run.train_step([])
    assert not torch.equal(run.model.balance, weight)


def test_matrices_and_kernels_are_made_orthogonal_and_nothing_else(encoder: ClipEncoder, shapes: ShapeSet) -> None:
    targets, texts = label_targets(encoder, shapes, [], settings=SMALL)
    model = VisionModel(encoder, targets, texts, SMALL)
    muon, other = ([p for group in o.param_groups for p in group["params"]] for o in optimisers(model, SMALL))
    assert sum(p.ndim == 4 for p in muon) == 3
    assert sum(p.ndim == 2 for p in muon) == 4 * 6
    assert sum(p.ndim == 4 for p in other) == 1  # the patches
    assert {id(p) for p in [*muon, *other]} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(muon) + len(other) == len({id(p) for p in [*muon, *other]})


def test_targets_are_distributions_with_the_right_name_first(encoder: ClipEncoder, shapes: ShapeSet) -> None:
    targets, texts = label_targets(encoder, shapes, ["gate", "mug"], settings=replace(SMALL, smoothing=0.1))
    assert targets.shape == (4, 4)
    assert texts.shape == (4, 512)
    assert torch.allclose(targets.sum(dim=1), torch.ones(4))
    assert targets.diagonal().tolist() == pytest.approx([0.925] * 4)


def test_semantic_smoothing_includes_all_names(encoder: ClipEncoder, shapes: ShapeSet) -> None:
    targets, texts = label_targets(encoder, shapes, ["gate", "mug"], settings=replace(SMALL, semantic_smoothing=0.3, smoothing=0.0))
    assert texts.shape == (5, 512)
    assert torch.allclose(targets.sum(dim=1), torch.ones(4))
    assert (targets[:, 4] > 0).all()
    assert (targets.argmax(dim=1) == torch.arange(4)).all()


def test_a_class_without_shapes_has_no_target(encoder: ClipEncoder, shapes: ShapeSet) -> None:
    fewer = shapes.select((shapes.label != 1).numpy())
    targets, texts = label_targets(encoder, fewer, [], settings=SMALL)
    assert texts.shape == (3, 512)
    assert targets[[0, 2, 3]].argmax(dim=1).tolist() == [0, 1, 2]


def test_accuracy_counts_with_classes_without_shapes(encoder: ClipEncoder, shapes: ShapeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    one_more = replace(shapes, label=shapes.label + 1, names=("absent", *shapes.names))
    targets, texts = label_targets(encoder, one_more, [], settings=SMALL)
    label = torch.tensor([1, 4])
    monkeypatch.setattr("basrelief.train.tiny.vision.image_features", lambda _, *images, **__: texts[[0, 3] * (sum(map(len, images)) // 2)])
    side = PROJECTION.size
    batch = Batch(torch.zeros(2, 2, side, side), torch.zeros(2, side, side), torch.zeros(2, 3, side, side), label)
    assert VisionModel(encoder, targets, texts, SMALL)(batch).right == 1
    assert VisionModel(encoder, targets, texts, SMALL)(batch._replace(label=label.flip(0))).right == 0
