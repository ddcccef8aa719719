"""OpenDlign's fast path against the dense grid, and the dense grid against the words of the paper."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from basrelief.render.base import Cameras
from basrelief.render.opendlign_paper import OpenDlignPaperProjection
from basrelief.render.reference import opendlign_paper as reference
from basrelief.render.rigs import get_rig
from render.maps import TOLERANCE, stool, worst_difference

TWO_VIEWS = Cameras(get_rig("opendlign-30").rotation[[1, 6]])
worst = partial(worst_difference, reference=reference.depth)


def small(**options: Any) -> OpenDlignPaperProjection:
    return OpenDlignPaperProjection(**{"rig": TWO_VIEWS, "size": 40, "planes": 20, **options})


def test_every_kind_of_cloud(cloud: np.ndarray, device: torch.device) -> None:
    assert worst(cloud, small(), device=device) <= TOLERANCE


@pytest.mark.parametrize("count_empty", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"planes": 60},
        {"planes": 1},
        {"range_sigma": 0.002},
        {"range_sigma": 0.5, "spatial_sigma": 3.0},
        {"range_sigma": 1000.0, "planes": 9},
        {"spatial_sigma": 0.3},
        {"ratio": 1.0},
        {"bias": 0.001},
        {"bias": 2.0, "planes": 50},
        {"size": 8},
    ],
    ids=str,
)
def test_every_option(options: dict[str, float], count_empty: bool, device: torch.device) -> None:
    assert worst(stool(600), small(count_empty=count_empty, **options), device=device) <= TOLERANCE


@given(
    seed=st.integers(0, 2**16),
    count=st.integers(1, 300),
    flatten=st.sampled_from([(1, 1, 1), (1, 1, 0.05), (0.02, 1, 1), (1, 0.1, 0.1)]),
    planes=st.integers(2, 40),
    spatial=st.floats(0.4, 4),
    spread=st.floats(1e-3, 2),
    count_empty=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_any_cloud_and_constants(
    seed: int, count: int, flatten: tuple[float, ...], planes: int, spatial: float, spread: float, count_empty: bool
) -> None:
    points = (np.random.default_rng(seed).normal(size=(count, 3)) * flatten).astype(np.float32)
    projection = small(size=24, planes=planes, spatial_sigma=spatial, range_sigma=spread, count_empty=count_empty)
    assert worst(points, projection) <= TOLERANCE


def test_full_picture_with_few_planes() -> None:
    one_view = Cameras(get_rig("opendlign-30").rotation[3:4])
    assert worst(stool(4000), OpenDlignPaperProjection(rig=one_view, planes=10)) <= TOLERANCE


@pytest.mark.slow
def test_default_constants_at_full_size() -> None:
    one_view = Cameras(get_rig("opendlign-30").rotation[3:4])
    assert worst(stool(10000), OpenDlignPaperProjection(rig=one_view)) <= TOLERANCE


def test_reference_densifies_as_written() -> None:
    grid = np.random.default_rng(1).random((9, 9, 11), dtype=np.float32)
    grid[grid < 0.9] = 0
    padded = np.pad(grid, 3)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7, 7))
    assert np.array_equal(reference.densify(grid), windows.max(axis=(3, 4, 5)))


def filtered_voxel(grid: np.ndarray, voxel: tuple[int, ...], projection: OpenDlignPaperProjection) -> float:
    """The formula of the paper at one voxel, in float64."""
    total = weights = 0.0
    for step in product(range(-2, 3), repeat=3):
        at = tuple(v + s for v, s in zip(voxel, step, strict=True))
        inside = all(0 <= a < n for a, n in zip(at, grid.shape, strict=True))
        value = float(grid[at]) if inside else 0.0
        if value == 0 and not projection.count_empty:
            continue
        far = np.linalg.norm(step) / projection.spatial_sigma
        unlike = (float(grid[voxel]) - value) / projection.range_sigma
        weight = np.exp(-(far**2) / 2) * np.exp(-(unlike**2) / 2)
        total, weights = total + weight * value, weights + weight
    return total / weights


@pytest.mark.parametrize("count_empty", [False, True])
def test_reference_smooths_as_written(count_empty: bool) -> None:
    projection = small(count_empty=count_empty, range_sigma=0.2, spatial_sigma=1.3)
    grid = np.random.default_rng(2).random((6, 6, 7), dtype=np.float32)
    grid[grid < 0.4] = 0
    smoothed = reference.smooth(grid, projection)
    assert np.array_equal(smoothed > 0, grid > 0)
    for voxel in np.argwhere(grid > 0)[::7]:
        assert smoothed[tuple(voxel)] == pytest.approx(filtered_voxel(grid, tuple(voxel), projection), abs=1e-6)


@pytest.mark.parametrize("range_sigma", [0.003, 0.05, 1.0])
@pytest.mark.parametrize("planes", [12, 60])
def test_best_plane_lies_where_the_fast_path_looks(range_sigma: float, planes: int) -> None:
    projection = small(range_sigma=range_sigma, planes=planes, spatial_sigma=2.0)
    dense = reference.densify(reference.quantise(stool(500), TWO_VIEWS.rotation[0], projection))
    smoothed = reference.smooth(dense, projection)
    seen = dense.max(axis=2) > 0
    top = (dense.max(axis=2)[seen] * planes).astype(int).clip(max=planes - 1) + 3
    columns = smoothed[seen]
    best = columns.argmax(axis=1)
    assert (best >= top - 7).all()
    assert (best <= top + 3).all()
    assert (columns[np.arange(len(top)), top + 3] >= (top - 3 - 2) / planes - 1e-6).all()
    plane = np.arange(columns.shape[1]) - 3
    assert (columns <= (plane + 6) / planes + 1e-6)[columns > 0].all()


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    lower=st.floats(0, 1),
    rise=st.floats(0, 1),
    sigma=st.floats(0.05, 3),
    seed=st.integers(0, 999),
)
def test_a_higher_centre_never_lowers_the_mean(values: list[float], lower: float, rise: float, sigma: float, seed: int) -> None:
    neighbours = np.array(values)
    spatial = np.random.default_rng(seed).uniform(0.01, 1, len(values))
    low, high = (np.average(neighbours, weights=spatial * np.exp(-(((neighbours - c) / sigma) ** 2) / 2)) for c in (lower, lower + rise))
    assert low <= high + 1e-9
