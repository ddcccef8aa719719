"""Weights drawn from a key, a shape and a seed: those of recordings that hold none."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor


def filled(expected: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Fill every tensor of a state dict; each depends on its own name alone."""
    return {name: torch.from_numpy(fill(name, tuple(tensor.shape), seed)) for name, tensor in expected.items()}


def fill(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Draw one tensor as the recordings did; the scale follows from the last part of the name."""
    start = np.array([((seed << 32) + zlib.crc32(name.encode())) % 2**64], dtype=np.uint64)
    with np.errstate(over="ignore"):
        bits = _splitmix64(_splitmix64(start)[0] + np.arange(int(np.prod(shape)), dtype=np.uint64))
    uniform = ((bits >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0).reshape(shape)
    last = name.rpartition(".")[2]
    if last == "num_batches_tracked":
        return np.array(7, dtype=np.int64)
    return np.asarray(_scaled(uniform, last, shape), dtype=np.float32)


def _scaled(uniform: np.ndarray, last: str, shape: tuple[int, ...]) -> np.ndarray:
    inputs = float(np.prod(shape[1:]))
    if last == "weight" and len(shape) < 2:
        return 1.0 + 0.25 * uniform
    scales = {
        "running_mean": 0.2,
        "weight": 1.5 * np.sqrt(3.0 / inputs),
        "in_proj_weight": 1.5 * np.sqrt(3.0 / inputs),
        "pc_projection": np.sqrt(3.0 / shape[0]) if shape else 1.0,
        "kernel": 1.5 * np.sqrt(3.0 / float(np.prod(shape[:-1]))),
        "gauss_B": 1.7,
    }
    offsets = {"running_var": (1.0, 0.5), "gamma": (0.2, 0.1), "logit_scale": (np.log(1 / 0.07), 0.1)}
    if last in offsets:
        offset, scale = offsets[last]
        return offset + scale * uniform
    return scales.get(last, 0.5 if any(part in last for part in ("cls", "pos", "token")) else 0.1) * uniform


def _splitmix64(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
