"""Uni3D: an EVA transformer over groups of points (Zhou et al. 2024, arXiv:2310.06773)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from basrelief.encoders.points.base import Parts, PointNetwork, published_part
from basrelief.encoders.points.eva import EvaTrunk, Variant
from basrelief.encoders.points.group_encoder import GroupEncoder, make_groups

_TRUNK = "point_encoder.visual."
_UNUSED = (f"{_TRUNK}patch_embed.", f"{_TRUNK}head.")
_UNUSED_NAMES = (f"{_TRUNK}pos_embed", f"{_TRUNK}cls_token", "logit_scale")


@dataclass(frozen=True)
class Uni3dSize:
    """Size of Uni3D.

    Attributes:
        variant: Of the transformer.
        width: Length of the tokens.
        depth: Number of blocks.
        heads: Attention heads of a block.
        mlp_width: Hidden units of the perceptrons.
        embedding_dim: Length of the features.
        groups: Number of groups.
        neighbours: Points of a group.
        group_width: Length of a group's feature before it becomes a token.
        patch_dropout: Part of the groups that training leaves out; evaluation uses all.
        drop_path: Stochastic depth of the last block in training.
    """

    variant: Variant
    width: int
    depth: int
    heads: int
    mlp_width: int
    embedding_dim: int = 1024
    groups: int = 512
    neighbours: int = 64
    group_width: int = 512
    patch_dropout: float = 0.0
    drop_path: float = 0.0


class Uni3d(PointNetwork):
    """Uni3D; parameter names are those of its files."""

    size_type = Uni3dSize

    def __init__(self, size: Uni3dSize) -> None:
        super().__init__()
        self.size = size
        self.embedding_dim = size.embedding_dim
        self.point_encoder = PointcloudEncoder(size)

    def forward(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch 1 dim"]:
        """Encode clouds; see `PointNetwork.forward`."""
        features: Tensor = self.point_encoder(
            *make_groups(points, sizes, count=self.size.groups, neighbours=self.size.neighbours, channels=6)
        )
        return features[:, None]

    @staticmethod
    def from_published(parts: Parts) -> dict[str, Tensor]:
        """Leave out what the EVA trunk has for images only; see `PointNetwork.from_published`."""
        state = published_part(parts, "module", "")
        return {name: tensor for name, tensor in state.items() if not name.startswith(_UNUSED) and name not in _UNUSED_NAMES}


class PointcloudEncoder(nn.Module):
    """Groups of points as the tokens of an EVA transformer, whose class token is projected."""

    def __init__(self, size: Uni3dSize) -> None:
        super().__init__()
        width = size.width
        self.patch_dropout = size.patch_dropout
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.cls_pos = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, width)))
        self.encoder = GroupEncoder(6, size.group_width)
        self.encoder2trans = nn.Linear(size.group_width, width)
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.visual = EvaTrunk(
            size.variant, width=width, depth=size.depth, heads=size.heads, mlp_width=size.mlp_width, drop_path=size.drop_path
        )
        self.trans2embed = nn.Linear(width, size.embedding_dim)

    def forward(
        self, centres: Float[Tensor, "batch count 3"], groups: Float[Tensor, "batch count neighbours channels"]
    ) -> Float[Tensor, "batch dim"]:
        """Return features of clouds."""
        tokens = self.encoder2trans(self.encoder(groups)) + self.pos_embed(centres)
        if self.training and self.patch_dropout:
            tokens = _random_subset(tokens, 1 - self.patch_dropout)
        first = (self.cls_token + self.cls_pos).expand(len(tokens), -1, -1)
        features: Tensor = self.trans2embed(self.visual(torch.cat([first, tokens], dim=1)))
        return features


def _random_subset(tokens: Float[Tensor, "batch tokens width"], share: float) -> Float[Tensor, "batch kept width"]:
    """Return a random part of the tokens of each cloud, at least one."""
    kept = max(1, int(tokens.shape[1] * share))
    order = torch.rand(tokens.shape[:2], device=tokens.device).argsort(dim=1)[:, :kept]
    return tokens.take_along_dim(order[..., None], dim=1)
