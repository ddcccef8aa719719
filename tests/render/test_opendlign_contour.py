"""The voxel filter, compared with closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from basrelief.render.contour import RADIUS, REACH, ContourFilter, Voxels

SIZE, PLANES = 24, 16


def contour(**options: Any) -> ContourFilter:
    return ContourFilter(**{"size": SIZE, "planes": PLANES, "spatial_sigma": 1.0, "range_sigma": 0.05, "count_empty": False, **options})


def voxels(*points: tuple[int, int, int, float], images: int = 1, device: torch.device | str = "cpu") -> Voxels:
    """Points given as image, row, column, nearness."""
    image, row, column, near = zip(*points, strict=True)
    places = (torch.tensor(values, device=device) for values in (image, row, column))
    return Voxels(*places, torch.tensor(near, device=device), images)


def square(row: int, column: int, near: float) -> torch.Tensor:
    out = torch.zeros(SIZE, SIZE)
    out[row - REACH : row + REACH + 1, column - REACH : column + REACH + 1] = near
    return out


@pytest.mark.parametrize("near", [0.01, 0.5, 1.0])
@pytest.mark.parametrize(("row", "column"), [(3, 3), (12, 9), (20, 20)])
def test_one_voxel_is_a_square(near: float, row: int, column: int, device: torch.device) -> None:
    torch.testing.assert_close(contour().squeeze(voxels((0, row, column, near), device=device)).cpu()[0], square(row, column, near))


def test_nearest_voxel_of_a_column_wins() -> None:
    found = contour().squeeze(voxels((0, 12, 12, 0.2), (0, 12, 12, 0.9), (0, 12, 12, 0.5)))
    torch.testing.assert_close(found[0], square(12, 12, 0.9))


def test_distant_voxels_do_not_mix() -> None:
    found = contour().squeeze(voxels((0, 10, 8, 0.9), (0, 10, 14, 0.1)))
    expected = torch.maximum(square(10, 14, 0.1), square(10, 8, 0.9))
    torch.testing.assert_close(found[0], expected)


def test_alike_voxels_mix_to_a_weighted_mean() -> None:
    """Squares of 0.50 and 0.52 side by side, both in plane 8: beside the border each pixel sees two columns of the other."""
    left, right = 0.5000, 0.5200
    found = contour().squeeze(voxels((0, 10, 6, left), (0, 10, 13, right)))[0, 10, 3:17]
    spatial = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    unlike = np.exp(-0.5 * ((right - left) / 0.05) ** 2)
    values = np.r_[np.full(7, left), np.full(7, right)]
    for i in range(2, 12):
        weight = spatial * np.where(values[i - 2 : i + 3] == values[i], 1, unlike)
        assert float(found[i]) == pytest.approx(np.average(values[i - 2 : i + 3], weights=weight), abs=1e-6)


def test_images_are_filtered_apart(device: torch.device) -> None:
    found = contour().squeeze(voxels((1, 4, 4, 0.3), (0, 18, 9, 0.8), (2, 12, 12, 0.6), images=3, device=device)).cpu()
    torch.testing.assert_close(found, torch.stack([square(18, 9, 0.8), square(4, 4, 0.3), square(12, 12, 0.6)]))


def test_memory_is_used_again_without_a_trace() -> None:
    used = contour()
    many = np.random.default_rng(0)
    crowd = [(0, int(r), int(c), float(n)) for r, c, n in zip(*many.integers(3, 21, (2, 200)), many.uniform(0.1, 1, 200), strict=True)]
    used.squeeze(voxels(*crowd))
    address = used.buffers[0].data_ptr()
    few = voxels((0, 12, 9, 0.7), (0, 11, 14, 0.65))
    assert torch.equal(used.squeeze(few), contour().squeeze(few))
    assert used.buffers[0].data_ptr() == address


@pytest.mark.parametrize("range_sigma", [0.1, 0.5, 5.0])
def test_counted_empty_voxels_pull_towards_zero(range_sigma: float) -> None:
    """At the corner of a 7x7x7 block the filter sees 3 of 5 rows and columns, and in the block's middle all 5 planes."""
    near = 0.5
    found = contour(count_empty=True, range_sigma=range_sigma).squeeze(voxels((0, 12, 12, near)))[0]
    steps = np.exp(-0.5 * np.arange(-RADIUS, RADIUS + 1) ** 2)
    full, part = steps.sum() ** 3, steps[RADIUS:].sum() ** 2 * steps.sum()
    empty = np.exp(-0.5 * (near / range_sigma) ** 2)
    assert float(found[12, 12]) == pytest.approx(near, abs=1e-6)
    assert float(found[9, 9]) == pytest.approx(near * part / (part + (full - part) * empty), abs=1e-6)
    assert torch.equal(found > 0, square(12, 12, 1.0) > 0)


def test_counted_empty_voxels_let_a_deep_plane_win() -> None:
    """A thin front with a thick back: the far voxels are wrapped in their like and stay, the near ones fade below them."""
    front = [(0, 12, 12, 0.9)]
    back = [(0, row, column, plane / PLANES) for row in range(4, 21) for column in range(4, 21) for plane in (5, 9, 10, 11)]
    with_back, alone = (contour(count_empty=True, range_sigma=5.0).squeeze(voxels(*points))[0, 9, 9] for points in (front + back, front))
    assert float(alone) < 0.5
    assert float(with_back) > float(alone)


@pytest.mark.parametrize(("near", "plane"), [(0.001, 0), (1 / PLANES, 1), (0.5, 8), (1.0, PLANES - 1)])
def test_plane_of_a_nearness(near: float, plane: int) -> None:
    assert contour().plane(torch.tensor([near])).tolist() == [plane]
