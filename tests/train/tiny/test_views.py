"""Training views equal the projection's images from cameras of the rig."""

from __future__ import annotations

import pytest
import torch

from basrelief.render import render_batch
from basrelief.render.cameras import look_at_cameras
from basrelief.render.clip2point import DiscProjection
from basrelief.train.data import ShapeSet
from basrelief.train.tiny.towers import PROJECTION
from basrelief.train.tiny.views import ELEVATIONS, camera_points, draw_views, random_elevations


@pytest.mark.parametrize("elevation", [0.0, 20.0, -20.0, 89.0])
def test_views_equal_those_of_the_projection(shapes: ShapeSet, elevation: float) -> None:
    points = shapes.points[:4].float()
    points = points - points.mean(dim=1, keepdim=True)
    points = points / points.norm(dim=-1).amax(dim=1)[:, None, None]
    drawn = draw_views(points, torch.full((4,), elevation), PROJECTION)
    expected = render_batch(
        list(points.numpy()), DiscProjection(rig=look_at_cameras([0.0], [elevation]), size=112, radius=PROJECTION.radius)
    )
    different = (drawn - expected[:, 0]).abs() > 1e-4
    assert different.float().mean() < 1e-3


@pytest.mark.parametrize("elevation", [-90.0, -20.0, 0.0, 45.0])
def test_camera_points_are_turned_and_pushed_away(elevation: float) -> None:
    points = torch.rand(2, 5, 3)
    rotation = torch.tensor(look_at_cameras([0.0], [elevation]).rotation[0])
    assert torch.allclose(camera_points(points, torch.full((2,), elevation)), points @ rotation.T + torch.tensor([0, 0, 1.0]), atol=1e-6)


def test_each_cloud_has_its_own_elevation() -> None:
    points = torch.rand(1, 5, 3).expand(2, 5, 3)
    seen = camera_points(points, torch.tensor([0.0, 30.0]))
    assert not torch.allclose(seen[0], seen[1])


def test_points_that_are_not_numbers_are_left_out() -> None:
    points = torch.rand(2, 50, 3) - 0.5
    lost = points.clone()
    lost[:, 25:] = torch.nan
    level = torch.zeros(2)
    assert torch.equal(draw_views(lost, level, PROJECTION), draw_views(points[:, :25], level, PROJECTION))


def test_images_lie_in_the_unit_interval(shapes: ShapeSet) -> None:
    images = draw_views(shapes.points.float(), torch.zeros(len(shapes)), PROJECTION)
    assert images.shape == (len(shapes), PROJECTION.size, PROJECTION.size)
    assert images.min() >= 0
    assert images.max() == 1
    assert ((images < 1).float().mean(dim=(1, 2)) > 0.03).all()


def test_elevations_come_from_their_bands() -> None:
    drawn = random_elevations(5000, generator=torch.Generator().manual_seed(0), device=torch.device("cpu"))
    for low, high, share in ELEVATIONS:
        assert float(((drawn >= low) & (drawn <= high)).float().mean()) == pytest.approx(share, abs=0.03)


def test_bands_cover_the_rig() -> None:
    for elevation in PROJECTION.cameras.elevation:
        assert any(low - 1e-3 <= elevation <= high + 1e-3 for low, high, _ in ELEVATIONS)


def test_shares_of_the_bands_sum_to_one() -> None:
    assert sum(share for _, _, share in ELEVATIONS) == pytest.approx(1)
