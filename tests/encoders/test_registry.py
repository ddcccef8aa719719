"""The registry of known weights."""

from __future__ import annotations

import pytest

from basrelief.encoders import encoder_spec
from basrelief.encoders.clip import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from basrelief.encoders.preprocessing import ImageFit
from basrelief.encoders.registry import list_encoders
from basrelief.encoders.towers import empty_towers
from basrelief.errors import ConfigError

PE = tuple(f"PE-Core-{size}/meta" for size in ("B-16", "L-14-336", "S-16-384", "T-16-384", "bigG-14-448"))
SIGLIP = tuple(
    f"ViT-{size}/webli"
    for size in (
        *("B-16-SigLIP2", "B-16-SigLIP2-256", "B-16-SigLIP2-384", "B-32-SigLIP2-256", "L-16-SigLIP2-256", "L-16-SigLIP2-384"),
        *("SO400M-14-SigLIP2", "SO400M-14-SigLIP2-378", "SO400M-16-SigLIP2-256", "SO400M-16-SigLIP2-384", "gopt-16-SigLIP2-384"),
    )
)
CLIP = (
    "EVA02-E-14-plus/laion2b_s9b_b144k",
    "RN101/openai",
    "RN50/openai",
    "SLIP-ViT-B-16/yfcc15m",
    "ViT-B-16/datacomp_xl_s13b_b90k",
    "ViT-B-16/dfn2b",
    "ViT-B-16/openai",
    "ViT-B-32/datacomp_xl_s13b_b90k",
    "ViT-B-32/openai",
    "ViT-H-14/dfn5b",
    "ViT-L-14/datacomp_xl_s13b_b90k",
    "ViT-L-14/dfn2b",
    "ViT-L-14/openai",
    "ViT-bigG-14/laion2b_s39b_b160k",
)


MOBILECLIP = tuple(f"MobileCLIP2-{size}/dfndr2b" for size in ("S0", "S2", "S3", "S4"))
METACLIP = tuple(f"ViT-{size}-worldwide/metaclip2_worldwide" for size in ("B-32", "H-14", "L-14", "bigG-14"))
NAMES = tuple(sorted((*CLIP, *PE, *SIGLIP, *MOBILECLIP, *METACLIP, "DuoduoCLIP-B-32/four-1to6f-lt6")))


def test_the_list() -> None:
    assert list_encoders() == NAMES


@pytest.mark.parametrize("name", [*PE, *SIGLIP])
def test_perception_encoders_and_siglips(name: str) -> None:
    spec = encoder_spec(name)
    assert spec.name == name
    assert spec.parameters == sum(p.numel() for p in empty_towers(spec.config).parameters())
    assert (spec.repository, spec.licence) == (f"timm/{name.split('/', maxsplit=1)[0]}", "Apache-2.0")
    assert (spec.mean, spec.std) == ((0.5,) * 3, (0.5,) * 3)
    assert spec.image_fit == ImageFit("squash", "bilinear" if name in PE else "bicubic")
    text = spec.config.text
    assert (text.tokenizer, text.eot) == (("clip", 49407) if name in PE else ("gemma", 1))
    assert text.context_length == (64 if name in SIGLIP else 72 if "bigG" in name else 32)
    assert spec.config.logit_bias == (name in SIGLIP)


@pytest.mark.parametrize("name", CLIP)
def test_a_record_holds_together(name: str) -> None:
    spec = encoder_spec(name)
    assert spec.name == name
    assert spec.parameters == sum(p.numel() for p in empty_towers(spec.config).parameters())
    assert (spec.config.text.context_length, spec.config.text.eot) == (77, 49407)
    assert spec.repository.removeprefix("datasets/").count("/") == 1
    assert spec.bytes is None or spec.bytes > spec.parameters
    if name == "SLIP-ViT-B-16/yfcc15m":
        assert (spec.mean, spec.std, spec.image_fit) == (IMAGENET_MEAN, IMAGENET_STD, ImageFit("shortest", "bilinear"))
        return
    assert (spec.mean, spec.std) == (CLIP_MEAN, CLIP_STD)
    assert spec.files[:2] == ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    assert spec.files[2:] == (() if spec.repository.startswith("timm/") else ("model.safetensors", "pytorch_model.bin"))
    assert spec.image_fit == ImageFit("squash" if name == "ViT-H-14/dfn5b" else "shortest", "bicubic")
    assert spec.config.vision is not None
    assert spec.config.vision is None or spec.config.vision.image_size == 224


@pytest.mark.parametrize("name", CLIP)
def test_openai_slip_and_apple_trained_with_quick_gelu(name: str) -> None:
    spec = encoder_spec(name)
    quick = "openai" in name or "SLIP" in name or spec.repository.startswith("apple/")
    assert spec.config.activation == ("quick_gelu" if quick else "gelu")
    assert ("research" in spec.licence) == spec.repository.startswith("apple/")
    assert spec.licence.startswith("apple-amlr" if spec.repository.startswith("apple/") else "MIT")


def test_the_heads_of_the_large_ones() -> None:
    huge, giant = (encoder_spec(n).config.image_tower for n in ("ViT-H-14/dfn5b", "ViT-bigG-14/laion2b_s39b_b160k"))
    assert (huge.heads, huge.width // huge.heads) == (16, 80)
    assert (giant.heads, giant.width // giant.heads, giant.mlp_width) == (16, 104, 8192)


def test_open_clips_other_spelling() -> None:
    assert encoder_spec("ViT-H-14-quickgelu/dfn5b") == encoder_spec("ViT-H-14/dfn5b")
    assert encoder_spec("RN50-quickgelu/openai") == encoder_spec("RN50/openai")
    with pytest.raises(ConfigError, match=r"Unknown encoder 'ViT-B-32-quickgelu/datacomp_xl_s13b_b90k'; expected one of .*"):
        encoder_spec("ViT-B-32-quickgelu/datacomp_xl_s13b_b90k")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(
        ConfigError,
        match=r"Unknown encoder 'ViT-B-32/openia'; expected one of .*, EVA02-E-14-plus/laion2b_s9b_b144k, .*\. Did you mean 'ViT-B-32/openai'\?",
    ):
        encoder_spec("ViT-B-32/openia")


def test_the_wrong_preprocessing_of_dfn2b_is_reported_and_can_be_reproduced() -> None:
    spec = encoder_spec("ViT-B-16/dfn2b")
    assert "OpenDlign" in spec.notes
    other = spec.with_activation("gelu")
    assert (spec.config.activation, other.config.activation) == ("quick_gelu", "gelu")
    assert other.config.vision == spec.config.vision
    with pytest.raises(ConfigError, match="Unknown activation 'relu'; expected one of gelu, gelu_tanh, quick_gelu"):
        spec.with_activation("relu")  # type: ignore[arg-type]
