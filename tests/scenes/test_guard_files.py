"""Scans from files: their up axis, far coordinates, meshes, and the real scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from basrelief.geometry import rotation_to_z_up
from basrelief.geometry.boxes import Boxes
from basrelief.geometry.transforms import axis_rotation
from basrelief.io import load, save
from basrelief.scenes.guard import prepare_scene
from basrelief.scenes.scene import CEILING, FLOOR, OBJECT, WALL, Scene
from basrelief.types import Mesh, PointCloud
from support.small_room import small_room

SCANS = Path(__file__).parents[3] / "shared" / "assets" / "scans"
FAR = np.array([512_345.25, 5_412_345.75, 312.5])


def _table(points: np.ndarray, things: np.ndarray, scene: Scene, thing: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest corner of a thing in the file, by a box in the scene frame; rows must be the same."""
    own = scene.cloud.points[things == thing]
    centers, sizes, rotations = scene.boxes_in_file(Boxes.from_bounds(own.min(axis=0)[None], own.max(axis=0)[None]))
    half = np.abs(rotations[0]) @ sizes[0] / 2
    return centers[0] - half, centers[0] + half


@pytest.mark.parametrize("suffix", ["xyz", "ply", "npy"])
def test_survey_coordinates_return_within_a_millimetre(suffix: str, tmp_path: Path) -> None:
    points, things, _ = small_room(density=200)
    far = points + FAR
    path = tmp_path / f"far.{suffix}"
    if suffix == "npy":
        np.save(path, far)
    elif suffix == "xyz":
        np.savetxt(path, far, fmt="%.4f")
    else:
        header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(far)}\n"
        header += "".join(f"property double {axis}\n" for axis in "xyz") + "end_header\n"
        path.write_bytes(header.encode() + far.astype("<f8").tobytes())
    shape = load(path)
    assert shape.origin is not None
    assert all(value == round(value) != 0 for value in shape.origin.offset)
    scene = prepare_scene(path)
    low, high = _table(far, things, scene, 2)
    np.testing.assert_allclose(low, far[things == 2].min(axis=0), rtol=0, atol=1e-3)
    np.testing.assert_allclose(high, far[things == 2].max(axis=0), rtol=0, atol=1e-3)


def test_a_point_at_the_origin_does_not_cost_survey_coordinates_their_precision(tmp_path: Path) -> None:
    points, _, _ = small_room(density=200)
    far = np.concatenate([points + FAR, np.zeros((1, 3))])
    np.save(tmp_path / "far.npy", far)
    scene = prepare_scene(tmp_path / "far.npy")
    assert len(scene.cloud.points) == len(points)
    returned = scene.cloud.points @ scene.to_file[:3, :3].T + scene.to_file[:3, 3]
    np.testing.assert_allclose(returned, far[:-1], rtol=0, atol=1e-3)


def test_survey_coordinates_of_an_array_return() -> None:
    points, things, _ = small_room(density=200)
    scene = prepare_scene(points + FAR)
    low, _ = _table(points + FAR, things, scene, 2)
    np.testing.assert_allclose(low, (points + FAR)[things == 2].min(axis=0), rtol=0, atol=1e-3)


def test_a_glb_returns_to_its_own_axes(tmp_path: Path) -> None:
    points, things, _ = small_room(density=200)
    save(PointCloud(points.astype(np.float32)), tmp_path / "room.glb")
    scene = prepare_scene(tmp_path / "room.glb")
    in_file = points @ rotation_to_z_up("y")  # glTF is +Y up
    low, high = _table(in_file, things, scene, 2)
    np.testing.assert_allclose(low, in_file[things == 2].min(axis=0), rtol=0, atol=0.01)
    np.testing.assert_allclose(high, in_file[things == 2].max(axis=0), rtol=0, atol=0.01)


def test_the_up_axis_of_the_caller_counts_in_the_file(tmp_path: Path) -> None:
    points, _, _ = small_room(density=200)
    lying = (points @ rotation_to_z_up("x")).astype(np.float32)
    for shape in (lying, PointCloud(lying)):
        scene = prepare_scene(shape, up="x")
        assert np.ptp(scene.cloud.points, axis=0)[2] == pytest.approx(2.6, abs=0.06)
        np.testing.assert_allclose(scene.to_file[:3, 2], [1, 0, 0], rtol=0, atol=0.01)


def test_a_coarse_mesh_is_sampled_and_a_dense_one_is_not() -> None:
    corners = np.array([[0, 0, 0], [5, 0, 0], [5, 4, 0], [0, 4, 0], [0, 0, 2.5], [5, 0, 2.5]], dtype=np.float32)
    scene = prepare_scene(Mesh(corners, np.array([[0, 1, 2], [0, 2, 3], [0, 1, 5], [0, 5, 4]])))
    assert len(scene.cloud.points) >= 20_000
    steps = np.linspace(0, 1, 201)
    grid = np.stack(np.meshgrid(steps * 5, steps * 4, indexing="ij"), axis=-1).reshape(-1, 2)
    vertices = np.column_stack([grid, 0.05 * np.sin(grid[:, 0])]).astype(np.float32)
    first = (np.arange(200)[:, None] * 201 + np.arange(200)).ravel()
    faces = np.concatenate([np.stack([first, first + 201, first + 1], axis=1), np.stack([first + 1, first + 201, first + 202], axis=1)])
    assert len(prepare_scene(Mesh(vertices, faces), kind="room", trim=False).cloud.points) == 201 * 201


def test_tails_are_removed_and_furniture_is_not() -> None:
    points, _, _ = small_room()
    rng = np.random.default_rng(1)
    tails = rng.uniform(-15, 15, size=(300, 3)) + [0, 0, 1]
    outside = ((tails < [-1, -1, -1]) | (tails > [6, 5, 3.6])).any(axis=1)
    turned = np.concatenate([points, tails[outside]]) @ axis_rotation("z", 0.3).T
    scene = prepare_scene(turned.astype(np.float32))
    assert len(points) <= len(scene.cloud.points) < len(points) + 0.1 * outside.sum()
    assert any(finding.check == "outliers" for finding in scene.findings)
    assert np.ptp(scene.cloud.points, axis=0).max() < 7


def test_a_closed_room_without_furniture_has_no_things() -> None:
    points, things, _ = small_room(ceiling=True)
    scene = prepare_scene(points[things < 0].astype(np.float32))
    assert (scene.structure == OBJECT).mean() < 0.02


@pytest.mark.skipif(not SCANS.exists(), reason="the real scans are not on this machine")
@pytest.mark.parametrize(
    ("name", "kind", "structure", "height"),
    [
        ("room_scan1", "room", (FLOOR, WALL, CEILING), (2.8, 3.3)),
        ("room_scan2", "room", (FLOOR, WALL, CEILING), (2.8, 3.4)),
        ("region_growing_rgb_tutorial", "room", (FLOOR,), (0.4, 0.8)),
        ("table_scene_mug_stereo_textured", "tabletop", (FLOOR, WALL), (0.5, 1.2)),
    ],
)
def test_real_scans_stand_upright(name: str, kind: str, structure: tuple[int, ...], height: tuple[float, float]) -> None:
    scene = prepare_scene(SCANS / f"{name}.pcd")
    assert scene.kind == kind
    assert all((scene.structure == part).mean() > 0.02 for part in structure)
    assert height[0] < np.ptp(scene.cloud.points[:, 2]) < height[1]
    assert scene.scale == pytest.approx(1)
    one_view = [finding for finding in scene.findings if "one view of a camera" in finding.fact]
    assert len(one_view) == (0 if name.startswith("room") else 1)
