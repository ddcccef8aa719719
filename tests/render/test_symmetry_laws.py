"""Invariances of projections: rotated, mirrored, thinned and repeated shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from basrelief.geometry.transforms import axis_rotation
from basrelief.render import PROJECTIONS, get_projection, render_batch
from basrelief.render.base import PointBatch, Projection

NAMES = sorted(PROJECTIONS)


def cloud(points: int = 600, seed: int = 0) -> np.ndarray:
    """A lopsided cloud: a body, an arm and a foot."""
    random = np.random.default_rng(seed)
    body = random.normal(size=(points // 2, 3)) * [0.3, 0.2, 0.4]
    arm = random.normal(size=(points // 4, 3)) * [0.25, 0.03, 0.03] + [0.5, 0, 0.2]
    foot = random.normal(size=(points - len(body) - len(arm), 3)) * [0.05, 0.2, 0.03] - [0, 0, 0.6]
    return np.concatenate([body, arm, foot]).astype(np.float32)


def small(name: str) -> Projection:
    """The projection as it is; pictures of a few points are quick enough."""
    return get_projection(name)


def drawn(name: str, points: np.ndarray) -> torch.Tensor:
    return render_batch([points], small(name))[0]


def alike(one: torch.Tensor, other: torch.Tensor) -> float:
    """Share of pixels that agree."""
    return float(((one - other).abs() < 0.02).float().mean())


@pytest.mark.parametrize("name", NAMES)
def test_a_full_turn_changes_nothing(name: str) -> None:
    turned = cloud() @ axis_rotation("z", 2 * np.pi).T
    assert alike(drawn(name, cloud()), drawn(name, turned.astype(np.float32))) > 0.995


@pytest.mark.parametrize("name", NAMES)
def test_a_quarter_turn_changes_something(name: str) -> None:
    turned = cloud() @ axis_rotation("z", np.pi / 2).T
    assert alike(drawn(name, cloud()), drawn(name, turned.astype(np.float32))) < 0.995


def test_a_turn_by_the_turntables_step_moves_its_views_on() -> None:
    step = 45.0
    turned = cloud() @ axis_rotation("z", np.radians(step)).T
    before, after = drawn("discs", cloud()), drawn("discs", turned.astype(np.float32))
    forward = np.mean([alike(after[(view + 1) % 8], before[view]) for view in range(8)])
    backward = np.mean([alike(after[(view - 1) % 8], before[view]) for view in range(8)])
    assert max(forward, backward) > 0.99
    assert min(forward, backward) < 0.98


@pytest.mark.parametrize("name", NAMES)
def test_points_that_are_there_twice_change_little(name: str) -> None:
    twice = np.concatenate([cloud(), cloud()])
    assert alike(drawn(name, cloud()), drawn(name, twice)) > 0.97


@pytest.mark.parametrize("name", NAMES)
def test_a_mirrored_shape_is_not_the_same_shape(name: str) -> None:
    mirrored = cloud() * np.float32([1, 1, -1])
    one, other = drawn(name, cloud()), drawn(name, mirrored)
    assert alike(one, other) < 0.999


@pytest.mark.parametrize("name", NAMES)
def test_more_points_show_more(name: str) -> None:
    """Of the same shape: what is drawn of few points is mostly drawn of many, too."""
    projection = small(name)
    many = cloud(4000, seed=3)
    few = many[:: len(many) // 200]

    def shown(points: np.ndarray) -> torch.Tensor:
        images = render_batch([points], projection)[0]
        return (images - projection.background).abs() > 0.02

    lot, little = shown(many), shown(few)
    assert lot.float().mean() > little.float().mean()
    if name.startswith("pointclip-fewshot") or name == "pointclip":
        return  # one pixel for each point: the mean of fewer points lies elsewhere, and all of them move with it
    assert (lot & little).sum() > 0.6 * little.sum()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_drawn_of_a_point_far_away(name: str) -> None:
    """One stray point takes the scale with it: the rest shrinks, which is why scans are cleaned first."""
    stray = np.concatenate([cloud(), np.float32([[40, 0, 0]])])
    clean, spoilt = drawn(name, cloud()), drawn(name, stray)
    assert alike(clean, spoilt) < 0.995


@pytest.mark.parametrize("name", NAMES)
def test_depth_grows_away_from_the_eye(name: str) -> None:
    """Two blobs on the axis of a view: the nearer one has the smaller depth wherever both are alone."""
    projection = small(name)
    depth = projection.depth(PointBatch.pack([cloud() @ projection.frame.T]))
    assert (depth[depth.isfinite()] >= 0).all()
    assert depth.isfinite().any(dim=-1).any(dim=-1).all(), "every view sees something"


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_the_size_and_the_views_that_are_promised(name: str) -> None:
    projection = small(name)
    images = render_batch([cloud(), cloud(seed=1), cloud(seed=2)], projection)
    assert images.shape == (3, len(projection.cameras), projection.image_size, projection.image_size)
    assert images.dtype == torch.float32
