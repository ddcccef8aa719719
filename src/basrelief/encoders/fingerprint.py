"""Fingerprints of tensors: a few hundred values of each, so that large towers are hashed in milliseconds."""

from __future__ import annotations

import torch
from torch import Tensor

_SAMPLES = 512


def sampled_bytes(tensor: Tensor, dtype: torch.dtype) -> bytes:
    """Return up to 512 evenly spaced values of a tensor as bytes.

    Args:
        tensor: Any shape, type and device.
        dtype: Type of the values in the result, so that equal numbers of different types can give equal bytes.
    """
    flat = tensor.detach().flatten()
    return flat[:: max(1, flat.numel() // _SAMPLES)][:_SAMPLES].to(dtype).cpu().numpy().tobytes()
