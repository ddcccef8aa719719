"""Choose a sample that is balanced over classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def balanced_sample(items: Sequence[T], label: Callable[[T], Hashable], *, count: int, seed: int) -> list[T]:
    """Choose `count` items at random, as equally many of each class as possible; of every class one comes before the second of any.

    Args:
        items: What to choose from.
        label: Returns the class of an item.
        count: Number of items.
        seed: Seed of the choice.
    """
    seen: Counter[Hashable] = Counter()
    turns: list[tuple[int, int, T]] = []
    for place in np.random.default_rng(seed).permutation(len(items)).tolist():
        item = items[place]
        turns.append((seen[label(item)], len(turns), item))
        seen[label(item)] += 1
    return [item for _, _, item in sorted(turns, key=lambda turn: turn[:2])[:count]]
