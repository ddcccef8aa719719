"""Random weights, for tests and for training from scratch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from basrelief.encoders.config import ClipConfig
from basrelief.encoders.towers import ClipTowers, empty_towers, towers_from_state


def random_towers(config: ClipConfig, *, seed: int = 0, tuned: int = 0) -> ClipTowers:
    """Towers with CLIP's initial distribution; the same seed gives the same numbers.

    Matrices are normal with deviation 1/sqrt(inputs), those that end a residual branch smaller by sqrt(2 layers) (Radford et al.
    2021, arXiv:2103.00020), biases zero, norms one, `logit_scale` ln(1/0.07), `logit_bias` -10.

    Args:
        config: The architecture.
        seed: Of the generator; no global state is touched.
        tuned: How many tuned blocks to add, drawn like the others.
    """
    generator = torch.Generator().manual_seed(seed)
    empty = empty_towers(config, tuned=tuned).state_dict()
    return towers_from_state(config, {name: _draw(name, t, config, generator) for name, t in empty.items()})


def _draw(name: str, like: Tensor, config: ClipConfig, generator: torch.Generator) -> Tensor:
    if name == "logit_scale":
        return torch.tensor(math.log(1 / 0.07))
    if name == "logit_bias":
        return torch.tensor(-10.0)
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    if name.endswith(("bias", "running_mean")):
        return torch.zeros(like.shape)
    if name.endswith("running_var") or (like.ndim == 1 and name.endswith(".weight")):
        return torch.ones(like.shape)
    return _deviation(name, like, config) * torch.randn(like.shape, generator=generator)


def _deviation(name: str, like: Tensor, config: ClipConfig) -> float:
    if "token_embedding" in name or "text_model.embeddings.position" in name:
        return 0.02 if "token" in name else 0.01
    if "embedding" in name and "patch" not in name:
        return float(like.shape[-1] ** -0.5)
    deviation = 1 / math.sqrt(math.prod(like.shape[1:]))
    if name.endswith(".conv.weight"):  # of a FastViT, before a GELU, which halves the variance
        return deviation * math.sqrt(2)
    if name.endswith(("out_proj.weight", "fc2.weight")):
        layers = config.text.layers if name.startswith("text_model") else config.image_tower.layers
        return deviation / math.sqrt(2 * (layers if isinstance(layers, int) else sum(layers)))
    return deviation
