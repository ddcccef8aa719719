"""The plane-wise filter of OpenDlign's program, exact but restricted to voxels that can be seen.

Only the largest smoothed value of each pixel matters. Voxels of plane k hold values in (k - 1, k], or 0 where they are empty, and smoothing
is a weighted mean of a window of 13 voxels, all of plane k. Therefore

- a voxel whose window is empty stays empty;
- where the window of plane k is full, the smoothed value exceeds k - 1, and no lower plane can win;
- a plane k is not smoothed where a higher one has already given k or more.

Which windows are empty or full follows from one integer per pixel, with one bit for each plane. What is left, about 1.2 voxels per pixel of
a shape, is smoothed from the top plane downwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from basrelief.render.contour_aware import REACH
from basrelief.render.ops import point_chunks

RADIUS = 2
"""Radius of the bilateral filter, pixels."""
_WINDOW = [(i, j) for i, j in product(range(-RADIUS, RADIUS + 1), repeat=2) if 0 < i * i + j * j <= RADIUS**2]
MARGIN = REACH + RADIUS
"""Pixels by which densifying and smoothing may grow a silhouette."""


@dataclass(eq=False)
class PlaneGrid:
    """The occupied box of a voxel grid with several planes, for I images.

    Voxels are stored plane by plane, image by image, row by row in one flat tensor. Neighbouring rows share a margin of empty voxels, so a
    neighbour is found at a fixed distance, and passes over the grid are passes over contiguous memory.

    Attributes:
        values: Nearness of each voxel, 0 where empty; padded by `pad` voxels in front and as many again behind.
        planes: Number of planes P of the box.
        images: Number of images I.
        rows: Rows of the box, with margins.
        columns: Columns of the box, with margins.
        origin: Plane, row and column of the box's first voxel in the whole grid; the latter two may be negative.
    """

    values: Float[Tensor, " voxels"]
    planes: int
    images: int
    rows: int
    columns: int
    origin: tuple[int, int, int]

    @classmethod
    def empty(cls, least: Sequence[int], most: Sequence[int], images: int, device: torch.device) -> PlaneGrid:
        """Return an empty grid for voxels from `least` to `most` (plane, row, column), both included."""
        planes, rows, columns = (last - first + 1 for first, last in zip(least, most, strict=True))
        rows, columns = rows + 2 * MARGIN, columns + 2 * MARGIN
        origin = (least[0], least[1] - MARGIN, least[2] - MARGIN)
        grid = cls(torch.empty(0), planes, images, rows, columns, origin)
        grid.values = torch.zeros(planes * grid.pixels + 2 * grid.pad, device=device)
        return grid

    @property
    def pixels(self) -> int:
        """Voxels of one plane of all images."""
        return self.images * self.rows * self.columns

    @property
    def pad(self) -> int:
        """Voxels in front of the first and behind the last plane."""
        return 2 * MARGIN * (self.columns + 1)

    @property
    def halo(self) -> int:
        """Voxels in front of the first and behind the last plane that the bilateral filter reads."""
        return RADIUS * (self.columns + 1)

    def put(self, image: Int[Tensor, "*points_or_1"], voxel: Int[Tensor, "3 *points"], value: Float[Tensor, "*points"]) -> None:
        """Write points into their voxels; the largest value wins."""
        plane, row, column = (place - first for place, first in zip(voxel, self.origin, strict=True))
        index = plane.mul_(self.images).add_(image).mul_(self.rows).add_(row).mul_(self.columns).add_(column).add_(self.pad)
        self.values.scatter_reduce_(0, index.flatten().long(), value.flatten(), "amax")


@dataclass(frozen=True)
class PlaneFilter:
    """Densify each plane with a 7x7 maximum, smooth it with a bilateral filter, squeeze with a maximum over planes.

    Attributes:
        most: Largest value of a voxel.
        sigma: Both standard deviations of the bilateral filter.
    """

    most: int
    sigma: float

    def squeeze(self, grid: PlaneGrid) -> Float[Tensor, "images rows columns"]:
        """Return the smoothed nearness of the nearest surface in the box, 0 for background. The grid's values are overwritten."""
        dense = densify(grid)
        seen = visible_planes(grid, dense)
        out = torch.zeros(grid.pixels, device=dense.device)
        pixel = seen.nonzero().squeeze(1)
        left = seen.index_select(0, pixel).int()
        plane = _highest(left)
        while len(pixel):
            best = self._smooth(grid, dense, pixel.add(plane, alpha=grid.pixels))
            best = torch.maximum(best, out.index_select(0, pixel))
            out.scatter_(0, pixel, best)
            left = left ^ (1 << plane)
            plane = _highest(left)
            more = ((left > 0) & ((plane + grid.origin[0]).clamp_(max=self.most) > best)).nonzero().squeeze(1)
            pixel, left, plane = (kept.index_select(0, more) for kept in (pixel, left, plane))
        return out.view(grid.images, grid.rows, grid.columns)

    def _smooth(self, grid: PlaneGrid, dense: Tensor, voxel: Int[Tensor, " voxels"]) -> Float[Tensor, " voxels"]:
        """Return the bilateral mean around some voxels."""
        scale = 0.5 / self.sigma**2
        nearby = torch.tensor([-scale * (i * i + j * j) for i, j in _WINDOW], device=voxel.device)[:, None]
        means = []
        for part in point_chunks(len(voxel), len(_WINDOW) // 2, voxel.device):
            index = voxel[part]
            centre = dense[grid.halo :].index_select(0, index)
            value = dense.new_empty(len(_WINDOW), len(index))
            for row, (i, j) in zip(value, _WINDOW, strict=True):
                torch.index_select(dense[grid.halo + i * grid.columns + j :], 0, index, out=row)
            weight = (value - centre).square_().mul_(-scale).add_(nearby).exp_()
            means.append(value.mul_(weight).sum(0).add_(centre).div_(weight.sum(0).add_(1)))
        return torch.cat(means)


def densify(grid: PlaneGrid) -> Float[Tensor, " voxels"]:
    """Return the 7x7 maximum of each plane, with `halo` voxels in front and behind. The grid's values are overwritten.

    Doubling gives the maximum of a voxel and of the next ones in its row, then in its column; starting 3 rows and columns earlier centres
    the windows.
    """
    source, target = grid.values, torch.empty_like(grid.values)
    for step in (1, 2, 3, grid.columns, 2 * grid.columns, 3 * grid.columns):
        torch.maximum(source[:-step], source[step:], out=target[:-step])
        target[-step:] = 0
        source, target = target, source
    start = grid.pad - REACH * (grid.columns + 1) - grid.halo
    return source[start : start + grid.planes * grid.pixels + 2 * grid.halo]


def visible_planes(grid: PlaneGrid, dense: Float[Tensor, " voxels"]) -> Integer[Tensor, " pixels"]:
    """Return a bit for each plane of a pixel that may give the largest smoothed value."""
    kind = torch.uint8 if grid.planes <= 8 else torch.int32
    held = torch.zeros(grid.pixels + 2 * grid.halo, dtype=kind, device=dense.device)
    inner = held[grid.halo : -grid.halo]
    for plane, values in enumerate(dense[grid.halo : -grid.halo].view(grid.planes, -1)):
        inner |= (values > 0).to(kind) << plane
    some, full = inner.clone(), inner.clone()
    for i, j in _WINDOW:
        neighbour = held[grid.halo + i * grid.columns + j :][: grid.pixels]
        some |= neighbour
        full &= neighbour
    below = full >> 1
    for step in (1, 2, 4, 8, 16)[: max(1, math.ceil(math.log2(grid.planes)))]:
        below |= below >> step
    return some & ~below


def _highest(bits: Int[Tensor, " pixels"]) -> Int[Tensor, " pixels"]:
    """Return the index of the highest bit that is set, 0 if none is."""
    return (bits.float().view(torch.int32) >> 23).sub_(127).clamp_(min=0)  # the exponent
