"""Voxels, graph and regions."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.scenes.segmentation.graph import felzenszwalb, neighbour_graph, sort_edges, voxel_normals
from basrelief.scenes.segmentation.regions import Regions
from basrelief.scenes.segmentation.voxels import make_voxels


def plain_felzenszwalb(nodes: int, pairs: np.ndarray, weights: np.ndarray, scale: float) -> np.ndarray:
    """Algorithm 1 of the paper, edge by edge."""
    labels, inside, size = list(range(nodes)), [0.0] * nodes, [1] * nodes
    for (one, other), weight in zip(pairs.tolist(), weights.tolist(), strict=True):
        a, b = labels[one], labels[other]
        if a != b and weight <= min(inside[a] + scale / size[a], inside[b] + scale / size[b]):
            labels = [min(a, b) if label in (a, b) else label for label in labels]
            inside[min(a, b)], size[min(a, b)] = weight, size[a] + size[b]
    return np.unique(labels, return_inverse=True)[1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.05, 0.5, 3.0, np.inf])
def test_segmentation_equals_the_plain_algorithm(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    nodes = 300
    ends = rng.integers(nodes, size=(6000, 2))
    pairs = np.unique(np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1), axis=0)
    pairs, weights = sort_edges(pairs, np.round(rng.random(len(pairs)), 2))  # with ties
    np.testing.assert_array_equal(felzenszwalb(nodes, pairs, weights, scale), plain_felzenszwalb(nodes, pairs, weights, scale))


def test_voxels_keep_every_point_once() -> None:
    points = np.random.default_rng(0).random((500, 3))
    voxels = make_voxels(points, 0.25)
    assert sorted(voxels.order) == list(range(500))
    first = voxels.order[voxels.starts[3] : voxels.starts[4]]
    np.testing.assert_allclose(voxels.centers[3], points[first].mean(axis=0))
    np.testing.assert_allclose(voxels.moments[3], (points[first] - voxels.centers[3]).T @ (points[first] - voxels.centers[3]), atol=1e-12)
    assert (voxels.high - voxels.low <= 0.25 + 1e-9).all()


def test_normals_of_a_plane_are_perpendicular_to_it() -> None:
    points = np.random.default_rng(0).random((4000, 3)) * (1, 1, 0)
    voxels = make_voxels(points, 0.05)
    normals, flatness = voxel_normals(voxels, neighbour_graph(voxels.centers, neighbours=8, reach=0.15))
    np.testing.assert_allclose(np.abs(normals[:, 2]), 1, atol=1e-6)
    assert flatness.max() < 1e-6


def test_regions_of_labels() -> None:
    regions = Regions.from_labels(np.array([1, -1, 0, 1, 0, 1]))
    assert [regions[i].tolist() for i in range(len(regions))] == [[2, 4], [0, 3, 5]]
    assert regions.select(np.array([1, 0, 1])).members.tolist() == [0, 3, 5, 2, 4, 0, 3, 5]
    assert len(Regions.concatenate([regions, regions.select(np.array([False, True]))])) == 3


def test_a_spanning_tree_is_not_enough() -> None:
    """Edges outside the minimum spanning tree count: a final component between two others does not keep them apart."""
    pairs = np.array([[2, 3], [3, 4], [0, 2], [1, 4], [0, 1]])  # 2-3-4 is final before 0 and 1 are tried
    weights = np.array([0.0, 0.0, 0.4, 0.4, 0.5])
    assert felzenszwalb(5, pairs, weights, 1.0).tolist() == [0, 0, 1, 1, 1]
    assert felzenszwalb(5, pairs[:-1], weights[:-1], 1.0).tolist() == [0, 1, 2, 2, 2]
