"""Properties of all point projections, for any cloud."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from basrelief.geometry.transforms import axis_rotation
from basrelief.render import Projection, get_projection
from basrelief.render.base import PointBatch
from basrelief.render.clip2point import DiscProjection, draw_discs, jitter_distance
from basrelief.render.pointclip import PointClipProjection
from basrelief.render.pointclip_v2 import PointClipV2Projection
from render.maps import make_clouds, off

NAMES = ["pointclip", "pointclip-fewshot", "pointclip-v2", "clip2point", "clip2point-zeroshot", "discs"]


@pytest.fixture(params=NAMES)
def projection(request: pytest.FixtureRequest) -> Projection:
    return get_projection(request.param, size=48)


def draw(projection: Projection, *clouds: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    return projection.depth(PointBatch.pack(clouds, device=device))


def test_dimensions_and_types(projection: Projection, cloud: np.ndarray, device: torch.device) -> None:
    depth = draw(projection, cloud, cloud[:1], device=device)
    views = len(projection.cameras)
    assert depth.shape == (2, views, projection.size, projection.size)
    image = projection.image(depth)
    assert image.shape == (2, views, projection.image_size, projection.image_size)
    assert depth.dtype == image.dtype == torch.float32
    assert depth.device.type == image.device.type == device.type


def test_never_nan(projection: Projection, cloud: np.ndarray, device: torch.device) -> None:
    depth = draw(projection, cloud, device=device)
    assert not depth.isnan().any()
    assert (depth >= 0).all()
    assert projection.image(depth).isfinite().all()


def test_image_leaves_the_depth_alone(projection: Projection) -> None:
    depth = draw(projection, make_clouds(1)["ball"])
    before = depth.clone()
    projection.image(depth)
    assert torch.equal(depth, before)


def test_point_order_does_not_matter(projection: Projection, cloud: np.ndarray, device: torch.device) -> None:
    shuffled = np.random.default_rng(1).permutation(cloud)
    first, second = draw(projection, cloud, device=device), draw(projection, shuffled, device=device)
    if isinstance(projection, PointClipProjection):  # sums of floats
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)
    else:
        assert torch.equal(first, second)


def test_a_batch_is_its_clouds_one_by_one(projection: Projection, device: torch.device) -> None:
    clouds = list(make_clouds(2).values())
    together = draw(projection, *clouds, device=device)
    for ours, cloud in zip(together, clouds, strict=True):
        torch.testing.assert_close(ours, draw(projection, cloud, device=device)[0], rtol=1e-5, atol=1e-6)


def test_many_points_are_drawn_in_parts(projection: Projection) -> None:
    """More points than one part holds: the parts together are what a lattice seen once gives."""
    once = make_clouds(3)["ball"]
    often = np.tile(once, (2**18 // len(once) // 3, 1))
    torch.testing.assert_close(draw(projection, often), draw(projection, once), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["discs", "clip2point"])
def test_nearest_disc_wins_and_more_points_only_come_nearer(name: str) -> None:
    projection = get_projection(name, size=40, radius=0.06)
    ball, box = make_clouds(4)["ball"], make_clouds(4)["box"]
    apart, together = draw(projection, ball, box), draw(projection, np.concatenate([ball, box]))
    assert torch.equal(together[0], torch.minimum(apart[0], apart[1]))


def test_points_in_camera_frames_are_drawn_without_a_rig() -> None:
    projection = DiscProjection(size=40, radius=0.06)
    clouds = [make_clouds(4)["ball"], make_clouds(4)["box"]]
    batch = PointBatch.pack(clouds)
    xyz = torch.stack(
        [(batch.points @ torch.tensor(rotation).T + torch.tensor([0.0, 0, 1])).T for rotation in projection.cameras.rotation], 1
    )
    assert not off(draw_discs(xyz, batch.cloud, 2, size=40, radius=0.06), draw(projection, *clouds))


def test_one_point_is_one_disc() -> None:
    projection = DiscProjection(size=101, radius=0.2)
    depth = draw(projection, np.zeros((1, 3), dtype=np.float32))[0]
    rows, columns = np.indices((101, 101)) - 50
    inside = np.hypot(rows, columns) < 0.2 * 101 / 2
    for view in depth.numpy():
        np.testing.assert_array_equal(np.isfinite(view), inside)
        np.testing.assert_array_equal(view[inside], 1)


def test_a_sphere_is_drawn_by_its_closed_form() -> None:
    """The front of the unit sphere at (x, y) is at 1 - sqrt(1 - x^2 - y^2), whatever the view."""
    steps = np.arange(20_000) + 0.5
    polar, around = np.arccos(1 - 2 * steps / len(steps)), np.pi * (1 + 5**0.5) * steps
    sphere = np.stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)], axis=1).astype(np.float32)
    projection = DiscProjection(rig="clip2point10", size=64, radius=0.04)
    depth = draw(projection, sphere)[0].numpy()
    centres = (2 * np.arange(64) + 1) / 64 - 1
    radius = np.hypot(*np.meshgrid(centres, centres))
    inner = radius < 0.8
    front = 1 - np.sqrt(1 - radius[inner] ** 2)
    slack = 0.04 * 0.8 / 0.6 + 0.02  # a disc's depth is that of its middle
    assert np.abs(depth[:, inner] - front).max() < slack
    assert (depth[:, radius > 1.05] == math.inf).all()
    image = projection.image(torch.as_tensor(depth)[None])[0].numpy()
    assert (image[:, radius > 1.05] == 1).all()
    np.testing.assert_allclose(image[:, 32, 32], 0, atol=0.01)


def test_points_behind_the_eye_are_skipped_and_points_at_it_are_background_in_the_image() -> None:
    projection = DiscProjection(rig="clip2point6", size=21, radius=0.1)
    eye = -projection.cameras.rotation[0, 2]
    behind = draw(projection, (eye * 1.5)[None])[0, 0]
    assert (behind == math.inf).all()
    at = draw(projection, eye[None])
    assert at[0, 0].min() == 0
    assert (projection.image(at)[0, 0] == 1).all()


def test_disc_image_divides_by_the_farthest_depth() -> None:
    depth = torch.full((1, 1, 2, 2), math.inf)
    depth[0, 0, 0] = torch.tensor([0.5, 0.8])
    image = DiscProjection(size=2, radius=0.3).image(depth)[0, 0]
    torch.testing.assert_close(image, torch.tensor([[0, 0.3 / 0.8 * 200 / 255], [1, 1]]))
    far = DiscProjection(size=2, radius=0.3).image(depth + 1)[0, 0]  # both beyond 1, where the background counts as nearest
    torch.testing.assert_close(far, torch.tensor([[0.5 / 1.8 * 200 / 255, 0.8 / 1.8 * 200 / 255], [1, 1]]))


def test_one_point_in_perspective() -> None:
    projection = PointClipProjection(size=100, distance=2.0)
    depth = draw(projection, np.zeros((1, 3), dtype=np.float32))[0]
    assert depth.isfinite().sum(dim=(1, 2)).tolist() == [1] * 6
    assert depth[:, 50, 50].tolist() == [2.0] * 6


def test_depths_in_a_pixel_are_averaged_harmonically() -> None:
    projection = PointClipProjection(size=3, distance=2.0)
    axis = np.array([[0, 0, 1]], dtype=np.float32)  # the first camera looks along +z of the method's frame
    depth = draw(projection, np.concatenate([axis, -axis]) * np.float32(0.5))[0, 0]
    assert depth.min().item() == pytest.approx(2 / (1 / 1.5 + 1 / 2.5))
    lone = draw(projection, -axis * 3)[0, 0]
    assert (lone == math.inf).all()


@pytest.mark.parametrize("scale", [1e-6, 0.37, 1e6])
def test_v2_does_not_see_scale_or_place(scale: float) -> None:
    projection = PointClipV2Projection(size=48)
    ball = make_clouds(5)["ball"]
    moved = ((ball.astype(np.float64) + 0.25) * scale).astype(np.float32)
    assert (draw(projection, ball) - draw(projection, moved)).nan_to_num(0, 9, 9).abs().gt(1e-3).float().mean() < 0.01


def test_v2_draws_a_repeated_point_as_one_dot() -> None:
    projection = PointClipV2Projection()
    depth = draw(projection, make_clouds(6)["repeated"])[0]
    assert depth.isfinite().sum(dim=(1, 2)).tolist() == [81] * 10  # 7 x 7, and a rim of 1 from the smoothing
    assert (depth[:, 53:58, 53:58] == 0).all()
    assert (depth == 0).sum() == 250
    assert torch.equal(depth, draw(projection, np.zeros((1, 3), dtype=np.float32))[0])


def test_a_quarter_turn_moves_the_turntable_on() -> None:
    projection = DiscProjection(size=80, radius=0.05)
    ball = make_clouds(8)["ball"]
    turned = (ball @ axis_rotation("z", math.pi / 2).T).astype(np.float32)
    first, second = draw(projection, ball)[0, :8], draw(projection, turned)[0, :8]
    assert not off(first, second.roll(-2, dims=0))
    assert off(first, second)


def test_farther_cameras_draw_smaller_and_deeper() -> None:
    projection = DiscProjection(size=64, radius=0.03, rot=True)
    ball = make_clouds(9)["ball"]
    zero = torch.zeros(2)
    depth = projection.pair(PointBatch.pack([ball, ball[:50]]), zero, zero, torch.tensor([[1.0, 1.0], [1.1, 0.9]]))
    assert torch.equal(depth[0, 0], depth[0, 1])
    assert not off(depth[0, 0], draw(DiscProjection(rig="clip2point10", size=64, radius=0.03), ball)[0, 0])
    seen = depth[1].isfinite()
    assert seen[0].any(dim=0).sum() < seen[1].any(dim=0).sum()
    assert depth[1, 0][seen[0]].mean() > depth[1, 1][seen[1]].mean()


def test_jittered_distances() -> None:
    distance = torch.linspace(0.5, 2, 2000)
    drawn = jitter_distance(distance, generator=torch.Generator().manual_seed(4))
    part = drawn / distance[:, None]
    assert drawn.shape == (2000, 2)
    assert 0.9 <= part.min() < 0.905
    assert 1.095 < part.max() <= 1.1
    assert torch.equal(drawn, jitter_distance(distance, generator=torch.Generator().manual_seed(4)))
    assert not torch.equal(drawn[:, 0], drawn[:, 1])
    assert not torch.equal(drawn, jitter_distance(distance, generator=torch.Generator().manual_seed(5)))
