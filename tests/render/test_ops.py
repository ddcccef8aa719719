"""Tensor steps that projections share."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basrelief.render.base import PointBatch
from basrelief.render.ops import extents, image_parts, point_chunks, resize, rotate, running_maximum


@given(st.integers(1, 12), st.integers(0, 10), st.integers(0, 2**31))
def test_running_maximum_of_every_full_window(window: int, more: int, seed: int) -> None:
    values = torch.rand(3, window + more, generator=torch.Generator().manual_seed(seed))
    expected = values.unfold(1, window, 1).amax(2)
    assert torch.equal(running_maximum(values, window, 1), expected)
    assert torch.equal(running_maximum(values.T, window, 0), expected.T)


@given(st.integers(1, 2000), st.integers(1, 10**7))
def test_chunks_hold_every_point_once_and_are_bounded(count: int, cost: int) -> None:
    parts = list(point_chunks(count, cost, torch.device("cpu")))
    assert parts[0].start == 0
    assert parts[-1].stop >= count
    assert all(one.stop == two.start for one, two in pairwise(parts))
    assert all((part.stop - part.start) * cost <= max(2**18, cost) for part in parts)


def test_chunks_are_larger_on_an_accelerator() -> None:
    step = {kind: next(point_chunks(10**9, 100, torch.device(kind))).stop for kind in ("cpu", "cuda")}
    assert step["cuda"] > 50 * step["cpu"]


def test_rotate_is_a_matrix_product(device: torch.device) -> None:
    rng = np.random.default_rng(0)
    points, rotation = rng.normal(size=(7, 3)), rng.normal(size=(4, 3, 3))
    ours = rotate(
        torch.as_tensor(points, dtype=torch.float32, device=device),
        torch.as_tensor(rotation, dtype=torch.float32, device=device)[..., None],
    )
    np.testing.assert_allclose(ours.cpu(), np.einsum("vij,nj->ivn", rotation, points), atol=1e-5)


def test_rotate_takes_a_rotation_for_each_point() -> None:
    generator = torch.Generator().manual_seed(0)
    points, rotation = torch.rand(5, 3, generator=generator), torch.rand(2, 3, 3, 5, generator=generator)
    torch.testing.assert_close(rotate(points, rotation), torch.einsum("vijn,nj->ivn", rotation, points))


def test_rotate_ignores_the_precision_asked_for_elsewhere() -> None:
    points, rotation = torch.rand(64, 3, generator=torch.Generator().manual_seed(1)), torch.eye(3).expand(2, 3, 3)[..., None]
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.equal(rotate(points, rotation)[:, 0], points.T)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("sizes", [(5,), (1, 9, 4), (20_000, 3)])
def test_extents_of_each_cloud(sizes: tuple[int, ...], device: torch.device) -> None:
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(size, 3)) for size in sizes]
    rotation = rng.normal(size=(4, 3, 3)).astype(np.float32)
    batch = PointBatch.pack(clouds, device=device)
    low, high = extents(
        batch.points, partial(rotate, rotation=torch.as_tensor(rotation, device=device)[..., None]), len(rotation), batch.cloud, batch.size
    )
    for number, cloud in enumerate(clouds):
        turned = np.einsum("vij,nj->ivn", rotation, cloud)
        np.testing.assert_allclose(low[:, :, number].cpu(), turned.min(axis=2), atol=1e-5)
        np.testing.assert_allclose(high[:, :, number].cpu(), turned.max(axis=2), atol=1e-5)


def test_resize_keeps_corners() -> None:
    image = torch.arange(4.0).view(1, 1, 2, 2)
    torch.testing.assert_close(resize(image, 3)[0, 0], torch.tensor([[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]))
    assert resize(image, 2) is image


@pytest.mark.parametrize(("points", "views"), [([50, 70, 1, 900], 10), ([3_000_000], 10), ([9_000_000, 10], 3), ([1] * 100, 1)])
@pytest.mark.parametrize("size", [32, 224])
def test_parts_cover_everything_once_in_bounded_memory(points: list[int], views: int, size: int) -> None:
    ends = [0, *np.cumsum(points).tolist()]
    drawn = np.zeros((len(points), views), dtype=int)
    for clouds, some in image_parts(ends, views, size * size * 112, torch.device("cpu")):
        drawn[clouds, some] += 1
        images = drawn[clouds, some].size
        assert images == 1 or images * size * size * 112 <= 2**23
        assert images == 1 or (ends[clouds.stop] - ends[clouds.start]) * drawn[clouds, some].shape[1] <= 2**22
    assert (drawn == 1).all()
