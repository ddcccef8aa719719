"""EVA-02-CLIP-E: CLIP's text tower beside timm's transformer that normalises after attention and perceptron."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, encoder_spec, load_encoder, random_encoder, registry
from basrelief.encoders.architecture import ImageTower, tower_of
from basrelief.encoders.convert import convert, convert_visual, layout_of
from basrelief.encoders.towers import empty_towers
from basrelief.errors import WeightsError
from support.published_layouts import State, to_openai

SPEC = encoder_spec("EVA02-E-14-plus/laion2b_s9b_b144k")
TRUNK = "visual.trunk."


@pytest.fixture(scope="module")
def eva_config(config: ClipConfig) -> ClipConfig:
    return replace(config, vision=replace(config.image_tower, kind="eva-vit", mlp_width=40))


@pytest.fixture(scope="module")
def published(eva_config: ClipConfig, config: ClipConfig) -> State:
    """Random weights under the names of open_clip and timm."""
    generator = torch.Generator().manual_seed(3)
    vision, width = eva_config.image_tower, eva_config.image_tower.width
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 17, width),
        "patch_embed.proj.weight": (width, 3, 8, 8),
        "patch_embed.proj.bias": (width,),
        "head.weight": (eva_config.embed_dim, width),
        "head.bias": (eva_config.embed_dim,),
    }
    norms = ["norm"]
    for n in range(3):
        place = f"blocks.{n}."
        shapes |= {f"{place}attn.{name}": (width,) for name in ("q_bias", "v_bias", "proj.bias")}
        shapes |= {f"{place}attn.qkv.weight": (3 * width, width), f"{place}attn.proj.weight": (width, width)}
        shapes |= {f"{place}mlp.fc1.weight": (40, width), f"{place}mlp.fc1.bias": (40,)}
        shapes |= {f"{place}mlp.fc2.weight": (width, 40), f"{place}mlp.fc2.bias": (width,)}
        norms += [f"{place}norm1", f"{place}norm2"]
    assert vision.layers == 3
    trunk = {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for name in norms:
        trunk[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=generator)
        trunk[f"{name}.bias"] = 0.2 * torch.randn(width, generator=generator)
    words = {name: t for name, t in to_openai(random_encoder(config).towers.state_dict()).items() if not name.startswith("visual.")}
    scale = words.pop("logit_scale")
    return {"logit_scale": scale} | {TRUNK + n: t for n, t in trunk.items()} | {f"text.{n}": t.clone() for n, t in words.items()}


def reference(state: State, pixels: Tensor, heads: int) -> Tensor:
    """The image tower in timm's terms, written the slow way round."""
    w = {name.removeprefix(TRUNK): tensor for name, tensor in state.items() if name.startswith(TRUNK)}

    def normed(tokens: Tensor, name: str) -> Tensor:
        return F.layer_norm(tokens, tokens.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    patches = F.conv2d(pixels, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=8).flatten(2).transpose(1, 2)
    tokens = torch.cat([w["cls_token"].expand(len(pixels), -1, -1), patches], 1) + w["pos_embed"]
    for n in range(3):
        place = f"blocks.{n}."
        query, key, value = (tokens @ w[f"{place}attn.qkv.weight"].T).chunk(3, -1)
        query, value = query + w[f"{place}attn.q_bias"], value + w[f"{place}attn.v_bias"]
        query, key, value = (rows.unflatten(-1, (heads, -1)).transpose(1, 2) for rows in (query, key, value))
        read = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1) @ value
        read = F.linear(read.transpose(1, 2).flatten(2), w[f"{place}attn.proj.weight"], w[f"{place}attn.proj.bias"])
        tokens = tokens + normed(read, f"{place}norm1")
        inner = F.gelu(F.linear(tokens, w[f"{place}mlp.fc1.weight"], w[f"{place}mlp.fc1.bias"]))
        tokens = tokens + normed(F.linear(inner, w[f"{place}mlp.fc2.weight"], w[f"{place}mlp.fc2.bias"]), f"{place}norm2")
    return F.linear(normed(tokens, "norm")[:, 0], w["head.weight"], w["head.bias"])


@pytest.fixture
def file(eva_config: ClipConfig, published: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    own = replace(SPEC, config=eva_config)
    monkeypatch.setattr(registry, "_specs", lambda: {own.name: own})
    random_encoder(eva_config).tokenizer.save(tmp_path)
    torch.save(published, tmp_path / "open_clip_pytorch_model.bin")
    return tmp_path


@pytest.mark.parametrize("text_only", [False, True])
def test_images_of_the_published_file(file: Path, published: State, images: Tensor, text_only: bool) -> None:
    encoder: ClipEncoder = load_encoder(SPEC.name, weights=file, device="cpu", dtype="float32", cache=None, text_only=text_only)
    expected = reference(published, encoder.prepare(images), encoder.config.image_tower.heads)
    torch.testing.assert_close(encoder.encode_images(images), expected, atol=1e-5, rtol=0)


def test_the_published_size() -> None:
    towers = empty_towers(SPEC.config)
    image = sum(p.numel() for part in (towers.vision_model, towers.visual_projection) for p in part.parameters())
    assert image - 64 * 1792 == 4_350_556_928  # open_clip states 4350.56 million; the file has no bias of the keys


def test_its_image_tower_is_distinguished(published: State, eva_config: ClipConfig, config: ClipConfig) -> None:
    assert layout_of(published) == "timm"
    assert tower_of(published) == ImageTower(32, 8, 3, "eva-vit") == tower_of(convert(published, eva_config))
    assert str(tower_of(published)) == "an EVA ViT of width 32, patch 8, 3 blocks"
    assert ImageTower(1792, 14, 64, "eva-vit").known_as == "EVA02-E-14-plus"
    with pytest.raises(WeightsError, match=r"an EVA ViT of width 32.*; this model needs a ViT of width 32"):
        convert(published, config)


def test_it_is_read_strictly(published: State, eva_config: ClipConfig) -> None:
    assert {name.split(".")[0] for name in convert_visual(published, eva_config)} == {"vision_model", "visual_projection"}
    with pytest.raises(WeightsError, match=r"1 unknown: visual\.rope\.bands"):
        convert({**published, f"{TRUNK}rope.bands": torch.ones(4)}, eva_config)
    for name, missing in (
        (f"{TRUNK}blocks.1.attn.v_bias", "3 missing|1 unknown"),
        (f"{TRUNK}head.weight", "1 missing: visual_projection.weight"),
    ):
        with pytest.raises(WeightsError, match=missing):
            convert({other: t for other, t in published.items() if other != name}, eva_config)
