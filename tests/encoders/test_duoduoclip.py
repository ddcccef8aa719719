"""DuoduoCLIP: blocks that read all views of a shape, against a slow reference and open_clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, encoder_spec, load_encoder, random_encoder, registry
from basrelief.encoders.architecture import ImageTower
from basrelief.encoders.convert import convert, layout_of
from basrelief.encoders.towers import towers_from_state
from basrelief.errors import ConfigError, WeightsError
from support import parity_arrays
from support.published_layouts import State, to_openai
from support.recorded_encoders import config_of, meta

SPEC = encoder_spec("DuoduoCLIP-B-32/four-1to6f-lt6")
JOINT = 2


@pytest.fixture(scope="module")
def joint_config(config: ClipConfig) -> ClipConfig:
    return replace(config, vision=replace(config.image_tower, joint_blocks=JOINT))


@pytest.fixture(scope="module")
def encoder(joint_config: ClipConfig) -> ClipEncoder:
    """Random weights, biases and norms included."""
    found = random_encoder(joint_config, seed=3)
    generator = torch.Generator().manual_seed(4)
    for parameter in found.towers.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return found


@pytest.fixture(scope="module")
def views() -> Tensor:
    """Two shapes of five views."""
    return torch.rand(2, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def published(encoder: ClipEncoder, scale: float) -> State:
    """Its weights as the authors' training saves them."""
    state = {f"duoduoclip.{name}": tensor for name, tensor in to_openai(encoder.towers.state_dict()).items()}
    return {"contrastive_loss.logit_scale": torch.tensor(scale), **state}


def reference(state: State, pixels: Tensor, *, heads: int, joint: int) -> Tensor:
    """The features of one shape in the authors' terms, written the slow way round.

    Each view keeps its own tokens. Up to a block a token reads its own view; from there on it reads the tokens of all views.
    """
    w = {name.removeprefix("duoduoclip.visual."): tensor for name, tensor in state.items()}
    blocks = 1 + max(int(name.split(".")[2]) for name in w if name.startswith("transformer.resblocks."))

    def normed(tokens: Tensor, name: str) -> Tensor:
        return F.layer_norm(tokens, tokens.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def attended(queries: Tensor, tokens: Tensor, place: str) -> Tensor:
        weight, bias = w[f"{place}.attn.in_proj_weight"].chunk(3), w[f"{place}.attn.in_proj_bias"].chunk(3)
        query, key, value = (F.linear(t, a, b) for t, a, b in zip((queries, tokens, tokens), weight, bias, strict=True))
        found = []
        for part in range(heads):
            own = slice(part * query.shape[1] // heads, (part + 1) * query.shape[1] // heads)
            shares = (query[:, own] @ key[:, own].T / (query.shape[1] / heads) ** 0.5).softmax(-1)
            found.append(shares @ value[:, own])
        return F.linear(torch.cat(found, 1), w[f"{place}.attn.out_proj.weight"], w[f"{place}.attn.out_proj.bias"])

    each = []
    for picture in pixels:
        patches = F.conv2d(picture[None], w["conv1.weight"], stride=8)[0].flatten(1).T
        each.append(normed(torch.cat([w["class_embedding"][None], patches]) + w["positional_embedding"], "ln_pre"))
    for number in range(blocks):
        place = f"transformer.resblocks.{number}"
        normals = [normed(tokens, f"{place}.ln_1") for tokens in each]
        read = [torch.cat(normals) if number >= blocks - joint else own for own in normals]
        each = [tokens + attended(own, seen, place) for tokens, own, seen in zip(each, normals, read, strict=True)]
        for view, tokens in enumerate(each):
            inner = F.gelu(F.linear(normed(tokens, f"{place}.ln_2"), w[f"{place}.mlp.c_fc.weight"], w[f"{place}.mlp.c_fc.bias"]))
            each[view] = tokens + F.linear(inner, w[f"{place}.mlp.c_proj.weight"], w[f"{place}.mlp.c_proj.bias"])
    return torch.stack([normed(tokens, "ln_post")[0] for tokens in each]).mean(0) @ w["proj"]


@pytest.mark.parametrize("joint", [1, 2, 3])
def test_views_are_read_together(encoder: ClipEncoder, views: Tensor, joint: int) -> None:
    vision = replace(encoder.config.image_tower, joint_blocks=joint)
    other = ClipEncoder(towers_from_state(replace(encoder.config, vision=vision), encoder.towers.state_dict()), encoder.tokenizer)
    state = published(encoder, 1.0)
    pixels = encoder.prepare(views.flatten(0, 1)).unflatten(0, (2, 5))
    expected = torch.stack([reference(state, shape, heads=vision.heads, joint=joint) for shape in pixels])
    torch.testing.assert_close(other.encode_views(views), expected, atol=1e-5, rtol=0)


def test_one_view_is_a_picture_of_open_clip() -> None:
    arrays = parity_arrays("clip_towers_small.npz")
    state = {key.removeprefix("vit_gelu/sd/"): torch.from_numpy(a) for key, a in arrays.items() if key.startswith("vit_gelu/sd/")}
    config = config_of(meta(arrays)["configs"]["vit_gelu"], quick=False)
    config = replace(config, vision=replace(config.image_tower, joint_blocks=1), text=replace(config.text, vocab_size=8, eot=7))
    state["token_embedding.weight"] = torch.zeros(8, config.text.width)
    towers, images = towers_from_state(config, convert(state, config)), torch.from_numpy(arrays["vit_gelu/image"]).float()
    expected = torch.from_numpy(np.asarray(arrays["vit_gelu/image_features"]))
    with torch.no_grad():
        torch.testing.assert_close(towers.view_features(images[:, None]), expected, atol=5e-5, rtol=0)
        torch.testing.assert_close(towers.image_features(images), expected, atol=5e-5, rtol=0)


def test_order_and_company_have_no_effect(encoder: ClipEncoder, views: Tensor) -> None:
    both = encoder.encode_views(views)
    torch.testing.assert_close(encoder.encode_views(views.flip(1)), both, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.encode_views(views[:1]), both[:1], atol=1e-5, rtol=0)
    assert not torch.allclose(both, encoder.encode_images(views.flatten(0, 1)).unflatten(0, (2, 5)).mean(1), atol=1e-3)
    encoder.batch_size = 3
    torch.testing.assert_close(encoder.encode_views(views), both, atol=1e-5, rtol=0)
    encoder.batch_size = 32
    assert encoder.encode_views(views[:0]).shape == (0, encoder.embedding_dim)
    gray = views.mean(2)
    torch.testing.assert_close(encoder.encode_views(gray), encoder.encode_views(gray[:, :, None].expand_as(views)), atol=1e-6, rtol=0)


def test_a_checkpoint_of_its_training(encoder: ClipEncoder, views: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(SPEC, config=encoder.config)
    monkeypatch.setattr(registry, "_specs", lambda: {spec.name: spec})
    content = {"epoch": 80, "pytorch-lightning_version": "2.2", "state_dict": published(encoder, 3.25), "hyper_parameters": {"cfg": {}}}
    torch.save(content, tmp_path / SPEC.files[0])
    encoder.tokenizer.save(tmp_path)
    whole, text = (
        load_encoder(spec.name, weights=tmp_path, device="cpu", dtype="float32", cache=None, text_only=alone) for alone in (False, True)
    )
    for found in (whole, text):
        assert found.joint_views
        assert found.logit_scale == pytest.approx(float(np.exp(3.25)))
        assert torch.equal(found.encode_text(["a chair"]), encoder.encode_text(["a chair"]))
        torch.testing.assert_close(found.encode_views(views), encoder.encode_views(views), atol=1e-6, rtol=0)


def test_it_is_read_strictly(encoder: ClipEncoder) -> None:
    state, config = published(encoder, 1.0), encoder.config
    assert layout_of(state) == "duoduoclip"
    with pytest.raises(WeightsError, match=r"1 unknown: evaluator\.correct"):
        convert({**state, "evaluator.correct": torch.ones(1)}, config)
    del state["duoduoclip.visual.transformer.resblocks.1.attn.in_proj_weight"]
    with pytest.raises(WeightsError, match=r"3 missing: vision_model\.encoder\.layers\.1\.self_attn\.k_proj\.weight"):
        convert(state, config)


def test_only_such_towers_read_views_together(config: ClipConfig, views: Tensor) -> None:
    plain = random_encoder(config)
    assert not plain.joint_views
    assert "DuoduoCLIP" not in ImageTower(768, 32, 12).known_as
    with pytest.raises(ConfigError, match=r"This image tower has no blocks that read several views\."):
        plain.encode_views(views)
    for wrong in (4, -1, True + 0.5):
        with pytest.raises(ConfigError, match=r"vision\.joint_blocks is .*; a tower of this kind and depth has 0 to 3\."):
            replace(config.image_tower, joint_blocks=wrong)
    with pytest.raises(ConfigError, match=r"has 0 to 0\."):
        replace(encoder_spec("PE-Core-B-16/meta").config.image_tower, joint_blocks=1)
