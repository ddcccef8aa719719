"""OpenShape's transformer over patches of a point cloud (Liu et al. 2023, arXiv:2305.10764; "PointBERT" there).

Unlike Point-BERT's, patches are balls, their features come from one set abstraction of PointNet++ (Qi et al. 2017, arXiv:1706.02413), and
tokens have no position beyond the centre that each is made with.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders.points.base import Parts, PointNetwork, published_part
from basrelief.encoders.points.blocks import PointLinear, attend
from basrelief.encoders.points.operators import ball_query, farthest_points, gather_points

_HEAD_DIM = 64
_CHUNK, _CUDA_CHUNK = 4096, 1 << 18  # points of patches encoded at once in evaluation mode; their features stay in the cache of a CPU


@dataclass(frozen=True)
class PointPatchSize:
    """Size of a `PointPatchTransformer`.

    Attributes:
        dim: Length of the tokens.
        depth: Number of transformer blocks.
        heads: Attention heads of a block, 64 numbers each.
        mlp_dim: Hidden length of a block's perceptron.
        patch_dim: Length of a patch's feature before it becomes a token.
        patches: Number of patches.
        radius: Radius of a patch; clouds have radius 1.
        samples: Points of a patch.
        projection: Length of the features; None for the class token as it is, of length `dim`.
        relative_position: Whether attention depends on the vector between two patches. No published weights have it.
    """

    dim: int
    depth: int
    heads: int
    mlp_dim: int
    patch_dim: int
    patches: int
    radius: float
    samples: int
    projection: int | None = None
    relative_position: bool = False


class PointPatchTransformer(PointNetwork):
    """OpenShape's network "PointBERT"; parameter names are those of its files.

    The original draws the first of the farthest points at random, in evaluation, too, so its features vary from call to call. Here it is
    the first point of the cloud.
    """

    size_type = PointPatchSize

    def __init__(self, size: PointPatchSize) -> None:
        super().__init__()
        self.embedding_dim = size.projection or size.dim
        self.ppat = PatchTransformer(size)
        self.proj = nn.Linear(size.dim, size.projection) if size.projection else nn.Identity()

    def forward(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch 1 dim"]:
        """Encode clouds; see `PointNetwork.forward`."""
        features: Tensor = self.proj(self.ppat(points, sizes))
        return features[:, None]

    @staticmethod
    def from_published(parts: Parts) -> dict[str, Tensor]:
        """Take the point part of OpenShape's files: names with `module.`, or `pc_encoder.` in the small ones, if there are any."""
        state = published_part(parts, "state_dict", "")
        for prefix in ("module.", "pc_encoder."):
            inner = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
            state = inner or state
        bare = "cls_token" in state  # the network for ViT-B-32 has no projection, and no `ppat.` before its names
        return {f"ppat.{name}" if bare else name: tensor for name, tensor in state.items()}


class PatchTransformer(nn.Module):
    """From clouds to the class token after the last block, which is not normalised."""

    def __init__(self, size: PointPatchSize) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(size.dim))
        self.sa = SetAbstraction(size)
        self.lift = nn.Sequential(PointLinear(3 + size.patch_dim, size.dim, axes=1), nn.Identity(), nn.LayerNorm(size.dim))
        self.transformer = Transformer(size)

    def forward(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
        """Encode clouds; see `PointNetwork.forward`."""
        centres, patches = self.sa(points, sizes)
        tokens = self.lift(torch.cat([centres, patches], dim=-1))
        tokens = torch.cat([self.cls_token.expand(len(tokens), 1, -1), tokens], dim=1)
        encoded: Tensor = self.transformer(tokens, F.pad(centres, (0, 0, 1, 0)))  # the class token lies at the origin
        return encoded


class SetAbstraction(nn.Module):
    """Features of patches: three layers for each point of a patch, then the maximum over the patch."""

    def __init__(self, size: PointPatchSize) -> None:
        super().__init__()
        self.size = size
        widths = (9, 64, 64, size.patch_dim)
        self.mlp_convs = nn.ModuleList(PointLinear(inputs, outputs, axes=2) for inputs, outputs in pairwise(widths))
        self.mlp_bns = nn.ModuleList(nn.BatchNorm1d(outputs) for outputs in widths[1:])

    def forward(
        self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch patches 3"], Float[Tensor, "batch patches dim"]]:
        """Return the centres and the features of the patches."""
        xyz = points[..., :3].contiguous()
        centres = gather_points(xyz, farthest_points(xyz, self.size.patches, sizes=sizes))
        index = ball_query(xyz, centres, radius=self.size.radius, count=self.size.samples, sizes=sizes)
        members = gather_points(points, index)
        members = torch.cat([members[..., :3] - centres[:, :, None], members], dim=-1)
        chunk = _CHUNK if members.device.type == "cpu" else _CUDA_CHUNK
        step = members.shape[0] * members.shape[1] if self.training else max(1, chunk // self.size.samples)
        features = torch.cat([self._features(part) for part in members.flatten(0, 1).split(step)])
        return centres, features.unflatten(0, centres.shape[:2])

    def _features(self, members: Tensor) -> Tensor:
        """Encode patches (P, S, 9)."""
        first, second, third = zip(self.mlp_convs, self.mlp_bns, strict=True)
        for linear, norm in (first, second):
            members = linear(members, norm).relu_()
        linear, norm = third
        features: Tensor = linear(members, norm).amax(1).relu()
        return features


class Transformer(nn.Module):
    """Blocks that normalise first."""

    def __init__(self, size: PointPatchSize) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(size) for _ in range(size.depth))

    def forward(self, tokens: Float[Tensor, "batch tokens dim"], centres: Float[Tensor, "batch tokens 3"]) -> Float[Tensor, "batch dim"]:
        """Return the first token. The last block computes nothing else."""
        for i, block in enumerate(self.layers, start=1):
            tokens = block(tokens, centres, 1 if i == len(self.layers) else tokens.shape[1])
        return tokens[:, 0]


class Block(nn.ModuleList):
    """Attention, then a perceptron, each on normalised tokens and added to them."""

    def __init__(self, size: PointPatchSize) -> None:
        super().__init__([_Normalised(size.dim, Attention(size)), _Normalised(size.dim, Perceptron(size))])

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], centres: Float[Tensor, "batch tokens 3"], queries: int
    ) -> Float[Tensor, "batch queries dim"]:
        """Transform the first `queries` tokens."""
        attention, perceptron = self
        tokens = tokens[:, :queries] + attention(tokens, centres, queries)
        transformed: Tensor = tokens + perceptron(tokens)
        return transformed


class Attention(nn.Module):
    """Multi-head attention; with `relative_position`, logits are (q_i k_j + f(c_i - c_j)) / 8, where f is the same for all heads."""

    def __init__(self, size: PointPatchSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.to_qkv = nn.Linear(size.dim, 3 * size.heads * _HEAD_DIM, bias=False)
        self.to_out = nn.Sequential(nn.Linear(size.heads * _HEAD_DIM, size.dim))
        if size.relative_position:
            self.pe = nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 1, 1))

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], centres: Float[Tensor, "batch tokens 3"], queries: int
    ) -> Float[Tensor, "batch queries dim"]:
        """Attend from the first `queries` tokens to all."""
        inner = self.heads * _HEAD_DIM
        if queries == tokens.shape[1]:
            query, key, value = self.to_qkv(tokens).chunk(3, dim=-1)
        else:
            query = F.linear(tokens[:, :queries], self.to_qkv.weight[:inner])
            key, value = F.linear(tokens, self.to_qkv.weight[inner:]).chunk(2, dim=-1)
        bias = self._bias(centres, queries) if hasattr(self, "pe") else None
        found: Tensor = self.to_out(attend(query, key, value, self.heads, bias=bias))
        return found

    def _bias(self, centres: Tensor, queries: int) -> Tensor:
        """Compute f(c_i - c_j) / 8 for the first tokens i and all j, (B, 1, queries, T)."""
        columns = centres.transpose(1, 2)
        bias: Tensor = self.pe(columns[:, :, :queries, None] - columns[:, :, None]) * _HEAD_DIM**-0.5
        return bias


class Perceptron(nn.Module):
    """Two linear maps with the exact GELU between."""

    def __init__(self, size: PointPatchSize) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(size.dim, size.mlp_dim), nn.GELU(), nn.Identity(), nn.Linear(size.mlp_dim, size.dim), nn.Identity()
        )

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Change each token by itself."""
        changed: Tensor = self.net(tokens)
        return changed


class _Normalised(nn.Module):
    """A layer norm and the module that reads its output, under the names of published files."""

    def __init__(self, dim: int, module: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fn = module

    def forward(self, tokens: Tensor, *arguments: object) -> Tensor:
        found: Tensor = self.fn(self.norm(tokens), *arguments)
        return found
