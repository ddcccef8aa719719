"""Parts of 3DETR: set abstraction, transformer layers, perceptrons and positions, with the parameter names of the published files."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from basrelief.encoders.points.blocks import PointLinear, attend
from basrelief.encoders.points.operators import ball_query, farthest_points, gather_points

_ROWS = 1 << 14  # points of balls encoded at once in evaluation mode; their features stay in the cache of a CPU


class SetAbstraction(nn.Module):
    """Features of balls around far apart points: three layers for each point of a ball, then the maximum (PointNet++, arXiv:1706.02413).

    Args:
        channels: Length of the features of a point, besides its position.
        widths: Lengths of the three layers.
        centres: Number of balls.
        radius: Radius of a ball in metres. Positions relative to the centre are divided by it.
        samples: Points of a ball, those of the lowest indices.
    """

    def __init__(self, channels: int, widths: tuple[int, int, int], *, centres: int, radius: float, samples: int) -> None:
        super().__init__()
        self.centres, self.radius, self.samples = centres, radius, samples
        pairs = enumerate(pairwise((3 + channels, *widths)))
        self.mlp_module = nn.ModuleDict({f"layer{i}": _ConvNorm(inputs, outputs) for i, (inputs, outputs) in pairs})

    def forward(
        self, xyz: Float[Tensor, "batch points 3"], features: Float[Tensor, "batch points channels"]
    ) -> tuple[Float[Tensor, "batch centres 3"], Float[Tensor, "batch centres width"], Int64[Tensor, "batch centres"]]:
        """Return the centres, the features of their balls, and the indices of the centres."""
        chosen = farthest_points(xyz, self.centres, skip_near_origin=True)
        centres = gather_points(xyz, chosen)
        index = self.balls(xyz, centres)
        members = (gather_points(xyz, index) - centres[:, :, None]) / self.radius
        members = torch.cat([members, gather_points(features, index)], dim=-1).flatten(0, 1)
        step = len(members) if self.training else max(1, _ROWS // self.samples)
        encoded = torch.cat([self._encoded(part) for part in members.split(step)])
        return centres, encoded.unflatten(0, chosen.shape), chosen

    def balls(
        self, xyz: Float[Tensor, "batch points 3"], centres: Float[Tensor, "batch centres 3"]
    ) -> Int64[Tensor, "batch centres samples"]:
        """Return the indices of the points of each ball."""
        return ball_query(xyz, centres, radius=self.radius, count=self.samples, inclusive=False)

    def _encoded(self, members: Float[Tensor, "balls samples inputs"]) -> Float[Tensor, "balls width"]:
        first, second, third = self.mlp_module.values()
        encoded: Tensor = third(second(first(members).relu_()).relu_()).amax(1).relu()
        return encoded


class _ConvNorm(nn.Module):
    """A linear map without bias, then batch norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = PointLinear(inputs, outputs, axes=2, bias=False)
        self.bn = nn.ModuleDict({"bn": nn.BatchNorm1d(outputs)})

    def forward(self, rows: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        mapped: Tensor = self.conv(rows, self.bn["bn"])
        return mapped


class Perceptron(nn.Module):
    """Linear maps, each followed by ReLU and most by batch norm; their places in `layers` are those of the published files.

    Args:
        widths: Length of the input and of each layer.
        norm: Whether hidden layers have batch norm instead of a bias.
        dropout: Whether the original has dropout after each hidden layer, which takes a place. It is left out here.
        output: Whether the last layer is a linear map alone, with a bias; else it is like the others.
    """

    def __init__(self, *widths: int, norm: bool = True, dropout: bool = False, output: bool = False) -> None:
        super().__init__()
        pairs, layers = list(pairwise(widths)), nn.ModuleList()
        for inputs, outputs in pairs[:-1] if output else pairs:
            layers += [PointLinear(inputs, outputs, axes=1, bias=not norm), *[nn.BatchNorm1d(outputs)] * norm]
            layers += [nn.ReLU(), *[nn.Identity()] * dropout]
        self.layers = layers + [PointLinear(*pairs[-1], axes=1)] * output

    def forward(self, rows: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        """Map each row."""
        for layer, following in pairwise([*self.layers, nn.Identity()]):
            if isinstance(layer, PointLinear):
                rows = layer(rows, following if isinstance(following, nn.BatchNorm1d) else None)
            elif not isinstance(layer, nn.BatchNorm1d):
                rows = layer(rows)
        return rows


class Attention(nn.Module):
    """Multi-head attention with one matrix for query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * width, width)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(
        self,
        query: Float[Tensor, "batch queries width"],
        key: Float[Tensor, "batch tokens width"],
        value: Float[Tensor, "batch tokens width"],
        blocked: Bool[Tensor, "batch queries tokens"] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Attend from each query to all tokens that are not blocked for it."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (F.linear(*each) for each in zip((query, key, value), weights, biases, strict=True))
        bias = None if blocked is None else query.new_zeros(blocked.shape).masked_fill_(blocked, -torch.inf)[:, None]
        attended: Tensor = self.out_proj(attend(query, key, value, self.heads, bias=bias))
        return attended


class EncoderLayer(nn.Module):
    """Self-attention, then a perceptron, each on normalised tokens and added to them. Tokens have no position embedding."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], blocked: Bool[Tensor, "batch tokens tokens"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Transform tokens; `blocked` says which others each may not read."""
        normal = self.norm1(tokens)
        tokens = tokens + self.self_attn(normal, normal, normal, blocked)
        changed: Tensor = tokens + self.linear2(self.linear1(self.norm2(tokens)).relu())
        return changed


class DecoderLayer(nn.Module):
    """Self-attention of the queries, attention to the memory, then a perceptron. Queries and keys have positions, values have not."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.self_attn, self.multihead_attn = Attention(width, heads), Attention(width, heads)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(
        self,
        states: Float[Tensor, "batch queries width"],
        positions: Float[Tensor, "batch queries width"],
        keys: Float[Tensor, "batch tokens width"],
        memory: Float[Tensor, "batch tokens width"],
    ) -> Float[Tensor, "batch queries width"]:
        """Transform the states of the queries; `keys` is the memory with positions."""
        normal = self.norm1(states)
        placed = normal + positions
        states = states + self.self_attn(placed, placed, normal)
        states = states + self.multihead_attn(self.norm2(states) + positions, keys, memory)
        changed: Tensor = states + self.linear2(self.linear1(self.norm3(states)).relu())
        return changed


class FourierPositions(nn.Module):
    """Sines and cosines of random projections of positions in the scene (arXiv:2006.10739); the projection is stored in the file."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("gauss_B", nn.init.uniform_(torch.empty(3, width // 2), -2, 2))

    def forward(
        self, xyz: Float[Tensor, "batch points 3"], low: Float[Tensor, "batch 3"], high: Float[Tensor, "batch 3"]
    ) -> Float[Tensor, "batch points width"]:
        """Embed positions between the lowest and the highest corner of a scene. The original gives NaN for a scene without extent."""
        extent = (high - low).clamp(min=torch.finfo(xyz.dtype).tiny)
        angles = (xyz - low[:, None]) / extent[:, None] * (2 * torch.pi) @ self.get_buffer("gauss_B")
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
