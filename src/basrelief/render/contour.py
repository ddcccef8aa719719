"""The voxel filter of the paper's projection (`opendlign-paper`), exact but restricted to voxels that can be seen.

Densify, smooth and squeeze (see `basrelief.render.opendlign_paper`) act on a grid of size x size x B voxels per image; a voxel of plane k
holds a nearness in [k, k + 1) / B. Only the best smoothed value of each pixel matters, so most of the grid is never smoothed; nothing is
stored outside the shape's bounding box. Let V be the largest densified value of a pixel's column and t = floor(V B) its plane.

1. *Few planes can win.* The column's voxels at t - 3 .. t + 3 hold V and those above are empty. The maximum reaches 3 planes and the
   filter 2 more, so the window of plane k sees values from planes k - 5 .. k + 5 only, and their weighted mean is at most (k + 6) / B.
   Plane t + 3 alone gives at least (t - 2) / B where empty voxels have no weight, so no plane below t - 7 can beat it. Where they have
   weight, the search goes down until (k + 6) / B falls under the best value found.
2. *A lower voxel has a cheap bound.* Let it hold U < V. Measuring its range weights from V instead of U multiplies the weight of a
   neighbour D by exp((2 D (V - U) + U^2 - V^2) / (2 sigma^2)), which grows with D, and so can only raise the weighted mean
   (Chebyshev's sum inequality). One pass centred on V thus gives the planes t - 3 .. t + 3 exactly and a bound for those below; only
   voxels whose bound exceeds the best value are smoothed with their own centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from basrelief.render.contour_aware import REACH
from basrelief.render.ops import point_chunks

RADIUS = 2
"""Radius of the 5x5x5 bilateral filter, voxels."""
_TOP = 2 * REACH + 1  # planes that can hold a column's largest value
_LOWER = 4  # planes below them that are bounded together
_MARGIN = REACH + RADIUS  # empty voxels around the box
_BELOW = _MARGIN + _LOWER  # empty planes below it
_LEAST = -80.0  # smallest exponent of a range weight; smaller ones are slow and change nothing
_FAR = 13.0  # range sigmas beyond which the exponent is smaller
_TRUSTED = 1e-20  # smaller sums of weights are rounding errors
_SLACK = 1e-6  # tolerance in nearness for comparing bounds with computed means


@dataclass(frozen=True, eq=False)
class Voxels:
    """Quantised points of I images, one voxel per point.

    Attributes:
        image: (P,) int64, index of the image.
        row: (P,) int64 in [0, size).
        column: (P,) int64 in [0, size).
        near: (P,) float32 nearness in (0, 1]; see `ContourFilter.plane`.
        images: Number of images I.
    """

    image: Int[Tensor, " points"]
    row: Int[Tensor, " points"]
    column: Int[Tensor, " points"]
    near: Float[Tensor, " points"]
    images: int


@dataclass(frozen=True)
class ContourFilter:
    """Densify with a 7x7x7 maximum, smooth with a 5x5x5 bilateral filter, squeeze with a maximum over depth.

    Attributes:
        size: Rows and columns of the grid.
        planes: Planes of the grid, B.
        spatial_sigma: Standard deviation of the filter over distance, voxels.
        range_sigma: Standard deviation of the filter over differences of nearness.
        count_empty: Whether empty voxels count as zeros; an empty voxel itself stays empty either way.
        buffers: Reused memory, see `_buffers`; the filter is not thread-safe.
    """

    size: int
    planes: int
    spatial_sigma: float
    range_sigma: float
    count_empty: bool
    buffers: list[Tensor] = field(default_factory=list, init=False, repr=False, compare=False)

    def squeeze(self, voxels: Voxels) -> Float[Tensor, "images size size"]:
        """Return the smoothed nearness of the nearest surface, (I, size, size) float32, 0 for background."""
        places = torch.stack([voxels.row, voxels.column, self.plane(voxels.near)])
        low, high = (
            places.new_empty(3, voxels.images).scatter_reduce_(1, voxels.image.expand(3, -1), places, how, include_self=False)
            for how in ("amin", "amax")
        )
        box = (high - low + 1).amax(1).tolist()
        low = low - torch.tensor([[_MARGIN], [_MARGIN], [_BELOW]], device=low.device)
        return self._squeeze(self._densify(voxels, places, low, box), low)

    def plane(self, near: Float[Tensor, "*any"]) -> Int[Tensor, "*any"]:
        """Return the plane of a nearness: floor(near B), at most B - 1."""
        return (near * self.planes).long().clamp_(max=self.planes - 1)

    def _densify(self, voxels: Voxels, places: Tensor, low: Tensor, box: list[int]) -> Tensor:
        """Compute the 7x7x7 maximum within each image's box: write each point to seven planes, then double over rows and columns.

        Doubling gives the maximum of a voxel and the next six, which shifts the grid by 3 rows and columns: its corner ends up at `low`.
        The result is a view of the first buffer.
        """
        rows, columns = (side + 2 * (_MARGIN + REACH) for side in box[:2])
        shape = (voxels.images, rows, columns, box[2] + _BELOW + _MARGIN)
        grid, spare = (buffer[: math.prod(shape)].view(shape) for buffer in self._buffers(math.prod(shape), low.device))
        grid.fill_(0.0 if self.count_empty else -_FAR * self.range_sigma)
        across, down, _ = steps = torch.tensor([grid.stride(1), grid.stride(2), 1], device=low.device)
        corner = torch.arange(voxels.images, device=low.device) * grid.stride(0) + REACH * (across + down)
        corner = corner - (steps[:, None] * low).sum(dim=0)  # CUDA has no integer matrix product
        voxel = corner[voxels.image] + places[0] * across + places[1] * down + places[2]
        for plane in range(-REACH, REACH + 1):
            grid.view(-1).scatter_reduce_(0, voxel + plane, voxels.near, "amax")
        for axis, step in product((1, 2), (1, 2, REACH)):
            length = grid.shape[axis] - step
            here, ahead, spare = grid.narrow(axis, 0, length), grid.narrow(axis, step, length), spare.narrow(axis, 0, length)
            grid, spare = torch.maximum(here, ahead, out=spare), here
        return grid

    def _buffers(self, voxels: int, device: torch.device) -> list[Tensor]:
        """Return two buffers of at least `voxels` elements, reused between calls: allocating costs more than the computation."""
        if not self.buffers or self.buffers[0].numel() < voxels:
            self.buffers[:] = [torch.empty(voxels, device=device) for _ in range(2)]
        return self.buffers

    def _squeeze(self, grid: Tensor, low: Tensor) -> Tensor:
        """Smooth and squeeze every pixel that is not background."""
        top = grid.amax(3)
        image, row, column = torch.nonzero(top > 0, as_tuple=True)
        near = top[image, row, column]
        plane = self.plane(near) - low[2, image]
        start = image * grid.stride(0) + row * grid.stride(1) + column * grid.stride(2)
        parts = point_chunks(len(near), _TOP + _LOWER + 2 * RADIUS, grid.device)
        best = torch.cat([self._best(grid, start[part], near[part], plane[part]) for part in parts])
        out = torch.zeros(len(grid), self.size, self.size, device=grid.device)
        out[image, row + low[0, image], column + low[1, image]] = best
        return out

    def _best(self, grid: Tensor, start: Tensor, near: Tensor, plane: Tensor) -> Tensor:
        """Return the largest smoothed value of each column.

        Args:
            grid: Densified values.
            start: (P,) position in the buffer of each column's first voxel.
            near: (P,) largest densified value of each column.
            plane: (P,) its plane, relative to the first of the box.
        """
        first = plane - REACH - _LOWER
        values = self._smooth(grid, start + first, near, _LOWER + _TOP)
        best = values[:, _LOWER:].amax(1)
        bounds, pixel = values[:, :_LOWER], torch.arange(len(near), device=near.device)
        while len(pixel):
            self._raise(grid, best, pixel, (start + first)[pixel], bounds)
            first = first - _LOWER
            highest = first + _LOWER - 1
            bound = (self.plane(near) - plane + highest + _MARGIN + 1) / self.planes
            pixel = torch.nonzero((bound > best - _SLACK) & (highest >= _BELOW - REACH)).squeeze(1)
            bounds = self._smooth(grid, (start + first)[pixel], near[pixel], _LOWER)
        return best

    def _raise(self, grid: Tensor, best: Tensor, pixel: Tensor, first: Tensor, bounds: Tensor) -> None:
        """Update the best values of some pixels by the voxels from `first` upwards whose bounds exceed them."""
        which, step = torch.nonzero(bounds > best[pixel, None] - _SLACK, as_tuple=True)
        voxel = first[which] + step
        own = self.buffers[0][voxel]
        held = own > 0
        exact = self._smooth(grid, voxel[held], own[held], 1).squeeze(1)
        best.scatter_reduce_(0, pixel[which[held]], exact, "amax")

    def _smooth(self, grid: Tensor, voxel: Tensor, centre: Tensor, count: int) -> Tensor:
        """Return the bilateral mean at `count` planes from each voxel upwards, with range weights about `centre`; `inf` if all vanish."""
        columns = self.buffers[0].unfold(0, count + 2 * RADIUS, 1)
        weights = grid.new_zeros(len(voxel), count + 2 * RADIUS)
        moments = torch.zeros_like(weights)
        for (row, down), (column, across) in product(self._kernel, repeat=2):
            value = columns.index_select(0, voxel + (row * grid.stride(1) + column * grid.stride(2) - RADIUS))
            weight = (value - centre[:, None]).square_().mul_(-0.5 / self.range_sigma**2).clamp_(min=_LEAST).exp_().mul_(down * across)
            weights += weight
            moments.addcmul_(weight, value)
        total, moment = torch.zeros_like(weights[:, :count]), torch.zeros_like(weights[:, :count])
        for step, along in self._kernel:
            part = slice(RADIUS + step, RADIUS + step + count)
            total.add_(weights[:, part], alpha=along)
            moment.add_(moments[:, part], alpha=along)
        return torch.where(total > _TRUSTED, moment / total, torch.inf)

    @property
    def _kernel(self) -> list[tuple[int, float]]:
        """Offsets along one axis with their weights; the product over three axes is the Gaussian of the distance."""
        return [(step, math.exp(-0.5 * (step / self.spatial_sigma) ** 2)) for step in range(-RADIUS, RADIUS + 1)]
