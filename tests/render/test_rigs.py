"""Named rigs, and CLIP2Point's cameras at the poles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError
from basrelief.render.rigs import CLIP2POINT_TURN, RIGS, clip2point_look, evenly_spaced_views, get_rig


@pytest.mark.parametrize("name", sorted(RIGS))
def test_rigs_hold_rotations(name: str) -> None:
    cameras = get_rig(name)
    identity = np.tile(np.eye(3), (len(cameras), 1, 1))
    np.testing.assert_allclose(cameras.rotation @ cameras.rotation.transpose(0, 2, 1), identity, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(cameras.rotation), 1, atol=1e-5)
    assert cameras.rotation.dtype == np.float32
    assert cameras.distance is None
    assert get_rig(name) is cameras


def test_clip2point_rigs_look_from_six_sides_and_four_corners() -> None:
    eyes = -get_rig("clip2point10").rotation[:, 2]
    sides = np.abs(eyes[[0, 1, 2, 3, 8, 9]])
    np.testing.assert_allclose(sides.max(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(get_rig("clip2point10").elevation[4:8], -45, atol=1e-4)  # 225 and 315 degrees are below the horizon
    six = -get_rig("clip2point6").rotation[:, 2]
    np.testing.assert_allclose(np.unique(six.round(3) + 0.0, axis=0), np.unique(np.concatenate([np.eye(3), -np.eye(3)]), axis=0))


def test_turn_brings_z_up_to_y_up() -> None:
    np.testing.assert_array_equal(CLIP2POINT_TURN @ [0, 0, 1], [0, 1, 0])
    assert np.linalg.det(CLIP2POINT_TURN) == 1


@pytest.mark.parametrize("elevation", [90.0, 270.0, -90.0])
def test_poles_are_decided_by_float32(elevation: float) -> None:
    """The sign of cos(pi/2) in float32 decides which way is up."""
    rotation = clip2point_look(torch.tensor([0.0]), torch.tensor([elevation]))[0]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-6, rtol=0)
    assert rotation.det().item() == pytest.approx(1)
    side = np.sign(np.cos(np.radians(np.float32(elevation))))
    assert rotation[0, 0].item() == pytest.approx(side)


def test_side_views_have_y_up() -> None:
    azimuth = torch.arange(0.0, 360.0, 30.0)
    rotation = clip2point_look(azimuth, torch.zeros(12))
    torch.testing.assert_close(rotation[:, 1], torch.tensor([0.0, -1.0, 0.0]).expand(12, 3), atol=1e-6, rtol=0)
    eye = -rotation[:, 2]
    torch.testing.assert_close(torch.rad2deg(torch.atan2(eye[:, 0], eye[:, 2])) % 360, azimuth, atol=1e-3, rtol=0)


def test_unknown_rig() -> None:
    with pytest.raises(ConfigError, match=r"Unknown rig 'turntable'; expected one of .*turntable10.*. Did you mean 'turntable10'"):
        get_rig("turntable")


@pytest.mark.parametrize(
    ("count", "expected"), [(10, list(range(10))), (5, [0, 2, 4, 6, 8]), (1, [0]), (3, [0, 3, 6]), (7, [0, 1, 2, 4, 5, 7, 8])]
)
def test_fewer_views_are_spread_over_the_rig(count: int, expected: list[int]) -> None:
    assert evenly_spaced_views(count, 10) == expected


@pytest.mark.parametrize("count", [0, 11])
def test_a_rig_has_no_more_views(count: int) -> None:
    with pytest.raises(ConfigError, match=f"views is {count}; the rig has 10 views. Leave it out for all."):
        evenly_spaced_views(count, 10)
