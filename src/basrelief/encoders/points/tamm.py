"""TAMM: a point network with one adapter towards texts and one towards images (Zhang et al. 2024, arXiv:2402.18490)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from basrelief.encoders.points.base import Parts, PointNetwork, published_part
from basrelief.encoders.points.mink_resnet import MinkTrunk, MinkTrunkSize, dense_layer
from basrelief.encoders.points.point_patch import PatchTransformer, PointPatchSize

_ADAPTERS = ("image_alignment_adapter", "text_alignment_adapter")
_TEXT_DROPOUT, _IMAGE_DROPOUT = 0.2, 0.5


class Tamm(PointNetwork):
    """Two features of a cloud, from one network: the first by the text adapter, the second by the image adapter.

    The original scores a text t by cos(first, t) + 0.5 cos(second, t). Parameter names are those of its files, with the place of an
    adapter's state dict before its names.
    """

    views = 2
    text_alignment_adapter: nn.Module
    image_alignment_adapter: nn.Module

    @abstractmethod
    def shared_features(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Compute what both adapters read; see `PointNetwork.forward`."""

    def forward(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch 2 dim"]:
        """Encode clouds; see `PointNetwork.forward`."""
        features = self.shared_features(points, sizes)
        return torch.stack([self.text_alignment_adapter(features), self.image_alignment_adapter(features)], dim=1)

    @staticmethod
    def from_published(parts: Parts) -> dict[str, Tensor]:
        """Join the network and its adapters; see `PointNetwork.from_published`."""
        if "state_dict" not in parts and "" in parts:
            return dict(parts[""])
        adapters = {f"{place}.{name}": tensor for place in _ADAPTERS for name, tensor in published_part(parts, place).items()}
        return {**published_part(parts, "state_dict"), **adapters}


@dataclass(frozen=True)
class TammPointPatchSize(PointPatchSize):
    """Size of a `TammPointPatch`.

    Attributes:
        hidden: Hidden length of an adapter.
        embedding_dim: Length of the features.
    """

    hidden: int = 1024
    embedding_dim: int = 1280


class TammPointPatch(Tamm):
    """TAMM's network "PointBERT": OpenShape's transformer over patches without projection, and two adapters."""

    size_type = TammPointPatchSize

    def __init__(self, size: TammPointPatchSize) -> None:
        super().__init__()
        self.embedding_dim = size.embedding_dim
        self.ppat = PatchTransformer(size)
        self.image_alignment_adapter = Adapter(size.dim, size.hidden, size.embedding_dim, dropout=_IMAGE_DROPOUT)
        self.text_alignment_adapter = Adapter(size.dim, size.hidden, size.embedding_dim, dropout=_TEXT_DROPOUT)

    def shared_features(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Return the class token; see `Tamm.shared_features`."""
        features: Tensor = self.ppat(points, sizes)
        return features


@dataclass(frozen=True)
class TammSparseConvSize(MinkTrunkSize):
    """Size of a `TammSparseConv`.

    Attributes:
        shared: Length of the features that both adapters read.
        hidden: Hidden length of an adapter.
        embedding_dim: Length of the features.
    """

    shared: int
    hidden: int
    embedding_dim: int


class TammSparseConv(MinkTrunk, Tamm):
    """TAMM's network "SparseConv": OpenShape's with one layer after pooling, and two adapters. No weights are published."""

    size_type = TammSparseConvSize

    def __init__(self, size: TammSparseConvSize) -> None:
        super().__init__(size)
        self.embedding_dim = size.embedding_dim
        self.final = nn.Sequential(dense_layer(2 * size.width, size.shared, nn.LeakyReLU(0.01, inplace=True)))
        self.image_alignment_adapter = SparseConvAdapter(size.shared, size.hidden, size.embedding_dim)
        self.text_alignment_adapter = SparseConvAdapter(size.shared, size.hidden, size.embedding_dim)

    def shared_features(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Return the features after the layer that follows pooling; see `Tamm.shared_features`."""
        features: Tensor = self.final(self.pooled_features(points, sizes))
        return features


class SparseConvAdapter(nn.Module):
    """The adapter of `TammSparseConv`: that of `TammPointPatch` without biases, and with a dropout of 0.5 in both."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.final = nn.Sequential(
            dense_layer(inputs, hidden, nn.GELU()), nn.Dropout(0.5), dense_layer(hidden, outputs, nn.GELU()), nn.Dropout(0.5)
        )

    def forward(self, features: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Map features of the network to features in the space of a CLIP."""
        adapted: Tensor = self.final(features)
        return adapted


class Adapter(nn.Module):
    """Two layers, each with batch norm, GELU and dropout. The last GELU is part of it: features are greater than -0.17."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((inputs, hidden), (hidden, outputs)):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.GELU(), nn.Dropout(dropout)]
        self.classifier = nn.Sequential(*layers)

    def forward(self, features: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Map features of the network to features in the space of a CLIP."""
        adapted: Tensor = self.classifier(features)
        return adapted
