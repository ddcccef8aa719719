"""A small point network with batch norm and dropout, whose mode matters, as a family of its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from basrelief.encoders.points import registry
from basrelief.encoders.points.base import Parts, PointNetwork
from basrelief.encoders.points.registry import NetworkSpec


@dataclass(frozen=True)
class SmallSize:
    embedding_dim: int = 16
    width: int = 32
    views: int = 1
    dropout: float = 0.1


class SmallPoints(PointNetwork):
    """The greatest of a perceptron over the points of a cloud, then two linear layers."""

    size_type = SmallSize

    def __init__(self, size: SmallSize) -> None:
        super().__init__()
        self.embedding_dim, self.views = size.embedding_dim, size.views
        self.inside = nn.Sequential(nn.Linear(6, size.width), nn.ReLU(), nn.Linear(size.width, size.width))
        self.norm, self.dropout = nn.BatchNorm1d(size.width), nn.Dropout(size.dropout)
        self.heads = nn.ModuleList(nn.Linear(size.width, size.embedding_dim) for _ in range(size.views))

    def forward(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch views dim"]:
        padding = torch.arange(points.shape[1], device=points.device) >= sizes[:, None]
        most = self.inside(points.nan_to_num()).masked_fill(padding[..., None], -torch.inf).amax(dim=1)
        hidden = self.dropout(torch.relu(self.norm(most)))
        return torch.stack([head(hidden) for head in self.heads], dim=1)

    @staticmethod
    def from_published(parts: Parts) -> dict[str, Tensor]:
        return dict(parts[""])


def small_spec(*, dim: int = 16, views: int = 1, width: int = 32) -> NetworkSpec:
    """The network's size; its family must be known, see `register`."""
    return NetworkSpec("small", "small_points", {"embedding_dim": dim, "views": views, "width": width})


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the family known, and its size by the name `small`."""
    monkeypatch.setitem(sys.modules, "basrelief.encoders.points.small_points", sys.modules[__name__])
    known = dict(registry._sizes())
    monkeypatch.setattr(registry, "FAMILIES", {**registry.FAMILIES, "small_points": "small_points.SmallPoints"})
    monkeypatch.setattr(registry, "_sizes", lambda: {**known, "small": ("small_points", {"embedding_dim": 16})})
