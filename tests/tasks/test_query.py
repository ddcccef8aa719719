"""Mixed queries: directions, weights of any sign, nearest neighbours."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from basrelief.errors import ConfigError
from basrelief.tasks import find_nearest, mix_embeddings

UNIT = torch.eye(4)


def test_one_part_is_itself_at_unit_length() -> None:
    torch.testing.assert_close(mix_embeddings([3 * UNIT[1]]), UNIT[1])


def test_equal_weights_are_the_average_direction() -> None:
    found = mix_embeddings([UNIT[0], 5 * UNIT[1]])
    torch.testing.assert_close(found, F.normalize(UNIT[0] + UNIT[1], dim=-1), msg="lengths do not count")


def test_weights_pull() -> None:
    found = mix_embeddings([UNIT[0], UNIT[1]], weights=[3.0, 1.0])
    assert float(found @ UNIT[0]) == pytest.approx(3 * float(found @ UNIT[1]), rel=1e-5)


def test_a_negative_weight_takes_away() -> None:
    """ "A red chair" without "red" is nearer to chairs of other colours."""
    red_chair, red, chair = F.normalize(UNIT[0] + UNIT[1], dim=-1), UNIT[0], UNIT[1]
    assert float(mix_embeddings([red_chair, red], weights=[1.0, -0.5]) @ chair) > float(red_chair @ chair)


@given(st.lists(st.floats(0.1, 5), min_size=1, max_size=4), st.integers(0, 100))
def test_the_scale_of_all_weights_does_not_matter(weights: list[float], seed: int) -> None:
    parts = list(torch.randn(len(weights), 8, generator=torch.Generator().manual_seed(seed)))
    one, other = mix_embeddings(parts, weights=weights), mix_embeddings(parts, weights=[2 * w for w in weights])
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert float(one.norm()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("parts", "weights", "message"),
    [
        ([], None, "There are 0 weights for 0 parts"),
        ([UNIT[0]], [1.0, 2.0], "There are 2 weights for 1 parts"),
        ([UNIT[0], UNIT[0]], [1.0, -1.0], r"With weights \[1.0, -1.0\] the parts cancel each other out"),
        ([UNIT[0]], [0.0], "the parts cancel each other out"),
        ([UNIT[0]], [float("nan")], "the parts cancel each other out"),
        ([torch.zeros(4)], None, "the parts cancel each other out"),
    ],
)
def test_invalid_query_parts_are_refused(parts: list[torch.Tensor], weights: list[float] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mix_embeddings(parts, weights=weights)


def test_the_nearest_come_first() -> None:
    shapes = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    cosines, places = find_nearest(torch.tensor([[0.0, 4.0], [1.0, 0.0]]), shapes, top=2)
    assert places.tolist() == [[1, 2], [0, 2]]
    torch.testing.assert_close(cosines, torch.tensor([[1.0, 0.5**0.5], [1.0, 0.5**0.5]]))


def test_there_are_no_more_hits_than_shapes() -> None:
    cosines, places = find_nearest(UNIT[:1], UNIT, top=10)
    assert places.shape == cosines.shape == (1, 4)
    with pytest.raises(ConfigError, match="top is 0; it must be at least 1"):
        find_nearest(UNIT, UNIT, top=0)
