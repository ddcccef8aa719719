"""Perception Encoders and SigLIPs loaded by name and from folders, with their tokenizers and preprocessing; no network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from basrelief.encoders import ClipEncoder, encoder_spec, load_encoder, load_encoder_folder, registry, save_encoder
from basrelief.encoders.exported_text import read_exported_text, save_exported_text
from basrelief.encoders.hub.selection import VOCABULARIES, select_vocabulary
from basrelief.encoders.preprocessing import ImageFit
from basrelief.encoders.registry import EncoderSpec
from basrelief.encoders.weights import find_tokenizer
from basrelief.errors import WeightsNotFoundError
from basrelief.testing import miniature
from support.hub_server import HubRepository, local_hub

PE, SIGLIP = "PE-Core-B-16/meta", "ViT-B-16-SigLIP2/webli"


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, EncoderSpec]:
    """Records of two miniatures in place of the large ones, and an empty hub folder."""
    small = {name: replace(encoder_spec(name), config=miniature(name).config) for name in (PE, SIGLIP)}
    known = {name: encoder_spec(name) for name in registry.list_encoders()} | small
    monkeypatch.setattr(registry, "_specs", lambda: known)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "cache"))
    return small


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def metas_file(encoder: ClipEncoder, path: Path) -> Path:
    """Write the weights under Meta's names, the slow way round; the projection's bias, which Meta has not, must be zero."""
    state, found = encoder.towers.state_dict(), {}
    blocks = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "self_attn.out_proj": "attn.out_proj",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    names = {
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "logit_scale": "logit_scale",
    }
    parts = {"vision_model.pre_layrnorm": "visual.ln_pre", "vision_model.post_layernorm": "visual.ln_post"}
    parts |= {"text_model.final_layer_norm": "ln_final", "vision_model.head.attention.out_proj": "visual.attn_pool.attn.out_proj"}
    parts |= {"vision_model.head.layernorm": "visual.attn_pool.layernorm"}
    parts |= {f"vision_model.head.mlp.fc{n}": f"visual.attn_pool.mlp.c_{other}" for n, other in ((1, "fc"), (2, "proj"))}
    attentions = {"vision_model.head.attention": "visual.attn_pool.attn"}
    for ours, theirs in (("vision_model", "visual.transformer"), ("text_model", "transformer")):
        for layer in range(2):
            one, other = f"{ours}.encoder.layers.{layer}", f"{theirs}.resblocks.{layer}"
            parts |= {f"{one}.{part}": f"{other}.{name}" for part, name in blocks.items()}
            attentions[f"{one}.self_attn"] = f"{other}.attn"
    for kind in ("weight", "bias"):
        names |= {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in parts.items()}
        for ours, theirs in attentions.items():
            found[f"{theirs}.in_proj_{kind}"] = torch.cat([state[f"{ours}.{part}_proj.{kind}"] for part in "qkv"])
    found |= {theirs: state[ours] for ours, theirs in names.items()}
    found["visual.attn_pool.probe"] = state["vision_model.head.probe"][None, None]
    found |= {"visual.proj": state["visual_projection.weight"].T, "text_projection": state["text_projection.weight"].T}
    torch.save({f"module.{name}": tensor for name, tensor in found.items()}, path)
    return path


@pytest.fixture
def folder(specs: dict[str, EncoderSpec], tmp_path: Path) -> Path:
    """A Perception Encoder as Meta publishes it, and a vocabulary beside it."""
    place = tmp_path / "meta"
    place.mkdir()
    encoder = miniature(PE, seed=3)
    encoder.tokenizer.save(place)
    metas_file(encoder, place / "PE-Core-B16-224.pt")
    return place


@pytest.mark.parametrize("text_only", [False, True])
def test_a_perception_encoder_in_metas_layout(folder: Path, pictures: Tensor, text_only: bool) -> None:
    made, found = miniature(PE, seed=3), load_encoder(PE, weights=folder, device="cpu", dtype="float32", cache=None, text_only=text_only)
    assert (found.towers.vision_model is None) == text_only
    torch.testing.assert_close(found.encode_text(["a chair"]), made.encode_text(["a chair"]))
    torch.testing.assert_close(found.encode_images(pictures), made.encode_images(pictures))
    assert (found.mean, found.std, found.image_fit) == ((0.5,) * 3, (0.5,) * 3, ImageFit("squash", "bilinear"))


@pytest.mark.parametrize("name", [PE, SIGLIP])
def test_a_folder_of_ours_is_read_back(name: str, tmp_path: Path, pictures: Tensor) -> None:
    made = miniature(name)
    save_encoder(made, tmp_path, dtype=torch.float32)
    found = load_encoder_folder(tmp_path)
    assert found.fingerprint == made.fingerprint
    assert (found.logit_scale, found.logit_bias, found.tokenizer.kind) == (made.logit_scale, made.logit_bias, made.tokenizer.kind)
    torch.testing.assert_close(found.encode_images(pictures), made.encode_images(pictures))
    torch.testing.assert_close(found.encode_text(["ein Stuhl"]), made.encode_text(["ein Stuhl"]))


@pytest.mark.parametrize("name", [PE, SIGLIP])
def test_bfloat16_keeps_scale_and_bias_and_nearly_the_features(name: str, pictures: Tensor) -> None:
    plain, half = miniature(name), miniature(name)
    half.towers.cast(torch.bfloat16)
    assert (half.logit_scale, half.logit_bias) == (plain.logit_scale, plain.logit_bias)
    for ours, theirs in (
        (plain.encode_images(pictures), half.encode_images(pictures)),
        (plain.encode_text(["a b"]), half.encode_text(["a b"])),
    ):
        assert torch.nn.functional.cosine_similarity(ours, theirs).min() > 0.995


def test_siglip_as_transformers_publishes_it(specs: dict[str, EncoderSpec], tmp_path: Path, pictures: Tensor) -> None:
    from transformers import SiglipConfig, SiglipModel

    made = miniature(SIGLIP)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**size, "vocab_size": made.tokenizer.vocab_size, "projection_size": 32, "max_position_embeddings": 64}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config={**size, "image_size": 64, "patch_size": 16})).eval()
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, tmp_path / "model.safetensors")
    size_and_filter = {"size": {"height": 64, "width": 64}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(size_and_filter))
    made.tokenizer.save(tmp_path)
    found = load_encoder(SIGLIP, weights=tmp_path, device="cpu", dtype="float32", cache=None)
    assert (found.image_fit, found.logit_bias) == (ImageFit("squash", "bilinear"), float(model.logit_bias.detach()))
    ids = found.tokenizer.encode(["a chair", "a red table"], context_length=64, padded=True)
    with torch.no_grad():
        theirs = model(input_ids=ids, pixel_values=found.prepare(pictures))
    torch.testing.assert_close(found.encode_images(pictures), theirs.vision_model_output.pooler_output, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.encode_text(["a chair", "a red table"]), theirs.text_model_output.pooler_output, atol=1e-5, rtol=1e-5)


def test_an_absent_vocabulary_is_named_by_its_owner(specs: dict[str, EncoderSpec], tmp_path: Path) -> None:
    message = (
        r"^Gemma's vocabulary is not on this machine, which ViT-B-16-SigLIP2/webli needs to read words\. Run: .*, or put tokenizer\.json"
    )
    (tmp_path / "merges.txt").touch()  # CLIP's, which does not serve
    with pytest.raises(WeightsNotFoundError, match=message):
        find_tokenizer(specs[SIGLIP], tmp_path / "model.safetensors")


def test_the_vocabulary_is_fetched_from_its_own_repository(
    specs: dict[str, EncoderSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = miniature(SIGLIP).tokenizer.save(tmp_path).read_bytes()
    first, second = VOCABULARIES["gemma"].repositories
    with local_hub() as hub:
        hub.repositories[first] = HubRepository({"merges.txt": b"#version"}, card={})
        hub.repositories[second] = HubRepository({"tokenizer.json": words}, card={"license": "apache-2.0"})
        hub.use(monkeypatch, tmp_path / "hub")
        (selection,) = select_vocabulary(specs[SIGLIP])
        assert (selection.repository.name, selection.licence) == (second, "apache-2.0")
        assert find_tokenizer(specs[SIGLIP], tmp_path / "elsewhere" / "model.safetensors").kind == "gemma"


def test_exported_labels_keep_the_bias(tmp_path: Path) -> None:
    for name, bias in ((SIGLIP, -10.0), (PE, None)):
        made = miniature(name)
        path = save_exported_text(tmp_path / "labels.safetensors", ["a", "b"], made.encode_text(["a", "b"]), encoder=made, prompts="label")
        assert read_exported_text(path).logit_bias == bias
