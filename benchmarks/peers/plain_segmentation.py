"""The segmentation of Felzenszwalb and Huttenlocher as most repositories write it: one loop over all edges."""

from __future__ import annotations

import numpy as np


def plain_felzenszwalb(nodes: int, pairs: np.ndarray, weights: np.ndarray, scale: float) -> np.ndarray:
    """Component of each node; edges by ascending weight."""
    parent, size, limit = list(range(nodes)), [1] * nodes, [scale] * nodes

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for (one, other), weight in zip(pairs.tolist(), weights.tolist(), strict=True):
        a, b = find(one), find(other)
        if a != b and weight <= limit[a] and weight <= limit[b]:
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            limit[a] = weight + scale / size[a]
    return np.unique([find(node) for node in range(nodes)], return_inverse=True)[1]
