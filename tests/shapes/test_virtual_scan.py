"""Virtual scans: only visible surfaces, right instances, noise, holes, and disturbed frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from basrelief.errors import ConfigError, GeometryError
from basrelief.geometry import sample_surface
from basrelief.shapes import make_room, scan_room
from basrelief.shapes.rooms import Room
from basrelief.shapes.virtual_scan import RoomScan, disturbed, scanner_positions
from basrelief.types import Mesh


@pytest.fixture(scope="module")
def room() -> Room:
    return make_room(seed=13, kind="bedroom")


@pytest.fixture(scope="module")
def exact(room: Room) -> RoomScan:
    return scan_room(room, seed=1, spacing=0.04, noise=0.0, holes=False)


@pytest.fixture(scope="module")
def scan(room: Room) -> RoomScan:
    return scan_room(room, seed=1, spacing=0.04)


def part(room: Room, number: int) -> Mesh:
    return Mesh(room.mesh.vertices, room.mesh.faces[room.instances == number])


def test_points_lie_on_the_object_of_their_instance(room: Room, exact: RoomScan) -> None:
    points = exact.cloud.points.astype(np.float64)
    for i in range(-2, len(room.labels)):
        mine = points[exact.instances == i]
        if len(mine):
            surface = sample_surface(part(room, i), 200_000 if i < 0 else 40_000).points
            assert np.median(cKDTree(surface).query(mine)[0]) < 0.02
    bounds = room.boxes.bounds()
    objects = exact.instances >= 0
    own = bounds[exact.instances[objects]]
    assert (points[objects] >= own[:, 0] - 1e-4).all() and (points[objects] <= own[:, 1] + 1e-4).all()


def test_the_back_of_a_wardrobe_at_a_wall_is_not_seen(room: Room, exact: RoomScan) -> None:
    i = room.labels.index("wardrobe")
    box = room.oriented[[i]]
    local = (exact.cloud.points[exact.instances == i] - box.centers[0]) @ box.rotations()[0]
    assert len(local) > 100
    assert (local[:, 1] < box.sizes[0, 1] / 2 - 0.01).all()  # the back is at +y
    assert exact.visible[i] < 0.7


def test_no_point_is_behind_a_face(room: Room, exact: RoomScan) -> None:
    """The ray from one of the positions to each point crosses no triangle (brute force on some points)."""
    r = np.random.default_rng(0)
    points = exact.cloud.points[r.permutation(len(exact.cloud.points))[:60]].astype(np.float64)
    corners = room.mesh.vertices.astype(np.float64)[room.mesh.faces]
    free = [any(not crosses(eye, point, corners) for eye in exact.positions) for point in points]
    assert np.mean(free) > 0.95  # rays along edges may be counted as crossings


def crosses(start: np.ndarray, end: np.ndarray, corners: np.ndarray) -> bool:
    """Moeller & Trumbore's test, up to 0.5 % before the end."""
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    ray = end - start
    p = np.cross(ray, ac)
    det = (ab * p).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = start - a
        u = (s * p).sum(axis=1) / det
        q = np.cross(s, ab)
        v = (q @ ray) / det
        t = (ac * q).sum(axis=1) / det
        return bool(((u > 1e-6) & (v > 1e-6) & (u + v < 1 - 1e-6) & (t > 1e-6) & (t < 0.995)).any())


def test_visible_share_is_a_share(room: Room, exact: RoomScan) -> None:
    assert exact.visible.shape == (len(room.labels),)
    assert (exact.visible >= 0).all() and (exact.visible <= 1).all()
    assert exact.visible.max() > 0.3


def test_floor_and_walls_are_marked(room: Room, exact: RoomScan) -> None:
    assert len(exact.surfaces) == len(exact.instances) == len(exact.cloud.points)
    floor = exact.cloud.points[exact.surfaces == 1]
    assert np.abs(floor[:, 2]).max() < 1e-5
    assert np.array_equal(exact.surfaces > 0, exact.instances == -1)


def test_spacing_is_about_that_of_neighbours(exact: RoomScan) -> None:
    distance = cKDTree(exact.cloud.points).query(exact.cloud.points, k=2)[0][:, 1]
    assert 0.4 * exact.spacing < np.median(distance) < 1.2 * exact.spacing


def test_same_seed_gives_the_same_scan(room: Room, scan: RoomScan) -> None:
    again = scan_room(room, seed=1, spacing=0.04)
    assert np.array_equal(scan.cloud.points, again.cloud.points)
    assert np.array_equal(scan.cloud.colors, again.cloud.colors)
    other = scan_room(room, seed=2, spacing=0.04)
    assert len(other.cloud.points) != len(scan.cloud.points)


def test_noise_and_holes_change_the_scan(exact: RoomScan, scan: RoomScan) -> None:
    assert len(scan.cloud.points) < len(exact.cloud.points)
    floor = scan.cloud.points[scan.surfaces == 1][:, 2]
    assert 0.0005 < floor.std() < 0.01


def test_number_of_points_can_be_asked_for(room: Room) -> None:
    scan = scan_room(room, seed=1, points=20_000, holes=False)
    assert 0.8 * 20_000 < len(scan.cloud.points) < 1.2 * 20_000


def test_outliers_are_marked(room: Room) -> None:
    scan = scan_room(room, seed=1, spacing=0.08, outliers=0.05)
    outside = (scan.cloud.points[:, :2] > room.outline.max(axis=0) + 0.3).any(axis=1)
    assert 0.03 < (scan.instances == -3).mean() < 0.06
    assert (scan.instances[outside] == -3).all() and outside.any()


def test_positions_are_free_and_at_scanner_height(room: Room) -> None:
    eyes = scanner_positions(room, 6, seed=3)
    assert eyes.shape == (6, 3)
    assert (eyes[:, 2] >= 1.2).all() and (eyes[:, 2] <= 1.8).all()
    assert cKDTree(sample_surface(room.mesh, 20_000).points).query(eyes)[0].min() > 0.3


def test_positions_can_be_given(room: Room) -> None:
    eye = scanner_positions(room, 1, seed=3)
    assert np.array_equal(scan_room(room, seed=1, spacing=0.1, positions=eye).positions, eye)
    assert len(scan_room(room, seed=1, spacing=0.1, positions=2).positions) == 2


def test_tabletops_are_seen_from_one_side() -> None:
    room = make_room(seed=3, kind="tabletop")
    scan = scan_room(room, seed=3, spacing=0.01)
    assert (scan.positions[:, 1] < room.outline[:, 1].mean()).all()
    assert 0 < (scan.instances >= 0).mean() < 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spacing": 0.0}, r"spacing is 0.0; it must lie in"),
        ({"spacing": float("nan")}, r"spacing is nan"),
        ({"noise": -1.0}, r"noise is -1.0; it must be finite and not negative"),
        ({"points": 10}, r"points is 10; it must lie in"),
        ({"outliers": 2.0}, r"outliers is 2.0; it must lie in"),
        ({"positions": 0}, r"positions is 0; it must lie in"),
    ],
)
def test_wrong_arguments_are_refused(room: Room, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        scan_room(room, seed=1, **arguments)  # type: ignore[arg-type]


def test_positions_of_a_wrong_shape_are_refused(room: Room) -> None:
    with pytest.raises(GeometryError, match=r"positions has shape \(3, 2\)"):
        scan_room(room, seed=1, positions=np.zeros((3, 2)))


def test_positions_that_see_nothing_are_refused(room: Room) -> None:
    nothing = replace(room, mesh=Mesh(room.mesh.vertices * 0, room.mesh.faces))
    with pytest.raises(GeometryError, match=r"Nothing of the room is seen from these positions. Pass positions inside it."):
        scan_room(nothing, seed=1, spacing=0.1, positions=np.array([[1.0, 1.0, 1.0]]))


@pytest.mark.parametrize("up", ["z", "y", "-x"])
def test_disturbed_scans_come_back_by_the_matrix(scan: RoomScan, up: str) -> None:
    moved, matrix = disturbed(scan.cloud, yaw=0.7, scale=1000.0, up=up, offset=(5.0, -3.0, 100.0))
    back = (moved.points - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
    np.testing.assert_allclose(back, scan.cloud.points, atol=2e-3)
    axis = {"z": 2, "y": 1, "-x": 0}[up]
    assert np.ptp(moved.points[:, axis]) == pytest.approx(1000 * np.ptp(scan.cloud.points[:, 2]), rel=1e-3)
    assert np.linalg.det(matrix[:3, :3]) > 0


def test_disturbed_refuses_a_scale_of_zero(scan: RoomScan) -> None:
    with pytest.raises(ConfigError, match=r"scale is 0; it must be finite and positive"):
        disturbed(scan.cloud, scale=0)
