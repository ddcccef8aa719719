"""Sparse voxel grids and convolutions on plain PyTorch, as MinkowskiEngine 0.5.4 computes them (Choy et al. 2019, arXiv:1904.08755).

A grid is the sorted int64 keys of its occupied voxels: cloud, x, y and z from the highest bits down, so that a step to a neighbour adds a
constant to the key. A kernel map lists, for each offset of a kernel, which input voxel meets which output voxel. It is made once and serves
every convolution between the same two grids. A convolution gathers, multiplies and adds offset by offset, so its memory is that of its
input and output, whatever the size of the kernel:

    out[u] = sum over k of in[u + offset_k] @ W[k]

Offsets have x as the fastest axis: k = ix + size * iy + size^2 * iz. Odd kernels are centred, even ones start at 0. Steps are those of the
input grid, and the voxels of a coarser grid are the parents of the input's, whatever the size of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from basrelief.errors import GeometryError

Reduction = Literal["max", "mean", "sum"]
Level = tuple[Tensor, Tensor | None]
"""Features of the voxels of a grid, and the row there of each voxel of a finer grid; None if it is the same grid."""

_BITS = 16
_ZERO = 1 << (_BITS - 1)
_FARTHEST = _ZERO - 256  # so that the offsets of a kernel at the coarsest stride stay in range
_ROWS = 1 << 16


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """The occupied voxels of a batch of clouds, sorted by cloud, x, y, z.

    Attributes:
        keys: Distinct and ascending.
        stride: Edge of a voxel in voxels of the finest grid; coordinates are its multiples.
    """

    keys: Int[Tensor, " voxels"]
    stride: int = 1

    @classmethod
    def of(cls, coords: Int[Tensor, "rows 4"], *, stride: int = 1) -> tuple[VoxelGrid, Int[Tensor, " rows"]]:
        """Return the grid of the voxels (cloud, x, y, z), which may repeat, and the voxel of each row."""
        cloud, x, y, z = coords.long().unbind(1)
        packed = (cloud << 3 * _BITS) + (x + _ZERO << 2 * _BITS) + (y + _ZERO << _BITS) + z + _ZERO
        keys, voxel = torch.unique(packed, return_inverse=True)
        return cls(keys, stride), voxel

    @property
    def coords(self) -> Int[Tensor, "voxels 4"]:
        """Cloud, x, y, z of each voxel."""
        mask = (1 << _BITS) - 1
        axes = [((self.keys >> shift) & mask) - _ZERO for shift in (2 * _BITS, _BITS, 0)]
        return torch.stack([self.keys >> 3 * _BITS, *axes], 1)

    def coarsen(self, factor: int) -> tuple[VoxelGrid, Int[Tensor, " voxels"]]:
        """Return the grid of voxels `factor` (a power of two) times as large, and the parent there of each voxel."""
        stride = self.stride * factor
        below = stride - 1  # clearing the low bits is floor(c / stride) * stride, for negative coordinates, too
        keys, parent = torch.unique(self.keys & ~_step(below, below, below), return_inverse=True)
        return VoxelGrid(keys, stride), parent

    def __len__(self) -> int:
        return len(self.keys)


def _step(x: int, y: int, z: int) -> int:
    """Difference between the keys of two voxels."""
    return (x << 2 * _BITS) + (y << _BITS) + z


def voxelise(
    xyz: Float[Tensor, "points 3"], cloud: Int[Tensor, " points"], *, voxel_size: float
) -> tuple[VoxelGrid, Int[Tensor, " points"]]:
    """Return the grid of the voxels that hold a point, and the voxel of each point.

    The division is the original's: float32, whatever the dtype of the points, and by a tensor on their device, since CUDA multiplies by the
    reciprocal of a plain number, which moves points that lie on a voxel's face.

    Raises:
        GeometryError: If a point is not finite, or more than 32,000 voxels from the origin.
    """
    index = (xyz.detach().float() / torch.tensor(voxel_size, dtype=torch.float32, device=xyz.device)).floor()
    if not bool((index.abs() < _FARTHEST).all()):
        raise GeometryError(
            f"A point lies {float(xyz.abs().max()):g} from the origin; expected at most {_FARTHEST * voxel_size:g}. "
            "Centre the cloud and scale it to the unit sphere first."
        )
    return VoxelGrid.of(torch.cat([cloud[:, None], index.long()], 1))


def voxel_means(features: Float[Tensor, "points channels"], voxel: Int[Tensor, " points"], voxels: int) -> Float[Tensor, "voxels channels"]:
    """Average the features of the points of each voxel."""
    sums = features.new_zeros(voxels, features.shape[1]).index_add(0, voxel, features)
    return sums / torch.bincount(voxel, minlength=voxels)[:, None]


@dataclass(frozen=True, eq=False)
class KernelMap:
    """For each offset of a kernel, the rows of the input and output voxels that meet there, ascending in both.

    Attributes:
        pairs: Input and output rows by kernel index.
        outputs: Number of output voxels.
    """

    pairs: tuple[tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]], ...]
    outputs: int

    def blocks(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield kernel index, input rows and output rows, at most 65,536 at a time; an output row occurs at most once in a block."""
        for k, (inputs, outputs) in enumerate(self.pairs):
            if len(inputs):
                for rows, into in zip(inputs.split(_ROWS), outputs.split(_ROWS), strict=True):
                    yield k, rows, into


def kernel_map(source: VoxelGrid, target: VoxelGrid, size: int) -> KernelMap:
    """Find the pairs of a kernel of `size` voxels an axis, from one grid to the same or a coarser one.

    Voxels along z follow each other in the sorted keys, so only the first voxel of each column of the kernel is searched for. Within one
    grid, the pairs of an offset are those of its opposite with input and output exchanged.
    """
    start = -(size // 2) if size % 2 else 0
    centre, mirrored = size // 2, source is target and size % 2 == 1
    ended = torch.cat([source.keys, source.keys.new_full((1,), torch.iinfo(torch.int64).max)])
    pairs: dict[int, tuple[Tensor, Tensor]] = {}
    for ix in range(size):
        for iy in range(size):
            if mirrored and (ix, iy) > (centre, centre):
                continue
            wanted = target.keys + source.stride * _step(start + ix, start + iy, start)
            row = torch.searchsorted(source.keys, wanted)
            for iz in range(size):
                hit = ended[row] == wanted
                into = hit.nonzero().squeeze(1)
                k = ix + size * iy + size * size * iz
                pairs[k] = (row[into], into)
                if mirrored:
                    pairs[size**3 - 1 - k] = (into, pairs[k][0])
                row = row + hit
                wanted = wanted + source.stride
    return KernelMap(tuple(pairs[k] for k in range(size**3)), len(target))


class _Convolve(torch.autograd.Function):
    """Convolution over a kernel map. Gathered rows are gathered again for the gradient rather than kept."""

    @staticmethod
    def forward(ctx: Any, kernel: Tensor, pairs: KernelMap, owners: Sequence[Tensor | None], *levels: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(kernel, *levels)
        ctx.pairs, ctx.owners = pairs, owners
        out = kernel.new_zeros(pairs.outputs, kernel.shape[2])
        widths = [features.shape[1] for features in levels]
        for k, rows, into in pairs.blocks():
            product: Tensor | None = None
            for features, owner, weight in zip(levels, owners, kernel[k].split(widths), strict=True):
                shared, back = _shared_rows(owner, rows)
                part = features.index_select(0, shared) @ weight
                part = part if back is None else part.index_select(0, back)
                product = part if product is None else product.add_(part)
            if product is not None:
                out.index_add_(0, into, product.to(out.dtype))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        kernel, *levels = ctx.saved_tensors
        to_kernel, to_levels = torch.zeros_like(kernel), [torch.zeros_like(features) for features in levels]
        widths = [features.shape[1] for features in levels]
        for k, rows, into in ctx.pairs.blocks():
            part = gradient.index_select(0, into)
            weights, to_weights = kernel[k].split(widths), to_kernel[k].split(widths)
            for features, owner, weight, to_weight, to_features in zip(levels, ctx.owners, weights, to_weights, to_levels, strict=True):
                shared, back = _shared_rows(owner, rows)
                summed = part if back is None else part.new_zeros(len(shared), part.shape[1]).index_add_(0, back, part)
                to_features.index_add_(0, shared, summed @ weight.T)
                to_weight.addmm_(features.index_select(0, shared).T, summed)
        return to_kernel, None, None, *to_levels


def _shared_rows(owner: Tensor | None, rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """Distinct rows of a level's features, and where each row of the input is among them; None if it is in its own place."""
    return (rows, None) if owner is None else torch.unique(owner[rows], return_inverse=True)


class SparseConv(nn.Module):
    """A convolution between voxel grids.

    A kernel of one voxel without a stride is a matrix (inputs, outputs); others are (size^3, inputs, outputs).
    """

    def __init__(self, inputs: int, outputs: int, size: int, *, bias: bool = False) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(inputs, outputs) if size == 1 else torch.empty(size**3, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(1, outputs)) if bias else None
        nn.init.normal_(self.kernel, std=math.sqrt(2 / (inputs if size == 1 else size**3 * outputs)))  # the original's, "fan out"

    def forward(
        self, features: Float[Tensor, "voxels inputs"] | Sequence[Level], pairs: KernelMap | None = None
    ) -> Float[Tensor, "outputs width"]:
        """Convolve along a kernel map; a kernel that is a matrix needs none.

        Levels are read as if their features, each voxel's own and its ancestors', stood side by side. What voxels share is multiplied
        once for each offset.
        """
        levels = [(features, None)] if isinstance(features, Tensor) else features
        if pairs is None:
            out = levels[0][0] @ self.kernel
        else:
            out = _Convolve.apply(self.kernel, pairs, [owner for _, owner in levels], *[x for x, _ in levels])  # type: ignore[no-untyped-call]
        return out if self.bias is None else out + self.bias


def pool_kernel(features: Float[Tensor, "inputs channels"], pairs: KernelMap, how: Reduction) -> Float[Tensor, "outputs channels"]:
    """Reduce the voxels that are present under a kernel; the mean divides by their number."""
    rows, into = (torch.cat(part) for part in zip(*pairs.pairs, strict=True))
    index = into[:, None].expand(-1, features.shape[1])
    out = features.new_zeros(pairs.outputs, features.shape[1])
    reduce = {"max": "amax", "mean": "mean", "sum": "sum"}[how]
    return out.scatter_reduce(0, index, features[rows], reduce, include_self=False)


def pool_clouds(
    features: Float[Tensor, "voxels channels"], grid: VoxelGrid, how: Reduction, *, clouds: int
) -> Float[Tensor, "clouds channels"]:
    """Reduce the voxels of each cloud of the batch."""
    counts = torch.bincount(grid.keys >> 3 * _BITS, minlength=clouds).tolist()
    parts = features.split(counts)
    if how == "max":
        return torch.stack([part.amax(0) for part in parts])
    return torch.stack([part.mean(0) if how == "mean" else part.sum(0) for part in parts])
