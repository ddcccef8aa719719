"""Confidence intervals of figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

_Z = {0.90: 1.6448536269514722, 0.95: 1.959963984540054, 0.99: 2.5758293035489004}


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


def wilson(hits: int, count: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share (Wilson 1927, JASA 22): right for small counts and for shares near 0 and 1.

    Args:
        hits: Number of successes.
        count: Number of trials; for 0 the interval is all of [0, 1].
        level: 0.90, 0.95 or 0.99.

    Returns:
        Ends in [0, 1].
    """
    if count == 0:
        return Interval(0.0, 1.0)
    z, share = _Z[level], hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Interval(max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def bootstrap(
    statistic: Callable[[Int[np.ndarray, " rows"]], float], rows: int, *, repeats: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile interval of any figure by drawing rows again, with replacement (Efron 1979).

    Args:
        statistic: The figure for the rows of these numbers.
        rows: How many rows there are.
        repeats: How often to draw.
        level: Share of the repeats inside.
        seed: Of the draws; the same seed gives the same interval.

    Returns:
        The two ends; NaN for no row, or if the figure is NaN for every draw.
    """
    if rows == 0:
        return Interval(float("nan"), float("nan"))
    random = np.random.default_rng(seed)
    values = np.array([statistic(random.integers(0, rows, rows)) for _ in range(repeats)])
    if np.isnan(values).all():
        return Interval(float("nan"), float("nan"))
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
