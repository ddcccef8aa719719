"""OpenShape's SparseConv encoder: the residual network MinkResNet34 on a sparse voxel grid.

Follows Liu et al. 2023 (arXiv:2305.10764) and its program. Positions and colours are averaged in voxels of 0.02, four stages halve the
resolution, and the outputs of all stages are carried back to the finest voxels, where two more strided convolutions read them. The program
slices them to the points and voxelises again, which gives each voxel the features of its ancestors. Here the convolution reads the
ancestors themselves, and multiplies what voxels share only once for each offset of its kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from basrelief.encoders.points.base import Parts, PointNetwork, published_part
from basrelief.encoders.points.sparse import KernelMap, Level, SparseConv, VoxelGrid, kernel_map, pool_clouds, voxel_means, voxelise

_POINTS = 1 << 17  # encoded at a time: about 1 GB


@dataclass(frozen=True)
class MinkTrunkSize:
    """Sizes of the network up to the pooled features.

    Attributes:
        stem: Channels of the first convolution.
        planes: Channels of each stage.
        layers: Residual blocks of each stage.
        width: Channels before pooling; twice as many after it.
        voxel_size: Edge of the finest voxels, in units of the normalised cloud.
    """

    stem: int
    planes: Sequence[int]
    layers: Sequence[int]
    width: int
    voxel_size: float


@dataclass(frozen=True)
class MinkResNetSize(MinkTrunkSize):
    """Sizes of OpenShape's network.

    Attributes:
        hidden: Channels of the two hidden layers after pooling.
        embedding_dim: Length of the features.
    """

    hidden: int
    embedding_dim: int


class Norm(nn.Module):
    """Batch normalisation over all voxels of the batch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(channels)

    def forward(self, features: Float[Tensor, "voxels channels"]) -> Float[Tensor, "voxels channels"]:
        """Normalise each channel."""
        normalised: Tensor = self.bn(features)
        return normalised


class Linear(nn.Module):
    """A linear layer under the original's name."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)

    def forward(self, features: Float[Tensor, "clouds inputs"]) -> Float[Tensor, "clouds outputs"]:
        """Multiply by the weights."""
        out: Tensor = self.linear(features)
        return out


def dense_layer(inputs: int, outputs: int, activation: nn.Module) -> nn.Sequential:
    """Return a linear layer without bias, batch normalisation and an activation."""
    return nn.Sequential(Linear(inputs, outputs), Norm(outputs), activation)


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions around a residual."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = SparseConv(inputs, outputs, 3), Norm(outputs)
        self.conv2, self.norm2 = SparseConv(outputs, outputs, 3), Norm(outputs)
        self.downsample = nn.Sequential(SparseConv(inputs, outputs, 1), Norm(outputs)) if inputs != outputs else None

    def forward(self, x: Float[Tensor, "voxels inputs"], pairs: KernelMap) -> Float[Tensor, "voxels outputs"]:
        """Features of the same voxels."""
        y = F.relu_(self.norm1(self.conv1(x, pairs)))
        y = self.norm2(self.conv2(y, pairs))
        return F.relu_(y + (x if self.downsample is None else self.downsample(x)))


class ConvNorm(nn.ModuleList):
    """A 3x3x3 convolution and batch normalisation, numbered as in the original."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__([SparseConv(inputs, outputs, 3), Norm(outputs)])

    def forward(self, levels: Sequence[Level], pairs: KernelMap) -> Float[Tensor, "outputs width"]:
        """Convolve and normalise; see `SparseConv.forward`."""
        conv, norm = self
        normalised: Tensor = norm(conv(levels, pairs))
        return normalised


class MinkTrunk(nn.Module):
    """The network up to the pooled features, which OpenShape and TAMM share."""

    def __init__(self, size: MinkTrunkSize) -> None:
        super().__init__()
        self.voxel_size = size.voxel_size
        inputs = (size.stem, *size.planes)
        self.conv0p1s1, self.bn0 = SparseConv(6, size.stem, 5), Norm(size.stem)
        self.conv1p1s2, self.bn1 = SparseConv(inputs[0], inputs[0], 2), Norm(inputs[0])
        self.conv2p2s2, self.bn2 = SparseConv(inputs[1], inputs[1], 2), Norm(inputs[1])
        self.conv3p4s2, self.bn3 = SparseConv(inputs[2], inputs[2], 2), Norm(inputs[2])
        self.conv4p8s2, self.bn4 = SparseConv(inputs[3], inputs[3], 2), Norm(inputs[3])
        self.block1, self.block2, self.block3, self.block4 = (
            nn.ModuleList(BasicBlock(planes if layer else inputs[i], planes) for layer in range(size.layers[i]))
            for i, planes in enumerate(size.planes)
        )
        self.conv5 = nn.ModuleList([ConvNorm(sum(size.planes), size.width // 2), ConvNorm(size.width // 2, size.width)])

    def pooled_features(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch pooled"]:
        """Return the maximum, then the mean, over the voxels of each cloud.

        A large batch is encoded in parts, except in training, where batch norm reads all of it.
        """
        clouds = len(points) if self.training else max(1, _POINTS // points.shape[1])
        parts = zip(points.split(clouds), sizes.split(clouds), strict=True)
        return torch.cat([self._pooled_part(*part) for part in parts])

    def _pooled_part(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch pooled"]:
        cloud, row = (torch.arange(points.shape[1], device=points.device) < sizes[:, None]).nonzero(as_tuple=True)
        features = points[cloud, row]
        grid, voxel = voxelise(features[:, :3], cloud, voxel_size=self.voxel_size)
        x = self.conv0p1s1(voxel_means(features, voxel, len(grid)), kernel_map(grid, grid, 5))
        x = F.relu_(self.bn0(x))
        grids: list[VoxelGrid] = [grid]
        carried: list[tuple[Tensor, Tensor]] = []
        ancestor = torch.arange(len(grid), device=points.device)
        for conv, norm, blocks in (
            (self.conv1p1s2, self.bn1, self.block1),
            (self.conv2p2s2, self.bn2, self.block2),
            (self.conv3p4s2, self.bn3, self.block3),
            (self.conv4p8s2, self.bn4, self.block4),
        ):
            coarser, parent = grids[-1].coarsen(2)
            x = F.relu_(norm(conv(x, kernel_map(grids[-1], coarser, 2))))
            pairs = kernel_map(coarser, coarser, 3)
            for block in blocks:
                x = block(x, pairs)
            ancestor = parent[ancestor]
            carried.append((x, ancestor))
            grids.append(coarser)
        fine = torch.cat([features[ancestor] for features, ancestor in carried[:2]], 1)  # few neighbours share an ancestor there
        levels: Sequence[Level] = [(fine, None), *carried[2:]]
        for layer, source, target in zip(self.conv5, grids, grids[1:], strict=False):
            x = F.leaky_relu_(layer(levels, kernel_map(source, target, 3)), 0.01)
            levels = [(x, None)]
        return torch.cat([pool_clouds(x, target, how, clouds=len(points)) for how in ("max", "mean")], 1)


class MinkResNet(MinkTrunk, PointNetwork):
    """OpenShape's SparseConv encoder. The order of the points does not matter."""

    size_type = MinkResNetSize

    def __init__(self, size: MinkResNetSize) -> None:
        super().__init__(size)
        self.embedding_dim = size.embedding_dim
        self.final = nn.Sequential(
            dense_layer(2 * size.width, size.hidden, nn.LeakyReLU(0.01, inplace=True)),
            nn.Dropout(0.5),
            dense_layer(size.hidden, size.hidden, nn.LeakyReLU(0.01, inplace=True)),
            Linear(size.hidden, size.embedding_dim, bias=True),
        )

    def forward(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"]) -> Float[Tensor, "batch 1 dim"]:
        """Encode clouds; see `PointNetwork.forward`."""
        features: Tensor = self.final(self.pooled_features(points, sizes))
        return features[:, None]

    @staticmethod
    def from_published(parts: Parts) -> dict[str, Tensor]:
        """Keep all names; see `PointNetwork.from_published`."""
        return dict(published_part(parts, "state_dict", ""))
