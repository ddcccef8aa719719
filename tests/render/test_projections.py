"""The registry of projections and the checks of their options."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from basrelief.errors import ConfigError
from basrelief.render import PROJECTIONS, get_projection
from basrelief.render.base import Cameras, PointBatch
from basrelief.render.clip2point import DiscProjection

VIEWS = {
    "pointclip": 6,
    "pointclip-fewshot": 10,
    "pointclip-v2": 10,
    "opendlign": 10,
    "opendlign-paper": 10,
    "clip2point": 10,
    "clip2point-zeroshot": 6,
    "discs": 10,
}
IMAGE_SIZE = {name: 112 if name == "discs" else 224 for name in VIEWS}


def test_names() -> None:
    assert set(PROJECTIONS) == set(VIEWS)
    assert all(projection.name == name for name, projection in PROJECTIONS.items())


@pytest.mark.parametrize("name", VIEWS)
def test_views_and_sizes(name: str) -> None:
    projection = get_projection(name)
    assert len(projection.cameras) == VIEWS[name]
    assert projection.cameras.rotation.shape == (VIEWS[name], 3, 3)
    assert projection.image_size == IMAGE_SIZE[name]
    assert projection == PROJECTIONS[name]


@pytest.mark.parametrize("name", VIEWS)
def test_projections_cannot_be_changed(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROJECTIONS[name].size = 3


def test_options() -> None:
    projection = get_projection("discs", size=64, radius=0.1, rig="clip2point6")
    assert isinstance(projection, DiscProjection)
    assert (projection.size, projection.image_size, projection.radius) == (64, 64, 0.1)
    assert len(projection.cameras) == 6
    assert PROJECTIONS["discs"].size == 112


def test_discs_take_any_cameras() -> None:
    cameras = Cameras(get_projection("pointclip-v2").cameras.rotation[:3])
    projection = get_projection("discs", rig=cameras, size=30)
    assert projection.cameras is cameras
    assert projection.depth(PointBatch.pack([np.eye(3)])).shape == (1, 3, 30, 30)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"Unknown projection 'clip2pont'; expected one of pointclip, .*. Did you mean 'clip2point'\?"):
        get_projection("clip2pont")
    with pytest.raises(
        ConfigError, match=r"Unknown option 'radios' of projection discs; expected one of rig, size, radius, .*. Did you mean 'radius'\?"
    ):
        get_projection("discs", radios=1)
    with pytest.raises(ConfigError, match="Unknown option '.*' of projection clip2point; expected one of"):
        get_projection("clip2point", image_size=5)
    with pytest.raises(ConfigError, match="Unknown option '.*' of projection pointclip; expected one of"):
        get_projection("pointclip", name="mine")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pointclip", {"views": 8}, "views is 8; it must be 6 or 10"),
        ("pointclip", {"size": 0}, "size is 0; it must be at least 1"),
        ("pointclip", {"distance": 0.0}, "distance is 0.0; it must be finite and positive"),
        ("pointclip", {"distance": float("nan")}, "distance is nan; it must be finite and positive"),
        ("pointclip-v2", {"size": 0}, "size is 0; it must be at least 1"),
        ("pointclip-v2", {"image_size": -1}, "image_size is -1; it must be at least 1"),
        ("pointclip-v2", {"planes": 2}, "planes is 2; it must be at least 3"),
        ("pointclip-v2", {"window": 4}, "window is 4; it must be at least 5"),
        ("pointclip-v2", {"ratio": 0.0}, "ratio is 0.0; it must be finite and positive"),
        ("pointclip-v2", {"sigma": float("inf")}, "sigma is inf; it must be finite and positive"),
        ("clip2point", {"size": 0}, "size is 0; it must be at least 1"),
        ("clip2point", {"radius": 0.0}, "radius is 0.0; it must lie between 0 and 1"),
        ("clip2point", {"radius": float("nan")}, "radius is nan; it must lie between 0 and 1"),
        ("discs", {"size": 8, "radius": 0.9}, "radius is 0.9, but such a disc does not fit into 8 pixels"),
        ("discs", {"rig": "turntable12"}, "Unknown rig 'turntable12'; expected one of .*. Did you mean 'turntable10'"),
    ],
)
def test_options_are_checked(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_projection(name, **options)
