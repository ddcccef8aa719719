"""Scales of ensembles are those of greatest likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from basrelief.errors import ConfigError
from basrelief.tasks.scales import fit_scales


def drawn(scales: tuple[float, ...], *, shapes: int = 4000, labels: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cosines, and truths drawn from the model with known scales."""
    random = np.random.default_rng(seed)
    cosines = random.uniform(-0.3, 0.5, size=(len(scales), shapes, labels))
    logits = np.tensordot(scales, cosines, axes=1)
    chances = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    return cosines, (random.random((shapes, 1)) > chances.cumsum(axis=1)).sum(axis=1)


def test_known_scales_are_found_again() -> None:
    found, loss = fit_scales(*drawn((20.0, 7.0)))
    assert found == pytest.approx((20.0, 7.0), rel=0.1)
    assert 0 < loss < np.log(6)


def test_a_member_that_knows_nothing_gets_a_small_scale() -> None:
    (good, noise), _ = fit_scales(*drawn((15.0, 0.0)))
    assert noise < 0.05 * good


def test_the_fit_beats_its_neighbours() -> None:
    cosines, truth = drawn((12.0, 3.0), shapes=300)
    found, loss = fit_scales(cosines, truth)

    def value(scales: np.ndarray) -> float:
        logits = np.tensordot(scales, cosines, axes=1)
        return float((logsumexp(logits, axis=1) - logits[np.arange(len(truth)), truth]).mean())

    assert value(np.array(found)) == pytest.approx(loss)
    for step in ([0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]):
        assert value(np.array(found) + step) > loss


def test_scales_stay_finite_where_members_are_always_right() -> None:
    cosines = np.full((2, 9, 3), 0.0)
    cosines[:, :, 1] = 0.5
    found, _ = fit_scales(cosines, np.ones(9, np.int64))
    assert all(np.isfinite(found))


def test_there_must_be_shapes() -> None:
    with pytest.raises(ConfigError, match="There are 0 labels for 0 shapes"):
        fit_scales(np.empty((2, 0, 3)), np.empty(0, np.int64))
