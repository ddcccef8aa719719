"""Surface sampling, subsampling and outliers: properties and messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basrelief.errors import GeometryError
from basrelief.geometry import remove_outliers, sample_surface, subsample
from basrelief.types import Mesh, Origin, PointCloud

SMALL = settings(derandomize=True, max_examples=40, deadline=None, database=None)

# Two triangles in the plane z = 0, of area 1/2 and 9/2.
UNEVEN = Mesh(
    vertices=np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [10, 0, 0], [13, 0, 0], [10, 3, 0]], dtype=np.float32),
    faces=np.array([[0, 1, 2], [3, 4, 5]]),
    colors=np.array([[1, 0, 0]] * 3 + [[0, 0, 1]] * 3, dtype=np.float32),
    origin=Origin(path="uneven", format="test"),
)


def clouds(points: int = 30) -> st.SearchStrategy[np.ndarray]:
    seeds = st.tuples(st.integers(0, 10_000), st.integers(1, points))
    return seeds.map(lambda pair: np.random.default_rng(pair[0]).normal(size=(pair[1], 3)).astype(np.float32))


def test_points_lie_on_the_surface_in_proportion_to_area() -> None:
    cloud = sample_surface(UNEVEN, 20_000)
    assert cloud.points.shape == (20_000, 3)
    x, y, z = cloud.points.T
    assert not z.any()
    second = x > 5
    assert np.mean(second) == pytest.approx(0.9, abs=0.01)
    inside = np.where(second, (x - 10) + y <= 3 + 1e-5, x + y <= 1 + 1e-5)
    assert inside.all()
    assert (y >= 0).all()


def test_points_fill_a_triangle_evenly() -> None:
    points = sample_surface(UNEVEN, 20_000).points
    first = points[points[:, 0] < 5]
    assert np.allclose(first.mean(axis=0), [1 / 3, 1 / 3, 0], atol=0.01)
    assert np.mean(first[:, 0] + first[:, 1] < 0.5) == pytest.approx(0.25, abs=0.03)


def test_colors_are_interpolated_and_the_origin_kept() -> None:
    cloud = sample_surface(UNEVEN, 500)
    assert cloud.colors is not None
    red = cloud.points[:, 0] < 5
    assert np.allclose(cloud.colors[red], [1, 0, 0], atol=1e-6)
    assert np.allclose(cloud.colors[~red], [0, 0, 1], atol=1e-6)
    assert cloud.origin == UNEVEN.origin
    blended = Mesh(vertices=UNEVEN.vertices[:3], faces=UNEVEN.faces[:1], colors=np.eye(3, dtype=np.float32))
    cloud = sample_surface(blended, 100)
    assert cloud.colors is not None
    assert np.allclose(cloud.colors.sum(axis=1), 1, atol=1e-6)
    assert np.allclose(cloud.colors[:, 1:], cloud.points[:, :2], atol=1e-6)


def test_a_mesh_without_color_gives_none() -> None:
    assert sample_surface(Mesh(vertices=UNEVEN.vertices, faces=UNEVEN.faces), 5).colors is None


def test_the_seed_decides_and_nothing_else() -> None:
    state = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    first, again, other = (sample_surface(UNEVEN, 50, seed=seed).points for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(state, np.random.get_state()[1])  # type: ignore[index]


def test_faces_without_area_are_never_drawn_from() -> None:
    mesh = Mesh(vertices=UNEVEN.vertices, faces=np.array([[3, 3, 4], [0, 1, 2], [5, 5, 5]]))
    assert sample_surface(mesh, 1000).points[:, 0].max() <= 1


def test_a_mesh_without_area_is_refused() -> None:
    with pytest.raises(GeometryError, match="All 1 faces of the mesh have zero area. Use its vertices as a point cloud"):
        sample_surface(Mesh(vertices=np.ones((3, 3)), faces=np.array([[0, 1, 2]])), 5)


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1e15, 1e30])
def test_scale_does_not_matter(scale: float) -> None:
    mesh = Mesh(vertices=UNEVEN.vertices * np.float32(scale), faces=UNEVEN.faces)
    assert np.allclose(sample_surface(mesh, 100).points / scale, sample_surface(UNEVEN, 100).points, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [0, -3])
def test_counts_below_one_are_refused(count: int) -> None:
    for call in (
        lambda: sample_surface(UNEVEN, count),
        lambda: subsample(PointCloud(points=np.eye(3)), count),
    ):
        with pytest.raises(GeometryError, match=f"count is {count}; it must be at least 1"):
            call()


@SMALL
@given(clouds(), st.integers(1, 60), st.integers(0, 99))
def test_subsample_repeats_only_when_it_must(points: np.ndarray, count: int, seed: int) -> None:
    cloud = PointCloud(points=points, colors=np.linspace(0, 1, points.size).reshape(-1, 3))
    part = subsample(cloud, count, seed=seed)
    assert cloud.colors is not None
    assert part.colors is not None
    rows = [int(np.flatnonzero((points == row).all(axis=1))[0]) for row in part.points]
    assert np.array_equal(part.colors, cloud.colors[rows])
    assert len(rows) == count
    assert len(set(rows)) == min(count, len(points))
    assert np.array_equal(subsample(cloud, count, seed=seed).points, part.points)


def _sphere(count: int = 1000, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_outliers_and_nothing_else_are_removed(scale: float) -> None:
    sphere, outliers = _sphere(), np.random.default_rng(1).uniform(3, 6, size=(40, 3)).astype(np.float32)
    points = np.concatenate([outliers[:20], sphere, outliers[20:]]) * np.float32(scale)
    colors = np.random.default_rng(2).uniform(size=(1040, 3)).astype(np.float32)
    found = remove_outliers(PointCloud(points, colors, origin=UNEVEN.origin))
    assert np.array_equal(found.points, points[20:1020])
    assert found.colors is not None
    assert np.array_equal(found.colors, colors[20:1020])
    assert found.origin == UNEVEN.origin


def test_a_clean_cloud_stays_the_same_object() -> None:
    cloud = PointCloud(_sphere())
    assert remove_outliers(cloud) is cloud


def test_an_unevenly_dense_cloud_is_not_cut() -> None:
    dense, sparse = _sphere(3000) * np.float32(0.2), _sphere(1000, 1) * np.float32(3)
    cloud = PointCloud(np.concatenate([dense, sparse]))  # a quarter of the points lies fifteen times as far apart
    assert remove_outliers(cloud) is cloud
    fewer = PointCloud(np.concatenate([dense, sparse[:500]]))  # a seventh may be outliers
    assert len(remove_outliers(fewer).points) == 3000


def test_copies_are_no_measure_of_density() -> None:
    cloud = PointCloud(np.concatenate([np.zeros((900, 3), np.float32), _sphere(100)]))
    assert remove_outliers(cloud) is cloud


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_very_few_points_are_never_outliers(count: int) -> None:
    cloud = PointCloud(np.arange(3 * count, dtype=np.float32).reshape(count, 3) ** 3)
    assert remove_outliers(cloud) is cloud


def test_outliers_agree_with_all_pairs_of_distances() -> None:
    points = np.concatenate([_sphere(200), np.random.default_rng(5).uniform(-3, 3, size=(15, 3)).astype(np.float32)])
    fourth = np.sort(np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2), axis=1)[:, 4]
    assert np.array_equal(remove_outliers(PointCloud(points)).points, points[fourth <= 5 * np.median(fourth)])


@given(clouds(60))
@SMALL
def test_at_most_a_fifth_is_ever_dropped(points: np.ndarray) -> None:
    assert len(remove_outliers(PointCloud(points)).points) >= 0.8 * len(points)
