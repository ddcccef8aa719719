"""Teaching the upright network: what it is shown, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.models.upright import POINTS, UprightNet, face_images
from basrelief.train.augment import Augmentation
from basrelief.train.data import GENERATED, ShapeSet, generated_shapes
from basrelief.train.upright import UprightSettings, _candidates, _chances, _clouds, main, save_upright, train_upright


@pytest.fixture(scope="module")
def shapes() -> ShapeSet:
    return generated_shapes(["chair", "table", "mug"], 4, count=1024, seed=200_000)


def test_candidates_are_rotations_and_the_first_keeps_the_shape_upright() -> None:
    turns = _candidates(5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand(5, 10, 3, 3), atol=1e-5, rtol=0)
    assert torch.allclose(torch.linalg.det(turns), torch.ones(5, 10), atol=1e-5)
    torch.testing.assert_close(turns[:, 0, 2], torch.tensor([[0.0, 0, 1]]).expand(5, 3))
    torch.testing.assert_close(turns[:, 1, 2], torch.tensor([[0.0, 0, -1]]).expand(5, 3))


def test_wrong_candidates_are_wrong() -> None:
    lean = torch.rad2deg(torch.arccos(_candidates(200, torch.Generator().manual_seed(0))[:, 1:, 2, 2].clamp(-1, 1)))
    assert lean.min() >= 19.9
    assert lean[:, -2:].max() <= 60.1


def test_clouds_are_whole_and_in_the_unit_sphere(shapes: ShapeSet) -> None:
    how = Augmentation(cut_chance=1.0)
    for seed in range(5):
        clouds = _clouds(shapes.points, how, torch.Generator().manual_seed(seed))
        assert clouds.isfinite().all()
        assert clouds.shape[1] <= POINTS
        torch.testing.assert_close(clouds.norm(dim=2).amax(dim=1), torch.ones(len(shapes)))
        assert clouds.mean(dim=1).abs().max() < 1e-5


def test_half_of_a_batch_comes_from_files() -> None:
    mixed = ShapeSet(torch.zeros(6, 4, 3), torch.tensor([0, 0, 0, 0, 1, 1]), ("a", "b"), ("p",) * 5 + (GENERATED,))
    chance = _chances(mixed, 0.45)
    assert float(chance[:5].sum()) == pytest.approx(0.45)
    assert float(chance[5]) == pytest.approx(0.55)
    assert chance[4] > chance[0]


@pytest.mark.slow
def test_a_few_steps_lower_the_loss(shapes: ShapeSet) -> None:
    chairs = ShapeSet(shapes.points[:4], shapes.label[:4], shapes.names, shapes.group[:4])
    settings = UprightSettings(steps=15, batch=3, rate=3e-3, augmentation=Augmentation(0, 0, 0, 0, 0, 0, 0, 0))
    net = train_upright(chairs, settings)
    clouds = chairs.points.float() - chairs.points.float().mean(dim=1, keepdim=True)
    clouds = clouds / clouds.norm(dim=2).amax(dim=1)[:, None, None]
    turns = _candidates(len(clouds), torch.Generator().manual_seed(5))
    with torch.no_grad():
        scores = net(face_images(torch.einsum("nkij,npj->nkpi", turns, clouds).flatten(0, 1))).view(len(clouds), -1)
    loss = torch.nn.functional.cross_entropy(scores, torch.zeros(len(clouds), dtype=torch.int64))
    assert loss < 0.8 * np.log(10), "guessing among ten candidates costs log 10"


def test_training_depends_on_its_seed_alone(shapes: ShapeSet) -> None:
    settings = UprightSettings(steps=2, batch=2)
    state = torch.get_rng_state()
    first = train_upright(shapes, settings)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    torch.rand(5)
    again = train_upright(shapes, settings)
    other = train_upright(shapes, replace(settings, seed=1))
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in first.state_dict().items())
    assert any(not torch.equal(tensor, other.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_weights_survive_their_file_in_half_precision(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    net = UprightNet()
    save_upright(net, tmp_path / "u.safetensors")
    read = load_file(tmp_path / "u.safetensors")
    assert {t.dtype for t in read.values()} == {torch.float16}
    UprightNet().load_state_dict({name: t.float() for name, t in read.items()})


def test_the_command_writes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.train.upright.CATEGORIES", ("chair", "mug"))
    monkeypatch.setattr(UprightSettings, "__init__", _small(UprightSettings.__init__))
    monkeypatch.setattr("sys.argv", ["upright", "--steps", "2", "--out", str(tmp_path / "u.safetensors")])
    main()
    assert (tmp_path / "u.safetensors").stat().st_size > 100_000


def _small(init: object) -> object:
    def smaller(self: UprightSettings, **given: object) -> None:
        init(self, **{"batch": 2, "each": 1, **given})  # type: ignore[operator]

    return smaller
