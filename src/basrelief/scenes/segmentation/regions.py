"""Regions: sets of voxels that may be one thing each, with their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from basrelief.scenes.segmentation.voxels import SurfaceVoxels


@dataclass(frozen=True, eq=False)
class Regions:
    """R sets of voxels, which may overlap.

    Attributes:
        members: (T,) rows of voxels, region after region; ascending within one.
        starts: (R + 1,) where each region starts in `members`.
    """

    members: Int[np.ndarray, " members"]
    starts: Int[np.ndarray, " bounds"]

    def __len__(self) -> int:
        """Return R."""
        return len(self.starts) - 1

    def __getitem__(self, region: int) -> Int[np.ndarray, " members"]:
        """Return the voxels of one region."""
        return self.members[self.starts[region] : self.starts[region + 1]]

    @property
    def sizes(self) -> Int[np.ndarray, " regions"]:
        """SurfaceVoxels of each region."""
        return np.diff(self.starts)

    @staticmethod
    def from_labels(labels: Int[np.ndarray, " voxels"]) -> Regions:
        """Return one region for each label; voxels with a negative label belong to none."""
        order = np.argsort(labels, kind="stable")
        order = order[np.searchsorted(labels[order], 0) :]
        first = np.flatnonzero(np.diff(labels[order], prepend=-1))
        return Regions(order, np.append(first, len(order)))

    @staticmethod
    def concatenate(parts: Sequence[Regions]) -> Regions:
        """Return the regions of several, in order."""
        if not parts:
            return Regions(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
        sizes = np.concatenate([part.sizes for part in parts])
        return Regions(np.concatenate([part.members for part in parts]), np.concatenate([[0], np.cumsum(sizes)]))

    def select(self, rows: Int[np.ndarray, " kept"] | Bool[np.ndarray, " regions"]) -> Regions:
        """Return some regions, in the given order."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        sizes = self.sizes[rows]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        inside = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
        return Regions(self.members[np.repeat(self.starts[:-1][rows], sizes) + inside], starts)

    def bounds(self, voxels: SurfaceVoxels) -> tuple[Float[np.ndarray, "regions 3"], Float[np.ndarray, "regions 3"]]:
        """Return the lowest and highest corner of the points of each region."""
        if not len(self):
            return np.zeros((0, 3)), np.zeros((0, 3))
        low = np.minimum.reduceat(voxels.low[self.members], self.starts[:-1])
        return low, np.maximum.reduceat(voxels.high[self.members], self.starts[:-1])

    def points(self, voxels: SurfaceVoxels) -> tuple[Int[np.ndarray, " inside"], ...]:
        """Return the rows of the points of each region, ascending."""
        counts = voxels.counts[self.members]
        before = np.cumsum(counts) - counts
        rows = voxels.order[np.arange(counts.sum()) + np.repeat(voxels.starts[self.members] - before, counts)]
        ends = np.concatenate([[0], np.cumsum(counts)])[self.starts]
        return tuple(np.sort(rows[start:end]) for start, end in pairwise(ends))
