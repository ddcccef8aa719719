"""Parts of shape families: legs under seats, hollow vessels, wheels on the ground, long handles."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.geometry import sample_surface
from basrelief.shapes import make_shape
from basrelief.shapes.parts import chance, fabric, knob, legs, pick, plate, wood
from basrelief.types import Mesh
from shapes.laws import edges_meet_twice, extent, slice_extent

SEEDS = range(8)
STANDING = (
    "chair",
    "stool",
    "bench",
    "table",
    "desk",
    "bed",
    "sofa",
    "armchair",
    "bookshelf",
    "wardrobe",
    "dresser",
    "car",
    "bus",
    "bicycle",
)


def _points(mesh: Mesh, count: int = 4000) -> np.ndarray:
    return np.asarray(sample_surface(mesh, count).points)


@pytest.mark.parametrize("category", STANDING)
@pytest.mark.parametrize("seed", SEEDS)
def test_standing_things_stand_on_the_ground(category: str, seed: int) -> None:
    mesh = make_shape(category, seed=seed)
    assert abs(float(mesh.vertices[:, 2].min())) < 0.06 * extent(mesh)[2]


@pytest.mark.parametrize("category", ["car", "bus", "truck", "train", "bicycle"])
@pytest.mark.parametrize("seed", SEEDS)
def test_vehicles_are_longest_along_x(category: str, seed: int) -> None:
    size = extent(make_shape(category, seed=seed))
    assert size[0] >= size[1]


@pytest.mark.parametrize("category", ["chair", "table", "car", "airplane", "wardrobe", "picture frame", "bicycle"])
@pytest.mark.parametrize("seed", SEEDS)
def test_left_and_right_are_about_equal(category: str, seed: int) -> None:
    points = _points(make_shape(category, seed=seed))
    side = 1 if category in ("car", "airplane", "bicycle") else 0
    span = np.ptp(points[:, side])
    assert abs(points[:, side].mean() - (points[:, side].max() + points[:, side].min()) / 2) < 0.25 * span


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_are_widest_at_the_top(seed: int) -> None:
    mesh = make_shape("table", seed=seed)
    assert (slice_extent(mesh, 0.9, 1.0) > 0.75 * extent(mesh)[:2]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_have_most_of_their_surface_above(seed: int) -> None:
    z = _points(make_shape("table", seed=seed))[:, 2]
    assert (z > 0.85 * z.max()).mean() > 0.25


@pytest.mark.parametrize("seed", SEEDS)
def test_chair_backs_rise_behind_the_seat(seed: int) -> None:
    points = _points(make_shape("chair", seed=seed))
    top = points[points[:, 2] > 0.85 * points[:, 2].max()]
    assert top[:, 1].mean() > points[:, 1].mean()


@pytest.mark.parametrize("category", ["mug", "cup", "bowl", "glass", "pot"])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_vessels_are_hollow_at_the_rim(category: str, seed: int) -> None:
    points = _points(make_shape(category, seed=seed))
    z = points[:, 2]
    middle = np.linalg.norm(points[:, :2], axis=1) < 0.15 * np.ptp(points[:, 0])
    band = (z > z.min() + 0.35 * np.ptp(z)) & (z < z.min() + 0.6 * np.ptp(z))
    assert not (middle & band).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_mug_handles_point_along_x(seed: int) -> None:
    points = _points(make_shape("mug", seed=seed))
    assert points[:, 0].max() > 1.2 * -points[:, 0].min()
    assert points[:, 1].max() == pytest.approx(-points[:, 1].min(), rel=0.05)


@pytest.mark.parametrize("category", ["hammer", "screwdriver", "wrench", "knife", "fork", "spoon", "shovel", "broom", "rake"])
@pytest.mark.parametrize("seed", SEEDS)
def test_hand_tools_are_long(category: str, seed: int) -> None:
    size = np.sort(extent(make_shape(category, seed=seed)))
    assert size[2] > 1.4 * size[1]


@pytest.mark.parametrize("category", ["hammer", "screwdriver", "axe", "spoon", "guitar"])
def test_tools_are_found_in_several_poses(category: str) -> None:
    longest = {int(extent(make_shape(category, seed=seed)).argmax()) for seed in range(20)}
    assert longest == {0, 1, 2}


@pytest.mark.parametrize("category", ["wardrobe", "refrigerator", "door", "bookshelf", "coat rack", "tower", "bottle"])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_tall_things_are_tall(category: str, seed: int) -> None:
    size = extent(make_shape(category, seed=seed))
    assert size[2] > 0.9 * size[:2].max()


@pytest.mark.parametrize("category", ["plate", "computer keyboard", "bathtub", "bed", "tv stand", "microwave"])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_low_things_are_low(category: str, seed: int) -> None:
    size = extent(make_shape(category, seed=seed))
    assert size[2] < 0.85 * size[:2].max()


@pytest.mark.parametrize("seed", SEEDS)
def test_bar_stools_and_chairs_have_seats_off_the_ground(seed: int) -> None:
    for category in ("chair", "stool"):
        points = _points(make_shape(category, seed=seed))
        low = points[points[:, 2] < 0.1 * points[:, 2].max()]
        assert len(low) < 0.3 * len(points)


def test_ladders_have_more_rungs_the_higher_they_are() -> None:
    meshes = sorted((make_shape("ladder", seed=seed) for seed in range(12)), key=lambda m: float(extent(m)[2]))
    assert len(meshes[0].faces) < len(meshes[-1].faces)


def test_balls_are_round() -> None:
    radius = np.linalg.norm(make_shape("ball").vertices, axis=1)
    assert radius.max() < 1.05
    assert np.median(radius) == pytest.approx(1, abs=0.02)


def test_picture_frames_sometimes_lean_on_a_foot() -> None:
    depth = [extent(make_shape("picture frame", seed=seed))[1] for seed in range(12)]
    assert min(depth) < 0.04
    assert max(depth) > 0.08


def test_parts_pick_and_chance_follow_the_generator() -> None:
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    assert [pick(first, "abc") for _ in range(9)] == [pick(second, "abc") for _ in range(9)]
    assert not chance(first, 0.0)
    assert chance(first, 1.0)


def test_colours_are_colours() -> None:
    generator = np.random.default_rng(0)
    colors = np.array([paint(generator) for paint in (wood, fabric) for _ in range(50)])
    assert ((colors >= 0) & (colors <= 1)).all()
    assert len(np.unique(colors.round(6), axis=0)) > 90


@pytest.mark.parametrize("seed", range(20))
def test_plates_keep_their_upper_face_and_thickness(seed: int) -> None:
    solid = plate(np.random.default_rng(seed), (1.0, 0.6), 0.05, 0.7, color=(1, 1, 1))
    assert solid.vertices[:, 2].max() == pytest.approx(0.7)
    assert solid.vertices[:, 2].min() == pytest.approx(0.65)
    assert extent(solid)[0] == pytest.approx(1.0, abs=0.01)
    assert edges_meet_twice(solid)


@pytest.mark.parametrize("seed", range(20))
def test_legs_reach_from_the_ground_to_the_plate(seed: int) -> None:
    bars = legs(np.random.default_rng(seed), (0.5, 0.4), 0.45, color=(1, 1, 1), rails=False)
    assert len(bars) in (3, 4)
    for bar in bars:
        assert bar.vertices[:, 2].min() == pytest.approx(0, abs=0.02)
        assert bar.vertices[:, 2].max() == pytest.approx(0.45, abs=0.02)


def test_rails_come_on_top_of_legs() -> None:
    counts = {len(legs(np.random.default_rng(seed), (0.5, 0.4), 0.45, color=(1, 1, 1))) for seed in range(40)}
    assert min(counts) <= 4
    assert max(counts) >= 8


def test_knobs_stick_out_to_the_front() -> None:
    solid = knob((0, -0.5, 1), radius=0.02)
    assert solid.vertices[:, 1].max() == pytest.approx(-0.5)
    assert solid.vertices[:, 1].min() < -0.52
