"""The end of an image tower: blocks of which only the class token is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def run_blocks(blocks: Sequence[nn.Module], tokens: Float[Tensor, "n tokens width"]) -> Float[Tensor, "n tokens width"]:
    """All tokens through blocks, one after another."""
    for block in blocks:
        tokens = block(tokens, attention_mask=None)
    return tokens


def class_token(blocks: Sequence[nn.Module], tokens: Float[Tensor, "n tokens width"]) -> Float[Tensor, "n width"]:
    """The class token after the last of some blocks.

    In the last block all tokens are attended to, but only one attends and goes through the perceptron: about a sixth of the work.

    Args:
        blocks: At least one.
        tokens: Before the first of them.
    """
    *before, last = blocks
    tokens = run_blocks(before, tokens)
    block: Any = last
    attention, normal = block.self_attn, block.layer_norm1(tokens)

    def heads(rows: Tensor) -> Tensor:
        parted: Tensor = rows.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        return parted

    query, key, value = attention.q_proj(normal[:, :1]), attention.k_proj(normal), attention.v_proj(normal)
    read = F.scaled_dot_product_attention(heads(query), heads(key), heads(value))
    token: Tensor = tokens[:, 0] + attention.out_proj(read.transpose(1, 2).flatten(2)[:, 0])
    inner: Tensor = block.mlp(block.layer_norm2(token))
    return token + inner
