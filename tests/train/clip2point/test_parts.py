"""Parts of the pre-training: files, learning rates, seeds, discs."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basrelief.encoders.convert import convert_visual, layout_of
from basrelief.encoders.state_dict import read_state_dict
from basrelief.errors import ConfigError
from basrelief.train import Clip2PointSettings
from basrelief.train.clip2point.settings import OptimiserSettings
from basrelief.train.clip2point.trainer import Pretrainer, _PretrainRun, _radius, save_tower
from basrelief.train.run import derive_seed
from support.small_models import small_encoder


def test_a_saved_tower_holds_the_image_tower_alone(tmp_path: Path) -> None:
    encoder = small_encoder()
    save_tower(encoder, tmp_path / "tower.safetensors")
    state = read_state_dict(tmp_path / "tower.safetensors")
    assert layout_of(state) == "huggingface"
    assert not any(name.startswith(("text_", "logit_scale")) for name in state)
    fitted = convert_visual(state, encoder.config)
    for name, tensor in fitted.items():
        assert torch.equal(tensor, encoder.towers.state_dict()[name])


def test_a_tower_is_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = small_encoder()
    save_tower(encoder, tmp_path / "tower.safetensors")
    before = (tmp_path / "tower.safetensors").read_bytes()

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save_tower(small_encoder(seed=1), tmp_path / "tower.safetensors")
    assert (tmp_path / "tower.safetensors").read_bytes() == before


@pytest.mark.parametrize(("size", "radius"), [(224, 0.02), (112, 0.02), (64, 2 / 64), (32, 2 / 32)])
def test_discs_cover_a_pixel_of_any_picture(size: int, radius: float) -> None:
    assert _radius(size) == pytest.approx(radius)


@given(st.integers(0, 100), st.integers(0, 10_000), st.integers(0, 7))
def test_seeds_of_steps_and_processes_differ(seed: int, step: int, rank: int) -> None:
    found = derive_seed(seed, step, rank)
    assert 0 <= found < 2**63
    assert found == derive_seed(seed, step, rank)
    assert found not in (derive_seed(seed, step + 1, rank), derive_seed(seed, step, rank + 1), derive_seed(seed + 1, step, rank))


@given(st.integers(1, 50), st.integers(1, 5), st.integers(0, 2000))
def test_the_rate_is_a_cosine_with_restarts(per_epoch: int, restart: int, step: int) -> None:
    how = OptimiserSettings(lr=0.006, restart_epochs=restart, min_lr=1e-5)
    group: dict[str, float] = {}
    run = SimpleNamespace(
        settings=Clip2PointSettings(optimiser=how), steps_per_epoch=per_epoch, step=step, optimiser=SimpleNamespace(param_groups=[group])
    )
    _PretrainRun._set_lr(run)  # type: ignore[arg-type]
    inside = step % (restart * per_epoch) / (restart * per_epoch)
    assert group["lr"] == pytest.approx(1e-5 + (0.006 - 1e-5) * (1 + math.cos(math.pi * inside)) / 2)
    assert 1e-5 <= group["lr"] <= 0.006


def test_it_is_torchs_own_schedule() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=0.006)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, T_0=2 * 7, eta_min=1e-5)
    group: dict[str, float] = {}
    run = SimpleNamespace(settings=Clip2PointSettings(), steps_per_epoch=7, step=0, optimiser=SimpleNamespace(param_groups=[group]))
    for step in range(40):
        run.step = step
        _PretrainRun._set_lr(run)  # type: ignore[arg-type]
        assert group["lr"] == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-6)
        optimiser.step()
        schedule.step()


def test_the_depth_tower_starts_as_the_picture_tower() -> None:
    made = Pretrainer(small_encoder())
    pictures = torch.rand(2, 3, 32, 32)
    same = made.towers.image_features(made.encoder.prepare(pictures))
    torch.testing.assert_close(same, made.pictures.towers.image_features(made.pictures.prepare(pictures)))
    assert float(made.balance.detach()) == 1.0


def test_equal_maps_and_pictures_leave_only_the_contrast() -> None:
    made = Pretrainer(small_encoder())
    depth = torch.rand(4, 1, 32, 32).expand(-1, 2, -1, -1)
    losses = made(depth, depth[:, :1].expand(-1, 3, -1, -1))
    assert losses.intra.item() == pytest.approx(losses.cross.item(), rel=1e-4), "picture and depth say the same"
    assert losses.total.item() == pytest.approx(2 * losses.cross.item() + math.log(2), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"restart_epochs": 0}, "restart_epochs is 0; it must be at least 1"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must be finite and not negative"),
        ({"min_lr": 1.0, "lr": 0.5}, "min_lr is 1.0; it must be at most lr, 0.5. Lower it."),
        ({"lr": float("nan")}, "lr is nan; it must be finite and positive"),
        ({"name": "sgd"}, "Unknown optimiser.name '.*'; expected one of lamb, adamw"),
    ],
)
def test_optimiser_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OptimiserSettings(**settings)  # type: ignore[arg-type]
