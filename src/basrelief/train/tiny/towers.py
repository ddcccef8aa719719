"""The architecture of `tiny` and its initialisation."""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from basrelief.encoders import ClipConfig, ClipEncoder, TextConfig, Tokenizer, VisionConfig, random_encoder
from basrelief.models import get_recipe
from basrelief.render import get_projection
from basrelief.render.clip2point import DiscProjection

EMBEDDING = 512
"""Dimensions of the space shared with the text features of CLIP ViT-B/32."""

_RECIPE = get_recipe("tiny")
PROJECTION = cast(DiscProjection, get_projection(_RECIPE.projection, **_RECIPE.projection_options))
"""Projection of the recipe `tiny`."""

VISION = VisionConfig(image_size=PROJECTION.size, width=128, layers=4, heads=4, patch_size=16, stem=(32, 64, 128))
"""Three convolutions, then 49 patches through 4 blocks: 1.0 million parameters. docs/research/tiny.md says what was tried beside it."""


def new_encoder(tokenizer: Tokenizer, *, seed: int = 0) -> ClipEncoder:
    """Return an untrained `tiny` for a vocabulary.

    Args:
        tokenizer: Tokenizer.
        seed: Seed of the weights.
    """
    text = TextConfig(width=192, layers=3, heads=3, context_length=32, vocab_size=tokenizer.vocab_size, eot=tokenizer.eot)
    config = ClipConfig(embed_dim=EMBEDDING, vision=VISION, text=text, activation="gelu")
    encoder = random_encoder(config, seed=seed, tokenizer=tokenizer, name="tiny")
    init_vision(encoder, seed=seed)
    return encoder.with_preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def init_vision(encoder: ClipEncoder, *, seed: int) -> None:
    """Initialise attention and position embeddings like those of trained vision transformers, which helps with little data.

    Positions are sines of row and column; query-key products lie near the identity and value-output products near minus it
    (Trockman and Kolter 2023, arXiv:2305.09828).
    """
    vision = encoder.towers.vision_model
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        _init_positions(vision.get_submodule("embeddings.position_embedding").get_parameter("weight"))
        for block in range(VISION.layers if isinstance(VISION.layers, int) else 0):
            _init_attention(vision.get_submodule(f"encoder.layers.{block}.self_attn"), generator)


def _init_positions(weight: Float[Tensor, "positions width"]) -> None:
    """Set the patches to sines and cosines of row and column, the class token to zero."""
    side, width = math.isqrt(len(weight) - 1), weight.shape[1]
    rate = 1 / 100 ** (torch.arange(width // 4) / (width // 4))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    phase = torch.cat([row.reshape(-1, 1) * rate, column.reshape(-1, 1) * rate], dim=1)
    weight.zero_()
    weight[1:] = 0.1 * torch.cat([phase.sin(), phase.cos()], dim=1)


def _init_attention(attention: nn.Module, generator: Generator) -> None:
    """Set the four matrices of a block from the SVD of identity plus noise; query and key head by head."""
    query, key, value, out = (attention.get_submodule(f"{name}_proj").get_parameter("weight") for name in ("q", "k", "v", "out"))
    width = len(query)
    head = width // VISION.heads
    for start in range(0, width, head):
        u, s, v = torch.linalg.svd(0.7 * _noise(width, generator) + 0.7 * torch.eye(width))
        root = s[:head, None].sqrt()
        query[start : start + head], key[start : start + head] = u.T[:head] * root, v[:head] * root
    u, s, v = torch.linalg.svd(0.4 * _noise(width, generator) - 0.4 * torch.eye(width))
    value.copy_(v * s.sqrt()[:, None])
    out.copy_(u * s.sqrt())


def _noise(width: int, generator: Generator) -> Float[Tensor, "width width"]:
    return torch.randn(width, width, generator=generator) / math.sqrt(width)
