"""Calibration of confidence: are 80 % of the answers given with 80 % confidence right?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from basrelief.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Reliability:
    """Answers grouped by confidence into bins of equal width over [0, 1].

    Attributes:
        count: (B,) answers in each bin.
        confidence: (B,) their mean confidence, NaN for an empty bin.
        accuracy: (B,) share of them that are right, NaN for an empty bin.
    """

    count: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]

    @property
    def expected_calibration_error(self) -> float:
        """Mean gap between confidence and accuracy, weighted by answers (Guo et al. 2017, arXiv:1706.04599, eq. 3); NaN without answers."""
        filled = self.count > 0
        if not filled.any():
            return float("nan")
        gap = np.abs(self.accuracy - self.confidence)[filled]
        return float((gap * self.count[filled]).sum() / self.count.sum())


def reliability(confidence: Float[np.ndarray, " shapes"], right: Bool[np.ndarray, " shapes"], *, bins: int = 15) -> Reliability:
    """Group answers by their confidence.

    Args:
        confidence: Probability of the answer, in [0, 1].
        right: Whether it was right.
        bins: Number of groups of equal width; the paper of the calibration error uses 15.

    Raises:
        ConfigError: If a confidence lies outside [0, 1].
    """
    if len(confidence) and not (confidence.min() >= 0 and confidence.max() <= 1 + 1e-6):
        raise ConfigError(
            f"confidence ranges from {confidence.min():g} to {confidence.max():g}; expected [0, 1]. Pass probabilities, not scores."
        )
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(number, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(number, weights=confidence, minlength=bins) / count
        accuracy = np.bincount(number, weights=right.astype(float), minlength=bins) / count
    return Reliability(count, mean, accuracy)
