"""Architectures as data."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from basrelief.encoders import ClipConfig, TextConfig, VisionConfig
from basrelief.errors import ConfigError

VIT = {"image_size": 32, "width": 32, "layers": 3, "heads": 4, "patch_size": 8}
RESNET = {"image_size": 64, "width": 4, "layers": (1, 2, 1, 1), "heads": 4, "kind": "resnet"}
TEXT = {"width": 16, "layers": 2, "heads": 2}


def test_derived_fields_are_filled() -> None:
    assert VisionConfig(**VIT).mlp_width == 128
    assert VisionConfig(**VIT, mlp_width=40).mlp_width == 40
    text = TextConfig(**TEXT)
    assert (text.mlp_width, text.vocab_size, text.eot, text.context_length) == (64, 49408, 49407, 77)
    assert TextConfig(**TEXT, vocab_size=600, eot=1).eot == 1
    assert TextConfig(**TEXT, vocab_size=600, eot=0).eot == 0


@pytest.mark.parametrize("vision", [VIT, RESNET, {**VIT, "stem": (6, 12)}])
def test_a_config_survives_json(vision: dict[str, Any]) -> None:
    config = ClipConfig(24, VisionConfig(**vision), TextConfig(**TEXT), "quick_gelu")
    assert ClipConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_stem_is_named_only_where_there_is_one() -> None:
    plain, stemmed = (ClipConfig(24, VisionConfig(**VIT, stem=stem), TextConfig(**TEXT)) for stem in ((), (6, 12)))
    assert "stem" not in plain.to_json()["vision"]
    assert stemmed.to_json()["vision"]["stem"] == (6, 12)


@pytest.mark.parametrize(("stem", "pixels"), [((), 1), ((6,), 4), ((6, 12), 8)])
def test_how_many_pixels_a_stem_makes_one(stem: tuple[int, ...], pixels: int) -> None:
    assert VisionConfig(**VIT, stem=stem).reduction == pixels


@pytest.mark.parametrize(
    ("vision", "said"),
    [
        ({**VIT, "stem": (6, 12, 24)}, r"vision.stem must divide 8, but got 16"),
        ({**VIT, "stem": (6, 0)}, r"vision.stem must be a whole number above zero, but got 0"),
        ({**RESNET, "stem": (6,)}, r"vision.stem must be left out for a ResNet"),
    ],
)
def test_a_stem_that_does_not_fit_is_refused(vision: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        VisionConfig(**vision)


def test_configs_are_frozen_and_comparable() -> None:
    vision = VisionConfig(**VIT)
    with pytest.raises(AttributeError):
        vision.width = 64  # type: ignore[misc]
    assert replace(vision, width=64) != vision
    assert hash(vision) == hash(VisionConfig(**VIT))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "vitt"}, r"vision\.kind must be one of vit, resnet, but got 'vitt'\. Did you mean 'vit'\?"),
        ({"layers": (1, 2, 1, 1)}, r"vision\.layers must be one number of blocks, but got \(1, 2, 1, 1\)\. Check vision\.kind"),
        ({"layers": 0}, r"vision\.layers must be a whole number above zero, but got 0\. Check the configuration\."),
        ({"width": -32}, r"vision\.width must be a whole number above zero, but got -32\."),
        ({"width": 32.0, "mlp_width": 9}, r"vision\.width must be a whole number above zero, but got 32\.0\."),
        ({"heads": 5}, r"vision\.heads must divide 32, but got 5\. Change one of the two\."),
        ({"patch_size": 7}, r"vision\.patch_size must divide 32, but got 7\."),
        ({"patch_size": 0}, r"vision\.patch_size must divide 32, but got 0\."),
        ({"patch_size": None}, r"vision\.patch_size must be given for a vision transformer, but got None\. Use 32, 16 or 14"),
    ],
)
def test_wrong_vision_configs_say_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VisionConfig(**{**VIT, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 3}, r"vision\.layers must hold the blocks of four stages, but got 3\. Check vision\.kind, which is 'resnet'\."),
        ({"layers": (1, 2, 1)}, r"vision\.layers must hold the blocks of four stages, but got \(1, 2, 1\)"),
        ({"layers": (1, 2, 0, 1)}, r"vision\.layers must be a whole number above zero, but got 0"),
        ({"image_size": 60}, r"vision\.patch_size must divide 60, but got 32"),
    ],
)
def test_wrong_resnet_configs_say_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VisionConfig(**{**RESNET, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, r"text\.heads must divide 16, but got 3"),
        ({"context_length": 0}, r"text\.context_length must be a whole number above zero, but got 0"),
        ({"eot": 49408}, r"text\.eot must be one of the 49408 token ids, but got 49408\. Take it from the tokenizer\."),
        ({"eot": -1}, r"text\.eot must be one of the 49408 token ids, but got -1"),
    ],
)
def test_wrong_text_configs_say_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TextConfig(**{**TEXT, **changes})


def test_wrong_clip_configs_say_why() -> None:
    vision, text = VisionConfig(**VIT), TextConfig(**TEXT)
    with pytest.raises(ConfigError, match=r"activation must be one of gelu, quick_gelu, but got 'quickgelu'\. Did you mean 'quick_gelu'\?"):
        ClipConfig(24, vision, text, "quickgelu")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"config\.embed_dim must be a whole number above zero, but got 0"):
        ClipConfig(0, vision, text)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"embed_dim": 24},
        {"embed_dim": 24, "vision": VIT, "text": {**TEXT, "depth": 2}},
        {"embed_dim": 24, "vision": VIT, "text": TEXT, "x": 1},
    ],
)
def test_a_wrong_record_says_so(record: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match=r"config must hold the fields of ClipConfig, but got an error: .*\. Compare with a file in encoders/specs\."
    ):
        ClipConfig.from_json(record)
