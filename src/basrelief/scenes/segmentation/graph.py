"""Neighbour graph of voxels and its segmentation by Felzenszwalb and Huttenlocher."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.scenes.segmentation.voxels import SurfaceVoxels

_BLOCKS, _SMALLEST_BLOCK = 100, 1000


@dataclass(frozen=True, eq=False)
class Graph:
    """Undirected edges between nodes, each pair once.

    Attributes:
        nodes: Number of nodes.
        pairs: (E, 2) int64, the lower node first, sorted.
        lengths: (E,) distance in metres.
    """

    nodes: int
    pairs: Int[np.ndarray, "edges 2"]
    lengths: Float[np.ndarray, " edges"]


def neighbour_graph(centers: Float[np.ndarray, "nodes 3"], *, neighbours: int, reach: float) -> Graph:
    """Connect each node with its nearest neighbours.

    Args:
        centers: (M, 3) positions in metres.
        neighbours: Edges from each node; a pair counts once.
        reach: Longest edge in metres.
    """
    from scipy.spatial import cKDTree

    count = len(centers)
    if count < 2:
        return Graph(count, np.zeros((0, 2), dtype=np.int64), np.zeros(0))
    k = min(neighbours, count - 1)
    distances, others = cKDTree(centers).query(centers, k=k + 1, distance_upper_bound=reach)
    nodes = np.repeat(np.arange(count), k + 1)
    distances, others = distances.ravel(), others.ravel()
    valid = np.isfinite(distances) & (others != nodes)
    low, high = np.minimum(nodes, others)[valid], np.maximum(nodes, others)[valid]
    keys, first = np.unique(low * count + high, return_index=True)
    return Graph(count, np.stack([keys // count, keys % count], axis=1), distances[valid][first])


def voxel_normals(voxels: SurfaceVoxels, graph: Graph) -> tuple[Float[np.ndarray, "voxels 3"], Float[np.ndarray, " voxels"]]:
    """Estimate normals from the points of each voxel and of its neighbours.

    Args:
        voxels: M voxels.
        graph: Their neighbours.

    Returns:
        (M, 3) unit normals with arbitrary sign, and (M,) the share of variance along the normal: 0 for a plane, 1/3 for a blob.
    """
    from scipy.sparse import coo_array

    ones = np.ones(len(graph.pairs))
    adjacency = coo_array((ones, (graph.pairs[:, 0], graph.pairs[:, 1])), shape=(graph.nodes, graph.nodes)).tocsr()
    adjacency = adjacency + adjacency.T
    adjacency.setdiag(1)
    counts = voxels.counts[:, None].astype(np.float64)
    middle = voxels.centers.mean(axis=0) if len(voxels) else np.zeros(3)
    centers = voxels.centers - middle
    second = voxels.moments.reshape(-1, 9) + (centers[:, :, None] * centers[:, None]).reshape(-1, 9) * counts
    weight = adjacency @ counts
    mean = adjacency @ (centers * counts) / weight
    spread = (adjacency @ second / weight).reshape(-1, 3, 3) - mean[:, :, None] * mean[:, None]
    values, vectors = np.linalg.eigh(spread)
    values = values.clip(0)
    return vectors[:, :, 0], values[:, 0] / np.maximum(values.sum(axis=1), 1e-12)


def felzenszwalb(
    nodes: int, pairs: Int[np.ndarray, "edges 2"], weights: Float[np.ndarray, " edges"], scale: float
) -> Int[np.ndarray, " nodes"]:
    """Segment a graph (Felzenszwalb and Huttenlocher 2004, algorithm 1).

    Edges are visited by ascending weight. One of weight w joins the components A and B of its ends if w <= min(t(A), t(B)), with
    t(C) = (largest weight inside C) + scale / |C|. Exact, but fast: of a block of edges, those inside a component, those at a component
    that is final, and all but the first between two components are dropped at once; only the others are visited one by one.

    Args:
        nodes: Number of nodes.
        pairs: (E, 2) ends of the edges, by ascending weight; use `sort_edges`.
        weights: (E,) ascending.
        scale: The parameter k: larger values give larger components.

    Returns:
        (nodes,) component of each node, numbered from 0 in the order of their lowest node.
    """
    labels = np.arange(nodes)  # component of each node before the current block
    threshold = np.full(nodes, float(scale))
    size = np.ones(nodes, dtype=np.int64)
    start, chunk = 0, max(_SMALLEST_BLOCK, len(pairs) // _BLOCKS)
    while start < len(pairs):
        block, heights = labels[pairs[start : start + chunk]], weights[start : start + chunk]
        start += chunk
        low, high = block.min(axis=1), block.max(axis=1)
        open_ = (low != high) & (threshold[low] >= heights[0]) & (threshold[high] >= heights[0])
        low, high, heights = low[open_], high[open_], heights[open_]
        first = np.sort(np.unique(low * nodes + high, return_index=True)[1])
        _join(labels, threshold, size, low[first].tolist(), high[first].tolist(), heights[first].tolist(), scale)
    return np.unique(labels, return_inverse=True)[1]


def _join(
    labels: np.ndarray, threshold: np.ndarray, size: np.ndarray, low: list[int], high: list[int], heights: list[float], scale: float
) -> None:
    """Visit edges between components in order; update the three arrays in place."""
    touched = np.unique(np.array(low + high, dtype=np.int64))
    parent = {node: node for node in touched.tolist()}
    limit = dict(zip(parent, threshold[touched].tolist(), strict=True))
    members = dict(zip(parent, size[touched].tolist(), strict=True))
    for one, other, height in zip(low, high, heights, strict=True):
        a, b = one, other
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if a == b or height > limit[a] or height > limit[b]:
            continue
        if b < a:
            a, b = b, a  # the lower node names the component
        parent[b] = a
        members[a] += members[b]
        limit[a] = height + scale / members[a]
    roots = np.arange(len(labels))
    for node in parent:
        root = node
        while parent[root] != root:
            root = parent[root]
        roots[node] = root
    labels[:] = roots[labels]
    threshold[touched] = list(limit.values())
    size[touched] = list(members.values())


def sort_edges(
    pairs: Int[np.ndarray, "edges 2"], weights: Float[np.ndarray, " edges"]
) -> tuple[Int[np.ndarray, "edges 2"], Float[np.ndarray, " edges"]]:
    """Return edges by ascending weight; equal ones keep their order."""
    order = np.argsort(weights, kind="stable")
    return pairs[order], weights[order]
