"""Point-BERT as ULIP and ULIP-2 use it (Xue et al. 2023, arXiv:2212.05171; 2024, arXiv:2305.08275)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from basrelief.encoders.points.base import Parts, PointNetwork, published_part
from basrelief.encoders.points.blocks import Block, FusedAttention, Perceptron, drop_path_rates
from basrelief.encoders.points.group_encoder import GroupEncoder, make_groups

_OTHERS = ("visual.", "transformer.", "token_embedding.", "ln_final.", "open_clip_model.")
_OTHER_NAMES = ("positional_embedding", "image_projection", "text_projection", "logit_scale")


@dataclass(frozen=True)
class PointBertSize:
    """Size of Point-BERT.

    Attributes:
        embedding_dim: Length of the features.
        depth: Number of transformer blocks.
        colored: Whether it reads colours; ULIP's weights know positions alone.
        width: Length of the tokens.
        heads: Attention heads of a block.
        groups: Number of groups.
        neighbours: Points of a group.
        group_width: Length of a group's feature before it becomes a token.
        drop_path: Stochastic depth of the last block in training.
    """

    embedding_dim: int
    depth: int
    colored: bool = False
    width: int = 384
    heads: int = 6
    groups: int = 512
    neighbours: int = 32
    group_width: int = 256
    drop_path: float = 0.0


class PointBert(PointNetwork):
    """Point-BERT and its projection into the space of a CLIP; parameter names are those of ULIP's files."""

    size_type = PointBertSize

    def __init__(self, size: PointBertSize) -> None:
        super().__init__()
        self.size = size
        self.embedding_dim = size.embedding_dim
        self.point_encoder = PointTransformer(size)
        projection = torch.empty(2 * size.width, size.embedding_dim)
        self.pc_projection = nn.Parameter(nn.init.trunc_normal_(projection, std=size.embedding_dim**-0.5))

    def forward(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch 1 dim"]:
        """Encode clouds; see `PointNetwork.forward`."""
        channels = 6 if self.size.colored else 3
        groups = make_groups(points, sizes, count=self.size.groups, neighbours=self.size.neighbours, channels=channels)
        features: Tensor = self.point_encoder(*groups) @ self.pc_projection
        return features[:, None]

    @staticmethod
    def from_published(parts: Parts) -> dict[str, Tensor]:
        """Leave out the text and image towers, which ULIP's file holds as well; see `PointNetwork.from_published`."""
        state = published_part(parts, "state_dict", "")
        return {name: tensor for name, tensor in state.items() if not name.startswith(_OTHERS) and name not in _OTHER_NAMES}


class PointTransformer(nn.Module):
    """A transformer over groups of points that adds the positions again before every block."""

    def __init__(self, size: PointBertSize) -> None:
        super().__init__()
        width = size.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.cls_pos = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, width)))
        self.encoder = GroupEncoder(6 if size.colored else 3, size.group_width)
        self.reduce_dim = nn.Linear(size.group_width, width)
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.blocks = _Blocks(size)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, centres: Float[Tensor, "batch count 3"], groups: Float[Tensor, "batch count neighbours channels"]
    ) -> Float[Tensor, "batch double"]:
        """Return the class token beside the maximum of the other tokens."""
        batch = len(centres)
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), self.reduce_dim(self.encoder(groups))], dim=1)
        positions = torch.cat([self.cls_pos.expand(batch, -1, -1), self.pos_embed(centres)], dim=1)
        tokens = self.norm(self.blocks(tokens, positions))
        return torch.cat([tokens[:, 0], tokens[:, 1:].amax(1)], dim=-1)


class _Blocks(nn.Module):
    """The blocks, under the name that published files have for them: `blocks.blocks`."""

    def __init__(self, size: PointBertSize) -> None:
        super().__init__()
        rates = drop_path_rates(size.drop_path, size.depth)
        self.blocks = nn.ModuleList(_block(size, rate) for rate in rates)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], positions: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        for block in self.blocks:
            tokens = block(tokens + positions)
        return tokens


def _block(size: PointBertSize, drop_path: float) -> Block:
    attention, mlp = FusedAttention(size.width, size.heads, bias=False), Perceptron(size.width, 4 * size.width)
    return Block(size.width, attention, mlp, eps=1e-5, drop_path=drop_path)
