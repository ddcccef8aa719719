"""Merge neighbouring segments step by step; every union on the way may be a thing."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.scenes.segmentation.graph import Graph
from basrelief.scenes.segmentation.regions import Regions
from basrelief.scenes.segmentation.voxels import SurfaceVoxels

_MOST_MEMBERS = 5_000_000  # voxels of all unions of a tree together


@dataclass(frozen=True)
class Linkage:
    """What makes two neighbouring segments belong together; the sum of these, the smallest first.

    Attributes:
        contrast: Weight of the mean edge weight across their border.
        waste: Weight of the share of their common box that lies in neither box.
        size: Weight of the share of all voxels that they have together, its square root: small ones merge first.
        border: Weight of the share of the smaller one's border that does not touch the other.
        stacked: Weight of the share of the smaller footprint that is not above or below the other.
    """

    contrast: float = 1.0
    waste: float = 1.0
    size: float = 1.0
    border: float = 1.0
    stacked: float = 0.0


LINKAGES = (
    Linkage(),
    Linkage(contrast=2.0, waste=0.0, border=0.0),
    Linkage(contrast=0.2, waste=2.0, border=0.2),
    Linkage(contrast=0.3, waste=0.5, border=0.5, stacked=2.0),
    Linkage(contrast=0.3, waste=0.3, border=2.0, size=2.0),
)
"""Mixtures that find different things: each finds some that the others do not."""


def adjacent_segments(
    labels: Int[np.ndarray, " nodes"], graph: Graph, weights: Float[np.ndarray, " edges"]
) -> tuple[Int[np.ndarray, "pairs 2"], Int[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Return pairs of segments that share edges, the number of these edges and the sum of their weights.

    Args:
        labels: Segment of each node, from 0; nodes with a negative label are left out.
        graph: Neighbours of the nodes.
        weights: (E,) of its edges.
    """
    ends = np.sort(labels[graph.pairs], axis=1)
    crossing = (ends[:, 0] >= 0) & (ends[:, 0] != ends[:, 1])
    count = int(labels.max(initial=0)) + 1
    keys, inverse = np.unique(ends[crossing, 0] * count + ends[crossing, 1], return_inverse=True)
    pairs = np.stack([keys // count, keys % count], axis=1)
    edges = np.bincount(inverse, minlength=len(keys))
    return pairs, edges, np.bincount(inverse, weights=weights[crossing], minlength=len(keys)).astype(np.float64)


def merge_tree(
    labels: Int[np.ndarray, " nodes"], voxels: SurfaceVoxels, graph: Graph, weights: Float[np.ndarray, " edges"], linkage: Linkage
) -> Regions:
    """Merge the best pair of neighbouring segments until none are left.

    Returns:
        The unions, one for each merge; at most (number of segments - 1).
    """
    segments = Regions.from_labels(labels)
    low, high = segments.bounds(voxels)
    pairs, edges, sums = adjacent_segments(labels, graph, weights)
    state = _Merging(low.tolist(), high.tolist(), segments.sizes.tolist(), linkage, float(len(voxels)))
    for (a, b), number, total in zip(pairs.tolist(), edges.tolist(), sums.tolist(), strict=True):
        state.connect(a, b, number, total)
    children = state.run()
    return _unions(segments, children)


def _unions(segments: Regions, children: list[tuple[int, int]]) -> Regions:
    """Return the members of each inner node of a tree whose leaves are the segments; the smallest ones where there are too many members."""
    sizes = segments.sizes.tolist()
    for a, b in children:
        sizes.append(sizes[a] + sizes[b])
    inner = np.array(sizes[len(segments) :], dtype=np.int64)
    order = np.argsort(inner, kind="stable")
    largest = inner[order[np.cumsum(inner[order]) <= _MOST_MEMBERS]].max(initial=0)
    members = [segments[row] for row in range(len(segments))]
    unions: list[np.ndarray] = []
    for (a, b), size in zip(children, inner.tolist(), strict=True):
        members.append(np.concatenate([members[a], members[b]]) if size <= largest else np.zeros(0, dtype=np.int64))
        if size <= largest:
            unions.append(members[-1])
    starts = np.cumsum([0, *(len(union) for union in unions)])
    return Regions(np.concatenate([np.sort(union) for union in unions]) if unions else np.zeros(0, dtype=np.int64), starts)


class _Merging:
    """Segments, their borders and the queue of possible merges."""

    def __init__(self, low: list[list[float]], high: list[list[float]], sizes: list[int], linkage: Linkage, total: float) -> None:
        self.low, self.high, self.sizes = low, high, sizes
        self.linkage, self.total = linkage, total
        self.borders: list[dict[int, tuple[int, float]]] = [{} for _ in sizes]
        self.lengths = [0] * len(sizes)
        self.queue: list[tuple[float, int, int]] = []

    def connect(self, a: int, b: int, edges: int, contrast: float) -> None:
        """Add a border; call it for all borders before `run`."""
        self.borders[a][b] = self.borders[b][a] = (edges, contrast)
        self.lengths[a] += edges
        self.lengths[b] += edges

    def run(self) -> list[tuple[int, int]]:
        """Merge until nothing touches; return the two parts of each union, which is numbered after the segments."""
        for a, border in enumerate(self.borders):
            for b in border:
                if a < b:
                    heapq.heappush(self.queue, (self._distance(a, b), a, b))
        children = []
        while self.queue:
            _, a, b = heapq.heappop(self.queue)
            if not self.sizes[a] or not self.sizes[b]:
                continue
            children.append((a, b))
            self._union(a, b)
        return children

    def _union(self, a: int, b: int) -> None:
        new = len(self.sizes)
        shared = self.borders[a][b][0]
        border: dict[int, tuple[int, float]] = {}
        for part in (a, b):
            for other, (edges, contrast) in self.borders[part].items():
                if other not in (a, b):
                    before = border.get(other, (0, 0.0))
                    border[other] = (before[0] + edges, before[1] + contrast)
        self.low.append([min(pair) for pair in zip(self.low[a], self.low[b], strict=True)])
        self.high.append([max(pair) for pair in zip(self.high[a], self.high[b], strict=True)])
        self.sizes.append(self.sizes[a] + self.sizes[b])
        self.lengths.append(self.lengths[a] + self.lengths[b] - 2 * shared)
        self.borders.append(border)
        self.sizes[a] = self.sizes[b] = 0
        for other, value in border.items():
            around = self.borders[other]
            around.pop(a, None)
            around.pop(b, None)
            around[new] = value
            heapq.heappush(self.queue, (self._distance(other, new), other, new))

    def _distance(self, a: int, b: int) -> float:
        edges, contrast = self.borders[a][b]
        mix = self.linkage
        low = [min(pair) for pair in zip(self.low[a], self.low[b], strict=True)]
        high = [max(pair) for pair in zip(self.high[a], self.high[b], strict=True)]
        whole = _volume(low, high)
        waste = max(0.0, 1 - (_volume(self.low[a], self.high[a]) + _volume(self.low[b], self.high[b])) / whole)
        distance = mix.contrast * contrast / edges + mix.waste * waste
        distance += mix.size * math.sqrt((self.sizes[a] + self.sizes[b]) / self.total)
        distance += mix.border * (1 - edges / max(1, min(self.lengths[a], self.lengths[b])))
        if mix.stacked:
            distance += mix.stacked * (1 - self._stacked(a, b))
        return distance

    def _stacked(self, a: int, b: int) -> float:
        """Share of the smaller footprint that lies in the other one."""
        common, smaller = 1.0, [1.0, 1.0]
        for axis in (0, 1):
            common *= max(0.0, min(self.high[a][axis], self.high[b][axis]) - max(self.low[a][axis], self.low[b][axis]) + 0.02)
            smaller = [area * (self.high[part][axis] - self.low[part][axis] + 0.02) for area, part in zip(smaller, (a, b), strict=True)]
        return min(1.0, common / min(smaller))


def _volume(low: list[float], high: list[float]) -> float:
    """Volume of a box that is at least 2 cm thick."""
    return max(high[0] - low[0], 0.02) * max(high[1] - low[1], 0.02) * max(high[2] - low[2], 0.02)
