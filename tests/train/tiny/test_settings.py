"""Settings of `tiny`'s training: what is refused, what they are by default, how a file and typed words change them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from basrelief.errors import ConfigError
from basrelief.train.augment import Augmentation
from basrelief.train.config import read_settings, settings_record
from basrelief.train.tiny import TinySettings


@pytest.mark.parametrize(
    ("name", "low"),
    [
        ("batch", 1),
        ("pictured", 1),
        ("accumulate", 0),
        ("epochs", 0),
        ("epoch_steps", 0),
        ("warm_up", -1),
        ("patches", 0),
        ("furniture", 0),
        ("others", 0),
        ("drawn", -1),
        ("text_steps", 0),
        ("leave_out", -1),
        ("save_every", 0),
        ("validate_every", 0),
    ],
)
def test_counts_have_a_least(name: str, low: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least {low + 1}, but got {low}"):
        TinySettings(**{name: low})


@pytest.mark.parametrize("name", ["decay", "pairs", "power", "seen_class_penalty"])
def test_weights_are_not_negative(name: str) -> None:
    with pytest.raises(ConfigError, match="decay, pairs, power and seen_class_penalty not negative"):
        TinySettings(**{name: -0.1})
    assert getattr(TinySettings(**{name: 0.0}), name) == 0


@pytest.mark.parametrize("name", ["rate", "found"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_rates_are_positive(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match="rate and found must be positive"):
        TinySettings(**{name: value})


@pytest.mark.parametrize(("smoothing", "kin"), [(0.6, 0.4), (-0.1, 0.0), (0.0, -0.1), (1.0, 0.0)])
def test_a_target_keeps_some_of_the_right_name(smoothing: float, kin: float) -> None:
    with pytest.raises(ConfigError, match="smoothing and kin must be shares of a target"):
        TinySettings(smoothing=smoothing, kin=kin)


@pytest.mark.parametrize("ramp", [-0.1, 1.1])
def test_changes_grow_over_a_share_of_the_steps(ramp: float) -> None:
    with pytest.raises(ConfigError, match=f"ramp must be a share of the steps in .0, 1., but got {ramp}"):
        TinySettings(ramp=ramp)
    assert (TinySettings(ramp=0).ramp, TinySettings(ramp=1).ramp) == (0, 1)


def test_pictures_are_a_part_of_the_batch() -> None:
    with pytest.raises(ConfigError, match="pictured must be at most batch, but got 9 of 8"):
        TinySettings(batch=8, pictured=9)
    assert TinySettings(batch=8, pictured=8).pictured == 8


def test_precisions_are_named() -> None:
    with pytest.raises(ConfigError, match="precision must be one of float32, bfloat16, float16, but got 'half'"):
        TinySettings(precision="half")


def test_every_number_is_described() -> None:
    text = TinySettings.__doc__ or ""
    for field in fields(TinySettings):
        assert f"        {field.name}: " in text


def test_clouds_suffer_what_real_ones_do() -> None:
    suffered = TinySettings().augmentation
    plain = Augmentation()
    for name in ("mirror", "warp", "topple", "scan_chance", "strays", "stray_chance"):
        assert getattr(suffered, name) > getattr(plain, name)


def test_a_file_and_typed_words_change_them(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("epochs: 3\nblock:\n  epochs: 2\naugmentation:\n  topple: 0.5\n", encoding="utf-8")
    found = read_settings(TinySettings, recipe, ["batch=16", "pictured=4", "block.batch=8"])
    assert (found.epochs, found.batch, found.pictured) == (3, 16, 4)
    assert (found.block.epochs, found.block.batch) == (2, 8)
    assert found.augmentation.topple == 0.5
    assert found.augmentation.mirror == TinySettings().augmentation.mirror


def test_they_are_written_down_whole() -> None:
    record = settings_record(TinySettings(seed=7))
    assert record["seed"] == 7
    assert record["augmentation"]["stretch"] == TinySettings().augmentation.stretch
    assert record["block"]["batch"] == TinySettings().block.batch
    assert set(record) == {field.name for field in fields(TinySettings)}


@pytest.mark.parametrize(
    ("ramp", "done", "strength"), [(0.5, 0.0, 0.0), (0.5, 0.25, 0.5), (0.5, 0.75, 1.0), (0.0, 0.0, 1.0), (1.0, 0.5, 0.5)]
)
def test_changes_are_those_of_the_share_of_the_steps(ramp: float, done: float, strength: float) -> None:
    settings = TinySettings(ramp=ramp)
    assert settings.changes(done) == settings.augmentation.scaled(strength)
