"""The EVA and EVA-02 transformers without patches and rotary positions (Fang et al. 2023, arXiv:2211.07636 and arXiv:2303.11331)."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders.points.blocks import Block, FusedAttention, Perceptron, SplitAttention, drop_path_rates

Variant = Literal["eva", "eva02-packed", "eva02-split"]
"""EVA; EVA-02 tiny and small; EVA-02 base and large. They differ in how their matrices are stored and in the perceptron."""

EPS = 1e-6


class EvaTrunk(nn.Module):
    """Blocks and the norm of the class token; parameter names are timm's.

    Args:
        variant: See `Variant`.
        width: Length of the tokens.
        depth: Number of blocks.
        heads: Attention heads of a block.
        mlp_width: Hidden units of the perceptrons.
        drop_path: Stochastic depth of the last block in training.
    """

    def __init__(self, variant: Variant, *, width: int, depth: int, heads: int, mlp_width: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for rate in drop_path_rates(drop_path, depth):
            attention = SplitAttention(width, heads) if variant == "eva02-split" else FusedAttention(width, heads, bias=True)
            self.blocks.append(Block(width, attention, _PERCEPTRONS[variant](width, mlp_width), eps=EPS, drop_path=rate))
        self.fc_norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch width"]:
        """Return the first token after all blocks, normalised."""
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        first: Tensor = self.fc_norm(self.blocks[-1](tokens, 1)[:, 0])
        return first


class PackedSwiGlu(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202) with one matrix for the gate and the value, in this order."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Transform each token."""
        gate, value = self.fc1(tokens).chunk(2, dim=-1)
        outputs: Tensor = self.fc2(F.silu(gate) * value)
        return outputs


class SplitSwiGlu(nn.Module):
    """SwiGLU with separate matrices for the gate and the value, and a layer norm before the last."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1_g = nn.Linear(width, hidden)
        self.fc1_x = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden, eps=EPS)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Transform each token."""
        outputs: Tensor = self.fc2(self.norm(F.silu(self.fc1_g(tokens)) * self.fc1_x(tokens)))
        return outputs


_PERCEPTRONS = {"eva": Perceptron, "eva02-packed": PackedSwiGlu, "eva02-split": SplitSwiGlu}
