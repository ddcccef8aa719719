"""The line chart: where lines are drawn, what axes say, what is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from basrelief.errors import ConfigError
from basrelief.render.chart import _BOTTOM, _LEFT, _RIGHT, _TOP, COLORS, _apart, _scale, line_chart

SIZE = (600, 400)
NAN = float("nan")


def where(image: Image.Image, color: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of pixels of a colour inside the plot."""
    pixels = np.asarray(image.convert("RGB"))
    inside = np.zeros(pixels.shape[:2], dtype=bool)
    inside[:, : SIZE[0] - _RIGHT + 6] = True
    return np.argwhere((pixels == color).all(axis=2) & inside)


def chart(series: dict[str, list[float]], over: list[float]) -> Image.Image:
    return line_chart(series, over, title="title", below="shots", size=SIZE)


def test_a_rising_line_rises() -> None:
    found = where(chart({"a": [0.0, 50.0, 100.0]}, [1, 2, 4]), COLORS[0])
    left, right = found[found[:, 1] < _LEFT + 5], found[found[:, 1] > SIZE[0] - _RIGHT - 5]
    assert left[:, 0].mean() == pytest.approx(SIZE[1] - _BOTTOM, abs=3)
    assert right[:, 0].mean() == pytest.approx(_TOP, abs=3)


def test_values_of_over_stand_equally_far_apart() -> None:
    found = where(chart({"a": [10.0, 10.0, 10.0, 0.0]}, [1, 2, 4, 100]), COLORS[0])
    columns = {int(column) for _, column in found}
    width = SIZE[0] - _LEFT - _RIGHT
    for third in range(4):
        assert any(abs(column - (_LEFT + third * width / 3)) <= 2 for column in columns)


def test_each_line_has_its_colour() -> None:
    image = chart({"one": [1.0, 2.0], "two": [3.0, 4.0], "three": [5.0, 6.0]}, [1, 2])
    heights = [where(image, COLORS[i])[:, 0].mean() for i in range(3)]
    assert heights == sorted(heights, reverse=True)


def test_a_gap_is_left_open() -> None:
    whole, gap = (where(chart({"a": values}, [1, 2, 3]), COLORS[0]) for values in ([1.0, 1.0, 2.0], [1.0, NAN, 2.0]))
    assert len(gap) < len(whole) / 3
    middle = _LEFT + (SIZE[0] - _LEFT - _RIGHT) / 2
    assert not (np.abs(gap[:, 1] - middle) < 20).any()


def test_a_single_value_is_a_dot() -> None:
    found = where(chart({"a": [5.0]}, [3]), COLORS[0])
    assert 20 < len(found) < 120


@pytest.mark.parametrize(("low", "high"), [(0, 100), (0.2, 0.21), (-5, 3), (7, 7), (0, 0), (81.3, 99.7), (1e-6, 3e-6), (1000, 250000)])
def test_axes_hold_their_values_in_round_steps(low: float, high: float) -> None:
    first, last, step = _scale(low, high)
    assert first <= low <= high <= last
    assert first < last
    assert 1 <= round((last - first) / step) <= 8
    assert round(first / step) == pytest.approx(first / step, abs=1e-6)


def test_names_do_not_touch() -> None:
    found = _apart([(10.0, "a"), (11.0, "b"), (12.0, "c"), (100.0, "d")])
    heights = sorted(found.values())
    assert all(other - one >= 17 for one, other in pairwise(heights))
    assert found["a"] == 10.0
    assert found["d"] == 100.0


def test_the_same_values_give_the_same_picture() -> None:
    one, other = (np.asarray(chart({"a": [1.0, 3.0]}, [1, 2])) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("series", [{}, {"a": [NAN, NAN]}])
def test_nothing_to_draw_is_an_error(series: dict[str, list[float]]) -> None:
    with pytest.raises(ConfigError, match=f"None of the {len(series)} series has a finite value"):
        chart(series, [1, 2])


def test_lines_of_another_length_are_an_error() -> None:
    with pytest.raises(ConfigError, match="Series 'a' has 2 values; expected 3"):
        chart({"a": [1.0, 2.0]}, [1, 2, 3])
