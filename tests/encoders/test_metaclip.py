"""MetaCLIP 2: CLIP's towers behind XLM-V's tokenizer, held against open_clip and transformers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from basrelief.encoders import ClipConfig, TextConfig, Tokenizer, VisionConfig, encoder_spec, load_encoder, registry
from basrelief.encoders.convert import convert
from basrelief.encoders.towers import empty_towers, towers_from_state
from basrelief.errors import WeightsError
from support import parity_arrays
from support.filled_weights import filled
from support.other_tokenizers import xlm_file
from support.published_layouts import State

TEXT = TextConfig(16, 2, 2, context_length=20, vocab_size=514, eot=2, tokenizer="xlm-v")
CONFIG = ClipConfig(24, VisionConfig(32, 32, 3, 4, 8), TEXT, "quick_gelu")
SPEC = encoder_spec("ViT-H-14-worldwide/metaclip2_worldwide")
TEXTS = ["red chair", "A Red Chair", "a chair " * 30]


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return parity_arrays("metaclip2_small.npz")


def published(arrays: dict[str, np.ndarray]) -> State:
    """The recorded weights, under the names of open_clip."""
    names, meta = (json.loads(str(arrays[key])) for key in ("worldwide/names", "meta"))
    return filled({key: torch.empty(shape) for key, shape in names.items()}, seed=meta["seed"])


def test_features_of_open_clip(arrays: dict[str, np.ndarray]) -> None:
    towers = towers_from_state(CONFIG, convert(published(arrays), CONFIG))
    with torch.no_grad():
        image = towers.image_features(torch.from_numpy(arrays["images"]).float() / 255)
        words = towers.text_features(torch.from_numpy(arrays["token_ids"]))
    for key, found in (("image_features", image), ("text_features", words)):
        torch.testing.assert_close(found, torch.from_numpy(arrays[f"worldwide/{key}"]), atol=1e-5, rtol=0)
    logits = towers.logit_scale.exp() * F.normalize(image, dim=-1) @ F.normalize(words, dim=-1).T
    torch.testing.assert_close(logits, torch.from_numpy(arrays["worldwide/logits"]), atol=1e-4, rtol=0)


def test_a_file_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and pictures through both libraries, from text and a file to logits."""
    from transformers import MetaClip2Config, MetaClip2Model, XLMRobertaTokenizer

    xlm_file(tmp_path)
    ours = Tokenizer.from_folder(tmp_path, kind="xlm-v")
    pieces = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    theirs = XLMRobertaTokenizer(vocab=[tuple(piece) for piece in pieces])
    ids = theirs(TEXTS, max_length=20, padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert torch.equal(ours.encode(TEXTS, context_length=20, padded=True), ids)

    text = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 514}
    vision = {
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
    }
    text |= {"max_position_embeddings": 20, "eos_token_id": 2, "pad_token_id": 1, "bos_token_id": 0, "hidden_act": "quick_gelu"}
    model = MetaClip2Model(
        MetaClip2Config(text_config=text, vision_config={**vision, "hidden_act": "quick_gelu"}, projection_dim=24)
    ).eval()
    model.load_state_dict(filled(model.state_dict(), seed=3))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    spec = replace(SPEC, config=CONFIG, files=("model.safetensors",))
    monkeypatch.setattr(registry, "_specs", lambda: {spec.name: spec})
    encoder = load_encoder(spec.name, weights=tmp_path, device="cpu", dtype="float32", cache=None)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(input_ids=ids, pixel_values=encoder.prepare(images))
    image, words = encoder.encode_images(images), encoder.encode_text(TEXTS)
    torch.testing.assert_close(F.normalize(image, dim=-1), expected.image_embeds, atol=1e-6, rtol=0)
    torch.testing.assert_close(F.normalize(words, dim=-1), expected.text_embeds, atol=1e-6, rtol=0)
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))


@pytest.mark.parametrize("size", ["B-32", "L-14", "H-14", "bigG-14"])
def test_the_records(size: str) -> None:
    spec = encoder_spec(f"ViT-{size}-worldwide/metaclip2_worldwide")
    text = spec.config.text
    assert (text.tokenizer, text.eot, text.vocab_size, text.kind) == ("xlm-v", 2, 901629, "clip")
    assert spec.licence == "CC-BY-NC-4.0"
    assert spec.config.activation == ("quick_gelu" if size == "H-14" else "gelu")
    assert encoder_spec("ViT-H-14-worldwide-quickgelu/metaclip2_worldwide") == SPEC


def test_clips_weights_do_not_fit() -> None:
    state = dict(empty_towers(encoder_spec("ViT-H-14/dfn5b").config).state_dict())
    with pytest.raises(WeightsError, match=r"token_embedding\.weight has shape \(49408, 1024\); expected \(901629, 1024\)"):
        convert(state, SPEC.config)


def test_another_tokenizer_is_refused(arrays: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(SPEC, config=CONFIG)
    monkeypatch.setattr(registry, "_specs", lambda: {spec.name: spec})
    save_file({name: tensor.contiguous() for name, tensor in published(arrays).items()}, tmp_path / "open_clip_model.safetensors")
    Tokenizer.of_bytes().save(tmp_path)
    with pytest.raises(WeightsError, match=r"The tokenizer lacks <s> or </s> or <pad>"):
        load_encoder(spec.name, weights=tmp_path, device="cpu", dtype="float32", cache=None)
