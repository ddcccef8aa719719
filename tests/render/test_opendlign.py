"""Laws of OpenDlign's depth maps, their images and options."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import label, median_filter

from basrelief.errors import ConfigError
from basrelief.render.base import Cameras, PointBatch
from basrelief.render.cameras import look_at_cameras
from basrelief.render.opendlign import OpenDlignProjection, control_image
from basrelief.render.rigs import get_rig
from render.maps import make_clouds

FRONT = look_at_cameras([0.0], 0.0)
"""The eye on world +X: world +Y is right in the picture, world +Z is up."""


def draw(points: Any, device: torch.device | str = "cpu", **options: Any) -> torch.Tensor:
    """Depth (V, H, W) of one cloud."""
    projection = OpenDlignProjection(**{"size": 64, "planes": 24, **options})
    return projection.depth(PointBatch.pack([np.asarray(points, dtype=np.float32)], device=device))[0]


def board(x: float, y: tuple[float, float], z: tuple[float, float], step: float = 0.01) -> np.ndarray:
    """A dense rectangle that faces +X."""
    across, up = np.meshgrid(np.arange(y[0], y[1], step), np.arange(z[0], z[1], step))
    return np.stack([np.full(across.size, x), across.ravel(), up.ravel()], axis=1)


def test_order_of_points_does_not_matter(device: torch.device) -> None:
    points = make_clouds(3)["ball"]
    shuffled = np.random.default_rng(0).permutation(points)
    assert torch.equal(draw(points, device), draw(shuffled, device))


def test_repeated_points_do_not_matter() -> None:
    points = make_clouds(3)["box"]
    assert torch.equal(draw(points), draw(np.concatenate([points, points[::3]])))


def test_clouds_of_different_sizes_in_one_batch(device: torch.device) -> None:
    clouds = list(make_clouds(5).values())
    projection = OpenDlignProjection(size=48, planes=16)
    together = projection.depth(PointBatch.pack(clouds, device=device))
    apart = torch.cat([projection.depth(PointBatch.pack([cloud], device=device)) for cloud in clouds])
    assert together.shape == (len(clouds), 10, 48, 48)
    assert together.dtype == torch.float32
    assert torch.equal(torch.isinf(together), torch.isinf(apart))
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=0)


def test_batch_that_needs_several_parts() -> None:
    clouds = [make_clouds(5)["ball"], make_clouds(6)["box"]]
    three = Cameras(get_rig("opendlign-33").rotation[::4])
    projection = OpenDlignProjection(rig=three, planes=100)
    together = projection.depth(PointBatch.pack(clouds))
    for number, view in ((0, 2), (1, 0), (1, 1)):
        alone = dataclasses.replace(projection, rig=Cameras(three.rotation[view : view + 1])).depth(PointBatch.pack([clouds[number]]))
        torch.testing.assert_close(together[number, view], alone[0, 0], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("points", "views"), [([50, 70, 1, 900], 10), ([3_000_000], 10), ([9_000_000, 10], 3), ([1] * 100, 1)])
@pytest.mark.parametrize("size", [32, 224])
def test_parts_cover_everything_once_in_bounded_memory(points: list[int], views: int, size: int) -> None:
    ends = [0, *np.cumsum(points).tolist()]
    drawn = np.zeros((len(points), views), dtype=int)
    for clouds, some in OpenDlignProjection(size=size)._parts(ends, views, torch.device("cpu")):
        drawn[clouds, some] += 1
        images = drawn[clouds, some].size
        assert images == 1 or images * size * size * 112 <= 2**23
        assert images == 1 or (ends[clouds.stop] - ends[clouds.start]) * drawn[clouds, some].shape[1] <= 2**22
    assert (drawn == 1).all()


def test_degenerate_clouds_are_defined(cloud: np.ndarray, device: torch.device) -> None:
    depth = draw(cloud, device)
    seen = torch.isfinite(depth)
    assert not torch.isnan(depth).any()
    assert seen.flatten(1).any(1).all()
    assert torch.equal(depth.flatten(1).amin(1), torch.zeros(10, device=device))
    assert (depth[seen] < 1).all()


def test_one_point_is_a_square_in_the_middle() -> None:
    for points in ([[0.3, -0.2, 5.0]], [[0.3, -0.2, 5.0]] * 9):
        expected = torch.full((10, 64, 64), torch.inf)
        expected[:, 29:36, 29:36] = 0
        torch.testing.assert_close(draw(points), expected, atol=1e-6, rtol=0)


def test_background_is_exactly_one_and_the_rest_darker() -> None:
    projection = OpenDlignProjection(size=64, planes=24)
    depth = projection.depth(PointBatch.pack([make_clouds(1)["sphere"]]))
    image = projection.image(depth)
    assert image.shape == depth.shape
    assert torch.equal(image == 1, torch.isinf(depth))
    assert float(image.min()) == 0
    assert (image == 1).float().mean() > 0.2


def test_near_is_darker_than_far() -> None:
    depth = draw(np.concatenate([board(0.5, (-0.5, -0.1), (-0.4, 0.4)), board(-0.5, (0.1, 0.5), (-0.4, 0.4))]), rig=FRONT)[0]
    near, far = depth[32, 12:20], depth[32, 44:52]
    assert float(near.max()) < 0.01
    assert float(far.min()) > 0.5


def test_depth_in_closed_form() -> None:
    depth = draw([[1, -0.5, 0], [-1, 0.5, 0]], rig=FRONT, bias=0.25)[0]
    left, right = depth[torch.isfinite(depth)].view(7, 14)[0].view(2, 7)
    assert torch.equal(left, torch.zeros(7))
    torch.testing.assert_close(right, torch.full((7,), 1 - 0.25 / 1.25))


def test_farthest_point_is_not_background() -> None:
    ahead = board(0.5, (-0.5, 0.0), (-0.5, 0.5))
    depth = draw(np.concatenate([ahead, [[-0.5, 0.3, 0.0]]]), rig=FRONT, bias=0.01)[0]
    assert 0.9 < float(depth[torch.isfinite(depth)].max()) < 1


def test_picture_is_upright_and_not_mirrored() -> None:
    seen = torch.isfinite(draw([[0, 0, 1], [0, 0, -1], [0, 1, 0.5]], rig=FRONT)[0])
    rows, columns = torch.nonzero(seen, as_tuple=True)
    assert (rows[columns > 40] < 30).all()
    assert (columns > 40).any()
    assert rows.min() < 10


def test_every_rig_view_keeps_world_up() -> None:
    depth = draw(
        np.concatenate([board(0.0, (-0.1, 0.1), (-1, 1), 0.02), [[0.0, 0.6, 0.9], [0.0, -0.6, 0.9], [0.6, 0.0, 0.9], [-0.6, 0.0, 0.9]]])
    )
    widths = torch.isfinite(depth).sum(2)
    assert (widths[:, :24].amax(1) > widths[:, 40:].amax(1)).all()


def test_place_and_scale_do_not_matter() -> None:
    points = (make_clouds(2)["ball"] * 1024).round() / 1024
    torch.testing.assert_close(draw(points), draw(points * 4 + 8), atol=1e-5, rtol=0)


def test_turning_the_shape_moves_to_the_next_view() -> None:
    points = make_clouds(2)["box"]
    angle = np.radians(30)
    turned = points @ np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    before, after = draw(points)[:-1], draw(turned)[1:]
    assert (torch.isinf(before) != torch.isinf(after)).float().mean() < 0.005


@pytest.mark.parametrize("points_per_bar", [400, 2000])
def test_gaps_between_bars_stay_open(points_per_bar: int) -> None:
    """Six bars as wide as the gaps, 16 pixels; the 7x7 maximum takes 3 from each side of a gap."""
    rng = np.random.default_rng(0)
    bars = [rng.uniform((-0.02, y, -0.5), (0.02, y + 1 / 11, 0.5), (points_per_bar, 3)) for y in np.arange(6) * 2 / 11]
    depth = draw(np.concatenate(bars), size=224, planes=112, rig=look_at_cameras([0.0, 20.0], [0.0, 20.0]))
    row = torch.isinf(depth[0, 100:125]).all(0).numpy()
    spans, count = label(row)
    assert count == 7
    widths = np.bincount(spans)[2:-1]
    assert (widths >= 9).all()
    assert (widths <= 11).all()
    assert label(torch.isinf(depth[1, 112]).numpy())[1] == 7


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
    depth = OpenDlignProjection(size=64, planes=24).depth(PointBatch.pack([make_clouds(1)["ball"], make_clouds(1)["box"]], device=device))
    image = OpenDlignProjection(size=64, planes=24, median=True).image(depth).cpu().numpy()
    plain = depth.clamp(max=1).cpu().numpy()
    assert np.array_equal(image, median_filter(plain, size=(1, 1, 7, 7), mode="constant", cval=1.0))


def test_median_takes_away_specks_and_fills_pinholes() -> None:
    depth = torch.full((1, 1, 32, 32), torch.inf)
    depth[..., 16:, :] = 0.5
    expected = depth.clamp(max=1)
    depth[..., 5:8, 10:13] = 0.2
    depth[..., 24, 20] = torch.inf
    image = OpenDlignProjection(size=32, median=True).image(depth)
    assert torch.equal(image[..., :28, 4:28], expected[..., :28, 4:28])


def test_control_image_is_bright_near() -> None:
    image = torch.tensor([[0.0, 0.1], [0.5, 1.0]])
    torch.testing.assert_close(control_image(image), torch.tensor([[1.0, 0.9], [0.5, 0.0]]))
    torch.testing.assert_close(control_image(image, reading="reciprocal"), torch.tensor([[1.0, 1.0], [1 / 9, 0.0]]))
    torch.testing.assert_close(control_image(image, reading="reciprocal", floor=0.5), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))


def test_control_image_refuses() -> None:
    with pytest.raises(
        ConfigError, match=r"^Unknown reading 'reciprocl'; expected one of complement, reciprocal\. Did you mean 'reciprocal'\?$"
    ):
        control_image(torch.zeros(2, 2), reading="reciprocl")
    for floor in (0.0, 1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"^floor is .*; it must lie between 0 and 1\. Leave it out for 0\.1\.$"):
            control_image(torch.zeros(2, 2), floor=floor)


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
        OpenDlignProjection(**{option: value})


def test_unknown_rig() -> None:
    with pytest.raises(ConfigError, match=r"Unknown rig 'opendlign-31'; expected one of .*\. Did you mean 'opendlign-3"):
        OpenDlignProjection(rig="opendlign-31")


@pytest.mark.parametrize(("rig", "last", "step"), [("opendlign-30", 300, 30), ("opendlign-33", 330, 100 / 3)])
def test_rigs_hold_both_readings(rig: str, last: float, step: float) -> None:
    cameras = OpenDlignProjection(rig=rig).cameras
    azimuth = cameras.azimuth % 360
    assert len(cameras) == 10
    np.testing.assert_allclose(azimuth[[0, -1]], [30, last], atol=1e-3)
    np.testing.assert_allclose(np.diff(azimuth), step, atol=1e-3)
    np.testing.assert_allclose(cameras.elevation, 20, atol=1e-3)
    assert cameras.distance is None


def test_what_a_projection_says_of_itself() -> None:
    projection = OpenDlignProjection(size=96)
    assert (projection.name, projection.size, projection.image_size, projection.background) == ("opendlign", 96, 96, 1.0)
    assert np.array_equal(projection.frame, np.eye(3))
    assert OpenDlignProjection().size == 224
    assert not OpenDlignProjection().median
    with pytest.raises(dataclasses.FrozenInstanceError):
        projection.size = 3  # type: ignore[misc]
