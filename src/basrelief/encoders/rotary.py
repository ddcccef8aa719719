"""Rotary positions of patches in two dimensions, as in the Perception Encoder (Bolya et al. 2025, arXiv:2504.13181)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_BASE = 10000.0


class Rotation(NamedTuple):
    """Cosines and sines of the angles by which pairs of channels are turned."""

    cos: Float[Tensor, "tokens pairs"]
    sin: Float[Tensor, "tokens pairs"]


def rotation(side: int, channels: int, *, class_token: bool, like: Tensor) -> Rotation:
    """Return the rotation of every token of a square picture, in the dtype of `like`, but at least float32.

    The first half of the channel pairs turns with the column of a patch, the second half with its row, pair k of K by the place times
    10000^(-k / K). With a class token, which is not turned, columns and rows count from 1, else from 0.

    Args:
        side: Patches in a row.
        channels: Of a head, a multiple of 4.
        class_token: Whether a class token stands before the patches.
        like: Gives device and dtype.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    angles = _angles(side, channels, class_token).to(like.device)
    return Rotation(angles.cos().to(dtype), angles.sin().to(dtype))


def rotate(x: Float[Tensor, "n heads tokens channels"], places: Rotation) -> Float[Tensor, "n heads tokens channels"]:
    """Turn each pair of neighbouring channels by its angle, computed in the precision of `places`; fewer tokens are the first ones."""
    cos, sin = places.cos[: x.shape[2]], places.sin[: x.shape[2]]
    first, second = x[..., 0::2], x[..., 1::2]
    turned = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.flatten(-2).to(x.dtype)


@lru_cache(maxsize=8)
def _angles(side: int, channels: int, class_token: bool) -> Float[Tensor, "tokens pairs"]:
    pairs = channels // 4
    with torch.device("cpu"):
        speeds = _BASE ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
        places = torch.arange(side, dtype=torch.float64) + class_token
        columns, rows = places.repeat(side), places.repeat_interleave(side)
        angles = torch.cat([columns[:, None] * speeds, rows[:, None] * speeds], dim=1)
        return torch.cat([angles.new_zeros(int(class_token), angles.shape[1]), angles])
