"""The perspective of the pictures, checked by similar triangles."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from basrelief.render.rigs import CLIP2POINT_TURN, clip2point_look, get_rig
from basrelief.train import PairSettings
from basrelief.train.clip2point.trainer import AZIMUTH, ELEVATION
from basrelief.train.pairs.draw import _normalise, draw_pair
from basrelief.types import Mesh, PointCloud
from support.small_models import box

SIZE = 128
DISTANCE = 2.0


def blocks() -> Mesh:
    """Four small cubes of different colours, spread in the unit sphere."""
    places = {(0.8, 0, 0): (1, 0, 0), (0, 0.8, 0): (0, 1, 0), (0, 0, 0.8): (0, 0, 1), (-0.5, -0.5, -0.3): (1, 1, 0)}
    cube = box(size=(0.12, 0.12, 0.12))
    vertices = np.concatenate([cube.vertices - 0.06 + np.float32(place) for place in places])
    faces = np.concatenate([cube.faces + 8 * i for i in range(len(places))])
    colors = np.concatenate([np.tile(np.float32(color), (8, 1)) for color in places.values()])
    return Mesh(vertices.astype(np.float32), faces, colors)


def eye(view: int) -> np.ndarray:
    """Direction of the eye in CLIP2Point's frame, +Y up, from its angles."""
    a, e = math.radians(AZIMUTH[view]), math.radians(ELEVATION[view])
    return np.array([math.cos(e) * math.sin(a), math.sin(e), math.cos(e) * math.cos(a)])


def landing(point: np.ndarray, view: int) -> tuple[float, float]:
    """Row and column of a world point: turned into the camera, divided by its distance from the eye."""
    rotation = get_rig("clip2point10").rotation[view].astype(float)
    x, y, z = rotation @ point
    half = math.tan(math.radians(30)) * (DISTANCE + z)
    return (y / half + 1) * SIZE / 2 - 0.5, (x / half + 1) * SIZE / 2 - 0.5


@pytest.mark.parametrize("view", range(10))
def test_cameras_look_from_where_the_angles_say(view: int) -> None:
    rotation = get_rig("clip2point10").rotation[view].astype(float) @ CLIP2POINT_TURN.T
    np.testing.assert_allclose(-rotation[2], eye(view), atol=1e-5)
    looked = clip2point_look_one(view)
    np.testing.assert_allclose(rotation, looked, atol=1e-5)


def clip2point_look_one(view: int) -> np.ndarray:
    import torch

    found = clip2point_look(torch.tensor([AZIMUTH[view]]), torch.tensor([ELEVATION[view]]))
    return np.asarray(found[0], dtype=float)


@pytest.mark.parametrize("view", range(10))
def test_points_land_where_similar_triangles_say(view: int) -> None:
    shape = blocks()
    style = PairSettings(size=SIZE, points=4000, random_light=False)
    pair = draw_pair(shape, "blocks", style=style)
    with Image.open(io.BytesIO(pair.pictures[view])) as picture:
        pixels = np.asarray(picture).astype(int)
    placed = placed_blocks(pair.points)
    found = 0
    for channel, middle in enumerate(placed[:3]):
        others = [c for c in range(3) if c != channel]
        mask = (pixels[..., channel] > 40) & (pixels[..., others].max(axis=2) < 0.5 * pixels[..., channel])
        if mask.sum() < 12:
            continue  # hidden behind another
        rows, columns = np.nonzero(mask)
        row, column = landing(middle, view)
        assert math.hypot(rows.mean() - row, columns.mean() - column) < 4
        found += 1
    assert found >= 1


def placed_blocks(points: np.ndarray) -> list[np.ndarray]:
    """Middles of the cubes after normalisation, from the stored points: the nearest group to each expected direction."""
    cloud = points.astype(float)
    shape = blocks()
    starts = [shape.vertices[8 * i : 8 * i + 8].mean(axis=0) for i in range(4)]
    middle, radius = normalisation(cloud, shape)
    return [(start - middle) / radius for start in starts]


def normalisation(cloud: np.ndarray, shape: Mesh) -> tuple[np.ndarray, float]:
    """Shift and scale, from the bounding boxes of both."""
    low, high = cloud.min(axis=0), cloud.max(axis=0)
    radius = float(np.mean(np.ptp(shape.vertices, axis=0) / (high - low)))
    middle = shape.vertices.min(axis=0) - low * radius
    return middle, radius


@pytest.mark.parametrize("view", range(10))
def test_farther_is_smaller(view: int) -> None:
    right, _, forward = get_rig("clip2point10").rotation[view].astype(float)
    middle = SIZE / 2 - 0.5
    near, far = (landing(0.4 * right + depth * forward, view)[1] - middle for depth in (-0.5, 0.5))
    assert near > far > 0
    assert near / far == pytest.approx((DISTANCE + 0.5) / (DISTANCE - 0.5))


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_pictures_do_not_depend_on_scale_or_position(scale: float) -> None:
    from dataclasses import replace

    moved = replace(blocks(), vertices=(blocks().vertices * scale + 3 * scale).astype(np.float32))
    style = PairSettings(size=48, points=2000)
    one, other = draw_pair(blocks(), "a", style=style), draw_pair(moved, "a", style=style)
    for view in range(10):
        a, b = (np.asarray(Image.open(io.BytesIO(pair.pictures[view]))).astype(int) for pair in (one, other))
        assert np.abs(a - b).mean() < 1


def test_a_mesh_and_its_points_are_normalised_alike() -> None:
    from basrelief.render import sample_points

    cloud = sample_points(blocks(), 3000, seed=1)
    mesh, points = _normalise(blocks(), cloud)
    assert isinstance(mesh, Mesh)
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=1e-5)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert (points >= low - 1e-4).all()
    assert (points <= high + 1e-4).all()
    drawn, same = _normalise(cloud, cloud)
    assert isinstance(drawn, PointCloud)
    np.testing.assert_array_equal(same, points)
