"""Retrieval figures. They depend on the order of the scores alone: adding a constant to every score changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

_QUERIES_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """Ranks of the relevant items, for the queries that have any.

    Attributes:
        first: (Q,) place of the first right item, 0 is best.
        average_precision: (Q,) mean over the right items of the precision at their places, in (0, 1].
        skipped: Queries without any right item; they are in no figure.
    """

    first: np.ndarray
    average_precision: np.ndarray
    skipped: int

    @classmethod
    def compute(
        cls,
        scores: Float[np.ndarray, "queries items"],
        relevant: Bool[np.ndarray, "queries items"],
        *,
        left_out: Bool[np.ndarray, "queries items"] | None = None,
    ) -> RetrievalScores:
        """Rank the items for each query, best first, and find the right ones.

        Args:
            scores: Larger is nearer; negative cosines are as good as any.
            relevant: Which items are right.
            left_out: Items that a query may not find, such as itself; None for none.

        Returns:
            Ranks of each query. Among equal scores the wrong items come first, so that a constant score earns nothing.
        """
        step = max(1, _QUERIES_AT_ONCE // max(1, scores.shape[1]))
        parts = [
            _ranked(scores[i : i + step], relevant[i : i + step], None if left_out is None else left_out[i : i + step])
            for i in range(0, len(scores), step)
        ]
        first = np.concatenate([part[0] for part in parts]) if parts else np.empty(0, dtype=int)
        precision = np.concatenate([part[1] for part in parts]) if parts else np.empty(0)
        return cls(first, precision, len(scores) - len(first))

    def recall_at(self, k: int) -> float:
        """Share of queries with a right item among the first `k` (R@k of the retrieval papers), in [0, 1]."""
        return _mean(self.first < k)

    @property
    def mean_average_precision(self) -> float:
        """MAP over the whole ranking, in [0, 1]."""
        return _mean(self.average_precision)

    @property
    def median_rank(self) -> float:
        """Median place of the first right item, counted from 1."""
        return float(np.median(self.first)) + 1 if len(self.first) else float("nan")

    @property
    def mean_reciprocal_rank(self) -> float:
        """Mean of 1 / place of the first right item, counted from 1."""
        return _mean(1 / (self.first + 1.0))


def _ranked(scores: np.ndarray, relevant: np.ndarray, left_out: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    if left_out is not None:
        scores, relevant = np.where(left_out, -np.inf, scores), relevant & ~left_out
    order = np.lexsort((relevant, -scores))  # by score, and wrong before right among equals
    found = np.take_along_axis(relevant, order, axis=1)
    found = found[found.any(axis=1)]
    place = np.arange(1, found.shape[1] + 1)
    precision = (np.cumsum(found, axis=1) / place * found).sum(axis=1) / np.maximum(found.sum(axis=1), 1)
    return found.argmax(axis=1), precision


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
