"""Solids compared with closed forms: closed, facing outwards, of the right size and volume."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basrelief.shapes.primitives import (
    Solid,
    arc,
    ball,
    box,
    curve,
    cylinder,
    extrude,
    join,
    lathe,
    ring,
    skin,
    tube,
    vessel,
)
from shapes.laws import edges_meet_twice, extent, volume

SOLIDS = {
    "box": box((1, 2, 3)),
    "box at": box((1, 2, 3), (4, 5, 6)),
    "wedge": box((1, 2, 3), top=(0.5, 0.25)),
    "cylinder": cylinder(0.5, 2),
    "cone": cylinder(0.5, 2, top=0.1),
    "lathe": lathe([(0.5, 0), (1, 1), (0.2, 2)]),
    "vessel": vessel([(0.5, 0), (0.6, 1)], 0.1),
    "ball": ball((1, 2, 3)),
    "cushion": ball((1, 1, 0.2), square=0.3),
    "tube": tube([(0, 0, 0), (0, 0, 1), (0.2, 0, 2)], 0.1),
    "taper": tube([(0, 0, 0), (1, 1, 1)], [0.2, 0.1]),
    "flat tube": tube([(0, 0, 0), (1, 0, 0)], 0.1, flat=0.2),
    "extrude": extrude([(0, 0), (1, 0), (1, 2), (0, 2)][::-1], 0.5),
    "ring": ring(1, 0.2),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_are_closed(name: str) -> None:
    assert edges_meet_twice(SOLIDS[name])


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_use_every_vertex(name: str) -> None:
    solid = SOLIDS[name]
    assert np.array_equal(np.unique(solid.faces), np.arange(len(solid.vertices)))


@pytest.mark.parametrize("name", [n for n in SOLIDS if n not in ("tube", "taper", "flat tube", "extrude", "ball", "cushion")])
def test_upright_solids_face_outwards(name: str) -> None:
    assert volume(SOLIDS[name]) > 0


def test_box_has_its_volume() -> None:
    assert volume(box((1, 2, 3))) == pytest.approx(6)


def test_box_stands_on_its_base() -> None:
    solid = box((1, 2, 3), (10, 20, 30))
    assert np.allclose(solid.vertices.min(axis=0), (9.5, 19, 30))
    assert np.allclose(solid.vertices.max(axis=0), (10.5, 21, 33))


def test_wedge_has_the_volume_of_a_frustum() -> None:
    small = 0.5 * 0.25
    assert volume(box((1, 1, 3), top=(0.5, 0.25))) == pytest.approx(3 / 6 * (1 + small + 4 * 0.75 * 0.625))


@pytest.mark.parametrize(("radius", "height", "top"), [(0.5, 2, None), (1, 1, 0.5), (0.3, 4, 0.3)])
def test_cylinder_has_the_volume_of_a_prism(radius: float, height: float, top: float | None) -> None:
    area = 24 / 2 * math.sin(2 * math.pi / 24)
    upper = radius if top is None else top
    expected = area * height * (radius**2 + radius * upper + upper**2) / 3
    assert volume(cylinder(radius, height, top=top)) == pytest.approx(expected)


def test_ring_has_the_volume_of_a_torus() -> None:
    solid = ring(2, 0.5, sides=400)
    small = 8 / 2 * math.sin(2 * math.pi / 8) * 0.5**2
    assert volume(solid) == pytest.approx(2 * math.pi * 2 * small, rel=1e-3)


def test_ring_lies_flat() -> None:
    assert np.allclose(extent(ring(1, 0.1, (5, 5, 5))), (2.2, 2.2, 0.2), atol=0.02)


def test_vessel_holds_something() -> None:
    outside = volume(lathe([(0.5, 0), (0.5, 1)]))
    wall = volume(vessel([(0.5, 0), (0.5, 1)], 0.05))
    assert 0.1 * outside < wall < 0.4 * outside


def test_ball_reaches_its_radii() -> None:
    size = extent(ball((1, 2, 3)))
    assert np.allclose(size, (2, 4, 6), rtol=0.06)


def test_square_balls_are_fuller() -> None:
    assert abs(volume(ball((1, 1, 1), square=0.2))) > 1.3 * abs(volume(ball((1, 1, 1))))


def test_tube_follows_its_path() -> None:
    solid = tube([(0, 0, 0), (0, 0, 2)], 0.25, sides=16)
    assert np.allclose(extent(solid), (0.5, 0.5, 2), atol=0.02)


def test_tube_tapers() -> None:
    solid = tube([(0, 0, 0), (0, 0, 2)], [0.4, 0.1], sides=16)
    low, high = solid.vertices[solid.vertices[:, 2] < 1], solid.vertices[solid.vertices[:, 2] > 1]
    assert np.ptp(low[:, 0]) == pytest.approx(4 * np.ptp(high[:, 0]), rel=1e-6)


def test_flat_tube_is_squeezed_in_the_plane_of_its_path() -> None:
    path = curve([(0, 0, 0), (0, 0.5, 1), (0, 1, 0)])
    assert extent(tube(path, 0.5, flat=0.1, sides=16))[0] == pytest.approx(1, rel=0.01)


def test_extrude_is_centred_on_its_depth() -> None:
    solid = extrude([(0, 0), (0, 1), (1, 1), (1, 0)], 0.5)
    assert np.allclose(extent(solid), (1, 0.5, 1))
    assert solid.vertices[:, 1].min() == pytest.approx(-0.25)
    assert abs(volume(solid)) == pytest.approx(0.5)


def test_skin_of_a_closed_row_has_no_ends() -> None:
    rings = np.stack([ring(1, 0.1).vertices.reshape(24, 8, 3)[i] for i in range(24)])
    assert len(skin(rings, closed=True).vertices) == 24 * 8
    assert len(skin(rings).vertices) == 24 * 8 + 2


def test_curve_starts_and_ends_at_its_outer_points() -> None:
    path = curve([(0, 0, 0), (5, 5, 5), (1, 2, 3)], 9)
    assert path.shape == (9, 3)
    assert np.allclose(path[[0, -1]], [(0, 0, 0), (1, 2, 3)])


def test_curve_of_two_points_is_straight() -> None:
    assert np.allclose(curve([(0, 0, 0), (1, 1, 1)], 5), np.linspace(0, 1, 5)[:, None])


def test_arc_runs_counter_clockwise_from_x() -> None:
    path = arc((2, 1), (0, 90), at=(0, 3, 0), count=5)
    assert np.allclose(path[0], (2, 3, 0))
    assert np.allclose(path[-1], (0, 3, 1))


@given(st.floats(-360, 360), st.sampled_from("xyz"))
def test_turning_keeps_volume_and_size(degrees: float, axis: str) -> None:
    solid = SOLIDS["wedge"]
    turned = solid.turned(axis, degrees, about=(1, 2, 3))
    assert volume(turned) == pytest.approx(volume(solid))
    before, after = (np.linalg.norm(s.vertices - (1, 2, 3), axis=1) for s in (solid, turned))
    assert np.allclose(before, after)


@pytest.mark.parametrize(("axis", "of", "gives"), [("z", (1, 0, 0), (0, 1, 0)), ("x", (0, 1, 0), (0, 0, 1)), ("y", (0, 0, 1), (1, 0, 0))])
def test_quarter_turns_are_counter_clockwise(axis: str, of: tuple[int, int, int], gives: tuple[int, int, int]) -> None:
    one = Solid(np.array([of], dtype=float), np.zeros((1, 3), dtype=np.int64))
    assert np.allclose(one.turned(axis, 90).vertices, [gives])


def test_moved_and_scaled() -> None:
    solid = box((1, 1, 1)).scaled((2, 3, 4)).moved((1, 1, 1))
    assert np.allclose(solid.vertices.min(axis=0), (0, -0.5, 1))
    assert volume(solid) == pytest.approx(24)


def test_join_keeps_every_solid_and_its_colour() -> None:
    parts = [box((1, 1, 1), color=(1, 0, 0)), cylinder(1, 1, (3, 0, 0), color=(0, 0, 2))]
    mesh = join(parts, name="two")
    assert len(mesh.faces) == sum(len(p.faces) for p in parts)
    assert mesh.colors is not None
    assert np.allclose(mesh.colors[0], (1, 0, 0))
    assert np.allclose(mesh.colors[-1], (0, 0, 1))
    assert mesh.origin is not None
    assert (mesh.origin.path, mesh.origin.format) == ("two", "generated")
    triangles = np.concatenate([p.vertices[p.faces] for p in parts])
    assert np.allclose(mesh.vertices[mesh.faces], triangles, atol=1e-6)
