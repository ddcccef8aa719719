"""Farthest points, balls and nearest neighbours: recorded originals, slow references, and padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from basrelief.encoders.points.operators import ball_query, farthest_points, gather_points, nearest_points
from support import parity_arrays

Arrays = dict[str, np.ndarray]
OPERATORS: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "farthest": lambda xyz, sizes: farthest_points(xyz, 12, sizes=sizes),
    "farthest of pointnet2": lambda xyz, sizes: farthest_points(xyz, 12, sizes=sizes, skip_near_origin=True),
    "ball": lambda xyz, sizes: ball_query(xyz, xyz[:, :7], radius=0.9, count=9, sizes=sizes),
    "ball of pointnet2": lambda xyz, sizes: ball_query(xyz, xyz[:, :7], radius=0.9, count=9, sizes=sizes, inclusive=False),
    "nearest": lambda xyz, sizes: nearest_points(xyz, xyz[:, :7], count=9, sizes=sizes).sort().values,
}


@pytest.fixture(scope="module")
def recorded() -> Arrays:
    return parity_arrays("pointnet2_ops.npz")


def tensor(arrays: Arrays, name: str) -> Tensor:
    return torch.from_numpy(arrays[name])


def cloud(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def slow_farthest(points: np.ndarray, count: int) -> list[int]:
    """Compare every point with every chosen one, each time anew."""
    chosen = [0]
    while len(chosen) < count:
        distances = [min(float(((p - points[c]) ** 2).sum()) for c in chosen) for p in points]
        chosen.append(int(np.argmax(distances)))
    return chosen


def slow_ball(xyz: Tensor, centres: Tensor, radius: float, count: int) -> Tensor:
    """Sort the indices in reach, as OpenShape's program does."""
    index = torch.arange(xyz.shape[1]).expand(*centres.shape[:2], -1).clone()
    index[torch.cdist(centres.double(), xyz.double()) > radius] = xyz.shape[1]
    index = index.sort().values[..., :count]
    return torch.where(index == xyz.shape[1], index[..., :1], index)


@pytest.mark.parametrize("case", ["random", "core", "start_at_origin", "ties_512", "ties_900", "exhausted", "all_at_origin"])
def test_farthest_points_of_pointnet2(case: str, recorded: Arrays) -> None:
    expected = tensor(recorded, f"{case}/idx")
    assert torch.equal(farthest_points(tensor(recorded, f"{case}/xyz"), expected.shape[1], skip_near_origin=True), expected.long())


@pytest.mark.parametrize(("case", "name"), [("core", "idx_if_origin_points_were_allowed"), ("ties_512", "idx_lowest_index_rule")])
def test_farthest_points_of_the_other_convention(case: str, name: str, recorded: Arrays) -> None:
    expected = tensor(recorded, f"{case}/{name}")
    assert torch.equal(farthest_points(tensor(recorded, f"{case}/xyz"), expected.shape[1]), expected.long())


@given(st.integers(0, 10_000), st.integers(1, 30), st.data())
def test_farthest_points_agree_with_the_reference(seed: int, size: int, data: st.DataObject) -> None:
    points, count = cloud(size, seed).double(), data.draw(st.integers(1, size))
    assert farthest_points(points[None], count)[0].tolist() == slow_farthest(points.numpy(), count)


@pytest.mark.parametrize("skip", [False, True])
def test_beyond_the_last_position_index_zero_repeats(skip: bool) -> None:
    points = torch.tensor([[[1.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    assert farthest_points(points, 6, skip_near_origin=skip).tolist() == [[0, 2, 0, 0, 0, 0]]
    assert farthest_points(torch.zeros(1, 1, 3), 3, skip_near_origin=skip).tolist() == [[0, 0, 0]]


def test_points_near_the_origin_are_skipped_on_request() -> None:
    points = torch.tensor([[[1.0, 0, 0], [0, 0, 0], [0.5, 0, 0]]])
    assert farthest_points(points, 2).tolist() == [[0, 1]]
    assert farthest_points(points, 2, skip_near_origin=True).tolist() == [[0, 2]]


@pytest.mark.parametrize("case", ["ball", "ball_edge"])
def test_balls_of_pointnet2(case: str, recorded: Arrays) -> None:
    xyz, expected = tensor(recorded, f"{case}/xyz"), tensor(recorded, f"{case}/idx").long()
    centres = tensor(recorded, "ball/queries") if case == "ball" else xyz[:, :1]
    found = ball_query(xyz, centres, radius=float(recorded[f"{case}/radius"]), count=expected.shape[2], inclusive=False)
    assert torch.equal(found, expected)


def test_openshape_counts_the_edge_of_a_ball(recorded: Arrays) -> None:
    xyz = tensor(recorded, "ball_edge/xyz")
    assert ball_query(xyz, xyz[:, :1], radius=0.5, count=6).tolist() == [[[0, 1, 2, 3, 0, 0]]]


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12), st.sampled_from([0.3, 1.0, 9.0]), st.booleans())
def test_balls_agree_with_the_reference(seed: int, size: int, count: int, radius: float, inclusive: bool) -> None:
    xyz = torch.stack([cloud(size, seed), cloud(size, seed + 1)])
    centres = xyz[:, : min(5, size)]
    found = ball_query(xyz, centres, radius=radius, count=count, inclusive=inclusive)
    expected = slow_ball(xyz, centres, radius, min(count, size))
    assert torch.equal(found[..., : expected.shape[2]], expected)
    assert (found[..., expected.shape[2] :] == found[..., :1]).all()


def test_a_ball_without_points_gives_index_zero() -> None:
    centres = torch.tensor([[[9.0, 9, 9], [0, 0, 0]]])
    assert ball_query(torch.ones(1, 3, 3), centres, radius=0.1, count=2).tolist() == [[[0, 0], [0, 0]]]
    assert ball_query(torch.eye(3)[None], centres - 9, radius=0.1, count=2).tolist() == [[[0, 0], [0, 0]]]


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12))
def test_nearest_points_agree_with_a_full_sort(seed: int, size: int, count: int) -> None:
    xyz = torch.stack([cloud(size, seed), cloud(size, seed + 1)]).double()
    found = nearest_points(xyz, xyz[:, :3], count=count)
    expected = torch.cdist(xyz[:, :3], xyz, compute_mode="donot_use_mm_for_euclid_dist").argsort()[..., :count]
    kept = expected.shape[2]
    assert torch.equal(found[..., :kept].sort().values, expected.sort().values)
    assert not found[..., kept:].any()


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("padding", [0.0, 0.01, float("nan"), float("inf")])
def test_padding_and_company_change_nothing(name: str, padding: float) -> None:
    clouds = [cloud(size, size) for size in (40, 700, 512, 9)]
    xyz = torch.full((4, 700, 3), padding)
    for row, points in zip(xyz, clouds, strict=True):
        row[: len(points)] = points
    together = OPERATORS[name](xyz, torch.tensor([len(points) for points in clouds]))
    for points, found in zip(clouds, together, strict=True):
        assert torch.equal(OPERATORS[name](points[None], None)[0], found)


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("tf32", [False, True])
def test_cuda_gives_the_same(name: str, tf32: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.cuda.matmul.allow_tf32", tf32)
    xyz, sizes = torch.stack([cloud(2000), cloud(2000, 1)]) / 3, torch.tensor([2000, 700])
    assert torch.equal(OPERATORS[name](xyz.cuda(), sizes.cuda()).cpu(), OPERATORS[name](xyz, sizes))


@pytest.mark.parametrize("name", OPERATORS)
def test_autocast_changes_nothing(name: str) -> None:
    xyz = cloud(2000)[None] / 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = OPERATORS[name](xyz, None)
    assert torch.equal(found, OPERATORS[name](xyz, None))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    xyz = torch.stack([cloud(300), cloud(300, 1)])
    whole = ball_query(xyz, xyz, radius=0.4, count=8)
    monkeypatch.setattr("basrelief.encoders.points.operators._CHUNK", 1000)
    assert torch.equal(ball_query(xyz, xyz, radius=0.4, count=8), whole)


def test_gathered_points_keep_their_cloud_and_gradient() -> None:
    values = torch.arange(24.0).view(2, 4, 3).requires_grad_()
    index = torch.tensor([[[3, 0]], [[1, 1]]])
    found = gather_points(values, index)
    assert found.tolist() == [[[[9, 10, 11], [0, 1, 2]]], [[[15, 16, 17], [15, 16, 17]]]]
    found.sum().backward()
    assert values.grad is not None
    assert values.grad[..., 0].tolist() == [[1, 0, 0, 1], [0, 2, 0, 0]]


def test_the_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        farthest_points(torch.rand(1, 50, 3), 4)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
