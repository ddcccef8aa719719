"""Reported cameras of point projections agree with their images."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.render import PROJECTIONS, Projection, get_projection
from basrelief.render.base import PointBatch
from basrelief.render.clip2point import DiscProjection
from basrelief.render.pointclip import PointClipProjection
from basrelief.render.pointclip_v2 import PointClipV2Projection
from render.maps import make_clouds

MARKS = make_clouds(11)["ball"][:6] * np.float32(0.6)
PROJECTED: list[Projection] = [
    PointClipProjection(size=200),
    PointClipProjection(views=10, size=200, distance=1.4),
    *(
        DiscProjection(rig=rig, size=200, radius=0.03, rot=rot)
        for rig in ("clip2point10", "clip2point6", "turntable10")
        for rot in (True, False)
    ),
]


def draw(projection: Projection, world: np.ndarray) -> np.ndarray:
    """Depth maps of a world cloud, without moving or scaling it."""
    return projection.depth(PointBatch.pack([world @ projection.frame.T]))[0].numpy()


def middle(view: np.ndarray) -> np.ndarray:
    """Mean (column, row) of the pixels seen."""
    rows, columns = np.nonzero(np.isfinite(view))
    return np.array([columns.mean(), rows.mean()])


@pytest.mark.parametrize("projection", PROJECTED, ids=lambda p: f"{p.name}-{len(p.cameras)}-{getattr(p, 'rot', '')}")
def test_a_marked_point_is_drawn_where_its_cameras_say(projection: Projection) -> None:
    cameras = projection.cameras
    for mark in MARKS:
        depth = draw(projection, mark[None])
        for view, rotation in zip(depth, cameras.rotation, strict=True):
            right, down, forward = rotation @ mark
            if cameras.distance is not None:
                right, down = np.array([right, down]) / (forward + cameras.distance)
            expected = (np.array([right, down]) + 1) * projection.size / 2 - 0.5
            assert np.abs(middle(view) - expected).max() < 1
            assert view[np.isfinite(view)].min() == pytest.approx(forward + (cameras.distance or 1), abs=1e-5)


def test_v2_draws_the_nearer_of_two_points_dark_and_where_its_cameras_say() -> None:
    projection = PointClipV2Projection()
    for mark in MARKS:
        depth = draw(projection, np.stack([mark, -mark]))
        for view, rotation in zip(depth, projection.cameras.rotation, strict=True):
            seen = rotation @ mark
            near = seen if seen[2] < 0 else -seen
            expected = near[:2] / np.abs(near).max() * 0.8 * 112 / 2 + 54.5
            rows, columns = np.nonzero(view < view.min() + 0.01)
            if abs(near[2]) > 0.1 and np.abs(near[:2] / np.abs(near).max()).max() > 0.2:
                assert np.abs([columns.mean(), rows.mean()] - expected).max() < 2.5


@pytest.mark.parametrize("name", ["pointclip", "pointclip-fewshot", "pointclip-v2", "clip2point", "clip2point-zeroshot", "discs"])
def test_frames_turn_and_do_not_mirror(name: str) -> None:
    frame = get_projection(name).frame
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(frame) == pytest.approx(1)


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_only_pointclip_mirrors(name: str) -> None:
    rotation = PROJECTIONS[name].cameras.rotation
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (len(rotation), 1, 1)), atol=1e-6)
    sign = -1 if name in ("pointclip", "pointclip-fewshot") else 1
    np.testing.assert_allclose(np.linalg.det(rotation), sign, atol=1e-5)


# Views from the side or a little above: there the picture's up is the world's.
UPRIGHT = {
    "pointclip": range(4),
    "pointclip-fewshot": range(4),
    "pointclip-v2": range(8),
    "clip2point": (0, 2, 4, 5, 6, 7, 8, 9),
    "clip2point-zeroshot": range(4),
    "discs": (*range(8), 9),
}


@pytest.mark.parametrize("name", UPRIGHT)
def test_a_flag_stands_upright(name: str) -> None:
    """A pole with a flag at its top: the flag's rows are above the middle of the picture."""
    rng = np.random.default_rng(0)
    pole = rng.uniform((-0.03, -0.03, -0.9), (0.03, 0.03, 0.9), (400, 3))
    flag = rng.uniform((-0.3, -0.3, 0.5), (0.3, 0.3, 0.9), (800, 3))
    depth = draw(get_projection(name), np.concatenate([pole, flag]).astype(np.float32))
    for view in UPRIGHT[name]:
        width = np.isfinite(depth[view]).sum(axis=1)
        assert width[: len(width) // 2].sum() > 1.5 * width[len(width) // 2 :].sum(), view


@pytest.mark.parametrize("name", UPRIGHT)
def test_a_letter_reads_as_the_docstring_says(name: str) -> None:
    """An F facing world -Y, seen from there: its arms point right, unless the method mirrors."""
    rng = np.random.default_rng(0)
    boxes = (((-0.4, -0.05, -0.8), (-0.2, 0.05, 0.8)), ((-0.2, -0.05, 0.6), (0.5, 0.05, 0.8)), ((-0.2, -0.05, 0), (0.3, 0.05, 0.2)))
    letter = np.concatenate([rng.uniform(*box, (600, 3)) for box in boxes]).astype(np.float32)
    projection = get_projection(name)
    cameras = projection.cameras
    front = [v for v in UPRIGHT[name] if abs(cameras.azimuth[v] + 90) < 1]
    assert front
    for view in draw(projection, letter)[front]:
        columns = np.isfinite(view).sum(axis=0)
        stem = int(columns.argmax())
        seen = np.nonzero(columns)[0]
        points_right = seen.max() - stem > stem - seen.min()
        assert points_right == (not name.startswith("pointclip") or name == "pointclip-v2")


def test_cameras_know_their_angles() -> None:
    discs = get_projection("discs").cameras
    np.testing.assert_allclose(discs.azimuth, [0, 45, 90, 135, 180, -135, -90, -45, 0, 0], atol=1e-4)
    np.testing.assert_allclose(discs.elevation, [20] * 8 + [90, -20], atol=1e-3)
    v2 = get_projection("pointclip-v2").cameras
    np.testing.assert_allclose(v2.elevation, [20] * 8 + [-78, 78], atol=1e-3)
    assert discs.distance is None
    assert v2.distance is None
    assert get_projection("pointclip-fewshot").cameras.distance == 1.4
