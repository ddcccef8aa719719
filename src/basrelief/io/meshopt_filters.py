"""Filters of meshoptimizer: how vectors, rotations, floats and colours are stored before they are compressed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np


def _plain(values: np.ndarray) -> np.ndarray:
    return values


def _octahedral(values: np.ndarray) -> np.ndarray:
    """Unit vectors folded onto an octahedron."""
    kind = "<i1" if values.shape[1] == 4 else "<i2"
    stored = values.view(kind).reshape(len(values), 4)
    x, y, one = stored[:, :3].astype(np.float32).T
    x, y = x / np.maximum(one, 1), y / np.maximum(one, 1)
    z = 1 - np.abs(x) - np.abs(y)
    fold = np.maximum(-z, 0)
    x, y = x - np.where(x >= 0, fold, -fold), y - np.where(y >= 0, fold, -fold)
    vector = np.stack([x, y, z], axis=1)
    scaled = vector * (np.iinfo(kind).max / np.maximum(np.linalg.norm(vector, axis=1, keepdims=True), 1e-12))
    stored = stored.copy()
    stored[:, :3] = np.floor(np.abs(scaled) + 0.5) * np.sign(scaled)
    return stored.view(np.uint8).reshape(values.shape)


def _quaternion(values: np.ndarray) -> np.ndarray:
    """Unit quaternions without their largest component."""
    stored = values.view("<i2").reshape(len(values), 4)
    largest = stored[:, 3] & 3
    small = stored[:, :3].astype(np.float32) * (np.float32(np.sqrt(0.5)) / (stored[:, 3:] | 3))
    whole = np.concatenate([small, np.sqrt(np.maximum(1 - (small**2).sum(axis=1, keepdims=True), 0))], axis=1)
    result = np.empty_like(stored)
    rows = np.arange(len(stored))
    for component, turn in enumerate((1, 2, 3, 0)):
        scaled = whole[:, component] * 32767
        result[rows, (largest + turn) % 4] = np.floor(np.abs(scaled) + 0.5) * np.sign(scaled)
    return result.view(np.uint8).reshape(values.shape)


def _exponential(values: np.ndarray) -> np.ndarray:
    """Numbers of 24 bits with an exponent of 8."""
    stored = values.view("<i4")
    numbers: np.ndarray = np.ldexp(((stored << 8) >> 8).astype(np.float32), stored >> 24).astype("<f4")
    return numbers.view(np.uint8).reshape(values.shape)


def _color(values: np.ndarray) -> np.ndarray:
    """Colours as luma and two differences, with alpha."""
    size = values.shape[1] // 4
    plain, signed = (values.view(f"<{sign}{size}").reshape(len(values), 4).astype(np.int64) for sign in "ui")
    luma, orange, green, alpha = plain[:, 0], signed[:, 1], signed[:, 2], plain[:, 3]
    top = (1 << (np.floor(np.log2(np.maximum(alpha, 1))).astype(np.int64) + 1)) - 1
    alpha = alpha & (top >> 1)
    rows = np.stack([luma + orange - green, luma + green, luma - orange - green, alpha << 1 | (alpha & 1)], axis=1)
    scaled: np.ndarray = np.floor(rows * (((1 << (8 * size)) - 1) / top)[:, None] + 0.5).astype(np.int64).astype(f"<u{size}")
    return scaled.view(np.uint8).reshape(values.shape)


FILTERS: Mapping[str, tuple[Callable[[np.ndarray], np.ndarray], tuple[int, ...]]] = MappingProxyType(
    {
        "NONE": (_plain, ()),
        "OCTAHEDRAL": (_octahedral, (4, 8)),
        "QUATERNION": (_quaternion, (8,)),
        "EXPONENTIAL": (_exponential, ()),
        "COLOR": (_color, (4, 8)),
    }
)
"""By name: what undoes the filter, from and to (count, stride) uint8, and the strides that it takes; empty for all."""
