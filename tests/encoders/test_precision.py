"""Compute dtypes: requested ones, and the one chosen by measuring."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from basrelief.encoders import ClipConfig, ClipEncoder, VectorCache, precision, random_encoder
from basrelief.encoders.precision import DTYPES, bfloat16_gain, choose_dtype, least_cosine
from basrelief.errors import ConfigError


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the small encoders of these tests as large ones."""
    monkeypatch.setattr(precision, "SMALL", 0)


def test_small_towers_are_not_measured(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_gain", lambda _: pytest.fail("measured"))
    found = choose_dtype(encoder)
    assert found is encoder
    assert (found.dtype, found.dtype_reason) == (torch.float32, "float32: the towers are small")


@pytest.mark.parametrize("name", DTYPES)
def test_a_requested_type_is_obeyed(encoder: ClipEncoder, images: Tensor, name: str) -> None:
    expected = encoder.encode_images(images)
    found = choose_dtype(encoder, name)
    assert found.dtype == DTYPES[name]
    assert found.dtype_reason == "requested"
    features = found.encode_images(images)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, atol=0.06, rtol=0)


def test_an_unknown_type_is_refused(encoder: ClipEncoder) -> None:
    message = r"Unknown dtype 'bf16'; expected one of auto, float32, bfloat16, float16\. Did you mean '\w+16'\?"
    with pytest.raises(ConfigError, match=message):
        choose_dtype(encoder, "bf16")


@pytest.mark.usefixtures("large")
def test_a_type_that_is_no_faster_is_not_used(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_gain", lambda _: 1.1)
    found = choose_dtype(encoder)
    assert found is encoder
    assert found.dtype == torch.float32
    assert found.dtype_reason == "float32: a block in bfloat16 is 1.10 times as fast here"


@pytest.mark.usefixtures("large")
def test_a_type_that_is_faster_and_true_is_used(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_gain", lambda _: 2.5)
    found = choose_dtype(encoder)
    assert found.dtype == torch.bfloat16
    assert found.dtype_reason.startswith("bfloat16: 2.50 times as fast in a block, cosine to float32 0.999")
    assert found.logit_scale == encoder.logit_scale
    assert encoder.dtype == torch.float32, "the measured one is left as it was"


@pytest.mark.usefixtures("large")
def test_a_type_that_is_faster_but_wrong_is_not_used(config: ClipConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = random_encoder(config, seed=1)
    with torch.no_grad():
        # All that tells two pictures apart rides on a constant of 1000, below what bfloat16's eight bits can hold; the projection takes it off.
        projection = encoder.towers.visual_projection.weight
        encoder.towers.vision_model.post_layernorm.bias.fill_(1000.0)
        projection.sub_(projection.mean(1, keepdim=True))
    monkeypatch.setattr(precision, "bfloat16_gain", lambda _: 2.5)
    found = choose_dtype(encoder)
    assert found is encoder
    assert found.dtype == torch.float32
    assert found.dtype_reason.startswith("float32: bfloat16 keeps a cosine of ")
    assert found.dtype_reason.endswith(" only, at least 0.999 is required")


@pytest.mark.usefixtures("large")
def test_the_choice_is_made_by_a_measurement(encoder: ClipEncoder, resnet_encoder: ClipEncoder) -> None:
    for measured in (encoder, resnet_encoder):
        assert 0 < bfloat16_gain(measured) < 100
        found = choose_dtype(measured)
        assert found.dtype_reason.startswith(str(found.dtype).removeprefix("torch."))


def test_measuring_leaves_no_trace(encoder: ClipEncoder, tmp_path: object) -> None:
    state = torch.random.get_rng_state()
    before = encoder.fingerprint
    bfloat16_gain(encoder)
    assert encoder.fingerprint == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_least_cosine_with_itself_is_one(encoder: ClipEncoder, config: ClipConfig) -> None:
    assert least_cosine(encoder, encoder) == pytest.approx(1, abs=1e-6)
    assert least_cosine(encoder, random_encoder(config, seed=5)) < 0.9


def test_the_probe_does_not_read_from_the_cache(encoder: ClipEncoder, config: ClipConfig, tmp_path: object) -> None:
    cache = VectorCache(f"{tmp_path}/text.sqlite")
    encoder.cache = cache
    other = random_encoder(config, seed=5)
    other.cache = cache
    least_cosine(encoder, other)
    assert not cache.path.exists()
    assert encoder.cache is cache
