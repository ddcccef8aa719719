"""Depth-aligned images: the depth maps, the control images, and aligned pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError
from basrelief.render import get_projection, sample_points
from basrelief.render.base import PointBatch
from basrelief.render.opendlign import OpenDlignProjection, control_image
from basrelief.shapes import make_shape
from basrelief.train import AlignedSettings
from basrelief.train.depth_aligned.draw import DrawnViews, draw_views
from basrelief.train.depth_aligned.settings import DiffusionSettings
from basrelief.types import Mesh, PointCloud

from .conftest import QUICK

CONTROL = AlignedSettings(size=48, points=1500)


@pytest.fixture(scope="module")
def chair() -> Mesh:
    shape = make_shape("chair", seed=1)
    assert isinstance(shape, Mesh)
    return shape


@pytest.fixture(scope="module")
def shaded(chair: Mesh) -> DrawnViews:
    return draw_views(chair, "a", settings=QUICK)


@pytest.fixture(scope="module")
def bare(chair: Mesh) -> DrawnViews:
    return draw_views(chair, "a", settings=CONTROL)


def test_ten_maps_and_pictures_of_the_size_asked_for(shaded: DrawnViews) -> None:
    assert shaded.pictures is not None
    assert (shaded.depth.shape, shaded.depth.dtype) == ((10, 48, 48), np.uint8)
    assert (shaded.pictures.shape, shaded.pictures.dtype) == ((10, 48, 48, 3), np.uint8)
    assert shaded.control is None, "the renderer needs none"


def test_maps_are_those_of_the_recipe(chair: Mesh, bare: DrawnViews) -> None:
    """What is trained on is what is asked later, without the median that only generation uses."""
    cloud = sample_points(chair, 1500, seed=bare.seed)
    projection = get_projection("opendlign", size=48)
    expected = projection.image(projection.depth(PointBatch.pack([cloud.points @ projection.frame.T])))[0]
    np.testing.assert_array_equal(bare.depth, (expected.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def test_the_controlnet_is_given_the_smoothed_inverse(chair: Mesh, bare: DrawnViews) -> None:
    assert bare.control is not None
    cloud = sample_points(chair, 1500, seed=bare.seed)
    projection = OpenDlignProjection(size=48, median=True)
    smooth = projection.image(projection.depth(PointBatch.pack([cloud.points @ projection.frame.T])))[0]
    expected = (control_image(smooth).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    np.testing.assert_array_equal(bare.control, expected)
    assert (bare.control[:, 0, 0] == 0).all(), "the background is far"
    assert (bare.control.astype(int) + bare.depth > 200).mean() > 0.9, "bright is near"


def test_the_reciprocal_depth_is_an_option(chair: Mesh, bare: DrawnViews) -> None:
    other = draw_views(chair, "a", settings=replace(CONTROL, diffusion=DiffusionSettings(reading="reciprocal")))
    assert other.control is not None
    assert bare.control is not None
    np.testing.assert_array_equal(other.depth, bare.depth)
    assert (other.control != bare.control).mean() > 0.05
    with pytest.raises(ConfigError, match="Unknown reading '.*'; expected one of"):
        draw_views(chair, "a", settings=replace(CONTROL, diffusion=DiffusionSettings(reading="minus")))


def test_images_depend_on_the_name_alone(chair: Mesh, shaded: DrawnViews) -> None:
    again, other = draw_views(chair, "a", settings=QUICK), draw_views(chair, "b", settings=QUICK)
    assert again.seed == shaded.seed != other.seed
    np.testing.assert_array_equal(again.pictures, shaded.pictures)
    np.testing.assert_array_equal(again.depth, shaded.depth)
    assert other.pictures is not None
    assert shaded.pictures is not None
    assert (other.pictures != shaded.pictures).mean() > 0.5
    assert draw_views(chair, "a", settings=replace(QUICK, seed=1)).seed != shaded.seed


def test_maps_do_not_depend_on_the_source(shaded: DrawnViews, bare: DrawnViews) -> None:
    np.testing.assert_array_equal(shaded.depth, bare.depth)


@pytest.mark.parametrize("name", ["chair", "mug", "car", "guitar"])
def test_pictures_show_the_shape_where_the_maps_do(name: str) -> None:
    """Drawn on another background the picture changes outside the shape alone; the map covers the rest, and 5 pixels more."""
    drawn = draw_views(make_shape(name, seed=2), name, settings=replace(QUICK, size=192, points=10000))
    assert drawn.pictures is not None
    for view in range(10):
        seen = drawn.depth[view] < 255
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        picture = drawn.pictures[view].astype(float)
        steps = np.abs(np.diff(picture, axis=0)).sum(axis=2)[:, :-1] + np.abs(np.diff(picture, axis=1)).sum(axis=2)[:-1]
        box = np.zeros_like(steps, dtype=bool)
        box[max(rows[0] - 1, 0) : rows[-1] + 2, max(columns[0] - 1, 0) : columns[-1] + 2] = True
        smooth = steps[~box].max()
        edges = np.argwhere(steps > smooth + 1)
        assert len(edges) > 20, "the background is smooth, the shape is not"
        (top, left), (bottom, right) = edges.min(axis=0), edges.max(axis=0)
        for drawn_at, seen_at in ((top, rows[0]), (left, columns[0]), (bottom, rows[-1]), (right, columns[-1])):
            assert abs(drawn_at - seen_at) <= 7, "its edges reach those of the map, which is 5 pixels wider"


def test_views_differ_in_light_material_and_background(shaded: DrawnViews) -> None:
    assert shaded.pictures is not None
    corners = {tuple(picture[0, 0].tolist()) for picture in shaded.pictures}
    assert len(corners) >= 8
    middles = {tuple(picture[24, 24].tolist()) for picture in shaded.pictures}
    assert len(middles) >= 8


def test_colours_of_the_shape_are_kept_in_some_views(chair: Mesh) -> None:
    red = replace(chair, colors=np.tile(np.float32([1, 0, 0]), (len(chair.vertices), 1)))
    pictures = draw_views(red, "a", settings=replace(QUICK, size=64)).pictures
    assert pictures is not None
    share = []
    for picture in pictures.astype(int):
        share.append(((picture[..., 0] > 60) & (picture[..., 1] < 0.3 * picture[..., 0])).mean())
    kept = sum(value > 0.04 for value in share)
    assert 1 <= kept <= 9


def test_point_clouds_are_rendered_too() -> None:
    points = np.random.default_rng(0).normal(size=(6000, 3)).astype(np.float32)
    drawn = draw_views(PointCloud(points), "a", settings=QUICK)
    assert drawn.pictures is not None
    assert (drawn.depth < 255).mean() > 0.1


def test_a_flat_shape_has_a_picture() -> None:
    flat = Mesh(np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    drawn = draw_views(flat, "a", settings=QUICK)
    assert drawn.pictures is not None
    assert np.isfinite(drawn.pictures).all()


def test_the_position_of_a_shape_does_not_matter(chair: Mesh, shaded: DrawnViews) -> None:
    moved = replace(chair, vertices=(chair.vertices * 4 + np.float32([3, 5, 7])).astype(np.float32))
    other = draw_views(moved, "a", settings=QUICK)
    assert other.pictures is not None
    assert shaded.pictures is not None
    assert (np.abs(other.depth.astype(int) - shaded.depth) > 8).mean() < 0.01
    assert (np.abs(other.pictures.astype(int) - shaded.pictures) > 16).mean() < 0.02
