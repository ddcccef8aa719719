"""Training of the upright network: data, learning, and seeds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError, FileFormatError
from basrelief.models.upright import POINTS, UprightNet, face_images
from basrelief.train import UprightSettings, train_upright
from basrelief.train.augment import Augmentation
from basrelief.train.data import GENERATED, ShapeSet, generated_shapes
from basrelief.train.resources import Resources
from basrelief.train.run import RunContext, make_accelerator
from basrelief.train.upright import data
from basrelief.train.upright.data import augmented_clouds, candidate_rotations, sampling_weights
from basrelief.train.upright.trainer import UPRIGHT_FILE, fit_upright, save_upright


@pytest.fixture(scope="module")
def shapes() -> ShapeSet:
    return generated_shapes(["chair", "table", "mug"], 4, count=1024, seed=200_000)


def fit(shapes: ShapeSet, out: Path, settings: UprightSettings, validation: ShapeSet | None = None) -> UprightNet:
    return fit_upright(shapes, validation, settings=settings, context=RunContext(make_accelerator("float32", cpu=True), out))


def test_candidates_are_rotations_and_the_first_keeps_the_shape_upright() -> None:
    turns = candidate_rotations(5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand(5, 10, 3, 3), atol=1e-5, rtol=0)
    assert torch.allclose(torch.linalg.det(turns), torch.ones(5, 10), atol=1e-5)
    torch.testing.assert_close(turns[:, 0, 2], torch.tensor([[0.0, 0, 1]]).expand(5, 3))
    torch.testing.assert_close(turns[:, 1, 2], torch.tensor([[0.0, 0, -1]]).expand(5, 3))


def test_wrong_candidates_lean_by_20_degrees_or_more() -> None:
    lean = torch.rad2deg(torch.arccos(candidate_rotations(200, torch.Generator().manual_seed(0))[:, 1:, 2, 2].clamp(-1, 1)))
    assert lean.min() >= 19.9
    assert lean[:, -2:].max() <= 60.1


def test_clouds_are_finite_and_in_the_unit_sphere(shapes: ShapeSet) -> None:
    how = Augmentation(cut_chance=1.0)
    for seed in range(5):
        clouds = augmented_clouds(shapes.points, how, torch.Generator().manual_seed(seed))
        assert clouds.isfinite().all()
        assert clouds.shape[1] <= POINTS
        torch.testing.assert_close(clouds.norm(dim=2).amax(dim=1), torch.ones(len(shapes)))
        assert clouds.mean(dim=1).abs().max() < 1e-5


def test_a_fixed_fraction_of_a_batch_comes_from_files() -> None:
    mixed = ShapeSet(torch.zeros(6, 4, 3), torch.tensor([0, 0, 0, 0, 1, 1]), ("a", "b"), ("p",) * 5 + (GENERATED,))
    weight = sampling_weights(mixed, 0.45)
    assert float(weight[:5].sum()) == pytest.approx(0.45)
    assert float(weight[5]) == pytest.approx(0.55)
    assert weight[4] > weight[0]


@pytest.mark.slow
def test_a_few_steps_reduce_the_loss(shapes: ShapeSet, tmp_path: Path) -> None:
    chairs = ShapeSet(shapes.points[:4], shapes.label[:4], shapes.names, shapes.group[:4])
    settings = UprightSettings(epochs=1, epoch_steps=15, batch_size=3, lr=3e-3, augmentation=Augmentation(0, 0, 0, 0, 0, 0, 0, 0))
    net = fit(chairs, tmp_path, settings)
    clouds = chairs.points.float() - chairs.points.float().mean(dim=1, keepdim=True)
    clouds = clouds / clouds.norm(dim=2).amax(dim=1)[:, None, None]
    turns = candidate_rotations(len(clouds), torch.Generator().manual_seed(5))
    with torch.no_grad():
        scores = net(face_images(torch.einsum("nkij,npj->nkpi", turns, clouds).flatten(0, 1))).view(len(clouds), -1)
    loss = torch.nn.functional.cross_entropy(scores, torch.zeros(len(clouds), dtype=torch.int64))
    assert loss < 0.8 * np.log(10), "guessing among ten candidates costs log 10"


def test_training_depends_on_the_seed_alone(shapes: ShapeSet, tmp_path: Path) -> None:
    settings, found = UprightSettings(epochs=1, epoch_steps=2, batch_size=2), []
    for name in ("one", "other"):
        torch.rand(5)
        state = torch.get_rng_state()
        found.append(fit(shapes, tmp_path / name, settings).state_dict())
        assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def test_validation_is_logged_and_chooses_nothing(shapes: ShapeSet, tmp_path: Path) -> None:
    settings = UprightSettings(epochs=2, epoch_steps=1, batch_size=2)
    with_validation, without = fit(shapes, tmp_path / "a", settings, shapes), fit(shapes, tmp_path / "b", settings)
    records = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    accuracies = [record["accuracy"] for record in records if record["stage"] == "validation"]
    assert len(accuracies) == 2
    assert all(0 <= accuracy <= 1 for accuracy in accuracies)
    assert all(torch.equal(tensor, without.state_dict()[name]) for name, tensor in with_validation.state_dict().items())


def test_weights_are_saved_in_half_precision(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    save_upright(UprightNet(), tmp_path / "u.safetensors")
    read = load_file(tmp_path / "u.safetensors")
    assert {t.dtype for t in read.values()} == {torch.float16}
    UprightNet().load_state_dict({name: t.float() for name, t in read.items()})


def test_a_folder_of_files_is_sampled_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "CATEGORIES", ("chair", "mug"))
    monkeypatch.setattr(data, "split_by_maker", lambda shapes: (shapes, shapes, shapes))
    settings, resources = UprightSettings(epochs=1, epoch_steps=2, batch_size=2, per_category=1), Resources(cpu=True)
    first = train_upright(folder, out=tmp_path / "out", settings=settings, resources=resources)
    assert (tmp_path / "out" / UPRIGHT_FILE).stat().st_size > 100_000
    assert '"validation"' in (tmp_path / "out" / "log.jsonl").read_text()
    monkeypatch.setattr(data, "read_shapes", lambda *_, **__: pytest.fail("sampled again"))
    again = train_upright(folder, out=tmp_path / "out", settings=settings, resources=resources)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_a_folder_without_its_table_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "CATEGORIES", ("chair",))
    (tmp_path / "shapes").mkdir()
    with pytest.raises(FileFormatError, match=r"shapes\.csv"):
        train_upright(tmp_path / "shapes", out=tmp_path / "out", settings=UprightSettings(per_category=1), resources=Resources(cpu=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"lr": 0.0}, "lr is 0.0; it must be finite and positive"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must be finite and not negative"),
        ({"smoothing": 1.0}, r"smoothing is 1.0; it must lie in \[0, 1\)"),
        ({"file_fraction": -0.1}, r"file_fraction is -0.1; it must lie in \[0, 1\)"),
        ({"precision": "half"}, "Unknown precision 'half'; expected one of float32, bfloat16, float16"),
    ],
)
def test_invalid_settings_are_rejected(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UprightSettings(**changes)  # type: ignore[arg-type]
