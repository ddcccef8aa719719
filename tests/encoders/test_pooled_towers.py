"""Towers that pool all tokens by attention: the Perception Encoder and SigLIP, against open_clip, Meta's layout and transformers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from basrelief.encoders import ClipConfig, TextConfig, VisionConfig, encoder_spec, random_encoder
from basrelief.encoders.architecture import ImageTower, tower_in, tower_of
from basrelief.encoders.convert import convert, convert_visual, layout_of
from basrelief.encoders.towers import ClipTowers, towers_from_state
from basrelief.errors import ConfigError, WeightsError
from support import parity_arrays
from support.filled_weights import fill
from support.published_layouts import State

SEED = 11
PE_VISION = VisionConfig(32, 32, 3, 4, 8, mlp_width=96, kind="pe-vit")
TEXT: dict[str, Any] = {"width": 16, "layers": 2, "heads": 2, "context_length": 20, "vocab_size": 514}
CONFIGS = {
    "pe": ClipConfig(24, PE_VISION, TextConfig(**TEXT)),
    "pe_without_class_token": ClipConfig(
        24, VisionConfig(32, 32, 3, 4, 8, mlp_width=96, kind="pe-vit", class_token=False), TextConfig(**TEXT)
    ),
    "siglip": ClipConfig(
        24,
        VisionConfig(32, 24, 3, 3, 8, mlp_width=72, kind="siglip-vit", class_token=False),
        TextConfig(**TEXT, kind="siglip"),
        "gelu_tanh",
        logit_bias=True,
    ),
}
CONFIGS["meta"] = CONFIGS["pe"]
LAYOUTS = {"pe": "timm", "pe_without_class_token": "timm", "siglip": "timm", "meta": "openai"}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return parity_arrays("pooled_towers_small.npz")


def recorded_state(arrays: dict[str, np.ndarray], name: str) -> State:
    """The weights that were recorded by name."""
    names = json.loads(str(arrays["names"]))[name]
    return {key: torch.from_numpy(fill(key, tuple(shape), SEED)) for key, shape in names.items()}


def loaded(state: State, config: ClipConfig, dtype: torch.dtype = torch.float32) -> ClipTowers:
    towers = towers_from_state(config, convert(state, config))
    return towers.to(dtype)


@pytest.mark.parametrize(("bits", "tolerance"), [("float32", 2e-5), ("float64", 1e-9)])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_features_are_open_clips(arrays: dict[str, np.ndarray], name: str, bits: str, tolerance: float) -> None:
    dtype = getattr(torch, bits)
    towers = loaded(recorded_state(arrays, name), CONFIGS[name], dtype)
    pixels, ids = torch.from_numpy(arrays["images"]).to(dtype) / 255, torch.from_numpy(arrays["token_ids"])
    with torch.no_grad():
        image, text = towers.image_features(pixels), towers.text_features(ids)
    for part, ours in (("image", image), ("text", text)):
        expected = torch.from_numpy(arrays[f"{name}/{part}_features/{bits}"])
        torch.testing.assert_close(ours, expected, atol=tolerance * float(expected.abs().max()), rtol=0)
    cosines = torch.nn.functional.normalize(image, dim=-1) @ torch.nn.functional.normalize(text, dim=-1).T
    logits = towers.logit_scale.exp() * cosines + (0 if towers.logit_bias is None else towers.logit_bias)
    expected = torch.from_numpy(arrays[f"{name}/logits/{bits}"])
    torch.testing.assert_close(logits.detach(), expected, atol=10 * tolerance * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_layouts_and_towers_are_recognised(arrays: dict[str, np.ndarray], name: str) -> None:
    state, config = recorded_state(arrays, name), CONFIGS[name]
    assert layout_of(state) == LAYOUTS[name]
    assert tower_of(state) == tower_in(config.image_tower) == tower_of(convert(state, config))
    assert convert_visual(state, config).keys() == {key for key in convert(state, config) if key.startswith(("vision", "visual"))}


def test_towers_of_other_kinds_are_named(arrays: dict[str, np.ndarray], config: ClipConfig) -> None:
    message = r"x\.pt is a Perception Encoder of width 32, patch 8, 3 blocks \(.*\); this model needs a ViT of width 32"
    with pytest.raises(WeightsError, match=message):
        convert(recorded_state(arrays, "meta"), config, source="x.pt")
    assert str(ImageTower(24, 8, 3, "siglip-vit")) == "a SigLIP ViT of width 24, patch 8, 3 blocks"
    assert ImageTower(768, 16, 12, "pe-vit").known_as == "PE-Core-B-16"


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("pe", "visual.trunk.attn_pool.kv.bias"),
        ("pe", "visual.trunk.head.bias"),
        ("pe_without_class_token", "visual.trunk.norm_pre.weight"),
        ("siglip", "text.text_projection.bias"),
        ("siglip", "logit_bias"),
        ("meta", "visual.attn_pool.mlp.c_proj.bias"),
    ],
)
def test_every_name_is_needed(arrays: dict[str, np.ndarray], name: str, odd: str) -> None:
    state = recorded_state(arrays, name)
    lacking = {key: tensor for key, tensor in state.items() if key != odd}
    with pytest.raises(WeightsError, match=r"missing|needs a"):
        convert(lacking, CONFIGS[name])
    with pytest.raises(WeightsError, match=r"1 unknown: .*\.odd \(layout"):
        convert({**state, f"{odd}.odd": state[odd]}, CONFIGS[name])


def test_a_tensor_under_two_names_is_refused(arrays: dict[str, np.ndarray]) -> None:
    state = recorded_state(arrays, "meta")
    with pytest.raises(WeightsError, match=r"vision_model\.head\.probe is in the weights twice, under two names\. Check that the file"):
        convert({**state, "visual.attn_pool.latent": state["visual.attn_pool.probe"]}, CONFIGS["meta"])
    siglip = convert(recorded_state(arrays, "siglip"), CONFIGS["siglip"])
    with pytest.raises(WeightsError, match=r"text_projection\.weight is in the weights twice"):
        convert({**siglip, "text_model.head.weight": siglip["text_projection.weight"]}, CONFIGS["siglip"])


def test_the_published_files_fit(arrays: dict[str, np.ndarray]) -> None:
    for name, names in json.loads(str(arrays["layouts"])).items():
        spec = encoder_spec(f"{name}/{'meta' if name.startswith('PE') else 'webli'}")
        state = {key: torch.empty(shape, device="meta") for key, shape in names.items()}
        found = convert(state, spec.config, source=name)
        assert sum(tensor.numel() for tensor in found.values()) == spec.parameters
        words = convert(state, spec.config, images=False)
        assert words.keys() == {key for key in found if not key.startswith(("vision", "visual"))}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sizes"), [("ViT-B-16-SigLIP2", (768, 3072, 12, 12)), ("ViT-SO400M-14-SigLIP2", (1152, 4304, 27, 16))])
def test_transformers_files_fit(name: str, sizes: tuple[int, ...]) -> None:
    from transformers import SiglipConfig, SiglipModel

    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    config, size = encoder_spec(f"{name}/webli").config, dict(zip(keys, sizes, strict=True))
    vision = {**size, "image_size": 224, "patch_size": config.image_tower.patch_size}
    with torch.device("meta"):
        text = {**size, "vocab_size": 256000, "projection_size": sizes[0]}
        state = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).state_dict()
    assert sum(tensor.numel() for tensor in convert(state, config).values()) == encoder_spec(f"{name}/webli").parameters


def test_a_class_token_is_needed_or_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(WeightsError, match=r"1 missing: vision_model\.embeddings\.class_embedding"):
        convert(recorded_state(arrays, "pe_without_class_token"), CONFIGS["pe"])
    with pytest.raises(WeightsError, match=r"1 unknown: vision_model\.embeddings\.class_embedding"):
        convert(recorded_state(arrays, "pe"), CONFIGS["pe_without_class_token"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_siglip_is_transformers(dtype: torch.dtype) -> None:
    from transformers import SiglipConfig, SiglipModel

    config = CONFIGS["siglip"]
    text = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 514}
    text |= {"max_position_embeddings": 20, "projection_size": 24}
    vision = {
        "hidden_size": 24,
        "intermediate_size": 72,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "image_size": 32,
        "patch_size": 8,
    }
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    state = {key: torch.from_numpy(fill(key, tuple(t.shape), SEED)) for key, t in model.state_dict().items()}
    model.load_state_dict(state)
    towers = loaded(state, config, dtype)
    assert layout_of(state) == "huggingface"
    assert tower_of(state) == tower_in(config.image_tower)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=dtype)
    ids = torch.randint(0, 514, (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = model.to(dtype)(input_ids=ids, pixel_values=pixels)
        image, words = towers.image_features(pixels), towers.text_features(ids)
        cosines = torch.nn.functional.normalize(image, dim=-1) @ torch.nn.functional.normalize(words, dim=-1).T
        logits = towers.logit_scale.exp() * cosines + towers.logit_bias
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(image, theirs.vision_model_output.pooler_output, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(words, theirs.text_model_output.pooler_output, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(logits, theirs.logits_per_image, atol=10 * tolerance, rtol=tolerance)


def reference_rotation(x: Tensor, side: int, *, class_token: bool) -> Tensor:
    """Turn the channels of one head, pair by pair, by the definition: rows are tokens."""
    turned, pairs = x.clone(), x.shape[1] // 4
    for token in range(class_token, len(x)):
        row, column = divmod(token - class_token, side)
        for place, start in ((column + class_token, 0), (row + class_token, 2 * pairs)):
            for pair in range(pairs):
                angle = torch.tensor(place * 10000.0 ** (-pair / pairs), dtype=x.dtype)
                one, other = x[token, start + 2 * pair], x[token, start + 2 * pair + 1]
                turned[token, start + 2 * pair] = one * angle.cos() - other * angle.sin()
                turned[token, start + 2 * pair + 1] = other * angle.cos() + one * angle.sin()
    return turned


@pytest.mark.parametrize("class_token", [True, False])
def test_rotation_is_its_definition(class_token: bool) -> None:
    from basrelief.encoders.rotary import rotate, rotation

    x = torch.randn(9 + class_token, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = rotate(x[None, None], rotation(3, 8, class_token=class_token, like=x))[0, 0]
    torch.testing.assert_close(turned, reference_rotation(x, 3, class_token=class_token), atol=1e-12, rtol=0)
    torch.testing.assert_close(turned.norm(dim=1), x.norm(dim=1))
    half = rotate(x[None, None].bfloat16(), rotation(3, 8, class_token=class_token, like=x.bfloat16()))
    assert half.dtype == torch.bfloat16
    assert rotation(3, 8, class_token=class_token, like=half).cos.dtype == torch.float32


@pytest.mark.parametrize("name", ["pe", "siglip"])
def test_attention_pooling_has_no_tuned_blocks(name: str) -> None:
    encoder = random_encoder(CONFIGS[name])
    with pytest.raises(ConfigError, match=r"pools all tokens by attention, but tuned blocks change the class token alone\. Choose an"):
        encoder.towers.add_tuned_blocks()


def test_ids_that_are_not_padded_are_refused() -> None:
    towers = random_encoder(CONFIGS["siglip"]).towers
    with pytest.raises(ConfigError, match=r"ids has 4 columns; expected 20\. Pass padded=True to the tokenizer\."):
        towers.text_features(torch.ones(1, 4, dtype=torch.int64))


def test_random_encoders_of_the_new_kinds_work() -> None:
    images = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    for name, config in CONFIGS.items():
        one, same, other = (random_encoder(config, seed=seed) for seed in (0, 0, 1))
        assert one.fingerprint == same.fingerprint != other.fingerprint
        assert one.encode_images(images).shape == (3, 24)
        texts = one.encode_text(["a chair", "a somewhat longer text"])
        torch.testing.assert_close(texts[:1], one.encode_text(["a chair"]), atol=1e-6, rtol=1e-5)
        assert one.logit_bias == (-10.0 if name == "siglip" else None)
