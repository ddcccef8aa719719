"""Each fast projection against its reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from basrelief.render import Projection
from basrelief.render.base import PointBatch
from basrelief.render.clip2point import DiscProjection
from basrelief.render.pointclip import PointClipProjection
from basrelief.render.pointclip_v2 import PointClipV2Projection
from basrelief.render.reference import clip2point, pointclip, pointclip_v2
from render.maps import make_clouds, off

Reference = Callable[[np.ndarray, Any], np.ndarray]

PAIRS: dict[str, tuple[Projection, Reference]] = {
    "pointclip": (PointClipProjection(size=64), pointclip.depth),
    "pointclip inside the sphere": (PointClipProjection(size=31, distance=0.7), pointclip.depth),
    "pointclip-fewshot": (PointClipProjection(views=10, size=48, distance=1.4), pointclip.depth),
    "clip2point": (DiscProjection(rig="clip2point10", size=56), clip2point.depth),
    "clip2point upright": (DiscProjection(rig="clip2point6", size=48, rot=False), clip2point.depth),
    "discs": (DiscProjection(size=32, radius=0.09), clip2point.depth),
    "discs that fill the picture": (DiscProjection(size=9, radius=0.7), clip2point.depth),
    "discs below a pixel": (DiscProjection(size=40, radius=0.01), clip2point.depth),
    "pointclip-v2": (PointClipV2Projection(size=46), pointclip_v2.depth),
    "pointclip-v2 to the border": (PointClipV2Projection(size=30, ratio=1.3), pointclip_v2.depth),
    "pointclip-v2 with other constants": (
        PointClipV2Projection(size=24, planes=5, window=10, bias=0.5, ratio=0.9, sigma=0.8),
        pointclip_v2.depth,
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_agrees_with_its_reference(pair: str, cloud: np.ndarray, device: torch.device) -> None:
    projection, reference = PAIRS[pair]
    ours = projection.depth(PointBatch.pack([cloud], device=device))[0]
    assert not off(ours, reference(cloud, projection))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.05, 3), st.sampled_from(sorted(PAIRS)))
def test_agrees_with_its_reference_on_any_cloud(seed: int, count: int, scale: float, pair: str) -> None:
    projection, reference = PAIRS[pair]
    points = np.random.default_rng(seed).normal(scale=scale, size=(count, 3)).astype(np.float32)
    assert not off(projection.depth(PointBatch.pack([points]))[0], reference(points, projection))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(8, 60), st.floats(0.002, 0.3))
def test_discs_of_any_size_and_radius(seed: int, size: int, radius: float) -> None:
    projection = DiscProjection(rig="clip2point6", size=size, radius=radius)
    points = np.random.default_rng(seed).uniform(-1.1, 1.1, (12, 3)).astype(np.float32)
    assert not off(projection.depth(PointBatch.pack([points]))[0], clip2point.depth(points, projection))


def test_v2_agrees_with_its_reference_on_the_first_and_last_plane() -> None:
    """Points lie in planes 1 to 6 of 8; the clouds compared must reach both ends."""
    projection, planes = PointClipV2Projection(size=24), set()
    for seed in range(8):
        points = make_clouds(seed)["leaving"]
        grid = projection.grid(PointBatch.pack([points]))
        planes |= {grid[1][0], grid[1][0] + grid[0].shape[2] - 1}
        assert not off(projection.depth(PointBatch.pack([points]))[0], pointclip_v2.depth(points, projection))
    assert planes == {1, 6}


def test_references_draw_something() -> None:
    ball = make_clouds(0)["ball"]
    for name, (projection, reference) in PAIRS.items():
        maps = reference(ball, projection)
        assert np.isfinite(maps).any(axis=(1, 2)).all(), name
        assert (maps == math.inf).any(), name
        assert maps.dtype == np.float32
