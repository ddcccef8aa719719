"""OpenShape's and TAMM's SparseConv in the usual way, as a peer of `benchmarks/points.py`.

Voxels are rows of a table, their neighbours are looked up in a dictionary, and a convolution adds offset by offset where a mask says that
there is a neighbour. Neighbours are looked up once for all convolutions between the same voxels, as MinkowskiEngine does.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from basrelief.encoders.points.mink_resnet import BasicBlock, MinkResNet, MinkTrunk
from basrelief.encoders.points.tamm import TammSparseConv


def usual_neighbours(source: Tensor, target: Tensor, size: int, step: int) -> list[Tensor]:
    """For each offset of a kernel, the row of the neighbour of each target voxel, or -1."""
    rows = {tuple(voxel): row for row, voxel in enumerate(source.tolist())}
    start = -(size // 2) if size % 2 else 0
    steps = [step * (start + i) for i in range(size)]
    voxels = target.tolist()
    return [
        torch.tensor([rows.get((b, x + dx, y + dy, z + dz), -1) for b, x, y, z in voxels], device=source.device)
        for dz in steps
        for dy in steps
        for dx in steps
    ]


def usual_convolution(features: Tensor, kernel: Tensor, neighbours: list[Tensor]) -> Tensor:
    """Add the products of all neighbours that are there."""
    out = features.new_zeros(len(neighbours[0]), kernel.shape[2])
    for weight, row in zip(kernel, neighbours, strict=True):
        there = row >= 0
        out[there] += features[row[there]] @ weight
    return out


def usual_block(block: BasicBlock, x: Tensor, neighbours: list[Tensor]) -> Tensor:
    """Two convolutions around a residual."""
    y = F.relu(block.norm1(usual_convolution(x, block.conv1.kernel, neighbours)))
    y = block.norm2(usual_convolution(y, block.conv2.kernel, neighbours))
    return F.relu(y + (x if block.downsample is None else block.downsample(x)))


def pooled(network: MinkTrunk, points: Tensor) -> Tensor:
    """Maximum and mean over the voxels of each cloud, (B, 2 * width)."""
    cloud = torch.arange(len(points), device=points.device).repeat_interleave(points.shape[1])[:, None]
    features = points.flatten(0, 1)
    size = torch.tensor(network.voxel_size, device=points.device)
    voxels, inverse = torch.unique(torch.cat([cloud, (features[:, :3] / size).floor().long()], 1), dim=0, return_inverse=True)
    x = features.new_zeros(len(voxels), 6).index_add(0, inverse, features) / torch.bincount(inverse)[:, None]
    x = F.relu(network.bn0(usual_convolution(x, network.conv0p1s1.kernel, usual_neighbours(voxels, voxels, 5, 1))))
    grids, carried, ancestor = [voxels], [], torch.arange(len(voxels), device=points.device)
    for stage in range(4):
        conv = (network.conv1p1s2, network.conv2p2s2, network.conv3p4s2, network.conv4p8s2)[stage]
        norm = (network.bn1, network.bn2, network.bn3, network.bn4)[stage]
        step = 2 ** (stage + 1)
        coarse = torch.cat([grids[-1][:, :1], grids[-1][:, 1:] // step * step], 1)
        coarse, parent = torch.unique(coarse, dim=0, return_inverse=True)
        x = F.relu(norm(usual_convolution(x, conv.kernel, usual_neighbours(grids[-1], coarse, 2, step // 2))))
        neighbours = usual_neighbours(coarse, coarse, 3, step)
        for block in (network.block1, network.block2, network.block3, network.block4)[stage]:
            x = usual_block(block, x, neighbours)
        ancestor = parent[ancestor]
        carried.append(x[ancestor])
        grids.append(coarse)
    x = torch.cat(carried, 1)
    for i, (conv, norm) in enumerate(network.conv5):
        x = F.leaky_relu(norm(usual_convolution(x, conv.kernel, usual_neighbours(grids[i], grids[i + 1], 3, 2**i))), 0.01)
    each = [x[grids[2][:, 0] == b] for b in range(len(points))]
    return torch.stack([torch.cat([rows.amax(0), rows.mean(0)]) for rows in each])


def openshape_sparse(network: MinkResNet, points: Tensor) -> Tensor:
    """Peer of OpenShape's "SparseConv"."""
    return network.final(pooled(network, points))[:, None]


def tamm_sparse(network: TammSparseConv, points: Tensor) -> Tensor:
    """Peer of TAMM's "SparseConv"."""
    features = network.final(pooled(network, points))
    return torch.stack([network.text_alignment_adapter(features), network.image_alignment_adapter(features)], dim=1)
