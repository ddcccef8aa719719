"""Drawers of views: what a recipe can say, how shapes are scaled, agreement with what they wrap."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from basrelief.errors import BasreliefError, ConfigError
from basrelief.render import get_projection, render_batch, sample_points
from basrelief.render.drawing import MARGIN, DepthDrawer, ShadedDrawer, ViewDrawer
from basrelief.types import Mesh, PointCloud
from render.mesh_samples import ball, box

SMALL = {"size": 32, "supersample": 1}
DRAWERS: list[ViewDrawer] = [DepthDrawer.of("clip2point", {"size": 32}, 500), ShadedDrawer.of({**SMALL, "rig": [[0, 10], [90, 20]]})]


def painted(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces, np.zeros_like(mesh.vertices))


def reach(images: torch.Tensor) -> float:
    """Largest distance of a drawn pixel's centre from the middle of its view, along an axis, in [0, 1]."""
    drawn = (images[0] < 0.9).any(1).nonzero()[:, 1:]
    return float((2 * drawn + 1 - images.shape[-1]).abs().max()) / images.shape[-1]


@pytest.mark.parametrize("drawer", DRAWERS, ids=["depth", "shaded"])
def test_every_drawer_draws_what_it_says(drawer: ViewDrawer) -> None:
    shapes = [ball(1), PointCloud(ball(2).vertices)]
    images = drawer.draw(shapes, seed=3)
    channels = (3,) if drawer.channels == 3 else ()
    assert images.shape == (2, len(drawer.cameras), *channels, drawer.image_size, drawer.image_size)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    copy = pickle.loads(pickle.dumps(drawer))
    assert torch.equal(copy.draw(shapes, seed=3), images)
    assert copy.settings == drawer.settings
    assert torch.equal(drawer.draw(shapes[1:], seed=3), images[1:])


def test_depth_images_are_those_of_the_projection() -> None:
    mesh = box(1, 2, 3)
    expected = render_batch([sample_points(mesh, 300, seed=5).points], get_projection("pointclip"))
    assert torch.equal(DepthDrawer.of("pointclip", {}, 300).draw([mesh], seed=5), expected)


@pytest.mark.parametrize("distance", [None, 1.8])
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_shapes_of_any_size_and_place_fill_the_views(distance: float | None, scale: float) -> None:
    mesh = painted(Mesh((ball(3).vertices + np.float32([5, -3, 2])) * np.float32(scale), ball(3).faces))
    for fit, low, high in (("sphere", 0.96, 1.0), ("frame", 0.93, 1 - MARGIN + 0.01)):
        drawer = ShadedDrawer(rig=[[0, 0], [90, 40]], distance=distance, size=128, supersample=1, fit=fit)
        assert low < reach(drawer.draw([mesh])) <= high


@pytest.mark.parametrize("distance", [None, 1.3, 3.0])
def test_frame_enlarges_until_the_border_and_not_beyond(distance: float | None) -> None:
    flat = painted(box(2.0, 0.2, 0.1))
    drawers = [ShadedDrawer(rig=[[0, 0], [20, 5]], distance=distance, size=128, supersample=1, fit=fit) for fit in ("sphere", "frame")]
    small, large = (reach(drawer.draw([flat])) for drawer in drawers)
    assert small < large <= 1 - MARGIN + 0.01


def test_vertices_of_no_face_do_not_matter() -> None:
    mesh = ball(2)
    stray = Mesh(np.concatenate([mesh.vertices, np.float32([[1e30, 0, 0]])]), mesh.faces)
    drawer = ShadedDrawer.of({**SMALL, "distance": 2.0})
    assert torch.equal(drawer.draw([mesh]), drawer.draw([stray]))


def test_named_rigs_and_large_clouds() -> None:
    cloud = PointCloud(np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32))
    drawer = ShadedDrawer.of({**SMALL, "rig": "clip2point6", "points": 100, "lighting": {"ambient": 0.9}})
    assert len(drawer.cameras) == 6
    assert torch.equal(drawer.draw([cloud], seed=1), drawer.draw([cloud], seed=1))
    assert not torch.equal(drawer.draw([cloud], seed=1), drawer.draw([cloud], seed=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sise": 3}, r"Unknown option 'sise' of shaded views.*Did you mean 'size'"),
        ({"fit": "box"}, "Unknown fit 'box'"),
        ({"lighting": "disco"}, "Unknown lighting 'disco'"),
        ({"lighting": {"ambience": 1}}, "Unknown light 'ambience'.*Did you mean 'ambient'"),
        ({"rig": "none"}, "Unknown rig 'none'"),
        ({"rig": [1, 2]}, r"rig has shape \(2,\); expected \(V, 2\)"),
        ({"distance": 1.0}, "distance is 1.0; the eye must be outside the bounding sphere"),
        ({"background": [0, 2, 0]}, r"background is \[0, 2, 0\]; expected red, green and blue in \[0, 1\]"),
        ({"size": 0}, "size is 0; it must be at least 1"),
        ({"supersample": 0}, "supersample is 0; it must be at least 1"),
        ({"points": 0}, "points is 0; it must be at least 1"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ShadedDrawer.of(options)


@pytest.mark.parametrize("drawer", DRAWERS, ids=["depth", "shaded"])
def test_no_shapes_are_an_error(drawer: ViewDrawer) -> None:
    with pytest.raises(BasreliefError, match="is empty"):
        drawer.draw([])
