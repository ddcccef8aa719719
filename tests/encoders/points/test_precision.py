"""The compute dtype of point networks."""

from __future__ import annotations

import pytest
import torch

from basrelief.encoders.points import precision
from basrelief.encoders.points.encoder import PointEncoder
from basrelief.encoders.points.precision import choose_point_dtype
from basrelief.encoders.points.registry import NetworkSpec
from basrelief.errors import ConfigError

PATCHES = {"dim": 128, "depth": 2, "heads": 2, "mlp_dim": 256, "patch_dim": 64, "patches": 32, "radius": 0.3, "samples": 16}


@pytest.fixture
def encoder() -> PointEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NetworkSpec("small", "point_patch", PATCHES).build()
    return PointEncoder(network.eval().requires_grad_(False))


def cloud() -> torch.Tensor:
    return torch.rand(300, 6, generator=torch.Generator().manual_seed(1))


def test_a_requested_dtype_is_used(encoder: PointEncoder) -> None:
    full, fingerprint = encoder.encode_points([cloud()]), encoder.fingerprint
    assert choose_point_dtype(encoder, "bfloat16").dtype == torch.bfloat16
    half = encoder.encode_points([cloud()])
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert torch.cosine_similarity(half, full, dim=-1).min() > 0.999
    assert encoder.fingerprint != fingerprint
    assert choose_point_dtype(encoder, "float32").fingerprint == fingerprint


def test_small_networks_stay_in_float32(encoder: PointEncoder) -> None:
    assert choose_point_dtype(encoder).dtype == torch.float32
    assert encoder.dtype_reason == "float32: the network is small"


@pytest.mark.parametrize(
    ("gain", "cosine", "dtype", "reason"),
    [
        (3.0, 0.9999, torch.bfloat16, "bfloat16: bfloat16 is 3.00 times as fast in a product, cosine to float32 0.99990"),
        (3.0, 0.99, torch.float32, "float32: bfloat16 is 3.00 times as fast in a product, cosine to float32 0.99000"),
        (1.1, 1.0, torch.float32, "float32: a product in bfloat16 is 1.10 times as fast here"),
    ],
)
def test_bfloat16_must_be_faster_and_agree(
    encoder: PointEncoder, monkeypatch: pytest.MonkeyPatch, gain: float, cosine: float, dtype: torch.dtype, reason: str
) -> None:
    monkeypatch.setattr(precision, "SMALL", 1)
    monkeypatch.setattr(precision, "_gain", lambda _: gain)
    monkeypatch.setattr(precision, "_cosine", lambda _: cosine)
    choose_point_dtype(encoder)
    assert (encoder.dtype, encoder.dtype_reason) == (dtype, reason)


def test_both_are_measured(encoder: PointEncoder) -> None:
    assert precision._gain(encoder) > 0
    assert 0.99 < precision._cosine(encoder) <= 1 + 1e-6
    assert encoder.dtype == torch.float32


def test_an_unknown_dtype_is_refused(encoder: PointEncoder) -> None:
    with pytest.raises(ConfigError, match="Unknown dtype 'int8'; expected one of auto, float32"):
        choose_point_dtype(encoder, "int8")
