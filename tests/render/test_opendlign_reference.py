"""OpenDlign's projection compared with its slow reference, and the reference with its rules."""

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
from basrelief.render.opendlign import OpenDlignProjection
from basrelief.render.reference import opendlign as reference
from basrelief.render.rigs import get_rig
from render.maps import TOLERANCE, stool, worst_difference

TWO_VIEWS = Cameras(get_rig("opendlign-original").rotation[[1, 9]])
worst = partial(worst_difference, reference=reference.depth)


def small(**options: Any) -> OpenDlignProjection:
    return OpenDlignProjection(**{"rig": TWO_VIEWS, "size": 40, **options})


def test_every_kind_of_cloud(cloud: np.ndarray, device: torch.device) -> None:
    assert worst(cloud, small(), device=device) <= TOLERANCE


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"planes": 3},
        {"planes": 9},
        {"planes": 24},
        {"sigma": 0.2},
        {"sigma": 1000.0},
        {"sigma": 0.3, "planes": 20},
        {"ratio": 1.0},
        {"ratio": 0.1},
        {"bias": 0.001},
        {"bias": 2.0, "planes": 20},
        {"size": 8},
    ],
    ids=str,
)
def test_every_option(options: dict[str, float], device: torch.device) -> None:
    assert worst(stool(600), small(**options), device=device) <= TOLERANCE


@given(
    seed=st.integers(0, 2**16),
    count=st.integers(1, 300),
    flatten=st.sampled_from([(1, 1, 1), (1, 1, 0.05), (0.02, 1, 1), (1, 0.1, 0.1), (1, 1, 0), (0, 0, 1)]),
    planes=st.integers(3, 24),
    sigma=st.floats(0.2, 6),
)
@settings(max_examples=40, deadline=None)
def test_any_cloud_and_constants(seed: int, count: int, flatten: tuple[float, ...], planes: int, sigma: float) -> None:
    points = (np.random.default_rng(seed).normal(size=(count, 3)) * flatten).astype(np.float32)
    assert worst(points, small(size=24, planes=planes, sigma=sigma)) <= TOLERANCE


def test_full_size() -> None:
    assert worst(stool(10000), OpenDlignProjection(rig=TWO_VIEWS)) <= TOLERANCE


def test_reference_densifies_within_planes() -> None:
    grid = np.random.default_rng(1).random((3, 11, 11), dtype=np.float32)
    grid[grid < 0.9] = 0
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(grid, ((0, 0), (3, 3), (3, 3))), (1, 7, 7))
    assert np.array_equal(reference.densify(grid), windows.max(axis=(3, 4, 5)))


def filtered_voxel(grid: np.ndarray, voxel: tuple[int, int, int], sigma: float) -> float:
    """The bilateral mean of one voxel in float64."""
    plane, row, column = voxel
    total = weights = 0.0
    for i, j in product(range(-2, 3), repeat=2):
        if i * i + j * j > 4:
            continue
        inside = 0 <= row + i < grid.shape[1] and 0 <= column + j < grid.shape[2]
        value = float(grid[plane, row + i, column + j]) if inside else 0.0
        weight = np.exp(-(i * i + j * j + (value - float(grid[voxel])) ** 2) / (2 * sigma**2))
        total, weights = total + weight * value, weights + weight
    return total / weights


def test_reference_smooths_planes_with_empty_voxels() -> None:
    projection = small()
    grid = np.random.default_rng(2).random((4, 9, 9), dtype=np.float32) * 6
    grid[grid < 3] = 0
    smoothed = reference.smooth(grid, projection)
    for plane, row, column in product(range(4), range(0, 9, 2), range(9)):
        expected = filtered_voxel(grid, (plane, row, column), projection.sigma)
        assert smoothed[plane, row, column] == pytest.approx(expected, abs=2e-6)
