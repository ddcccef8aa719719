"""The voxel part of OpenDlign's projection, exact but confined to the voxels that can be seen.

Densify, smooth and squeeze (see `basrelief.render.opendlign`) act on a grid of size x size x bins voxels per image. Two facts make most
of that grid needless. Let V be the largest densified value of a pixel's column and t = floor(V bins) its layer. A voxel of layer k holds
a value of [k, k + 1) / bins, the maximum reaches 3 layers and the filter 2 more, so every value inside the window of a voxel at layer k
comes from a layer of at most k + 5, and a weighted mean of them lies below (k + 6) / bins.

1. *Few layers can win.* All of the column's voxels at t - 3 .. t + 3 hold V, those above are empty. The window of t + 3 sees only values
   from layer t - 2 on (empty voxels left out), so the best value is at least (t - 2) / bins and no layer under t - 7 can beat it.
   With empty voxels counted the search goes down until (k + 6) / bins falls under the best value found.
2. *A lower voxel is bounded cheaply.* Let it hold U < V. Measuring its range weights from V instead of U multiplies each by
   exp((2 D (V - U) + U^2 - V^2) / (2 sigma^2)), which grows with the neighbour's value D, and so can only raise the weighted mean. One
   pass with the centre V therefore gives the exact top layers and an upper bound for the lower ones; few need a pass of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

REACH = 3
"""Voxels that the 7x7x7 maximum reaches to each side."""
RADIUS = 2
"""Voxels that the 5x5x5 bilateral filter reaches to each side."""
_LOWER = 4
_TOP = 2 * REACH + 1
_EDGE = REACH + RADIUS
_FLOOR = _EDGE + _LOWER
_UNKNOWN = 1e-20
_SLACK = 1e-6
_PIXELS = 1 << 13
_FAR = 13.0
_LEAST = -80.0


@dataclass(frozen=True, eq=False)
class Voxels:
    """Quantised points of I images, each point in one voxel.

    Attributes:
        image: (P,) int64, number of the image.
        row: (P,) int64 in [0, size).
        column: (P,) int64 in [0, size).
        near: (P,) float32 nearness in (0, 1]; the layer is floor(near bins), at most bins - 1.
        images: Number of images I.
    """

    image: Int[Tensor, " points"]
    row: Int[Tensor, " points"]
    column: Int[Tensor, " points"]
    near: Float[Tensor, " points"]
    images: int


@dataclass(frozen=True)
class ContourFilter:
    """Densify by a 7x7x7 maximum, smooth by a 5x5x5 bilateral filter, squeeze by a maximum over depth.

    Attributes:
        size: Rows and columns of the grid.
        bins: Layers of the grid.
        spatial_sigma: Standard deviation of the filter's weight over distance, voxels.
        range_sigma: Standard deviation of its weight over differences of nearness.
        count_empty: Whether empty voxels take part as zeros; an empty voxel itself stays empty either way.
    """

    size: int
    bins: int
    spatial_sigma: float
    range_sigma: float
    count_empty: bool
    scratch: list[Tensor] = field(default_factory=list, init=False, repr=False, compare=False)

    def squeeze(self, voxels: Voxels) -> Float[Tensor, "images size size"]:
        """Smoothed nearness of the nearest surface, (I, size, size) float32, 0 where nothing is seen."""
        row, column, layer = voxels.row, voxels.column, self.layer(voxels.near)
        low = torch.stack([_per_image(v, voxels, "amin") for v in (row, column, layer)])
        high = torch.stack([_per_image(v, voxels, "amax") for v in (row, column, layer)])
        rows, columns, layers = (high - low).amax(1).tolist()
        shape = (voxels.images, rows + 1 + 2 * (_EDGE + REACH), columns + 1 + 2 * (_EDGE + REACH), layers + 1 + _FLOOR + _EDGE)
        low = low - torch.tensor([[_EDGE], [_EDGE], [_FLOOR]], device=low.device)
        grid = self._densify(voxels, layer, low, shape)
        return self._look(grid, low)

    @property
    def nothing(self) -> float:
        """What an empty voxel holds: 0 when it counts, else a value so far away that its range weight vanishes."""
        return 0.0 if self.count_empty else -_FAR * self.range_sigma

    def layer(self, near: Float[Tensor, "*dims"]) -> Int[Tensor, "*dims"]:
        """Layer of a nearness: floor(near bins), at most bins - 1."""
        return (near * self.bins).long().clamp_(max=self.bins - 1)

    def _densify(self, voxels: Voxels, layer: Tensor, low: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Maximum over 7x7x7 on the box: over layers by writing each point seven times, over rows and columns by doubling steps.

        A maximum over the voxel and the six after it moves the grid by 3 rows and columns, so that (0, 0) becomes the corner `low`.
        """
        grid, spare = (one[: math.prod(shape)].view(shape) for one in self._buffers(math.prod(shape), layer.device))
        grid.fill_(self.nothing)
        row, column, base = (low[i][voxels.image] for i in range(3))
        cell = ((voxels.image * shape[1] + voxels.row - row + REACH) * shape[2] + voxels.column - column + REACH) * shape[3]
        spread = torch.arange(-REACH, REACH + 1, device=layer.device)
        cells = (cell - base + layer)[:, None] + spread
        grid.view(-1).scatter_reduce_(0, cells.flatten(), voxels.near.repeat_interleave(len(spread)), "amax")
        for dim, step in product((1, 2), (1, 2, REACH)):
            length = grid.shape[dim] - step
            here, ahead, spare = grid.narrow(dim, 0, length), grid.narrow(dim, step, length), spare.narrow(dim, 0, length)
            grid, spare = torch.maximum(here, ahead, out=spare), here
        return grid

    def _buffers(self, cells: int, device: torch.device) -> list[Tensor]:
        """Two buffers of at least so many voxels, kept from part to part: fresh memory costs more than what is done in it."""
        if not self.scratch or self.scratch[0].numel() < cells:
            self.scratch[:] = [torch.empty(cells, device=device) for _ in range(2)]
        return self.scratch

    def _look(self, grid: Tensor, low: Tensor) -> Tensor:
        """Smooth and squeeze every pixel that holds something."""
        top = grid.amax(3)
        image, row, column = torch.nonzero(top > 0, as_tuple=True)
        near = top[image, row, column]
        layer = self.layer(near) - low[2][image]
        start = image * grid.stride(0) + row * grid.stride(1) + column * grid.stride(2)
        out = torch.zeros(grid.shape[0], self.size, self.size, device=grid.device)
        best = [self._pixels(grid, s, n, k) for s, n, k in zip(*(v.split(_PIXELS) for v in (start, near, layer)), strict=True)]
        out[image, row + low[0][image], column + low[1][image]] = torch.cat(best)
        return out

    def _pixels(self, grid: Tensor, start: Tensor, near: Tensor, layer: Tensor) -> Tensor:
        """Best smoothed value of some columns, exact by the two facts at the head of this file.

        Args:
            grid: Densified values of the box.
            start: (P,) flat position of each column's first voxel.
            near: (P,) largest value of each column.
            layer: (P,) its layer, counted from the box.
        """
        first = layer - REACH - _LOWER
        values = self._smooth(grid, start + first, near, _LOWER + _TOP)
        best = values[:, _LOWER:].amax(1)
        bounds, pixel = values[:, :_LOWER], torch.arange(len(start), device=start.device)
        while True:
            self._raise(grid, (start + first)[pixel], bounds, best, pixel)
            first = first - _LOWER
            absolute = self.layer(near) - layer + first + _LOWER - 1
            active = (absolute + _EDGE + 1 > best * self.bins - _SLACK) & (first + _LOWER > _FLOOR - REACH)
            pixel = torch.nonzero(active).squeeze(1)
            if len(pixel) == 0:
                return best
            bounds = self._smooth(grid, (start + first)[pixel], near[pixel], _LOWER)

    def _raise(self, grid: Tensor, first: Tensor, bounds: Tensor, best: Tensor, pixel: Tensor) -> None:
        """Raise `best` by those voxels of a block of layers whose bound leaves the chance."""
        which, step = torch.nonzero(~(bounds <= best[pixel, None] - _SLACK), as_tuple=True)
        voxel = first[which] + step
        own = self.scratch[0][voxel]
        held = own > 0
        if bool(held.any()):
            exact = self._smooth(grid, voxel[held], own[held], 1).squeeze(1)
            best.scatter_reduce_(0, pixel[which[held]], exact, "amax")

    def _smooth(self, grid: Tensor, voxel: Tensor, centre: Tensor, count: int) -> Tensor:
        """Bilateral mean at `count` layers upwards from each voxel, range weights measured from `centre`; infinite where all weights vanish."""
        window = self.scratch[0].unfold(0, count + 2 * RADIUS, 1)
        offset, reach = self._taps(grid)
        weights = grid.new_zeros(len(voxel), count + 2 * RADIUS)
        moment = torch.zeros_like(weights)
        for shift, spatial in zip(offset.tolist(), reach.tolist(), strict=True):
            value = window.index_select(0, voxel + (shift - RADIUS))
            weight = (value - centre[:, None]).square_().mul_(-0.5 / self.range_sigma**2).clamp_(min=_LEAST).exp_().mul_(spatial)
            weights += weight
            moment.addcmul_(weight, value)
        along = self._gaussian(grid)
        total, mean = ((v.unfold(1, 2 * RADIUS + 1, 1) * along).sum(2) for v in (weights, moment))
        return torch.where(total > _UNKNOWN, mean / total, torch.inf)

    def _gaussian(self, like: Tensor) -> Tensor:
        steps = torch.arange(-RADIUS, RADIUS + 1, device=like.device, dtype=torch.float32)
        return (-0.5 * (steps / self.spatial_sigma) ** 2).exp()

    def _taps(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Flat distance to each of the 25 columns of a window, and their spatial weights."""
        steps = torch.arange(-RADIUS, RADIUS + 1)
        offset = steps[:, None] * grid.stride(1) + steps * grid.stride(2)
        weight = self._gaussian(offset)
        return offset.flatten(), (weight[:, None] * weight).flatten()


def _per_image(values: Tensor, voxels: Voxels, how: str) -> Tensor:
    return values.new_empty(voxels.images).scatter_reduce_(0, voxels.image, values, how, include_self=False)
