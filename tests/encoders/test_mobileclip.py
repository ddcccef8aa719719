"""MobileCLIP2: FastViT beside a text tower that reads padding, held against open_clip and timm."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, VisionConfig, encoder_spec, load_encoder, random_encoder, registry
from basrelief.encoders.architecture import ImageTower, tower_of
from basrelief.encoders.convert import convert, convert_visual, layout_of
from basrelief.encoders.towers import towers_from_state
from basrelief.errors import ConfigError, WeightsError
from support import parity_arrays
from support.filled_weights import filled
from support.published_layouts import State

TEXT = TextConfig(16, 2, 2, context_length=20, vocab_size=514, kind="bidirectional")
SMALL = {
    "mci0": ClipConfig(24, VisionConfig(64, 32, (1, 2, 1, 2), 8, mlp_width=96, kind="fastvit"), TEXT),
    "mci3": ClipConfig(24, VisionConfig(64, 32, (1, 1, 1, 1, 2), 16, kind="fastvit"), TEXT),
}
SIZES = ("S0", "S2", "S3", "S4")
VARIANTS = [name + fused for name in SMALL for fused in ("", "_fused")]
TRUNK = "visual.trunk."


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return parity_arrays("mobileclip_small.npz")


def published(arrays: dict[str, np.ndarray], name: str) -> State:
    """The recorded weights, under the names of open_clip and timm."""
    names, meta = (json.loads(str(arrays[key])) for key in (f"{name}/names", "meta"))
    state = filled({key: torch.empty(shape) for key, shape in names.items()}, seed=meta["seed"])
    return {key: meta["gain"] * tensor if key.endswith(".conv.weight") else tensor for key, tensor in state.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_features_of_both_designs_with_and_without_branches(arrays: dict[str, np.ndarray], name: str) -> None:
    config = SMALL[name.removesuffix("_fused")]
    towers = towers_from_state(config, convert(published(arrays, name), config))
    with torch.no_grad():
        image = towers.image_features(torch.from_numpy(arrays["images"]).float() / 255)
        words = towers.text_features(torch.from_numpy(arrays["token_ids"]))
    expected = {key: torch.from_numpy(arrays[f"{name}/{key}"]) for key in ("image_features", "text_features", "logits")}
    torch.testing.assert_close(image, expected["image_features"], atol=2e-5, rtol=0)
    torch.testing.assert_close(words, expected["text_features"], atol=1e-5, rtol=0)
    logits = towers.logit_scale.exp() * F.normalize(image, dim=-1) @ F.normalize(words, dim=-1).T
    torch.testing.assert_close(logits, expected["logits"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_names_of_the_published_files_fit(arrays: dict[str, np.ndarray], size: str) -> None:
    names = json.loads(str(arrays["layouts"]))[f"MobileCLIP2-{size}"]
    spec = encoder_spec(f"MobileCLIP2-{size}/dfndr2b")
    state = {name: torch.empty(shape, device="meta") for name, shape in names.items()}
    found = convert(state, spec.config)
    assert sum(tensor.numel() for tensor in found.values()) == spec.parameters
    assert tower_of(state) == tower_of(found)
    assert spec.licence.startswith("apple-amlr")


def test_its_preprocessing() -> None:
    small, large = (encoder_spec(f"MobileCLIP2-{size}/dfndr2b") for size in ("S2", "S3"))
    assert (small.mean, small.std) == ((0, 0, 0), (1, 1, 1))
    assert large.mean[0] == pytest.approx(0.48145466)
    assert {(spec.image_fit.resize_mode, spec.image_fit.interpolation) for spec in (small, large)} == {("shortest", "bilinear")}


@pytest.fixture
def encoder() -> ClipEncoder:
    return random_encoder(SMALL["mci0"], seed=2)


def test_a_file_of_open_clip(arrays: dict[str, np.ndarray], encoder: ClipEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(encoder_spec("MobileCLIP2-S0/dfndr2b"), config=SMALL["mci0"])
    monkeypatch.setattr(registry, "_specs", lambda: {spec.name: spec})
    state = {f"module.{name}": tensor for name, tensor in published(arrays, "mci0").items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "mobileclip2_s0.pt")
    encoder.tokenizer.save(tmp_path)
    whole, text = (
        load_encoder(spec.name, weights=tmp_path, device="cpu", dtype="float32", cache=None, text_only=alone) for alone in (False, True)
    )
    images = torch.from_numpy(arrays["images"]).float() / 255
    for found in (whole, text):
        torch.testing.assert_close(found.encode_images(images), torch.from_numpy(arrays["mci0/image_features"]), atol=2e-5, rtol=0)
    assert torch.equal(whole.encode_text(["a chair"]), text.encode_text(["a chair"]))


def test_text_does_not_depend_on_other_prompts(encoder: ClipEncoder) -> None:
    alone, with_longer = encoder.encode_text(["a chair"]), encoder.encode_text(["a chair", "a much longer prompt"])
    torch.testing.assert_close(with_longer[:1], alone, atol=1e-6, rtol=0)


def test_saved_and_read_again(encoder: ClipEncoder, tmp_path: Path) -> None:
    from basrelief.encoders import load_encoder_folder, save_encoder

    save_encoder(encoder, tmp_path, dtype=torch.float32)
    images = torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(0))
    again = load_encoder_folder(tmp_path)
    assert again.fingerprint == encoder.fingerprint
    torch.testing.assert_close(again.encode_images(images), encoder.encode_images(images), atol=1e-6, rtol=1e-5)


def test_its_image_tower_is_distinguished(arrays: dict[str, np.ndarray], config: ClipConfig) -> None:
    for name, width, blocks in (("mci0", 32, 6), ("mci0_fused", 32, 6), ("mci3", 32, 6)):
        state = published(arrays, name)
        assert layout_of(state) == "mobileclip"
        assert tower_of(state) == ImageTower(width, 0, blocks, "fastvit")
    assert str(ImageTower(64, 0, 20, "fastvit")) == "a FastViT of width 64, 20 blocks"
    assert ImageTower(64, 0, 20, "fastvit").known_as == "MobileCLIP2-S0"
    with pytest.raises(WeightsError, match=r"a FastViT of width 32.*; this model needs a ViT of width 32"):
        convert(published(arrays, "mci0"), config)


def test_it_is_read_strictly(arrays: dict[str, np.ndarray]) -> None:
    state, config = published(arrays, "mci0"), SMALL["mci0"]
    assert {name.split(".")[0] for name in convert_visual(state, config)} == {"vision_model", "visual_projection"}
    assert not any(name.startswith("vis") for name in convert(state, config, images=False))
    with pytest.raises(WeightsError, match=r"1 unknown: visual\.trunk\.stem\.0\.conv_kxk\.1\.conv\.weight"):
        convert({**state, f"{TRUNK}stem.0.conv_kxk.1.conv.weight": torch.ones(1)}, config)
    for part in ("stem.1.conv_scale.bn.running_var", "stages.1.blocks.1.token_mixer.norm.identity.bias", "final_conv.se.fc1.bias"):
        with pytest.raises(WeightsError, match=rf"1 missing: visual\.trunk\.{part.replace('.', chr(92) + '.')}"):
            convert({name: tensor for name, tensor in state.items() if name != TRUNK + part}, config)
    with pytest.raises(WeightsError, match="types or shapes that do not fit each other"):
        convert({**state, f"{TRUNK}stem.1.conv_scale.conv.weight": torch.ones(3, 1, 1, 1)}, config)
    for part, wrong in (
        ("stem.1.conv_kxk.0.bn.bias", torch.ones(())),
        ("stages.3.pos_emb.pos_enc.weight", torch.ones(3)),
        ("stages.0.blocks.0.layer_scale.gamma", torch.ones(1, 1, 1)),
        ("stem.0.conv_kxk.0.conv.weight", torch.ones(32, 3, 3, 3, dtype=torch.int64)),
    ):
        with pytest.raises(WeightsError, match="types or shapes that do not fit each other"):
            convert({**state, f"{TRUNK}{part}": wrong}, config)
    with pytest.raises(WeightsError, match=r"vision_model\.stem\.2\.conv\.weight has shape"):
        convert({**published(arrays, "mci0_fused"), f"{TRUNK}stem.2.reparam_conv.weight": torch.ones(3, 1, 1, 1)}, config)


def test_it_has_no_tuned_blocks(encoder: ClipEncoder) -> None:
    with pytest.raises(ConfigError, match="no tuned blocks"):
        encoder.towers.add_tuned_blocks()
