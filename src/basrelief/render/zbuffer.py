"""A z-buffer: the nearest triangle or point at each pixel of every view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from basrelief.errors import GeometryError
from basrelief.limits import limits
from basrelief.render.cameras import Viewport

CHUNK = 1 << 17  # triangles, rows or pixels processed at a time, about 100 bytes each
_NOTHING = torch.iinfo(torch.int64).max
_SIGN = 0x7FFFFFFF


@dataclass(frozen=True, eq=False)
class Raster:
    """The nearest item at each pixel.

    Attributes:
        depth: (V, S, S) float32 along the view axis, from the eye (perspective) or the plane of the origin (orthographic); inf: background.
        item: (V, S, S) int64, index of the visible face or point, the first of equally near ones; -1 for background.
    """

    depth: Float32[Tensor, "views size size"]
    item: Int64[Tensor, "views size size"]

    @property
    def seen(self) -> Int64[Tensor, "pixels 3"]:
        """View, row and column of every pixel that is not background."""
        return (self.item >= 0).nonzero()


class ZBuffer:
    """Keeps the nearest fragment of each pixel: depth in the high half of an int64, the item's index in the low half."""

    def __init__(self, viewport: Viewport, device: torch.device | str) -> None:
        self._shape = (len(viewport.cameras), viewport.size, viewport.size)
        self._near = viewport.near
        self._keys = torch.full((len(viewport.cameras) * viewport.size**2,), _NOTHING, dtype=torch.int64, device=device)

    def add(self, pixel: Int64[Tensor, " n"], depth: Float32[Tensor, " n"], item: Int64[Tensor, " n"]) -> None:
        """Add fragments.

        Args:
            pixel: Flat index into (V, S, S).
            depth: Finite; fragments nearer than the viewport's `near` are dropped.
            item: Index of the face or point, below 2^32.
        """
        bits = depth.view(torch.int32)
        key = (torch.where(bits < 0, bits ^ _SIGN, bits).long() << 32) | item  # ascending in depth, for negative ones too
        if self._near > 0:
            key = torch.where(depth >= self._near, key, _NOTHING)
        self._keys.scatter_reduce_(0, pixel, key, "amin")

    def resolve(self) -> Raster:
        """Return the nearest of all added fragments at each pixel."""
        bits = (self._keys >> 32).int()
        depth = torch.where(bits < 0, bits ^ _SIGN, bits).view(torch.float32)
        empty = self._keys == _NOTHING
        return Raster(
            depth.masked_fill(empty, torch.inf).view(self._shape), (self._keys & 0xFFFFFFFF).masked_fill(empty, -1).view(self._shape)
        )


def overdraw_error(faces: int) -> GeometryError:
    """Return the error for a mesh of which too many faces overlap."""
    return GeometryError(
        f"More than {limits().overdraw:,} of the {faces:,} faces lie behind each other at a pixel, on average. Remove duplicate faces."
    )


def pieces(counts: Int64[Tensor, " n"], budget: int = CHUNK) -> Iterator[slice]:
    """Split entries into slices whose counts sum to about `budget`, so that their expansion fits in memory.

    Args:
        counts: Number of elements each entry expands to.
        budget: Target sum of a slice; exceeded by one entry at most.
    """
    total = counts.cumsum(0)
    last = int(total[-1]) if len(total) else 0
    marks = torch.arange(budget, max(last, budget), budget, device=counts.device)
    cuts = [0, *sorted(set((torch.searchsorted(total, marks) + 1).tolist()) - {len(counts)}), len(counts)]
    yield from (slice(a, b) for a, b in pairwise(cuts) if last)


def expand(counts: Int64[Tensor, " n"]) -> tuple[Int64[Tensor, " total"], Int64[Tensor, " total"]]:
    """Repeat entry i `counts[i]` times; return the entry's index, and 0, 1, 2, ... within each entry."""
    entry = torch.repeat_interleave(counts)
    start = counts.cumsum(0) - counts
    return entry, torch.arange(len(entry), device=counts.device) - start[entry]
