"""Properties of the towers, and equality with `CLIPModel` of transformers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, VisionConfig, random_encoder
from basrelief.encoders.towers import ClipTowers, empty_towers
from basrelief.errors import ConfigError
from support import parity_json

OPENDLIGN = {"ViT-B-32": 2_362_368, "ViT-B-16": 2_362_368, "ViT-L-14": 4_198_400, "ViT-H-14-quickgelu": 6_558_720}


@pytest.fixture
def towers(tuned_encoder: ClipEncoder) -> ClipTowers:
    return tuned_encoder.towers


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_both_towers_equal_transformers_own_model(config: ClipConfig, pixels: Tensor, activation: str) -> None:
    from transformers.models.clip.configuration_clip import CLIPConfig as OutsideConfig
    from transformers.models.clip.modeling_clip import CLIPModel

    towers = random_encoder(replace(config, activation=activation), seed=2).towers
    vision, text = config.vision, config.text
    shared = {"hidden_act": activation, "attn_implementation": "eager"}
    outside = CLIPModel(
        OutsideConfig(
            projection_dim=config.embed_dim,
            vision_config={
                **shared, "hidden_size": vision.width, "intermediate_size": vision.mlp_width, "num_hidden_layers": vision.layers,
                "num_attention_heads": vision.heads, "image_size": vision.image_size, "patch_size": vision.patch_size,
            },
            text_config={
                **shared, "hidden_size": text.width, "intermediate_size": text.mlp_width, "num_hidden_layers": text.layers, "bos_token_id": 1,
                "num_attention_heads": text.heads, "vocab_size": text.vocab_size, "eos_token_id": text.eot, "pad_token_id": 0,
                "max_position_embeddings": text.context_length,
            },
        )
    ).eval()  # fmt: skip
    outside.load_state_dict(towers.state_dict(), strict=True)
    ids = torch.tensor([[512, 5, 6, 7, 513], [512, 9, 513, 0, 0]])
    with torch.no_grad():
        expected = outside(input_ids=ids, pixel_values=pixels)
        image = F.normalize(towers.image_features(pixels), dim=-1)
        words = F.normalize(towers.text_features(ids), dim=-1)
    torch.testing.assert_close(image, expected.image_embeds, atol=2e-6, rtol=0)
    torch.testing.assert_close(words, expected.text_embeds, atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", OPENDLIGN)
def test_opendlign_trains_the_attention_of_the_tuned_block(name: str) -> None:
    sizes = {
        "ViT-B-32": (768, 12, 12, 32),
        "ViT-B-16": (768, 12, 12, 16),
        "ViT-L-14": (1024, 24, 16, 14),
        "ViT-H-14-quickgelu": (1280, 32, 16, 14),
    }
    width, layers, heads, patch = sizes[name]
    config = ClipConfig(512, VisionConfig(224, width, layers, heads, patch), TextConfig(64, 1, 1))
    towers = empty_towers(config, tuned=True)
    assert sum(p.numel() for p in towers.tuned_parameters()) == OPENDLIGN[name] == 4 * width**2 + 4 * width
    assert all(p.is_meta for p in towers.parameters())


def test_opendlign_counts_are_the_recorded_ones() -> None:
    for name, record in parity_json("opendlign_trainable.json")["models"].items():
        own, text = record["config"], record["config"]["text_cfg"]
        vision = VisionConfig(
            224, own["vision_cfg"]["width"], own["vision_cfg"]["layers"], record["vision_heads"], own["vision_cfg"]["patch_size"]
        )
        towers = empty_towers(ClipConfig(own["embed_dim"], vision, TextConfig(text["width"], text["layers"], text["heads"])), tuned=True)
        assert sum(p.numel() for p in towers.tuned_parameters()) == record["trainable_count"], name
        assert sum(p.numel() for p in towers.parameters()) == record["total_count"], name
        visual = [p for n, p in towers.named_parameters() if n.startswith(("visi", "visual", "tuned"))]
        assert sum(p.numel() for p in visual) == record["vision_total"], name


def test_a_fresh_tuned_block_changes_nothing(encoder: ClipEncoder, pixels: Tensor) -> None:
    before = encoder.towers.image_features(pixels)
    encoder.towers.add_tuned_blocks()
    frozen, tuned = encoder.towers.both_features(pixels)
    assert torch.equal(frozen, before)
    torch.testing.assert_close(tuned, before, atol=1e-6, rtol=0)


def test_a_tuned_block_is_a_copy_not_an_alias(encoder: ClipEncoder, pixels: Tensor) -> None:
    encoder.towers.add_tuned_blocks()
    before = encoder.towers.image_features(pixels)
    with torch.no_grad():
        for parameter in encoder.towers.tuned_parameters():
            parameter.add_(1)
    assert torch.equal(encoder.towers.image_features(pixels), before)


def test_the_tuned_branch_is_the_mean_of_two_blocks(towers: ClipTowers, pixels: Tensor) -> None:
    with torch.no_grad():
        tokens = towers.trunk(pixels)
        last = towers.vision_model.encoder.layers[-1](tokens)
        other = towers.tuned_blocks[0](tokens)
        expected = towers.visual_projection(towers.vision_model.post_layernorm((last + other)[:, 0] / 2))
        torch.testing.assert_close(towers.both_features(pixels)[1], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("residual", [True, False])
def test_tuned_blocks_stand_beside_the_last_ones(encoder: ClipEncoder, pixels: Tensor, count: int, residual: bool) -> None:
    towers = encoder.towers
    towers.add_tuned_blocks(count, residual=residual)
    with torch.no_grad():
        for parameter in towers.tuned_parameters():
            parameter.mul_(1.3)
        layers = towers.vision_model.encoder.layers
        tokens = other = towers.trunk(pixels)
        for block in layers[-count:]:
            tokens = block(tokens)
        for block in towers.tuned_blocks or ():
            other = block(other)
        mixed = (tokens + other) / 2 if residual else other
        expected = [towers.visual_projection(towers.vision_model.post_layernorm(t[:, 0])) for t in (tokens, mixed)]
        found = towers.both_features(pixels)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    assert not torch.allclose(*found, atol=1e-3)


def test_more_tuned_blocks_than_blocks_are_refused(encoder: ClipEncoder) -> None:
    for count in (0, 99):
        with pytest.raises(ConfigError, match=f"Cannot tune {count} of the tower's .* transformer blocks"):
            encoder.towers.add_tuned_blocks(count)


def test_the_last_block_computes_the_class_token_only(towers: ClipTowers, pixels: Tensor) -> None:
    shapes = []
    last = towers.vision_model.encoder.layers[-1]
    last.mlp.register_forward_hook(lambda _, given, __: shapes.append(given[0].shape[:-1]))
    whole = last(towers.trunk(pixels))[:, 0]
    torch.testing.assert_close(towers.frozen_token(towers.trunk(pixels)), whole, atol=1e-6, rtol=0)
    tokens = 1 + (towers.config.vision.image_size // (towers.config.vision.patch_size or 1)) ** 2
    assert shapes == [(len(pixels), tokens), (len(pixels), 1)]


@pytest.mark.parametrize("mask", [[True, False, True, False], [False] * 4, [True] * 4])
def test_a_mask_picks_the_branch_of_each_row(towers: ClipTowers, pixels: Tensor, mask: list[bool]) -> None:
    chosen = torch.tensor(mask)
    with torch.no_grad():
        frozen, tuned = towers.both_features(pixels)
        mixed = towers.image_features(pixels, tuned=chosen)
    torch.testing.assert_close(mixed, torch.where(chosen[:, None], tuned, frozen), atol=1e-6, rtol=0)


def test_both_branches_cost_one_trunk(towers: ClipTowers, pixels: Tensor) -> None:
    runs = dict.fromkeys(["first", "last", "tuned"], 0)

    def count(name: str) -> None:
        runs[name] += 1

    blocks = towers.vision_model.encoder.layers
    blocks[0].layer_norm1.register_forward_hook(lambda *_: count("first"))
    blocks[-1].layer_norm1.register_forward_hook(lambda *_: count("last"))
    assert towers.tuned_blocks is not None
    towers.tuned_blocks.get_submodule("0.layer_norm1").register_forward_hook(lambda *_: count("tuned"))
    towers.both_features(pixels)
    assert runs == {"first": 1, "last": 1, "tuned": 1}
    towers.image_features(pixels, tuned=torch.tensor([True, False, False, False]))
    assert runs == {"first": 2, "last": 2, "tuned": 2}
    towers.image_features(pixels, tuned=torch.zeros(4, dtype=torch.bool))
    assert runs == {"first": 3, "last": 3, "tuned": 2}


def test_gradients_reach_what_is_trained_and_nothing_else(towers: ClipTowers, pixels: Tensor) -> None:
    towers.requires_grad_(False)
    for parameter in towers.tuned_parameters():
        parameter.requires_grad_(True)
    towers.finish(towers.trunk(pixels), tuned=torch.ones(4, dtype=torch.bool)).square().sum().backward()
    trained = {name for name, p in towers.named_parameters() if p.grad is not None}
    assert trained == {f"tuned_blocks.0.self_attn.{p}_proj.{k}" for p in ("q", "k", "v", "out") for k in ("weight", "bias")}
    assert all(float(p.grad.abs().max()) > 0 for n, p in towers.named_parameters() if p.grad is not None and "k_proj.bias" not in n)


def test_gradients_reach_every_parameter_of_an_untuned_encoder(encoder: ClipEncoder, pixels: Tensor) -> None:
    towers = encoder.towers.train()
    image = F.normalize(towers.image_features(pixels), dim=-1)
    words = F.normalize(towers.text_features(torch.tensor([[512, 5, 513], [512, 6, 513]])), dim=-1)
    (towers.logit_scale.exp() * image @ words.T).square().sum().backward()
    assert [n for n, p in towers.named_parameters() if p.grad is None] == []


def test_tokens_after_the_end_of_text_have_no_effect(encoder: ClipEncoder) -> None:
    ids = torch.tensor([[512, 5, 6, 513, 0, 0], [512, 7, 513, 0, 0, 0]])
    padded = F.pad(ids, (0, 14), value=3)
    with torch.no_grad():
        short, full = encoder.towers.text_features(ids), encoder.towers.text_features(padded)
    assert padded.shape[1] == encoder.config.text.context_length
    torch.testing.assert_close(short, full, atol=1e-6, rtol=0)


def test_an_end_of_text_that_is_not_the_last_id_is_found(config: ClipConfig) -> None:
    towers = random_encoder(config, seed=1).towers
    towers.config = replace(config, text=replace(config.text, eot=2))
    with torch.no_grad():
        a = towers.text_features(torch.tensor([[1, 9, 2, 500]]))
        b = towers.text_features(torch.tensor([[1, 9, 2, 400]]))
    torch.testing.assert_close(a, b, atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_cast_leaves_the_scale_alone(towers: ClipTowers, dtype: torch.dtype) -> None:
    with torch.no_grad():
        towers.logit_scale.fill_(4.6052)
    towers.cast(dtype)
    assert towers.dtype == dtype
    assert towers.logit_scale.dtype == torch.float32
    assert float(towers.logit_scale.detach()) == pytest.approx(4.6052, abs=1e-6)


def test_a_resnet_has_no_blocks_to_tune(resnet_encoder: ClipEncoder) -> None:
    towers, pixels = resnet_encoder.towers, torch.zeros(1, 3, 64, 64)
    message = r"A convolutional image tower has no tuned blocks\. Choose a ViT encoder\."
    for refused in (
        towers.add_tuned_blocks,
        towers.tuned_parameters,
        lambda: towers.trunk(pixels),
        lambda: towers.both_features(pixels),
        lambda: towers.image_features(pixels, tuned=torch.ones(1, dtype=torch.bool)),
    ):
        with pytest.raises(ConfigError, match=message):
            refused()


def test_a_branch_that_is_not_there_says_so(encoder: ClipEncoder, pixels: Tensor) -> None:
    message = r"The encoder has no tuned blocks\. Load OpenDlign's weights or call add_tuned_blocks"
    for refused in (
        encoder.towers.tuned_parameters,
        lambda: encoder.towers.both_features(pixels),
        lambda: encoder.towers.image_features(pixels, tuned=torch.ones(4, dtype=torch.bool)),
    ):
        with pytest.raises(ConfigError, match=message):
            refused()


def test_random_weights_follow_their_seed(config: ClipConfig) -> None:
    state = torch.random.get_rng_state()
    one, same, other = (random_encoder(config, seed=s).towers.state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator must not be touched"
    assert all(torch.equal(one[name], same[name]) for name in one)
    name = "vision_model.encoder.layers.0.mlp.fc1.weight"
    assert not torch.equal(one[name], other[name])
    assert float(one[name].std()) == pytest.approx(32**-0.5, rel=0.1)
    assert float(one["logit_scale"].exp()) == pytest.approx(1 / 0.07)
