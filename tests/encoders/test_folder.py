"""Encoders saved to and loaded from folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from basrelief.encoders import ClipEncoder, TextConfig, Tokenizer, VectorCache, load_encoder_folder, random_encoder, save_encoder
from basrelief.encoders.clip import NO_MEAN, NO_STD
from basrelief.encoders.convert import convert
from basrelief.encoders.folder import WEIGHTS_FILE
from basrelief.encoders.state_dict import read_state_dict
from basrelief.encoders.towers import towers_from_state
from basrelief.errors import WeightsError, WeightsNotFoundError


@pytest.mark.parametrize("which", ["encoder", "tuned_encoder", "resnet_encoder"])
def test_an_encoder_survives_its_folder(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    encoder: ClipEncoder = request.getfixturevalue(which)
    path = save_encoder(encoder, tmp_path / "new" / "folder", dtype=torch.float32)
    assert path == tmp_path / "new" / "folder" / WEIGHTS_FILE
    found = load_encoder_folder(path.parent)
    assert found.fingerprint == encoder.fingerprint
    assert found.config == encoder.config
    assert found.name == encoder.name
    images = torch.rand(2, encoder.image_size, encoder.image_size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.encode_images(images), encoder.encode_images(images), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.encode_text(["a chair"]), encoder.encode_text(["a chair"]), atol=1e-6, rtol=0)


def test_float16_is_the_default_and_half_the_size(encoder: ClipEncoder, images: Tensor, tmp_path: Path) -> None:
    with torch.no_grad():
        encoder.towers.logit_scale.fill_(4.6052)
    small = save_encoder(encoder, tmp_path / "half").stat().st_size
    large = save_encoder(encoder, tmp_path / "full", dtype=torch.float32).stat().st_size
    parameters = sum(p.numel() for p in encoder.towers.parameters())
    assert large - small == pytest.approx(2 * parameters, rel=0.02)
    found = load_encoder_folder(tmp_path / "half")
    assert found.dtype == torch.float32
    assert found.logit_scale == encoder.logit_scale, "the scale keeps its precision"
    torch.testing.assert_close(found.encode_images(images), encoder.encode_images(images), atol=0.01, rtol=0)


def test_the_tokenizer_and_preprocessing_go_along(tmp_path: Path, encoder: ClipEncoder) -> None:
    tokenizer = Tokenizer.train(["a depth map of a chair"], vocab_size=530)
    config = replace(encoder.config, text=TextConfig(16, 2, 2, context_length=20, vocab_size=tokenizer.vocab_size))
    own = random_encoder(config, seed=3, tokenizer=tokenizer, name="own").with_preprocessing(NO_MEAN, NO_STD)
    save_encoder(own, tmp_path)
    cache = VectorCache(tmp_path / "text.sqlite")
    found = load_encoder_folder(str(tmp_path), cache=cache)
    assert (found.name, found.mean, found.std) == ("own", NO_MEAN, NO_STD)
    assert found.tokenizer.fingerprint == tokenizer.fingerprint
    assert found.cache is cache


def test_a_trained_encoder_can_be_trained_on(encoder: ClipEncoder, images: Tensor, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path)
    towers = load_encoder_folder(tmp_path).towers
    towers.image_features(encoder.prepare(images)).sum().backward()
    assert all(p.grad is not None for p in towers.vision_model.parameters())


@pytest.mark.parametrize("pickled", [False, True])
def test_training_what_was_read_leaves_the_file_alone(encoder: ClipEncoder, tmp_path: Path, pickled: bool) -> None:
    path = save_encoder(encoder, tmp_path, dtype=torch.float32)
    if pickled:
        path = tmp_path / "w.pt"
        torch.save(encoder.towers.state_dict(), path)
    raw = path.read_bytes()
    towers = towers_from_state(encoder.config, convert(read_state_dict(path), encoder.config))
    before = towers.text_projection.weight.detach().clone()
    with torch.no_grad():
        for parameter in towers.parameters():
            parameter.add_(1)
    assert torch.equal(towers.text_projection.weight, before + 1)
    assert path.read_bytes() == raw


def test_saving_over_the_file_that_was_read(encoder: ClipEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path, dtype=torch.float32)
    found = load_encoder_folder(tmp_path)
    with torch.no_grad():
        found.towers.text_projection.weight.mul_(2)
    save_encoder(found, tmp_path, dtype=torch.float32)
    assert sorted(p.name for p in tmp_path.iterdir()) == [WEIGHTS_FILE, "tokenizer.json"]
    again = load_encoder_folder(tmp_path)
    assert again.fingerprint == found.fingerprint
    assert torch.equal(again.towers.text_projection.weight, 2 * encoder.towers.text_projection.weight)


def test_saving_a_cast_encoder_keeps_what_it_has(encoder: ClipEncoder, tmp_path: Path) -> None:
    encoder.towers.cast(torch.bfloat16)
    save_encoder(encoder, tmp_path, dtype=torch.bfloat16)
    found = load_encoder_folder(tmp_path)
    found.towers.cast(torch.bfloat16)
    assert found.fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    "head",
    [
        None,
        {"basrelief": "no json"},
        {"basrelief": "[]"},
        {"basrelief": "{}"},
        {"basrelief": '{"config": {}, "name": "", "mean": 1, "std": 2}'},
    ],
)
def test_a_head_that_is_not_ours_says_so(encoder: ClipEncoder, tmp_path: Path, head: dict[str, str] | None) -> None:
    save_file({n: t.contiguous() for n, t in encoder.towers.state_dict().items()}, str(tmp_path / WEIGHTS_FILE), metadata=head)
    encoder.tokenizer.save(tmp_path)
    message = r"encoder\.safetensors has no valid configuration in its header: .*\. Write it with save_encoder\(\)\."
    with pytest.raises(WeightsError, match=message):
        load_encoder_folder(tmp_path)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"Cannot read encoder\.safetensors as safetensors"):
        load_encoder_folder(tmp_path)


def test_a_folder_without_tokenizer_says_so(encoder: ClipEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(WeightsNotFoundError, match="has no tokenizer"):
        load_encoder_folder(tmp_path)


def test_a_truncated_file_says_so(encoder: ClipEncoder, tmp_path: Path) -> None:
    path = save_encoder(encoder, tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="Cannot read"):
        load_encoder_folder(tmp_path)
