"""Groups of duplicates compared with a slow reference, and words of file names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("lancedb")

from basrelief.index.duplicates import group_duplicates
from basrelief.index.files import name_words


def _twin(forms: list[list[float]], tolerance: float) -> list[list[int]]:
    """Rows joined one by one."""
    group = list(range(len(forms)))
    for i, one in enumerate(forms):
        for j, other in enumerate(forms[:i]):
            if max(abs(a - b) for a, b in zip(one, other, strict=True)) <= tolerance:
                old, new = group[i], group[j]
                group = [new if number == old else number for number in group]
    found = {number: [i for i, own in enumerate(group) if own == number] for number in group}
    return sorted(rows for rows in found.values() if len(rows) > 1)


@given(st.lists(st.lists(st.integers(0, 12), min_size=2, max_size=2), max_size=14), st.sampled_from([0.5, 1.5, 3.5]))
def test_the_same_groups(forms: list[list[int]], tolerance: float) -> None:
    rows = np.array(forms, dtype=np.float32).reshape(-1, 2)
    assert group_duplicates(rows, tolerance=tolerance) == _twin(rows.tolist(), tolerance)


@given(st.integers(2, 60), st.integers(0, 10**6))
def test_equal_rows_are_one_group(count: int, seed: int) -> None:
    rows = np.tile(np.random.default_rng(seed).normal(size=(1, 5)).astype(np.float32), (count, 1))
    assert group_duplicates(rows) == [list(range(count))]


@given(st.text(max_size=40))
def test_words_of_names_are_normalised(name: str) -> None:
    words = name_words(name).split(" ")
    assert all(word == word.lower() for word in words)
    assert not any(mark in word for word in words for mark in "/_. -")


@given(st.lists(st.from_regex(r"[a-z]{2,6}", fullmatch=True), min_size=1, max_size=4))
def test_camels_and_snakes_are_the_same_words(parts: list[str]) -> None:
    camel = parts[0] + "".join(part.capitalize() for part in parts[1:])
    assert name_words(f"{camel}.glb") == name_words(f"{'_'.join(parts)}.obj") == " ".join(parts)


@pytest.mark.parametrize(
    ("place", "words"), [("", ""), (".", ""), ("a", "a"), ("a/.glb", "a"), ("v1.2/x.glb", "v 1 2 x"), ("x.tar.gz", "x tar")]
)
def test_only_the_last_suffix_is_no_word(place: str, words: str) -> None:
    assert name_words(place) == words
