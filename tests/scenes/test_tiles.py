"""Tiles cover a scan, and each box comes from one tile with its points of the whole scan."""

import numpy as np
import pytest

from basrelief.errors import ConfigError
from basrelief.geometry.boxes import Boxes
from basrelief.scenes.proposals import Proposals
from basrelief.scenes.scene import FLOOR, OBJECT, Scene
from basrelief.scenes.tiles import is_large, propose_by_tile, tiles
from basrelief.types import PointCloud


def _hall(boxes: int = 12) -> tuple[Scene, np.ndarray]:
    """Return a hall of 30 x 20 m with a cube every few metres, and the number of the cube of each point, -1 for the floor."""
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.random((4000, 2)) * [30, 20], np.zeros(4000)])
    middles = np.column_stack([rng.random((boxes, 2)) * [28, 18] + 1, np.full(boxes, 0.5)])
    cubes = np.repeat(middles, 200, axis=0) + rng.random((200 * boxes, 3)) - 0.5
    points = np.concatenate([floor, cubes]).astype(np.float32)
    structure = np.repeat([FLOOR, OBJECT], [4000, 200 * boxes]).astype(np.int8)
    return Scene(PointCloud(points), np.eye(4), structure, floor=0.0), np.repeat(np.arange(-1, boxes), [4000] + [200] * boxes)


def _one_box_a_cube(scene: Scene, things: np.ndarray, rows: np.ndarray) -> Proposals:
    inside = [np.flatnonzero(things[rows] == thing) for thing in np.unique(things[rows][things[rows] >= 0])]
    clouds = [scene.cloud.points[some] for some in inside]
    boxes = Boxes.from_bounds(np.array([c.min(axis=0) for c in clouds]), np.array([c.max(axis=0) for c in clouds]))
    return Proposals(boxes, np.ones(len(boxes), dtype=np.float32), "test", points=tuple(inside))


def test_tiles_cover_every_point_and_own_every_place_once() -> None:
    scene, _ = _hall(boxes=60)
    places = Boxes(scene.cloud.points.astype(np.float64), np.zeros((len(scene.cloud.points), 3)))
    parts = list(tiles(scene, size=8, overlap=1.5))
    assert len(parts) == 12
    assert (sum(part.owns(places).astype(int) for part in parts) == 1).all()
    for part in parts:
        np.testing.assert_array_equal(part.scene.cloud.points, scene.cloud.points[part.rows])
        assert (np.ptp(part.scene.cloud.points[:, :2], axis=0) <= 8 + 3).all()


def test_each_box_comes_from_one_tile() -> None:
    scene, things = _hall()
    by_place = {tuple(point): row for row, point in enumerate(scene.cloud.points)}

    def propose(part: Scene) -> Proposals:
        return _one_box_a_cube(part, things, np.array([by_place[tuple(point)] for point in part.cloud.points]))

    found = propose_by_tile(scene, propose)
    assert len(found) == 12
    assert found.points is not None
    assert sorted(things[inside][0] for inside in found.points) == list(range(12))
    assert all(len(inside) == 200 and len(set(things[inside])) == 1 for inside in found.points)


def test_large_scans_are_told_from_small_ones() -> None:
    scene, _ = _hall()
    assert is_large(scene)
    small = Scene(PointCloud(scene.cloud.points / 4), np.eye(4), scene.structure)
    assert not is_large(small)


def test_tiles_need_a_size() -> None:
    with pytest.raises(ConfigError, match="size is 0; it must be finite and positive. Pass metres, e.g. 8"):
        list(tiles(_hall()[0], size=0))
