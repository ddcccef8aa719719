"""Text towers without their image tower: read alone, completed with the first image, or alone for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from basrelief.encoders import (
    ClipConfig,
    ClipEncoder,
    Encoder,
    choose_backend,
    encoder_spec,
    load_encoder,
    load_encoder_folder,
    random_encoder,
    registry,
    save_encoder,
)
from basrelief.encoders.backends import choose
from basrelief.encoders.checkpoint.read import Checkpoint
from basrelief.encoders.convert import convert
from basrelief.encoders.photos import fit_image
from basrelief.errors import ConfigError, WeightsError

Layout = Callable[[dict[str, Tensor]], dict[str, Tensor]]
WORDS = ["a chair", "a big airplane"]


@pytest.fixture
def text_config(config: ClipConfig) -> ClipConfig:
    """The small architecture without its image tower."""
    return replace(config, vision=None)


@pytest.fixture
def file(encoder: ClipEncoder, openai_layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: ClipConfig) -> Path:
    """Weights as open_clip publishes them, beside their tokenizer; the encoder `small/own` has their architecture, `small/text` no images."""
    own = replace(encoder_spec("ViT-B-32/openai"), name="small/own", config=config)
    text = replace(own, name="small/text", config=replace(config, vision=None))
    monkeypatch.setattr(registry, "_specs", lambda: {"small/own": own, "small/text": text})
    save_file({n: t.contiguous() for n, t in openai_layout(encoder.towers.state_dict()).items()}, tmp_path / "open_clip_model.safetensors")
    encoder.tokenizer.save(tmp_path)
    return tmp_path / "open_clip_model.safetensors"


def load(file: Path, name: str = "small/own", *, dtype: str = "float32") -> ClipEncoder:
    return load_encoder(name, weights=file, device="cpu", dtype=dtype, cache=None, text_only=True)


def test_the_text_tower_is_loaded_alone(file: Path, encoder: ClipEncoder) -> None:
    found = load(file)
    assert not any(name.startswith("vis") for name in found.towers.state_dict())
    assert torch.equal(found.encode_text(WORDS), encoder.encode_text(WORDS))
    assert (found.image_size, found.embedding_dim, found.logit_scale) == (32, 24, encoder.logit_scale)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_first_image_reads_the_image_tower(file: Path, images: Tensor, dtype: str) -> None:
    found, whole = load(file, dtype=dtype), load_encoder("small/own", weights=file, device="cpu", dtype=dtype, cache=None)
    other = found.with_preprocessing((0.5,) * 3, (0.5,) * 3)
    assert torch.equal(found.encode_images(images), whole.encode_images(images))
    assert torch.equal(other.encode_images(images), whole.with_preprocessing((0.5,) * 3, (0.5,) * 3).encode_images(images))
    assert {t.dtype for t in found.towers.vision_model.parameters()} == {found.dtype}


def test_the_fingerprint_is_that_of_the_text_tower(file: Path, images: Tensor, encoder: ClipEncoder) -> None:
    found = load(file)
    before = found.fingerprint
    found.encode_images(images)
    assert found.fingerprint == before == load(file).fingerprint != encoder.fingerprint


def test_image_weights_are_not_read_before_the_first_image(file: Path, images: Tensor) -> None:
    state = load_file(file)
    state["visual.proj"][:] = float("nan")
    save_file(state, file)
    found = load(file)
    with pytest.raises(WeightsError, match=r"visual_projection\.weight holds NaN or infinity"):
        found.encode_images(images)


@pytest.mark.parametrize("prefix", ["", "module.", "clip_model.", "module.clip_model."])
def test_image_tensors_of_a_checkpoint_are_not_read(
    prefix: str, encoder: ClipEncoder, openai_layout: Layout, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {f"{prefix}{name}": tensor for name, tensor in openai_layout(encoder.towers.state_dict()).items()}
    if "clip_model." in prefix:
        state[f"{prefix.removesuffix('clip_model.')}logit_scale"] = state[f"{prefix}logit_scale"]
    path, read = file.with_name("clip.pt"), []
    torch.save({"state_dict": state}, path)
    original = Checkpoint.tensor
    monkeypatch.setattr(Checkpoint, "tensor", lambda self, stored: read.append(stored) or original(self, stored))
    found = load(path)
    assert torch.equal(found.encode_text(WORDS), encoder.encode_text(WORDS))
    assert len(read) == sum("visual." not in name for name in state)


def test_tuned_blocks_come_with_the_image_tower(
    tuned_encoder: ClipEncoder, opendlign_layout: Layout, file: Path, tmp_path: Path, images: Tensor
) -> None:
    torch.save({"model_state_dict": opendlign_layout(tuned_encoder.towers.state_dict())}, tmp_path / "best.pt")
    found = load(tmp_path / "best.pt")
    torch.testing.assert_close(found.encode_both(images)[1], tuned_encoder.encode_both(images)[1], atol=1e-6, rtol=0)


def test_open_clips_custom_text_layout(encoder: ClipEncoder, openai_layout: Layout, text_config: ClipConfig) -> None:
    state = openai_layout(encoder.towers.state_dict())
    named = {n if n.startswith("visual.") or n == "logit_scale" else f"text.{n}": t for n, t in state.items()}
    named = {n.replace("visual.", "visual.trunk."): t for n, t in named.items()}
    found = convert(named, text_config)
    assert {n: t.tolist() for n, t in found.items()} == {
        n: t.tolist() for n, t in encoder.towers.state_dict().items() if not n.startswith("vis")
    }
    with pytest.raises(WeightsError, match="1 unknown: text_bias"):
        convert({**named, "text.text_bias": torch.zeros(2)}, text_config)
    del named["text.ln_final.bias"]
    with pytest.raises(WeightsError, match=r"1 missing: text_model\.final_layer_norm\.bias"):
        convert(named, text_config)


def test_a_text_tower_for_good(file: Path, images: Tensor, encoder: ClipEncoder) -> None:
    found = load_encoder("small/text", weights=file, device="cpu", dtype="float32", cache=None)
    assert torch.equal(found.encode_text(WORDS), encoder.encode_text(WORDS))
    with pytest.raises(
        ConfigError, match=r"small/text is a text tower alone: it cannot encode images\. Use an encoder with an image tower\."
    ):
        found.encode_images(images)
    with pytest.raises(ConfigError, match=r"This encoder is a text tower alone: it cannot encode images\. Choose an encoder with"):
        _ = found.config.image_tower
    assert isinstance(found, Encoder)
    with pytest.raises(ConfigError, match=r"This model's encoder holds no image tower: it cannot encode pictures\. Use words, or a model"):
        fit_image(Image.new("RGB", (8, 8)), found.image_size, found.image_fit)


def test_its_configuration_goes_through_json(config: ClipConfig, text_config: ClipConfig) -> None:
    assert "vision" not in text_config.to_json()
    assert ClipConfig.from_json(text_config.to_json()) == text_config
    assert text_config.least_parameters < config.least_parameters


def test_a_folder_holds_what_the_encoder_can_do(file: Path, tmp_path: Path, images: Tensor, text_config: ClipConfig) -> None:
    found = load(file)
    save_encoder(found, tmp_path / "whole", dtype=torch.float32)
    assert torch.equal(load_encoder_folder(tmp_path / "whole").encode_images(images), found.encode_images(images))
    alone = random_encoder(text_config, seed=1)
    save_encoder(alone, tmp_path / "text", dtype=torch.float32)
    again = load_encoder_folder(tmp_path / "text")
    assert torch.equal(again.encode_text(WORDS), alone.encode_text(WORDS))
    assert again.towers.vision_model is None


def test_the_text_tower_decides_on_the_dtype(text_config: ClipConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path))
    monkeypatch.setattr(choose, "SMALL", 0)
    monkeypatch.setattr(choose, "_seconds", lambda encoders, **_: [2.0, 1.0])
    found = random_encoder(text_config)
    chosen = choose_backend(found)
    assert chosen.dtype_reason.startswith(
        "torch bfloat16: measured torch float32 2000 ms, torch bfloat16 1000 ms, cosine to torch float32 0.99"
    )
    assert chosen.dtype == torch.bfloat16
    assert chosen.fingerprint == found.fingerprint
