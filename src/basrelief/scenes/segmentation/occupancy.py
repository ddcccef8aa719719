"""Counts of occupied cells in any box, at the cost of eight look-ups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_MOST_CELLS, _MOST_PER_POINT = 1 << 23, 100
_MARGIN = 4


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Summed volumes of occupied cells (Crow 1984, in three dimensions).

    Attributes:
        origin: (3,) lowest corner of the first cell.
        cell: Edge length in metres.
        sums: Named (X + 1, Y + 1, Z + 1) int32 summed volumes.
    """

    origin: Float[np.ndarray, "3"]
    cell: float
    sums: dict[str, Int[np.ndarray, "x y z"]]

    @staticmethod
    def build(kinds: dict[str, Float[np.ndarray, "_ 3"]], cell: float) -> Occupancy:
        """Count the cells that hold points of each kind; cells are enlarged to keep their number below 8 million.

        Args:
            kinds: Points by name; the first of them determine the extent, others outside it do not count.
            cell: Edge length in metres.
        """
        first = next(iter(kinds.values()))
        low, high = first.min(axis=0), first.max(axis=0)
        most = min(_MOST_CELLS, max(_MOST_CELLS // 8, _MOST_PER_POINT * len(first)))
        while np.prod((high - low) / cell + 2 * _MARGIN + 1) > most:
            cell *= 1.26
        shape = ((high - low) / cell).astype(np.int64) + 1 + 2 * _MARGIN
        origin = low - _MARGIN * cell
        sums = {}
        for name, points in kinds.items():
            at = np.floor((points - origin) / cell).astype(np.int64)
            at = at[((at >= 0) & (at < shape)).all(axis=1)]
            volume = np.zeros(shape + 1, dtype=np.int32)
            volume[tuple(at.T + 1)] = 1
            for axis in range(3):
                np.cumsum(volume, axis=axis, out=volume)
            sums[name] = volume
        return Occupancy(origin, cell, sums)

    def shares(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, " points"]:
        """Return for each point one over the number of points in its cell, so that sums over points count cells."""
        at = np.floor((points - self.origin) / self.cell).astype(np.int64)
        _, cell, counts = np.unique((at[:, 0] << 40) | (at[:, 1] << 20) | at[:, 2], return_inverse=True, return_counts=True)
        shares: np.ndarray = 1 / counts[cell]
        return shares

    def cells(self, low: Float[np.ndarray, "n 3"], high: Float[np.ndarray, "n 3"]) -> tuple[Int[np.ndarray, "n 3"], Int[np.ndarray, "n 3"]]:
        """Return the first cell of each box and the first beyond it."""
        inside = 1e-6 * self.cell
        first = np.floor((low - self.origin) / self.cell + 1e-6).astype(np.int64)
        last = np.floor((high - self.origin - inside) / self.cell).astype(np.int64) + 1
        return first, np.maximum(last, first + 1)

    def count(self, kind: str, first: Int[np.ndarray, "n 3"], last: Int[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return the number of occupied cells of a kind from `first` up to but not including `last`, for each box."""
        volume = self.sums[kind]
        top = np.array(volume.shape) - 1
        corners = (first.clip(0, top), np.maximum(last, first).clip(0, top))
        total = np.zeros(len(first))
        for x in (0, 1):
            for y in (0, 1):
                for z in (0, 1):
                    sign = (-1) ** (x + y + z + 1)
                    total += sign * volume[corners[x][:, 0], corners[y][:, 1], corners[z][:, 2]]
        return total
