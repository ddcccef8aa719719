"""The z-buffer keeps the nearest fragment; lists are split into pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.zbuffer import ZBuffer, expand, pieces


def buffer(*, distance: float | None = None) -> ZBuffer:
    return ZBuffer(Viewport(look_at_cameras([0.0], distance=distance), 2), "cpu")


def add(target: ZBuffer, *fragments: tuple[int, float, int]) -> ZBuffer:
    pixel, depth, item = zip(*fragments, strict=True)
    target.add(torch.tensor(pixel), torch.tensor(depth), torch.tensor(item))
    return target


def test_an_empty_buffer_sees_nothing() -> None:
    raster = buffer().resolve()
    assert torch.equal(raster.depth, torch.full((1, 2, 2), torch.inf))
    assert torch.equal(raster.item, torch.full((1, 2, 2), -1))
    assert raster.seen.shape == (0, 3)


def test_the_nearest_wins_in_any_order() -> None:
    fragments = [(0, 0.5, 7), (0, 0.25, 3), (0, 0.75, 1), (3, -1.0, 2)]
    for order in (fragments, fragments[::-1]):
        raster = add(buffer(), *order).resolve()
        assert raster.item.flatten().tolist() == [3, -1, -1, 2]
        assert raster.depth.flatten().tolist() == [0.25, torch.inf, torch.inf, -1.0]
        assert raster.seen.tolist() == [[0, 0, 0], [0, 1, 1]]


@given(depths=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20))
def test_keys_order_like_depths_of_either_sign(depths: list[float]) -> None:
    raster = add(buffer(), *((1, depth, number) for number, depth in enumerate(depths))).resolve()
    assert raster.depth[0, 0, 1].item() == min(depths)
    assert depths[int(raster.item[0, 0, 1])] == min(depths)


def test_equal_depths_go_to_the_smaller_number() -> None:
    assert add(buffer(), (0, 0.5, 9), (0, 0.5, 4), (0, 0.5, 6)).resolve().item[0, 0, 0] == 4


def test_large_numbers_survive() -> None:
    assert add(buffer(), (0, -0.5, 2**31 + 5)).resolve().item[0, 0, 0] == 2**31 + 5


def test_what_is_behind_or_too_near_the_eye_is_left_out() -> None:
    raster = add(buffer(distance=2.0), (0, -0.5, 1), (1, 0.0019, 2), (2, 0.0021, 3)).resolve()
    assert raster.item.flatten().tolist() == [-1, -1, 3, -1]


@given(counts=st.lists(st.integers(0, 9), max_size=30), budget=st.integers(1, 40))
def test_pieces_cover_the_list_in_order_and_keep_to_the_budget(counts: list[int], budget: int) -> None:
    given_ = torch.tensor(counts, dtype=torch.int64)
    cut = list(pieces(given_, budget))
    if sum(counts) == 0:
        assert cut == []
        return
    assert [i for piece in cut for i in range(piece.start, piece.stop)] == list(range(len(counts)))
    assert all(sum(counts[piece]) < budget + max(counts) for piece in cut)


def test_expand_repeats_and_numbers_within() -> None:
    entry, within = expand(torch.tensor([2, 0, 3, 1]))
    assert entry.tolist() == [0, 0, 2, 2, 2, 3]
    assert within.tolist() == [0, 1, 0, 1, 2, 0]


@pytest.mark.gpu
def test_the_nearest_wins_on_cuda() -> None:
    target = ZBuffer(Viewport(look_at_cameras([0.0]), 2), "cuda")
    target.add(torch.tensor([0, 0, 3]).cuda(), torch.tensor([0.5, -0.25, 1.0]).cuda(), torch.tensor([1, 2, 3]).cuda())
    assert target.resolve().item.flatten().tolist() == [2, -1, -1, 3]
