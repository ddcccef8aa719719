"""Candidate regions of a scan: segments at many scales, connected parts, merged segments, and things on supports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.scenes.segmentation.graph import Graph, felzenszwalb, neighbour_graph, sort_edges, voxel_normals
from basrelief.scenes.segmentation.merge import LINKAGES, merge_tree
from basrelief.scenes.segmentation.regions import Regions
from basrelief.scenes.segmentation.supports import above_supports, find_supports
from basrelief.scenes.segmentation.voxels import SurfaceVoxels, make_voxels

FAMILIES = ("color", "normal", "even", "contrast", "compact", "stacked", "enclosed", "connected")
"""What makes regions: segments by colour and normal or by normal alone, merging by each of `LINKAGES`, connected parts."""

_SCALES = (0.1, 0.2, 0.35, 0.6, 1.0, 1.7, 3.0)
_TREES = {0.35: (0, 1, 2, 3, 4), 1.0: (0, 3)}
_REACHES = (1.5, 2.0, 2.5, 3.0)
_COLOR = 0.5
_NEIGHBOURS, _DENSE = 10, 1.8  # on a dense surface, the sixth neighbour is up to 1.8 voxels away
_FEWEST = 4
_MOST_MERGED, _MOST_REGIONS = 2000, 12_000  # the largest segments of a layer; rooms have some hundred, and three thousand regions
_SUPPORT = 40  # voxels of a surface that things stand on, at least
_STANDING = 2.5  # voxels between a thing and what it stands on


@dataclass(frozen=True, eq=False)
class Layer:
    """Candidates on one voxel grid.

    Attributes:
        rows: (N,) rows of the scene's points that the voxels were made from.
        voxels: M voxels.
        graph: Their neighbours.
        weights: (E,) contrast of each edge.
        normals: (M, 3) unit normals.
        bases: (M,) height of the floor or of the support below each voxel, metres.
        regions: R sets of voxels.
        families: (R,) what made each region.
    """

    rows: Int[np.ndarray, " points"]
    voxels: SurfaceVoxels
    graph: Graph
    weights: Float[np.ndarray, " edges"]
    normals: Float[np.ndarray, "voxels 3"]
    bases: Float[np.ndarray, " voxels"]
    regions: Regions
    families: Int[np.ndarray, " regions"]

    def bounds(self) -> tuple[Float[np.ndarray, "regions 3"], Float[np.ndarray, "regions 3"]]:
        """Return the lowest and highest corner of each region; those that end just above what they stand on reach down to it."""
        low, high = self.regions.bounds(self.voxels)
        if len(low):
            base = np.minimum.reduceat(self.bases[self.regions.members], self.regions.starts[:-1])
            gap = low[:, 2] - base
            low[:, 2] = np.where((gap > 0) & (gap < _STANDING * self.voxels.size), base, low[:, 2])
        return low, high


def find_candidates(
    points: Float[np.ndarray, "points 3"],
    rows: Int[np.ndarray, " points"],
    colors: Float[np.ndarray, "points 3"] | None,
    *,
    size: float,
    floor: float,
) -> list[Layer]:
    """Segment points in every way; return a coarse layer, and a finer one of what stands on supports.

    Args:
        points: (N, 3) positions of objects in metres.
        rows: (N,) rows in the scene.
        colors: (N, 3) or None.
        size: Voxel of the coarse layer.
        floor: Height of the floor in metres.
    """
    return _layers(points, rows, colors, size, floor, _segmented)


def connected_layers(points: Float[np.ndarray, "points 3"], rows: Int[np.ndarray, " points"], *, size: float, floor: float) -> list[Layer]:
    """Find connected parts only; see `find_candidates`."""
    return _layers(points, rows, None, size, floor, _connected_only)


Parts = list[tuple[int, Regions]]
Finder = Callable[[SurfaceVoxels, Graph, list[np.ndarray]], Parts]


def _layers(points: np.ndarray, rows: np.ndarray, colors: np.ndarray | None, size: float, floor: float, finder: Finder) -> list[Layer]:
    first = _layer(points, rows, colors, np.full(len(points), floor), size, finder)
    supports = find_supports(first.voxels, first.graph, first.normals, area=_SUPPORT * size**2)
    on = above_supports(points, supports, first.voxels, gap=0.5 * size, reach=30 * size)
    above = np.flatnonzero(on >= 0)
    if len(above) < _FEWEST:
        return [first]
    heights = supports.heights[on[above]]
    return [first, _layer(points[above], rows[above], None if colors is None else colors[above], heights, 0.6 * size, finder)]


def _layer(points: np.ndarray, rows: np.ndarray, colors: np.ndarray | None, bases: np.ndarray, size: float, finder: Finder) -> Layer:
    """Segment points on one grid; `bases` is the height of what is below each of them."""
    voxels = make_voxels(points, size, colors)
    lowest = np.minimum.reduceat(bases[voxels.order], voxels.starts[:-1])
    graph = neighbour_graph(voxels.centers, neighbours=_NEIGHBOURS, reach=3 * _spacing(voxels))
    normals, _ = voxel_normals(voxels, graph)
    a, b = graph.pairs.T
    weights = [1 - np.abs(np.einsum("ni,ni->n", normals[a], normals[b]))]
    if voxels.colors is not None:
        weights.insert(0, weights[0] + _COLOR * np.linalg.norm(voxels.colors[a] - voxels.colors[b], axis=1))
    parts = finder(voxels, graph, weights)
    families = np.repeat([family for family, _ in parts], [len(regions) for _, regions in parts])
    regions = Regions.concatenate([regions for _, regions in parts])
    kept = np.flatnonzero(regions.sizes >= _FEWEST)
    if len(kept) > _MOST_REGIONS:
        kept = np.sort(kept[np.argsort(-regions.sizes[kept], kind="stable")[:_MOST_REGIONS]])
    return Layer(rows, voxels, graph, weights[0], normals, lowest, regions.select(kept), families[kept])


def _segmented(voxels: SurfaceVoxels, graph: Graph, weights: list[np.ndarray]) -> Parts:
    parts: Parts = []
    for family, contrast in enumerate(weights):
        pairs, heights = sort_edges(graph.pairs, contrast)
        for scale in _SCALES:
            labels = felzenszwalb(len(voxels), pairs, heights, scale)
            parts.append((family, Regions.from_labels(labels)))
            if scale in _TREES:
                base = _absorb(labels, graph, contrast)
                parts.append((family, Regions.from_labels(base)))
                base = _largest(base, _MOST_MERGED)
                parts += [(2 + number, merge_tree(base, voxels, graph, contrast, LINKAGES[number])) for number in _TREES[scale]]
    spacing = _spacing(voxels)
    parts += [(7, Regions.from_labels(_connected(graph, graph.lengths <= reach * spacing))) for reach in _REACHES]
    return parts


def _connected_only(voxels: SurfaceVoxels, graph: Graph, weights: list[np.ndarray]) -> Parts:
    return [(7, Regions.from_labels(_connected(graph, graph.lengths <= 2 * _spacing(voxels))))]


def _spacing(voxels: SurfaceVoxels) -> float:
    """Return the edge length of a voxel, or up to 2.5 of them where scan lines lie further apart than that."""
    from scipy.spatial import cKDTree

    sample = voxels.centers[:: max(1, len(voxels) // 2000)]
    distance = cKDTree(voxels.centers).query(sample, k=min(7, len(voxels)))[0].reshape(len(sample), -1)[:, -1]
    return float(np.clip(np.percentile(distance, 75) / _DENSE, voxels.size, 2.5 * voxels.size))


def _connected(graph: Graph, joined: np.ndarray) -> np.ndarray:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = graph.pairs[joined].T
    matrix = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(graph.nodes, graph.nodes))
    labels: np.ndarray = connected_components(matrix, directed=False)[1]
    return labels.astype(np.int64)


def _largest(labels: np.ndarray, most: int) -> np.ndarray:
    """Renumber the largest segments; voxels of the others get -1."""
    sizes = np.bincount(labels)
    if len(sizes) <= most:
        return labels
    numbers = np.full(len(sizes), -1)
    numbers[np.sort(np.argsort(-sizes, kind="stable")[:most])] = np.arange(most)
    kept: np.ndarray = numbers[labels]
    return kept


def _absorb(labels: np.ndarray, graph: Graph, weights: np.ndarray, fewest: int = 8) -> np.ndarray:
    """Give each segment of few voxels to the neighbour with the least contrast, in one pass over the edges."""
    sizes = np.bincount(labels)
    ends = labels[sort_edges(graph.pairs, weights)[0]]
    loose = ends[(ends[:, 0] != ends[:, 1]) & (sizes[ends] < fewest).any(axis=1)]
    parent = np.arange(len(sizes)).tolist()
    members = sizes.tolist()

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for one, other in loose.tolist():
        a, b = root(one), root(other)
        if a != b and min(members[a], members[b]) < fewest:
            parent[b] = a
            members[a] += members[b]
    roots = np.array([root(node) for node in range(len(sizes))])
    return np.unique(roots[labels], return_inverse=True)[1]
