"""The compute dtype of a point network, chosen by benchmarking, as `basrelief.encoders.backends` does for CLIP."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional as F

from basrelief.encoders.points.encoder import PointEncoder
from basrelief.encoders.precision import DTYPES, LEAST_COSINE, LEAST_GAIN, SMALL, best_seconds
from basrelief.errors import ConfigError, unknown_choice

_PROBE = 1024  # points


def choose_point_dtype(encoder: PointEncoder, requested: str = "auto") -> PointEncoder:
    """Set the compute dtype of a point encoder and note the reason in `dtype_reason`. Weights stay float32, and so does sampling.

    `auto` leaves networks of fewer than 20 million numbers in float32. For larger ones it takes bfloat16 when a product of the network's
    width runs at least 1.2 times faster in it on this processor, and then only if the features of a probe keep a cosine of at least 0.999.

    Args:
        encoder: In float32, on the device it will run on.
        requested: `auto`, `float32`, `bfloat16` or `float16`; the others are applied without benchmarking.

    Raises:
        ConfigError: If the name is unknown.
    """
    if requested != "auto":
        if requested not in DTYPES:
            raise ConfigError(unknown_choice("dtype", requested, ("auto", *DTYPES)))
        encoder.dtype, encoder.dtype_reason = DTYPES[requested], "requested"
        return encoder
    if sum(parameter.numel() for parameter in encoder.network.parameters()) < SMALL:
        encoder.dtype_reason = "float32: the network is small"
        return encoder
    gain = _gain(encoder)
    if gain < LEAST_GAIN:
        encoder.dtype_reason = f"float32: a product in bfloat16 is {gain:.2f} times as fast here"
        return encoder
    cosine = _cosine(encoder)
    if cosine >= LEAST_COSINE:
        encoder.dtype = torch.bfloat16
    kept = "bfloat16" if cosine >= LEAST_COSINE else "float32"
    encoder.dtype_reason = f"{kept}: bfloat16 is {gain:.2f} times as fast in a product, cosine to float32 {cosine:.5f}"
    return encoder


def _gain(encoder: PointEncoder) -> float:
    """How many times faster the product with the largest matrix of the network is in bfloat16."""
    matrix = max((p for p in encoder.network.parameters() if p.ndim == 2), key=lambda p: p.numel())
    rows = torch.randn(512, matrix.shape[1], generator=torch.Generator().manual_seed(0)).to(encoder.device)
    pairs = [(rows.to(dtype), matrix.to(dtype)) for dtype in (torch.float32, torch.bfloat16)]
    full, half = best_seconds([partial(F.linear, *pair) for pair in pairs])
    return full / half


def _cosine(encoder: PointEncoder) -> float:
    """The smallest cosine between the features of a ball in bfloat16 and float32."""
    points = torch.randn(_PROBE, 3, generator=torch.Generator().manual_seed(0))
    cloud = torch.cat([F.normalize(points, dim=1), points.new_full((_PROBE, 3), 0.4)], dim=1)
    full = encoder.encode_points([cloud])
    encoder.dtype = torch.bfloat16
    half = encoder.encode_points([cloud])
    encoder.dtype = torch.float32
    return float(F.cosine_similarity(full, half, dim=-1).min())
