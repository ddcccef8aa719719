"""Text, bars and images on a canvas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from basrelief.render.canvas import ACCENT, BACKGROUND, LINE, TEXT, Canvas, fit


def drawn(page: Canvas) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of what is not paper; None for an empty page."""
    used = (np.asarray(page.image) != BACKGROUND).any(-1)
    if not used.any():
        return None
    rows, columns = np.flatnonzero(used.any(1)), np.flatnonzero(used.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


@given(words=st.text(max_size=120), size=st.sampled_from([13, 17, 26]), width=st.integers(30, 400))
def test_fitted_words_are_a_beginning_that_fits(words: str, size: int, width: int) -> None:
    fitted = fit(words, size, width)
    assert ImageFont.load_default(size=size).getlength(fitted) <= width
    assert len(fitted) <= len(words)
    if fitted != words and not any(ord(letter) < 32 or ord(letter) == 127 for letter in words):
        assert fitted.endswith("…")
        assert words.startswith(fitted[:-1])


def test_a_longer_beginning_would_not_fit() -> None:
    words, font = "a rather long label that someone typed", ImageFont.load_default(size=17)
    kept = len(fit(words, 17, 120)) - 1
    assert font.getlength(words[: kept + 2] + "…") > 120


def test_words_that_fit_stay_as_they_are() -> None:
    assert fit("3  az 135 el 20", 13, 200) == "3  az 135 el 20"


@pytest.mark.parametrize("words", ["two\nlines", "two\r\nlines", "two\tlines", "two\x00lines"])
def test_control_characters_become_a_space(words: str) -> None:
    assert fit(words, 13, 200) == "two lines"


def test_endless_words_are_cut_in_bounded_time() -> None:
    assert fit("x" * 10**7, 13, 100).endswith("…")


@pytest.mark.parametrize("align", ["left", "right"])
def test_text_stays_within_its_width(align: str) -> None:
    page = Canvas(300, 60)
    taken = page.text((50, 40), "a label much longer than its width", width=120, size=20, align=align)  # type: ignore[arg-type]
    left, top, right, bottom = drawn(page) or (0, 0, 0, 0)
    assert left >= 49
    assert right <= 171
    assert 20 <= top < bottom <= 46
    assert taken <= 120


def test_text_is_drawn_from_either_end() -> None:
    left, right = Canvas(300, 40), Canvas(300, 40)
    left.text((50, 30), "ab", width=200)
    right.text((50, 30), "ab", width=200, align="right")
    assert abs((drawn(left) or (0,))[0] - 50) <= 2
    assert abs((drawn(right) or (0, 0, 0))[2] - 250) <= 2


def test_no_words_leave_the_page_white() -> None:
    page = Canvas(100, 40)
    assert page.text((10, 30), "", width=80) == 0
    assert drawn(page) is None


@pytest.mark.parametrize(("share", "filled"), [(0.0, 0), (0.25, 25), (1.0, 100), (-1.0, 0), (3.0, 100), (math.nan, 0), (math.inf, 100)])
def test_a_bar_is_as_long_as_its_share(share: float, filled: int) -> None:
    page = Canvas(140, 30)
    page.bar((20, 10), share, width=100, height=6)
    row = np.asarray(page.image)[12]
    assert (row == ACCENT).all(-1).sum() == filled
    assert (row == LINE).all(-1).sum() == 100 - filled
    assert drawn(page) == (20, 10, 119, 15)


def test_a_grey_picture_and_a_coloured_one_are_pasted() -> None:
    page = Canvas(100, 50)
    page.picture((5, 5), np.full((8, 8), 0.5, np.float32), side=40, framed=False)
    page.picture((55, 5), np.tile(np.float32([1, 0, 0]), (8, 8, 1)), side=40, framed=False)
    pixels = np.asarray(page.image)
    assert pixels[25, 25].tolist() == [128, 128, 128]
    assert pixels[25, 75].tolist() == [255, 0, 0]
    assert pixels[25, 50].tolist() == list(BACKGROUND)


def test_values_outside_the_range_are_clipped_and_nan_is_black() -> None:
    page = Canvas(30, 10)
    for x, value in ((0, -2.0), (10, 7.0), (20, math.nan)):
        page.picture((x, 0), np.full((4, 4), value), side=10, framed=False)
    assert np.asarray(page.image)[5, [5, 15, 25], 0].tolist() == [0, 255, 0]


def test_a_frame_is_drawn_around_the_picture() -> None:
    page = Canvas(30, 30)
    page.picture((5, 5), np.ones((4, 4)), side=20)
    assert drawn(page) == (5, 5, 24, 24)
    assert np.asarray(page.image)[5, 5].tolist() == list(LINE)


def test_text_is_readable_on_its_background() -> None:
    light, dark = (sum(c * w for c, w in zip(color, (0.2126, 0.7152, 0.0722), strict=True)) / 255 for color in (BACKGROUND, TEXT))
    assert (light**2.2 + 0.05) / (dark**2.2 + 0.05) > 7  # WCAG's contrast, its highest grade
