"""SLIP: CLIP's text tower beside timm's image tower, alone or inside a checkpoint of ULIP."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, encoder_spec, load_encoder, random_encoder, registry
from basrelief.encoders.architecture import ImageTower, tower_of
from basrelief.encoders.convert import convert, convert_visual, layout_of
from basrelief.errors import WeightsError
from support import parity_json
from support.published_layouts import State, to_slip

SPEC = encoder_spec("SLIP-ViT-B-16/yfcc15m")


@pytest.fixture(scope="module")
def slip_config(config: ClipConfig) -> ClipConfig:
    """A small SLIP."""
    return replace(config, vision=replace(config.image_tower, kind="timm-vit"), activation="quick_gelu")


@pytest.fixture(scope="module")
def slip(slip_config: ClipConfig) -> ClipEncoder:
    """Random weights, biases and norms included."""
    encoder = random_encoder(slip_config, seed=3)
    generator = torch.Generator().manual_seed(4)
    for parameter in encoder.towers.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return encoder


@pytest.fixture
def published(slip: ClipEncoder) -> State:
    """Its weights as SLIP names them, with the head of its self-supervision."""
    return {**to_slip(slip.towers.state_dict()), "image_mlp.layer1.weight": torch.ones(2, 2), "image_mlp.bn1.running_mean": torch.ones(2)}


def test_the_image_tower_is_timms(slip: ClipEncoder, images: Tensor) -> None:
    """Transformers' ViT is the same architecture, written by others."""
    from transformers import ViTConfig, ViTModel

    state, vision = slip.towers.state_dict(), slip.config.image_tower
    settings = ViTConfig(
        hidden_size=vision.width,
        num_hidden_layers=vision.layers,
        num_attention_heads=vision.heads,
        intermediate_size=vision.mlp_width,
        image_size=vision.image_size,
        patch_size=vision.patch_size,
        layer_norm_eps=1e-6,
        hidden_act="gelu",
    )
    other = ViTModel(settings, add_pooling_layer=False).eval()
    other.load_state_dict(_transformers_names(state))
    pixels = slip.prepare(images)
    with torch.no_grad():
        token = other(pixel_values=pixels).last_hidden_state[:, 0]
    expected = token @ state["visual_projection.weight"].T
    torch.testing.assert_close(slip.encode_images(images), expected, atol=1e-5, rtol=0)


_THEIRS = (
    ("vision_model.embeddings.class_embedding", "embeddings.cls_token"),
    ("vision_model.embeddings.position_embedding.weight", "embeddings.position_embeddings"),
    ("vision_model.embeddings.patch_embedding", "embeddings.patch_embeddings.projection"),
    ("vision_model.post_layernorm", "layernorm"),
    ("vision_model.encoder.layers", "layers"),
    ("self_attn.out_proj", "attention.o_proj"),
    ("self_attn", "attention"),
    ("layer_norm1", "layernorm_before"),
    ("layer_norm2", "layernorm_after"),
)


def _transformers_names(state: State) -> State:
    """Rename our image tower to transformers' ViT."""
    found: State = {}
    for name, tensor in state.items():
        if name.startswith("vision_model."):
            for ours, theirs in _THEIRS:
                name = name.replace(ours, theirs)  # noqa: PLW2901
            found[name] = tensor
    token, places = "embeddings.cls_token", "embeddings.position_embeddings"
    return found | {token: found[token][None, None], places: found[places][None]}


def test_slips_own_checkpoint(slip: ClipEncoder, published: State, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(SPEC, config=slip.config)
    monkeypatch.setattr(registry, "_specs", lambda: {own.name: own})
    path = tmp_path / "slip_base_100ep.pt"
    content = {f"module.{name}": tensor for name, tensor in published.items()}
    torch.save({"epoch": 100, "state_dict": content, "args": argparse.Namespace(model="SLIP_VITB16")}, path)
    slip.tokenizer.save(tmp_path)
    whole = load_encoder(SPEC.name, weights=path, device="cpu", dtype="float32", cache=None)
    text = load_encoder(SPEC.name, weights=tmp_path, device="cpu", dtype="float32", cache=None, text_only=True)
    assert (whole.mean, whole.image_fit.interpolation) == (SPEC.mean, "bilinear")
    expected = slip.with_preprocessing(SPEC.mean, SPEC.std)
    for found in (whole, text):
        assert torch.equal(found.encode_text(["a chair"]), slip.encode_text(["a chair"]))
        assert torch.equal(found.encode_images(images), expected.encode_images(images))


def test_a_checkpoint_of_ulip_is_read_strictly(published: State, slip_config: ClipConfig, slip: ClipEncoder) -> None:
    state = {**published, "pc_projection": torch.ones(3, 3), "point_encoder.cls_token": torch.ones(1, 1, 3)}
    found = convert(state, slip_config)
    assert all(torch.equal(found[name], tensor) for name, tensor in slip.towers.state_dict().items())
    assert not any(name.startswith("vis") for name in convert(state, slip_config, images=False))
    assert {name.split(".")[0] for name in convert_visual(state, slip_config)} == {"vision_model", "visual_projection"}
    with pytest.raises(WeightsError, match="1 unknown: prompt_learner"):
        convert({**state, "prompt_learner": torch.ones(1)}, slip_config)
    with pytest.raises(WeightsError, match=r"1 unknown: visual\.head\.weight"):
        convert({**state, "visual.head.weight": torch.ones(1, 1)}, slip_config)
    del state["visual.blocks.1.attn.qkv.bias"]
    with pytest.raises(WeightsError, match=r"3 missing: vision_model\.encoder\.layers\.1\.self_attn\.k_proj\.bias"):
        convert(state, slip_config)


def test_its_image_tower_is_distinguished_from_that_of_clip(published: State, config: ClipConfig, slip_config: ClipConfig) -> None:
    assert layout_of(published) == "slip"
    assert tower_of(published) == ImageTower(32, 8, 3, "timm-vit")
    assert str(tower_of(published)) == "a timm ViT of width 32, patch 8, 3 blocks"
    assert ImageTower(768, 16, 12, "timm-vit").known_as == "SLIP-ViT-B-16"
    assert ImageTower(768, 16, 12).known_as == "ViT-B-16"
    with pytest.raises(WeightsError, match=r"a timm ViT of width 32.*; this model needs a ViT of width 32"):
        convert(published, config)


def test_ulips_published_names_fit() -> None:
    (names,) = (rows for title, rows in parity_json("ulip_layouts.json").items() if "ULIP-1" in title)
    state = {name.removeprefix("module."): torch.empty(shape, device="meta") for name, shape, _ in names}
    assert len(convert(state, SPEC.config)) == 397
