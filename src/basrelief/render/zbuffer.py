"""What each pixel of every view sees first, whatever is drawn: triangles or discs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from basrelief.render.cameras import Frame

CHUNK = 1 << 17  # triangles, rows or pixels worked on at a time: bounds memory, about 100 bytes for each
_NOTHING = torch.iinfo(torch.int64).max
_SIGN = 0x7FFFFFFF


@dataclass(frozen=True, eq=False)
class Raster:
    """What each pixel sees first.

    Attributes:
        depth: (V, S, S) float32 along the view axis, from the eye (perspective) or the plane of the origin (orthographic); inf for nothing.
        item: (V, S, S) int64, the number of the face or point that is seen, of equally near ones the first; -1 for nothing.
    """

    depth: Float32[Tensor, "views size size"]
    item: Int64[Tensor, "views size size"]

    @property
    def seen(self) -> Int64[Tensor, "pixels 3"]:
        """View, row and column of every pixel that sees something."""
        return (self.item >= 0).nonzero()


class ZBuffer:
    """Keeps the nearest of all fragments: depth in the high half of one int64, the item's number in the low half."""

    def __init__(self, frame: Frame, device: torch.device | str) -> None:
        self._shape = (len(frame.cameras), frame.size, frame.size)
        self._near = frame.near
        self._keys = torch.full((len(frame.cameras) * frame.size**2,), _NOTHING, dtype=torch.int64, device=device)

    def add(self, pixel: Int64[Tensor, " n"], depth: Float32[Tensor, " n"], item: Int64[Tensor, " n"]) -> None:
        """Add fragments.

        Args:
            pixel: Flat index into (V, S, S).
            depth: Finite; what is nearer than the frame's `near` is left out.
            item: Number of the face or point, below 2^32.
        """
        bits = depth.view(torch.int32)
        key = (torch.where(bits < 0, bits ^ _SIGN, bits).long() << 32) | item  # ascending in depth, for negative ones too
        if self._near > 0:
            key = torch.where(depth >= self._near, key, _NOTHING)
        self._keys.scatter_reduce_(0, pixel, key, "amin")

    def resolve(self) -> Raster:
        """What each pixel sees first, of all that was added."""
        bits = (self._keys >> 32).int()
        depth = torch.where(bits < 0, bits ^ _SIGN, bits).view(torch.float32)
        empty = self._keys == _NOTHING
        return Raster(
            depth.masked_fill(empty, torch.inf).view(self._shape), (self._keys & 0xFFFFFFFF).masked_fill(empty, -1).view(self._shape)
        )


def pieces(counts: Int64[Tensor, " n"], budget: int = CHUNK) -> Iterator[slice]:
    """Cut a list into stretches whose counts sum to about `budget`, so that what they expand to fits in memory.

    Args:
        counts: Pieces each entry expands to.
        budget: Sum of a stretch; passed by one entry at most.
    """
    total = counts.cumsum(0)
    whole = int(total[-1]) if len(total) else 0
    marks = torch.arange(budget, max(whole, budget), budget, device=counts.device)
    cuts = [0, *sorted(set((torch.searchsorted(total, marks) + 1).tolist()) - {len(counts)}), len(counts)]
    yield from (slice(a, b) for a, b in pairwise(cuts) if whole)


def expand(counts: Int64[Tensor, " n"]) -> tuple[Int64[Tensor, " total"], Int64[Tensor, " total"]]:
    """Repeat entry i `counts[i]` times: the entry's number, and 0, 1, 2, ... within each entry."""
    entry = torch.repeat_interleave(counts)
    start = counts.cumsum(0) - counts
    return entry, torch.arange(len(entry), device=counts.device) - start[entry]
