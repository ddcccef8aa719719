"""Rendering of depth views from shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError, GeometryError
from basrelief.render import DepthViews, get_projection, render_batch, render_depth
from basrelief.render.base import PointBatch
from basrelief.types import Mesh, PointCloud
from render.maps import make_clouds, off

CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-0.6, 0.6) for z in (-0.3, 0.3)], dtype=np.float32)
SIDES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)


@pytest.fixture
def brick() -> Mesh:
    return Mesh(CORNERS, SIDES.astype(np.int64))


@pytest.fixture
def ball() -> PointCloud:
    return PointCloud(make_clouds(0)["ball"])


@pytest.mark.parametrize(
    "name", ["pointclip", "pointclip-fewshot", "pointclip-v2", "clip2point", "clip2point-zeroshot", "discs", "opendlign"]
)
def test_every_projection_draws_a_cloud(name: str, ball: PointCloud, device: torch.device) -> None:
    projection = get_projection(name)
    views = render_depth(ball, name, device=device)
    assert len(views) == len(views.cameras) == len(projection.cameras)
    assert views.depth.shape == (len(views), projection.size, projection.size)
    assert views.image.shape == (len(views), projection.image_size, projection.image_size)
    assert views.projection == name
    assert views.depth.isfinite().any(dim=2).any(dim=1).all()
    assert views.image.isfinite().all()


def test_the_default_is_opendlign(ball: PointCloud) -> None:
    assert render_depth(ball, size=48).projection == "opendlign"


def test_place_and_scale_do_not_matter(ball: PointCloud) -> None:
    moved = PointCloud(ball.points * 1000 + np.float32(300))
    first, second = render_depth(ball, "discs"), render_depth(moved, "discs")
    differ = (first.image - second.image).abs() > 0.01
    assert differ.float().mean() < 1e-3


def test_the_frame_is_the_projections_business(ball: PointCloud) -> None:
    upright, turned = get_projection("clip2point", rot=False), get_projection("clip2point", rot=True)
    first, second = render_depth(ball, upright), render_depth(ball, turned)
    assert not off(first.depth, second.depth)
    np.testing.assert_array_equal(first.cameras.rotation, second.cameras.rotation)


def test_a_mesh_is_sampled_by_seed(brick: Mesh) -> None:
    first = render_depth(brick, "discs", points=500)
    assert torch.equal(first.depth, render_depth(brick, "discs", points=500, seed=0).depth)
    assert not torch.equal(first.depth, render_depth(brick, "discs", points=500, seed=1).depth)
    more = render_depth(brick, "discs")
    assert more.depth.isfinite().sum() > 1.2 * first.depth.isfinite().sum()


def test_a_cloud_gives_the_points_asked_for() -> None:
    cloud = PointCloud(np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32))
    few = render_depth(cloud, "pointclip", points=10).depth
    assert few.isfinite().sum(dim=(1, 2)).max() <= 10
    assert not torch.equal(few, render_depth(cloud, "pointclip", points=10, seed=5).depth)
    assert torch.equal(render_depth(cloud, "pointclip", points=4000).depth, render_depth(cloud, "pointclip").depth)


def test_size_goes_to_the_projection(ball: PointCloud) -> None:
    assert render_depth(ball, "clip2point", size=60).depth.shape == (10, 60, 60)
    views = render_depth(ball, get_projection("pointclip-v2", image_size=96), size=40)
    assert views.depth.shape == (10, 40, 40)
    assert views.image.shape == (10, 96, 96)


@pytest.mark.parametrize("name", ["pointclip", "clip2point", "pointclip-v2", "discs"])
def test_a_batch_is_the_shapes_one_by_one(name: str, device: torch.device) -> None:
    clouds = list(make_clouds(3).values())[:9] * 3
    images = render_batch(clouds, get_projection(name, size=120), device=device)
    assert images.device.type == device.type
    for image, cloud in zip(images, clouds, strict=True):
        torch.testing.assert_close(image, render_depth(PointCloud(cloud), name, size=120, device=device).image, rtol=1e-4, atol=1e-5)


def test_batches_are_cut_so_that_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    pack = PointBatch.pack
    monkeypatch.setattr(PointBatch, "pack", lambda clouds, **kwargs: sizes.append(len(clouds)) or pack(clouds, **kwargs))
    images = render_batch([np.eye(3)] * 30, "clip2point")
    assert images.shape == (30, 10, 224, 224)
    assert sum(sizes) == 30
    assert max(sizes) * 10 * 224**2 <= 2**21


def test_images_can_be_trained_on() -> None:
    images = render_batch([np.eye(3)], "discs")
    weight = torch.ones((), requires_grad=True)
    (images * weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(images.sum().item())


def test_large_numbers_do_not_overflow() -> None:
    cloud = PointCloud(np.array([[0, 0, 1e30], [1e30, 0, 0], [0, -1e30, 0]], dtype=np.float32))
    assert render_depth(cloud, "clip2point").depth.isfinite().any()


def test_unknown_projection(ball: PointCloud) -> None:
    with pytest.raises(ConfigError, match=r"Unknown projection 'pointclipv2'; expected one of .*. Did you mean 'pointclip-v2'\?"):
        render_depth(ball, "pointclipv2")
    with pytest.raises(ConfigError, match="Unknown projection '.*'; expected one of"):
        render_batch([ball.points], "z-buffer")


def test_no_cloud() -> None:
    with pytest.raises(GeometryError, match="clouds is empty"):
        render_batch([], "discs")


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros((3, 4)), np.full((2, 3), np.nan)])
def test_bad_clouds(bad: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="is empty|has shape|are not finite"):
        render_batch([np.eye(3), bad], "discs")


@pytest.mark.parametrize("bad", [torch.zeros(0, 3), torch.zeros(3, 4), torch.zeros(3)])
def test_bad_clouds_cannot_be_packed(bad: torch.Tensor) -> None:
    with pytest.raises(GeometryError, match=r"cloud (has shape|is empty)"):
        PointBatch.pack([torch.eye(3), bad])


def test_packing() -> None:
    batch = PointBatch.pack([np.eye(3), torch.ones(2, 3, dtype=torch.float64)])
    assert batch.size == 2
    assert batch.cloud.tolist() == [0, 0, 0, 1, 1]
    assert batch.points.dtype == torch.float32
    assert batch.points[3:].eq(1).all()


def test_depth_views_check_themselves() -> None:
    cameras = get_projection("discs").cameras
    depth, image = torch.zeros(10, 4, 5), torch.zeros(10, 8, 8)
    assert len(DepthViews(depth, image, cameras, "discs")) == 10
    with pytest.raises(GeometryError, match=r"depth has shape \(9, 4, 5\); expected \(10, H, W\)"):
        DepthViews(depth[:9], image, cameras, "discs")
    with pytest.raises(GeometryError, match=r"image has shape \(10, 8, 7\); expected \(10, S, S\)"):
        DepthViews(depth, image[..., :7], cameras, "discs")
    with pytest.raises(GeometryError, match="depth has shape"):
        DepthViews(depth[0], image, cameras, "discs")
