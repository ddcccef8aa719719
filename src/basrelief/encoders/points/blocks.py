"""Blocks of several networks: pre-norm attention and perceptron with timm's parameter names, and linear maps stored as convolutions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class FusedAttention(nn.Module):
    """Multi-head self-attention with one matrix for query, key and value. With `bias`, query and value have one, the key has none."""

    def __init__(self, width: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.v_bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "batch tokens width"], queries: int) -> Float[Tensor, "batch queries width"]:
        """Attend from the first tokens to all tokens."""
        bias = None
        if self.q_bias is not None and self.v_bias is not None:
            bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        query, key, value = F.linear(tokens, self.qkv.weight, bias).chunk(3, dim=-1)
        attended: Tensor = self.proj(attend(query[:, :queries], key, value, self.heads))
        return attended


class SplitAttention(nn.Module):
    """Multi-head self-attention with separate matrices for query, key and value; the key has no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "batch tokens width"], queries: int) -> Float[Tensor, "batch queries width"]:
        """Attend from the first tokens to all tokens."""
        attended: Tensor = self.proj(attend(self.q_proj(tokens[:, :queries]), self.k_proj(tokens), self.v_proj(tokens), self.heads))
        return attended


class Perceptron(nn.Module):
    """Two linear maps with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Transform each token."""
        outputs: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return outputs


class Block(nn.Module):
    """Attention, then a perceptron, each on normalised tokens and added to them.

    Args:
        width: Length of the tokens.
        attention: Self-attention.
        mlp: Perceptron.
        eps: Epsilon of the layer norms.
        drop_path: Probability with which training skips a residual branch of a cloud (stochastic depth, arXiv:1603.09382).
    """

    def __init__(self, width: int, attention: nn.Module, mlp: nn.Module, *, eps: float, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = attention
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = mlp
        self.drop_path = drop_path

    def forward(self, tokens: Float[Tensor, "batch tokens width"], queries: int | None = None) -> Float[Tensor, "batch queries width"]:
        """Transform all tokens, or only the first, which read all."""
        queries = tokens.shape[1] if queries is None else queries
        read = tokens[:, :queries] + self._kept(self.attn(self.norm1(tokens), queries))
        return read + self._kept(self.mlp(self.norm2(read)))

    def _kept(self, branch: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        if not self.training or not self.drop_path:
            return branch
        keep = 1 - self.drop_path
        return branch * torch.bernoulli(branch.new_full((len(branch), 1, 1), keep)) / keep


class PointLinear(nn.Linear):
    """A linear map of rows whose weight has the shape of a convolution of kernel size 1, as in published files."""

    def __init__(self, inputs: int, outputs: int, *, axes: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.weight = nn.Parameter(self.weight.detach().view(outputs, inputs, *[1] * axes))

    def forward(self, rows: Float[Tensor, "*rows inputs"], norm: nn.BatchNorm1d | None = None) -> Float[Tensor, "*rows outputs"]:
        """Map rows, and normalise them if there is a norm; in evaluation both are one linear map."""
        weight, bias = self.weight.flatten(1), self.bias
        if norm is None:
            return F.linear(rows, weight, bias)
        if norm.training:
            normal: Tensor = norm(F.linear(rows, weight, bias).flatten(0, -2)).unflatten(0, rows.shape[:-1])
            return normal
        scale = norm.weight * (norm.get_buffer("running_var") + norm.eps).rsqrt()
        shift = -norm.get_buffer("running_mean") if bias is None else bias - norm.get_buffer("running_mean")
        return F.linear(rows, weight * scale[:, None], shift * scale + norm.bias)


def attend(
    query: Float[Tensor, "batch queries width"],
    key: Float[Tensor, "batch tokens width"],
    value: Float[Tensor, "batch tokens width"],
    heads: int,
    *,
    bias: Float[Tensor, "batch 1 queries tokens"] | None = None,
) -> Float[Tensor, "batch queries width"]:
    """Scaled dot-product attention of several heads, which lie one after another in the width; `bias` is added to the logits."""
    query, key, value = (rows.unflatten(-1, (heads, -1)).transpose(1, 2) for rows in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2).flatten(2)


def drop_path_rates(most: float, depth: int) -> list[float]:
    """Rates of stochastic depth: 0 for the first block, rising linearly to `most` for the last."""
    return [most * i / max(1, depth - 1) for i in range(depth)]
