"""Augmentation of clouds: each change alone, and the published ranges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from basrelief.train import PointSettings
from basrelief.train.point.augment import augment_positions, plain_cloud, training_cloud, up_axis
from basrelief.train.point.settings import CloudAugmentation

from .conftest import STILL

XYZ = np.random.default_rng(0).uniform(-0.5, 0.5, (400, 3)).astype(np.float32)


def changed(seed: int = 0, up: str = "z", **how: float) -> np.ndarray:
    return augment_positions(XYZ, replace(STILL, **how), generator=np.random.default_rng(seed), up=up)  # type: ignore[arg-type]


def test_nothing_changes_without_augmentation() -> None:
    np.testing.assert_array_equal(changed(), XYZ)


def test_dropped_points_move_to_the_first() -> None:
    shares = []
    for seed in range(40):
        moved = (changed(seed, dropout=0.875) != XYZ).any(axis=1)
        np.testing.assert_array_equal(changed(seed, dropout=0.875)[moved], np.broadcast_to(XYZ[0], (moved.sum(), 3)))
        shares.append(moved.mean())
    assert max(shares) < 0.93
    assert 0.3 < float(np.mean(shares)) < 0.58


def test_scale_and_shift_stay_in_range() -> None:
    factors = [changed(seed, scale_low=0.8, scale_high=1.25)[1, 0] / XYZ[1, 0] for seed in range(40)]
    assert 0.8 <= min(factors) < 0.9
    assert 1.15 < max(factors) <= 1.25
    shifts = np.stack([changed(seed, shift=0.1)[3] - XYZ[3] for seed in range(40)])
    assert np.abs(shifts).max() <= 0.1 + 1e-6
    assert np.abs(shifts).max() > 0.09


def turn(after: np.ndarray) -> np.ndarray:
    found, *_ = np.linalg.lstsq(XYZ.astype(np.float64), after.astype(np.float64), rcond=None)
    return np.asarray(found)


def test_the_tilt_is_a_small_rotation() -> None:
    angles = []
    for seed in range(40):
        rotation = turn(changed(seed, tilt=0.06, tilt_limit=0.18))
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(rotation) > 0
        angles.append(np.arccos((np.trace(rotation) - 1) / 2))
    assert 0.02 < float(np.mean(angles)) < 0.2
    assert max(angles) <= 3 * 0.18


@pytest.mark.parametrize(("up", "row"), [("y", 1), ("z", 2)])
def test_the_spin_is_about_the_up_axis(up: str, row: int) -> None:
    rotations = [turn(changed(seed, up, spin=True)) for seed in range(8)]
    for rotation in rotations:
        np.testing.assert_allclose(rotation[row], np.eye(3)[row], atol=1e-5)
        assert np.linalg.det(rotation) > 0
    assert np.std([rotation[0, 0] for rotation in rotations]) > 0.2


@pytest.mark.parametrize(("frame", "axis"), [("y-up", "y"), ("z-up", "z"), ("z-up-mirrored", "z")])
def test_frames_name_their_up_axis(frame: str, axis: str) -> None:
    assert up_axis(frame) == axis


def cloud(count: int = 50) -> np.ndarray:
    return np.random.default_rng(1).random((count, 6)).astype(np.float32)


def test_clouds_are_thinned_and_normalised() -> None:
    settings = replace(PointSettings(points=20), augmentation=STILL)
    found = training_cloud(cloud(), settings, np.random.default_rng(0))
    assert found.shape == (20, 6)
    np.testing.assert_allclose(found[:, :3].mean(axis=0), 0, atol=1e-6)
    assert np.linalg.norm(found[:, :3], axis=1).max() == pytest.approx(1, abs=1e-6)
    assert {tuple(rgb) for rgb in found[:, 3:]} <= {tuple(rgb) for rgb in cloud()[:, 3:]}
    assert len({tuple(rgb) for rgb in found[:, 3:]}) == 20


def test_clouds_of_the_right_size_keep_their_order_unless_shuffled() -> None:
    settings = replace(PointSettings(points=50), augmentation=STILL)
    np.testing.assert_array_equal(training_cloud(cloud(), settings, np.random.default_rng(0)), plain_cloud(cloud(), settings))
    shuffled = replace(settings, augmentation=replace(STILL, shuffle=True))
    found = training_cloud(cloud(), shuffled, np.random.default_rng(0))
    assert not np.array_equal(found[:, 3:], cloud()[:, 3:])
    np.testing.assert_array_equal(np.sort(found[:, 3]), np.sort(cloud()[:, 3]))


def test_half_of_the_clouds_lose_their_colour() -> None:
    settings = replace(PointSettings(), augmentation=CloudAugmentation())
    plain = [(training_cloud(cloud(), settings, np.random.default_rng(seed))[:, 3:] == np.float32(0.4)).all() for seed in range(60)]
    assert 15 < sum(plain) < 45


def test_the_same_generator_gives_the_same_cloud() -> None:
    settings = PointSettings(points=30)
    first, second = (training_cloud(cloud(), settings, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32
