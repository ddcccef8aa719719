"""Configurations of architectures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from basrelief.encoders import ClipConfig, TextConfig, VisionConfig
from basrelief.errors import ConfigError

VIT = {"image_size": 32, "width": 32, "layers": 3, "heads": 4, "patch_size": 8}
RESNET = {"image_size": 64, "width": 4, "layers": (1, 2, 1, 1), "heads": 4, "kind": "resnet"}
FASTVIT = {"image_size": 64, "width": 8, "layers": (1, 2, 1, 1), "heads": 2, "kind": "fastvit"}
TEXT = {"width": 16, "layers": 2, "heads": 2}


def test_derived_fields_are_filled() -> None:
    assert VisionConfig(**VIT).mlp_width == 128
    assert VisionConfig(**VIT, mlp_width=40).mlp_width == 40
    text = TextConfig(**TEXT)
    assert (text.mlp_width, text.vocab_size, text.eot, text.context_length) == (64, 49408, 49407, 77)
    assert TextConfig(**TEXT, vocab_size=600, eot=1).eot == 1
    assert TextConfig(**TEXT, vocab_size=600, eot=0).eot == 0


@pytest.mark.parametrize("vision", [VIT, RESNET, FASTVIT, {**VIT, "stem": (6, 12)}])
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
        ({**VIT, "stem": (6, 12, 24)}, r"vision.stem is 16, which does not divide 8"),
        ({**VIT, "stem": (6, 0)}, r"vision.stem is 0; expected a whole number"),
        ({**RESNET, "stem": (6,)}, r"vision.stem is \(6,\), but a convolutional tower has its own"),
    ],
)
def test_a_stem_that_does_not_fit_is_refused(vision: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        VisionConfig(**vision)


def test_fields_beyond_clip_are_named_only_where_they_differ() -> None:
    plain = ClipConfig(24, VisionConfig(**VIT), TextConfig(**TEXT)).to_json()
    assert not {"logit_bias"} & plain.keys() | {"class_token"} & plain["vision"].keys() | {"kind", "tokenizer"} & plain["text"].keys()
    text = TextConfig(**TEXT, kind="siglip", tokenizer="gemma")
    config = ClipConfig(32, VisionConfig(**VIT, kind="siglip-vit", class_token=False), text, "gelu_tanh", logit_bias=True)
    assert ClipConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("vision", "text", "message"),
    [
        ({"class_token": False}, {}, r"vision\.class_token is false, but a tower of kind 'vit' reads its feature from it\. Leave it out\."),
        (
            {"kind": "siglip-vit"},
            {},
            r"vision\.width is 32, but a tower of kind 'siglip-vit' has no projection: it must be the embed_dim, 24\.",
        ),
        (
            {"kind": "pe-vit", "heads": 16},
            {},
            r"vision\.width is 32 for 16 heads, but a tower of kind 'pe-vit' needs a multiple of 8 channels, and of 4 ",
        ),
        ({"kind": "pe-vit", "width": 36, "heads": 3}, {}, r"vision\.width is 36 for 3 heads"),
        ({}, {"kind": "clap"}, r"Unknown text\.kind 'clap'; expected one of clip, bidirectional, siglip\. Did you mean 'clip'\?"),
        ({}, {"tokenizer": "gama"}, r"Unknown text\.tokenizer 'gama'; expected one of clip, gemma, xlm-v\. Did you mean 'gemma'\?"),
    ],
)
def test_variants_that_do_not_fit_are_refused(vision: dict[str, Any], text: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClipConfig(24, VisionConfig(**{**VIT, **vision}), TextConfig(**TEXT, **text))


def test_configs_are_frozen_and_comparable() -> None:
    vision = VisionConfig(**VIT)
    with pytest.raises(AttributeError):
        vision.width = 64  # type: ignore[misc]
    assert replace(vision, width=64) != vision
    assert hash(vision) == hash(VisionConfig(**VIT))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "vitt"},
            r"Unknown vision\.kind 'vitt'; expected one of vit, timm-vit, eva-vit, pe-vit, siglip-vit, resnet, fastvit\. Did you mean 'vit'\?",
        ),
        ({"layers": (1, 2, 1, 1)}, r"vision\.layers is \(1, 2, 1, 1\); vision\.kind 'vit' needs one number of blocks"),
        ({"layers": 0}, r"vision\.layers is 0; expected a whole number from 1 to 2147483647\. Check the configuration\."),
        ({"width": -32}, r"vision\.width is -32; expected a whole number"),
        ({"width": 32.0, "mlp_width": 9}, r"vision\.width is 32\.0; expected a whole number"),
        ({"heads": 5}, r"vision\.heads is 5, which does not divide 32\. Change one of the two\."),
        ({"patch_size": 7}, r"vision\.patch_size is 7, which does not divide 32\."),
        ({"patch_size": 0}, r"vision\.patch_size is 0, which does not divide 32\."),
        ({"patch_size": None}, r"vision\.patch_size is missing\. A vision transformer needs it; CLIP's own use 32, 16 or 14"),
    ],
)
def test_wrong_vision_configs_say_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VisionConfig(**{**VIT, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 3}, r"vision\.layers is 3; vision\.kind 'resnet' needs 4 numbers of blocks\."),
        ({"layers": (1, 2, 1)}, r"vision\.layers is \(1, 2, 1\); vision\.kind 'resnet' needs 4"),
        ({"layers": (1, 2, 0, 1)}, r"vision\.layers is 0; expected a whole number"),
        ({"image_size": 60}, r"vision\.patch_size is 32, which does not divide 60"),
    ],
)
def test_wrong_resnet_configs_say_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VisionConfig(**{**RESNET, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, r"text\.heads is 3, which does not divide 16"),
        ({"context_length": 0}, r"text\.context_length is 0; expected a whole number"),
        ({"eot": 49408}, r"text\.eot is 49408; expected a token id below 49408\. Take it from the tokenizer\."),
        ({"eot": -1}, r"text\.eot is -1; expected a token id"),
    ],
)
def test_wrong_text_configs_say_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TextConfig(**{**TEXT, **changes})


def test_wrong_clip_configs_say_why() -> None:
    vision, text = VisionConfig(**VIT), TextConfig(**TEXT)
    with pytest.raises(
        ConfigError, match=r"Unknown activation 'quickgelu'; expected one of gelu, gelu_tanh, quick_gelu\. Did you mean 'quick_gelu'\?"
    ):
        ClipConfig(24, vision, text, "quickgelu")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"config\.embed_dim is 0; expected a whole number"):
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
    with pytest.raises(ConfigError, match=r"Cannot read the configuration: .*\. Compare it with a file in encoders/specs\."):
        ClipConfig.from_json(record)
