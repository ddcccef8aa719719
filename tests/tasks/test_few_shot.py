"""Drawing shots, and the head fitted on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basrelief.errors import ConfigError
from basrelief.tasks import sample_shots
from basrelief.tasks.few_shot import ViewProbe

TRUTH = np.repeat([0, 2, 5], [4, 6, 5])


def views(seed: int, truth: np.ndarray, *, noise: float = 0.3) -> np.ndarray:
    centres = np.random.default_rng(0).normal(size=(6, 1, 8))
    return (centres[truth] + np.random.default_rng(seed).normal(0, noise, size=(len(truth), 3, 8))).astype(np.float32)


@given(st.integers(1, 4), st.integers(0, 100))
def test_every_class_gives_its_shots_once(shots: int, seed: int) -> None:
    support = sample_shots(TRUTH, shots, seed=seed)
    assert len(set(support.tolist())) == 3 * shots
    assert np.bincount(TRUTH[support]).tolist() == [shots, 0, shots, 0, 0, shots]


@given(st.integers(0, 100))
def test_more_shots_hold_the_fewer(seed: int) -> None:
    assert set(sample_shots(TRUTH, 2, seed=seed)) < set(sample_shots(TRUTH, 4, seed=seed))


def test_seeds_draw_other_shapes() -> None:
    assert len({tuple(sample_shots(TRUTH, 2, seed=seed)) for seed in range(10)}) > 5


def test_too_many_shots_are_an_error() -> None:
    with pytest.raises(ConfigError, match="shots is 5, but class 0 has 4 shapes. Use fewer shots."):
        sample_shots(TRUTH, 5)
    with pytest.raises(ConfigError, match="shots is 0; it must be at least 1"):
        sample_shots(TRUTH, 0)


def test_the_head_finds_classes_that_lie_apart() -> None:
    probe = ViewProbe().fit(views(1, TRUTH), TRUTH)
    assert probe.classes_.tolist() == [0, 2, 5]
    assert (probe.predict(views(2, TRUTH)) == TRUTH).all()


def test_two_classes_work_too() -> None:
    truth = np.repeat([1, 4], 5)
    probe = ViewProbe().fit(views(1, truth), truth)
    found = probe.scores(views(2, truth))
    assert found.shape == (10, 2)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-9)
    assert (probe.predict(views(2, truth)) == truth).all()


def test_logits_are_summed_over_the_views() -> None:
    probe = ViewProbe().fit(views(1, TRUTH), TRUTH)
    query = views(3, TRUTH)
    single = sum(probe.scores(query[:, v : v + 1]) for v in range(3))
    np.testing.assert_allclose(probe.scores(query), single, rtol=1e-6)


def test_several_views_are_better_than_one() -> None:
    truth = np.repeat(np.arange(6), 30)
    probe = ViewProbe().fit(views(1, truth, noise=1.5), truth)
    query = views(2, truth, noise=1.5)
    assert (probe.predict(query) == truth).mean() > (probe.predict(query[:, :1]) == truth).mean()


def test_the_scale_of_the_features_does_not_matter() -> None:
    one, other = views(1, TRUTH), views(1, TRUTH) * 1000
    np.testing.assert_allclose(ViewProbe().fit(one, TRUTH).scores(one), ViewProbe().fit(other, TRUTH).scores(other), rtol=1e-3, atol=1e-3)


def test_one_class_cannot_be_learned() -> None:
    with pytest.raises(ConfigError, match="truth has 1 class; expected at least 2. Add shapes of another class."):
        ViewProbe().fit(views(1, np.zeros(4, dtype=int)), np.zeros(4, dtype=int))
