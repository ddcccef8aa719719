"""Settings of `tiny`: defaults, files, overrides, invalid values."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from basrelief.errors import ConfigError
from basrelief.train import TinySettings
from basrelief.train.augment import Augmentation
from basrelief.train.config import read_settings, settings_record


@pytest.mark.parametrize(
    ("name", "low"),
    [
        ("batch_size", 1),
        ("with_images", 1),
        ("accumulate", 0),
        ("epochs", 0),
        ("epoch_steps", 0),
        ("warm_up", -1),
        ("patches", 0),
        ("furniture_per_class", 0),
        ("others_per_class", 0),
        ("images_per_class", -1),
        ("text_steps", 0),
        ("unseen_classes", -1),
        ("save_every", 0),
        ("validate_every", 0),
    ],
)
def test_counts_have_a_minimum(name: str, low: int) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is {low}; it must be at least {low + 1}\. Leave it out for the default"):
        TinySettings(**{name: low})


@pytest.mark.parametrize("name", ["weight_decay", "pair_weight", "sampling_power", "seen_class_penalty"])
def test_weights_are_not_negative(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is -0\.1; it must be finite and not negative\. Leave it out for the default"):
        TinySettings(**{name: -0.1})
    assert getattr(TinySettings(**{name: 0.0}), name) == 0


@pytest.mark.parametrize("name", ["lr", "file_weight"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_rates_are_positive(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is {value}; it must be finite and positive\. Leave it out for the default"):
        TinySettings(**{name: value})


@pytest.mark.parametrize(("smoothing", "semantic"), [(0.6, 0.4), (-0.1, 0.0), (0.0, -0.1), (1.0, 0.0)])
def test_label_smoothing_leaves_some_weight_on_the_label(smoothing: float, semantic: float) -> None:
    with pytest.raises(
        ConfigError, match=rf"smoothing and semantic_smoothing are {smoothing} and {semantic}; their sum must lie in \[0, 1\)"
    ):
        TinySettings(smoothing=smoothing, semantic_smoothing=semantic)


@pytest.mark.parametrize("ramp", [-0.1, 1.1])
def test_augmentation_ramp_is_a_share_of_the_steps(ramp: float) -> None:
    with pytest.raises(ConfigError, match=rf"augmentation_ramp is {ramp}; it must lie in \[0, 1\]\. Leave it out for the default"):
        TinySettings(augmentation_ramp=ramp)
    assert (TinySettings(augmentation_ramp=0).augmentation_ramp, TinySettings(augmentation_ramp=1).augmentation_ramp) == (0, 1)


def test_at_most_the_whole_batch_has_images() -> None:
    with pytest.raises(ConfigError, match=r"with_images is 9; it must be at most batch_size, 8\. Set with_images=N"):
        TinySettings(batch_size=8, with_images=9)
    assert TinySettings(batch_size=8, with_images=8).with_images == 8


def test_precisions_are_named() -> None:
    with pytest.raises(ConfigError, match="Unknown precision 'half'; expected one of float32, bfloat16"):
        TinySettings(precision="half")


def test_clouds_are_augmented() -> None:
    suffered = TinySettings().augmentation
    plain = Augmentation()
    for name in ("mirror", "warp", "topple", "scan_chance", "far_outliers", "far_outlier_chance"):
        assert getattr(suffered, name) > getattr(plain, name)


def test_a_file_and_overrides_change_settings(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("epochs: 3\nblock:\n  epochs: 2\naugmentation:\n  topple: 0.5\n", encoding="utf-8")
    found = read_settings(TinySettings, recipe, ["batch_size=16", "with_images=4", "block.batch_size=8"])
    assert (found.epochs, found.batch_size, found.with_images) == (3, 16, 4)
    assert (found.block.epochs, found.block.batch_size) == (2, 8)
    assert found.augmentation.topple == 0.5
    assert found.augmentation.mirror == TinySettings().augmentation.mirror


def test_settings_are_recorded_completely() -> None:
    record = settings_record(TinySettings(seed=7))
    assert record["seed"] == 7
    assert record["augmentation"]["stretch"] == TinySettings().augmentation.stretch
    assert record["block"]["batch_size"] == TinySettings().block.batch_size
    assert set(record) == {field.name for field in fields(TinySettings)}


@pytest.mark.parametrize(
    ("ramp", "done", "strength"), [(0.5, 0.0, 0.0), (0.5, 0.25, 0.5), (0.5, 0.75, 1.0), (0.0, 0.0, 1.0), (1.0, 0.5, 0.5)]
)
def test_augmentation_ramps_up(ramp: float, done: float, strength: float) -> None:
    settings = TinySettings(augmentation_ramp=ramp)
    assert settings.augmentation_at(done) == settings.augmentation.scaled(strength)
