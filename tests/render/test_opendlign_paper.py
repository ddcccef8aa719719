"""Laws of the reading of OpenDlign's paper alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter

from basrelief.errors import ConfigError
from basrelief.render.base import PointBatch
from basrelief.render.cameras import look_at_cameras
from basrelief.render.opendlign_paper import OpenDlignPaperProjection
from render.maps import make_clouds

FRONT = look_at_cameras([0.0], 0.0)
"""The eye on world +X: world +Y is right in the picture, world +Z is up."""


def draw(points: Any, device: torch.device | str = "cpu", **options: Any) -> torch.Tensor:
    """Depth (V, H, W) of one cloud."""
    projection = OpenDlignPaperProjection(**{"size": 64, "planes": 24, **options})
    return projection.depth(PointBatch.pack([np.asarray(points, dtype=np.float32)], device=device))[0]


def board(x: float, y: tuple[float, float], z: tuple[float, float], step: float = 0.01) -> np.ndarray:
    """A dense rectangle that faces +X."""
    across, up = np.meshgrid(np.arange(y[0], y[1], step), np.arange(z[0], z[1], step))
    return np.stack([np.full(across.size, x), across.ravel(), up.ravel()], axis=1)


def test_one_point_is_a_square_in_the_middle() -> None:
    for points in ([[0.3, -0.2, 5.0]], [[0.3, -0.2, 5.0]] * 9):
        expected = torch.full((10, 64, 64), torch.inf)
        expected[:, 29:36, 29:36] = 0
        torch.testing.assert_close(draw(points), expected, atol=1e-6, rtol=0)


def test_depth_in_closed_form() -> None:
    depth = draw([[1, -0.5, 0], [-1, 0.5, 0]], rig=FRONT, bias=0.25)[0]
    left, right = depth[torch.isfinite(depth)].view(7, 14)[0].view(2, 7)
    assert torch.equal(left, torch.zeros(7))
    torch.testing.assert_close(right, torch.full((7,), 1 - 0.25 / 1.25))


def test_turning_the_shape_moves_to_the_next_view() -> None:
    points = make_clouds(2)["box"]
    angle = np.radians(30)
    turned = points @ np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    before, after = draw(points)[:-1], draw(turned)[1:]
    assert (torch.isinf(before) != torch.isinf(after)).float().mean() < 0.005


def test_edges_between_depths_stay_sharp() -> None:
    steps = np.concatenate([board(0.3, (-0.5, 0.0), (-0.5, 0.5)), board(-0.3, (-0.5, 0.5), (-0.5, 0.5))])

    def between(range_sigma: float) -> int:
        depth = draw(steps, rig=FRONT, range_sigma=range_sigma, planes=6)[0]
        far = depth[torch.isfinite(depth)].max()
        return int(((depth > 0.02) & (depth < far - 0.02)).sum())

    assert between(0.05) == 0
    assert between(1.0) > 20


def test_smoothing_takes_noise_away() -> None:
    points = board(0.0, (-0.5, 0.5), (-0.5, 0.5), 0.05)
    points[:, 0] += np.random.default_rng(0).uniform(-0.1, 0.1, len(points))
    rough, smooth = (draw(points, rig=FRONT, planes=48, range_sigma=sigma)[0, 12:52, 12:52].std() for sigma in (1e-3, 0.1))
    assert smooth < 0.8 * rough


def test_empty_voxels_pale_the_rims() -> None:
    points = board(0.0, (-0.5, 0.5), (-0.5, 0.5), 0.02)
    plain, pale = (draw(points, rig=FRONT, range_sigma=0.3, count_empty=count)[0] for count in (False, True))
    assert torch.equal(torch.isinf(plain), torch.isinf(pale))
    assert float(plain[torch.isfinite(plain)].max()) < 1e-5
    rim = int(torch.nonzero(torch.isfinite(pale[32]))[0])
    assert float(pale[32, rim]) > 0.05
    assert float(pale[32, 32]) < 1e-5


def test_median_is_that_of_scipy(device: torch.device) -> None:
    depth = OpenDlignPaperProjection(size=64, planes=24).depth(
        PointBatch.pack([make_clouds(1)["ball"], make_clouds(1)["box"]], device=device)
    )
    image = OpenDlignPaperProjection(size=64, planes=24, median=True).image(depth).cpu().numpy()
    plain = depth.clamp(max=1).cpu().numpy()
    assert np.array_equal(image, median_filter(plain, size=(1, 1, 7, 7), mode="constant", cval=1.0))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size", 7),
        ("planes", 0),
        ("ratio", 0.0),
        ("ratio", 1.01),
        ("bias", 0.0),
        ("bias", -1.0),
        ("spatial_sigma", 0.0),
        ("range_sigma", 1e-5),
        ("range_sigma", float("nan")),
        ("range_sigma", float("inf")),
    ],
)
def test_options_out_of_range(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^{option} is {value}; it must lie in \[.*\]\. Leave it out for the default\.$"):
        OpenDlignPaperProjection(**{option: value})


def test_unknown_rig() -> None:
    with pytest.raises(ConfigError, match=r"Unknown rig 'opendlign-31'; expected one of .*\. Did you mean 'opendlign-3"):
        OpenDlignPaperProjection(rig="opendlign-31")


@pytest.mark.parametrize(("rig", "last", "step"), [("opendlign-30", 300, 30), ("opendlign-33", 330, 100 / 3)])
def test_rigs_hold_both_readings(rig: str, last: float, step: float) -> None:
    cameras = OpenDlignPaperProjection(rig=rig).cameras
    azimuth = cameras.azimuth % 360
    assert len(cameras) == 10
    np.testing.assert_allclose(azimuth[[0, -1]], [30, last], atol=1e-3)
    np.testing.assert_allclose(np.diff(azimuth), step, atol=1e-3)
    np.testing.assert_allclose(cameras.elevation, 20, atol=1e-3)
    assert cameras.distance is None


def test_what_a_projection_says_of_itself() -> None:
    projection = OpenDlignPaperProjection(size=96)
    assert (projection.name, projection.size, projection.image_size, projection.background) == ("opendlign-paper", 96, 96, 1.0)
    assert np.array_equal(projection.frame, np.eye(3))
    assert OpenDlignPaperProjection().size == 224
    assert not OpenDlignPaperProjection().median
    with pytest.raises(dataclasses.FrozenInstanceError):
        projection.size = 3  # type: ignore[misc]
