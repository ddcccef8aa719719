"""What a viewer would not show is left out: by name, by mark, by size; never everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.io.helper_geometry import PlacedPart, shown_parts
from basrelief.io.mesh import NamedInstance, join_parts

from .conftest import FACES, VERTICES, Put, gltf_text

CUBE = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
OUTWARD = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)


def box(name: str = "", *, at: Any = (0, 0, 0), size: Any = 1.0, hidden: bool = False, faces: np.ndarray = OUTWARD) -> PlacedPart:
    matrix = np.diag([*np.broadcast_to(size, 3), 1.0])
    matrix[:3, 3] = at
    return PlacedPart(name, CUBE, faces, matrix, hidden)


def kept(*parts: PlacedPart) -> list[int]:
    return shown_parts(parts)[0]


def notes(*parts: PlacedPart) -> tuple[str, ...]:
    return shown_parts(parts)[1]


@pytest.mark.parametrize(
    "name",
    [
        "Chair_collider",
        "chair_Collider.001",
        "CollisionMesh",
        "Colliders/Cube",
        "UCX_Chair_01",
        "UBX_a",
        "usp_b",
        "UCP_c",
        "wall-colonly",
        "wall-convcolonly",
        "root/UCX_a/Cube",
    ],
)
def test_collision_meshes_are_known_by_their_names(name: str) -> None:
    assert kept(box("Chair"), box(name)) == [0]


@pytest.mark.parametrize("name", ["", "Chair", "collie", "UCXL", "column", "my_UCX_thing", "Wall-col", "colonly"])
def test_other_names_are_shown(name: str) -> None:
    assert kept(box("Chair"), box(name)) == [0, 1]


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["a_LOD0", "a_LOD1", "a_LOD2"], [0]),
        (["a", "a_LOD1", "a_lod2"], [0]),
        (["a_LOD1", "a_LOD2"], [0]),
        (["a_LOD1"], [0]),
        (["a_LOD0", "b_LOD1"], [0, 1]),
        (["a", "a_LOD0"], [0, 1]),
        (["x/LOD0/m", "x/LOD1/m", "y/LOD1/m"], [0, 2]),
        (["x/a_LOD0", "y/a_LOD1"], [0, 1]),
        (["tree_LOD0.001", "tree_LOD1.001"], [0]),
        (["melody1", "melod2"], [0, 1]),
    ],
)
def test_coarser_levels_of_detail_give_way_to_finer_ones(names: list[str], left: list[int]) -> None:
    assert kept(*(box(name) for name in names)) == left


def test_hidden_parts_are_left_out() -> None:
    assert kept(box("a"), box("b", hidden=True)) == [0]
    assert notes(box("a"), box("b", hidden=True)) == ("1 hidden part was left out: b.",)


@pytest.mark.parametrize(
    "parts",
    [
        [box("a_collider"), box("b_collider")],
        [box("a", hidden=True), box("b", hidden=True)],
        [box("a_collider")],
        [box("a", hidden=True)],
    ],
)
def test_never_is_everything_left_out(parts: list[PlacedPart]) -> None:
    assert kept(*parts) == list(range(len(parts)))
    assert notes(*parts) == ()


def test_of_hidden_parts_and_collision_meshes_alone_the_collision_meshes_stay() -> None:
    assert kept(box("a", hidden=True), box("b_collider")) == [1]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", [-1, 1])
def test_a_plane_far_larger_than_the_rest_is_a_ground(axis: int, end: int) -> None:
    size, at = np.full(3, 20.0), np.zeros(3)
    size[axis], at[axis] = 0.01, 0.5 * end
    assert kept(box("chair"), box("Plane", at=at, size=size)) == [0]
    assert notes(box("chair"), box("Plane", at=at, size=size)) == ("1 ground plane far larger than the rest was left out: Plane.",)


@pytest.mark.parametrize(
    "parts",
    [
        [box("Plane", size=(20, 20, 0.01))],
        [box("legs", size=(1, 1, 1)), box("top", at=(0, 0, 0.5), size=(1.5, 1.5, 0.02))],
        [box("mast", size=(0.2, 0.2, 5)), box("sail", at=(0, 0, 1), size=(0.01, 3, 3))],
        [box("pole", size=(0.1, 0.1, 3)), box("sign", at=(0, 0, 0), size=(2, 2, 0.01))],
        [box("building"), box("terrain", at=(0, 0, -0.5), size=(20, 20, 2))],
    ],
)
def test_a_lone_plane_a_table_top_a_sail_and_a_terrain_are_no_ground(parts: list[PlacedPart]) -> None:
    assert kept(*parts) == list(range(len(parts)))


def test_a_huge_shell_that_faces_inward_is_a_sky() -> None:
    assert kept(box("chair"), box("Sphere", size=100, faces=OUTWARD[:, ::-1])) == [0]
    mirrored = PlacedPart("Sphere", CUBE, OUTWARD, np.diag([-100.0, 100, 100, 1]))
    assert kept(box("chair"), mirrored) == [0]
    assert kept(box("chair"), box("SkyBox", size=3)) == [0]


def test_a_building_around_a_chair_and_a_skyscraper_are_no_sky() -> None:
    assert kept(box("chair"), box("building", size=100)) == [0, 1]
    assert kept(box("chair"), box("room", size=5, faces=OUTWARD[:, ::-1])) == [0, 1]
    assert kept(box("chair"), box("skyscraper", size=3)) == [0, 1]


def test_a_sky_and_a_ground_are_both_left_out() -> None:
    ground, sky = box("Plane", at=(0, 0, -0.5), size=(50, 50, 0)), box("Sphere", size=100, faces=OUTWARD[:, ::-1])
    assert kept(box("chair"), ground, sky) == [0]


def test_separate_objects_are_counted() -> None:
    pieces = [box(f"piece {i}", at=(3 * i, 0, 0)) for i in range(12)]
    assert notes(*pieces) == ("This file holds 12 separate objects, which are read as one shape.",)
    pairs = [box(f"half {i}", at=(3 * (i // 2) + 0.5 * (i % 2), 0, 0)) for i in range(8)]
    assert notes(*pairs) == ("This file holds 4 separate objects, which are read as one shape.",)


def test_one_object_of_many_parts_is_not_several() -> None:
    legs = [box("leg", at=(x, y, -0.5), size=(0.1, 0.1, 1)) for x in (-0.4, 0.4) for y in (-0.4, 0.4)]
    assert notes(box("top", size=(1, 1, 0.1)), *legs) == ()
    wheels = [box("wheel", at=(x, y, -0.8), size=0.4) for x in (-1.5, 1.5) for y in (-0.5, 0.5)]
    assert notes(box("body", size=(4, 1, 1)), *wheels) == ()
    assert notes(box("a"), box("b", at=(5, 0, 0))) == ()


def test_parts_without_finite_corners_are_shown() -> None:
    broken = PlacedPart("", np.full((3, 3), np.nan), np.array([[0, 1, 2]]), np.eye(4))
    assert kept(box("a"), broken, box("b_collider")) == [0, 1]


def test_parts_keep_their_colors_when_others_go() -> None:
    part, other = ({"vertices": VERTICES, "faces": FACES, "color": color} for color in ((1, 0, 0), (0, 1, 0)))
    raw = join_parts([NamedInstance(other, np.eye(4), "a_collider"), (part, np.eye(4))], with_faces=True)
    assert len(raw.points) == 4
    assert raw.colors is not None
    assert raw.colors.tolist() == [[1, 0, 0]] * 4
    assert raw.notes == ("1 collision mesh was left out: a_collider.",)


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        ({"name": "a_collider"}, 1),
        ({"name": "b"}, 2),
        ({"extensions": {"KHR_node_visibility": {"visible": False}}}, 1),
        ({"extensions": {"KHR_node_visibility": {"visible": True}}}, 2),
        ({"extras": {"visible": False}}, 1),
        ({"extras": {"hidden": 1}}, 1),
        ({"extras": {"hidden": "no"}}, 2),
        ({"extras": 3, "extensions": []}, 2),
    ],
)
@pytest.mark.parametrize("above", [False, True])
def test_marks_and_names_of_gltf_nodes_hold_for_all_below(mark: dict[str, Any], shown: int, above: bool, put: Put) -> None:
    nodes = [{"mesh": 0}, {"children": [2], **mark}, {"mesh": 0}] if above else [{"mesh": 0}, {"mesh": 0, **mark}]
    shape = shapes.load(put("a.gltf", gltf_text(nodes=nodes, scenes=[{"nodes": [0, 1]}])))
    assert len(shape.faces) == shown  # type: ignore[union-attr]
