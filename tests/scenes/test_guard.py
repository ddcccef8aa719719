"""Scans in any unit and pose come back in the scene frame, and boxes return to the file."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.errors import ConfigError, GeometryError
from basrelief.geometry.boxes import Boxes
from basrelief.geometry.transforms import axis_rotation, rotation_to_z_up
from basrelief.scenes.guard import prepare_scene
from basrelief.scenes.scene import OBJECT, Scene
from support.small_room import small_room


def test_a_turned_room_is_aligned_and_its_boxes_return() -> None:
    points, things, _ = small_room()
    turned = (points @ axis_rotation("z", np.radians(23)).T + [3.0, -2.0, 0.5]).astype(np.float32)
    scene = prepare_scene(turned)
    assert scene.kind == "room" and scene.floor == 0
    size = np.ptp(scene.cloud.points, axis=0)
    np.testing.assert_allclose(sorted(size[:2]), [4, 5], atol=0.06)
    _returns(scene, turned, things)


@pytest.mark.parametrize(("unit", "factor"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_units_are_guessed_from_the_extent(unit: str, factor: float) -> None:
    points, things, _ = small_room()
    scene = prepare_scene((points * factor).astype(np.float32))
    assert scene.scale == pytest.approx(factor)
    assert any(finding.check == "unit" and finding.fact.startswith(unit) for finding in scene.findings)
    _returns(scene, points * factor, things, unit=factor)


def test_a_unit_given_by_the_caller_is_used() -> None:
    points, _, _ = small_room(density=200)
    assert prepare_scene((points / 0.3048).astype(np.float32), unit="ft").scale == pytest.approx(1 / 0.3048)
    with pytest.raises(ConfigError, match="Unknown unit 'yard'; expected one of auto, m, cm, mm, inch, ft"):
        prepare_scene(points, unit="yard")


@pytest.mark.parametrize("up", ["y", "-y", "x", "-z"])
def test_a_wrong_up_axis_is_corrected_with_a_finding(up: str) -> None:
    points, things, _ = small_room()
    lying = (points @ rotation_to_z_up(up)).astype(np.float32)
    scene = prepare_scene(lying)
    assert [finding.level for finding in scene.findings if finding.check == "up axis"] == ["warning"]
    assert np.ptp(scene.cloud.points, axis=0)[2] == pytest.approx(2.6, abs=0.06)
    _returns(scene, lying, things)


def test_structure_is_found_and_things_stay() -> None:
    points, things, kinds = small_room(ceiling=True)
    scene = prepare_scene(points.astype(np.float32))
    assert (scene.structure[things >= 0] != OBJECT).mean() < 0.02
    assert (scene.structure[things < 0] == OBJECT).mean() < 0.01
    assert (scene.structure[things < 0] == kinds[things < 0]).mean() > 0.97


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((0, 3)), "points is empty"),
        (np.full((500, 3), np.nan), "None of the points is finite. Check how the scan was exported."),
        (np.random.default_rng(0).random((50, 3)), "The scan has only 50 points; detection needs at least 200. Use a denser scan."),
        (np.ones((500, 3)), "All points of the scan lie on one line or at one place. Check how it was exported."),
        (np.random.default_rng(0).random((500, 3)) * 1e30, "The scan extends to 1e\\+30 units. Check how it was exported."),
    ],
)
def test_scans_that_cannot_be_used_are_refused(points: np.ndarray, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        prepare_scene(points.astype(np.float32))


def _returns(scene: Scene, points: np.ndarray, things: np.ndarray, *, unit: float = 1) -> None:
    """Check that a box around each thing, given in the scene frame, holds the thing in the coordinates of the file within 1 cm."""
    assert len(scene.cloud.points) == len(points)
    for thing in range(3):
        own = scene.cloud.points[things == thing]
        centers, sizes, rotations = scene.boxes_in_file(Boxes.from_bounds(own.min(axis=0)[None], own.max(axis=0)[None]))
        local = (points[things == thing] - centers[0]) @ rotations[0]
        np.testing.assert_allclose(local.max(axis=0), sizes[0] / 2, atol=0.01 * unit)
        np.testing.assert_allclose(local.min(axis=0), -sizes[0] / 2, atol=0.01 * unit)


@pytest.mark.parametrize("up", ["z", "y"])
def test_a_table_top_is_the_support_and_not_the_ground_below(up: str) -> None:
    rng = np.random.default_rng(0)
    top = np.column_stack([rng.random((6000, 2)) * [1.2, 0.8], rng.normal(scale=0.001, size=6000)])
    ground = np.column_stack([rng.random((6000, 2)) * [1.6, 1.4] - 0.2, np.full(6000, -0.75)])
    ground = ground[((ground[:, :2] < 0) | (ground[:, :2] > [1.2, 0.8])).any(axis=1)]
    things = []
    for x, y in ((0.2, 0.2), (0.6, 0.5), (1.0, 0.3)):
        angle, height = rng.random((1500, 1)) * 2 * np.pi, rng.random((1500, 1)) * 0.2
        things.append(np.hstack([x + 0.06 * np.cos(angle), y + 0.06 * np.sin(angle), 0.01 + height]))
    points = np.concatenate([top, ground, *things])
    scene = prepare_scene((points @ rotation_to_z_up(up)).astype(np.float32), trim=False)
    assert scene.kind == "tabletop"
    assert (scene.structure[: len(top)] != OBJECT).mean() > 0.98
    assert (scene.structure[-4500:] == OBJECT).mean() > 0.98
    assert (scene.structure[len(top) : -4500] == OBJECT).mean() < 0.02
