"""Generated rooms: reproducible, exact boxes, nothing collides, everything inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import basrelief
from basrelief.errors import ConfigError
from basrelief.geometry.boxes import Boxes
from basrelief.shapes import CATEGORIES, make_room, make_shape, write_library, write_rooms
from basrelief.shapes.room_layouts import LAYOUTS, MORE_ROOM_WORDS, ROOM_WORDS, TABLETOP_WORDS, Piece
from basrelief.shapes.room_shapes import Body, ShapeSource
from basrelief.shapes.room_sizes import TYPICAL_SIZES
from basrelief.shapes.room_structure import CEILING, FLOOR, WALL, footprints_overlap, rectangle
from basrelief.shapes.rooms import ROOM_KINDS, Room
from basrelief.types import PointCloud

TUCKED = ({"chair", "table"}, {"chair", "desk"})


@pytest.fixture(scope="module", params=ROOM_KINDS)
def room(request: pytest.FixtureRequest) -> Room:
    return make_room(seed=11, kind=request.param)


@pytest.fixture(scope="module")
def rooms(room: Room) -> list[Room]:
    return [room, make_room(seed=25, kind=room.kind)]


def own_vertices(room: Room, number: int) -> np.ndarray:
    return room.mesh.vertices[np.unique(room.mesh.faces[room.instances == number])].astype(np.float64)


def test_same_seed_gives_the_same_room(room: Room) -> None:
    again = make_room(seed=11, kind=room.kind)
    assert np.array_equal(room.mesh.vertices, again.mesh.vertices)
    assert np.array_equal(room.mesh.faces, again.mesh.faces)
    assert room.labels == again.labels


def test_other_seeds_give_other_rooms(rooms: list[Room]) -> None:
    first, second = rooms
    assert first.mesh.vertices.shape != second.mesh.vertices.shape


def test_boxes_are_the_extent_of_each_objects_vertices(room: Room) -> None:
    for i, (low, high) in enumerate(room.boxes.bounds()):
        vertices = own_vertices(room, i)
        np.testing.assert_allclose([low, high], [vertices.min(axis=0), vertices.max(axis=0)], atol=1e-9)
    assert room.boxes.aligned


def test_oriented_boxes_touch_the_vertices_on_every_side(room: Room) -> None:
    oriented = room.oriented
    for i, rotation in enumerate(oriented.rotations()):
        local = (own_vertices(room, i) - oriented.centers[i]) @ rotation
        np.testing.assert_allclose([local.min(axis=0), local.max(axis=0)], [-oriented.sizes[i] / 2, oriented.sizes[i] / 2], atol=2e-5)


def test_every_face_has_an_instance_and_a_surface(room: Room) -> None:
    assert set(np.unique(room.instances)) <= {-2, -1, *range(len(room.labels))}
    assert set(range(len(room.labels))) <= set(np.unique(room.instances))
    assert np.array_equal(room.instances == -1, room.surfaces != 0)
    assert set(np.unique(room.surfaces)) <= {0, FLOOR, WALL, CEILING}


def test_nothing_collides(rooms: list[Room]) -> None:
    for room in rooms:
        bounds, prints = room.oriented.bounds(), footprints(room.oriented)
        for i in range(len(room.labels)):
            for j in range(i):
                apart = bounds[i, 0, 2] >= bounds[j, 1, 2] or bounds[j, 0, 2] >= bounds[i, 1, 2]
                related = room.supports[i] == j or room.supports[j] == i or {room.labels[i], room.labels[j]} in TUCKED
                assert apart or related or not footprints_overlap(prints[i], prints[j], gap=0.019), (room, room.labels[i], room.labels[j])


def footprints(boxes: Boxes) -> list[np.ndarray]:
    return [rectangle(c[:2], s[:2], float(y)) for c, s, y in zip(boxes.centers, boxes.sizes, boxes.yaws, strict=True)]


def test_everything_is_inside_the_room(rooms: list[Room]) -> None:
    for room in rooms:
        low, high = room.outline.min(axis=0), room.outline.max(axis=0)
        for i in range(len(room.labels)):
            vertices = own_vertices(room, i)
            assert (vertices[:, :2] >= low).all() and (vertices[:, :2] <= high).all()
            assert vertices[:, 2].min() >= 0
            assert room.height == 0 or vertices[:, 2].max() <= room.height + 1e-5


def test_no_object_stands_in_the_missing_corner_of_an_l() -> None:
    for room in (make_room(seed=seed, kind="bedroom") for seed in (4, 5, 6)):
        assert len(room.outline) == 6
        middle = room.outline.mean(axis=0)
        corner = next(c for c in bounding_corners(room.outline) if not (np.abs(room.outline - c) < 1e-9).all(axis=1).any())
        inner = min(room.outline, key=lambda p: float(np.linalg.norm(p - (corner + 0.6 * (middle - corner)))))
        low, high = np.minimum(corner, inner), np.maximum(corner, inner)
        inside = ((room.boxes.centers[:, :2] > low) & (room.boxes.centers[:, :2] < high)).all(axis=1)
        assert not inside.any()


def bounding_corners(outline: np.ndarray) -> list[np.ndarray]:
    (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
    return [np.array(c) for c in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


def test_things_stand_on_the_floor_or_on_what_supports_them(rooms: list[Room]) -> None:
    for room in rooms:
        bounds = room.boxes.bounds()
        for i, support in enumerate(room.supports):
            bottom = bounds[i, 0, 2]
            if support < 0:
                hung = room.labels[i] in ("lamp", "television") and bottom > 0.5
                assert hung or bottom == pytest.approx(0.001, abs=1e-5), room.labels[i]
            else:
                heights = own_vertices(room, int(support))[:, 2]
                assert np.abs(heights + 0.001 - bottom).min() < 1e-4, (room.labels[i], room.labels[support])


def test_labels_are_the_words_of_each_kind(rooms: list[Room]) -> None:
    for room in rooms:
        assert set(room.labels) <= set(TABLETOP_WORDS if room.kind == "tabletop" else ROOM_WORDS)
        assert 4 <= len(room.labels) <= (12 if room.kind == "tabletop" else 40)


def test_tiny_knows_the_words_of_rooms() -> None:
    known = json.loads((Path(basrelief.__file__).parent / "models/tiny/words.json").read_text())["seen"]
    assert len(ROOM_WORDS) == 20
    assert set(ROOM_WORDS) <= set(known)
    assert {*ROOM_WORDS, *MORE_ROOM_WORDS, *TABLETOP_WORDS} <= set(CATEGORIES)
    assert set(TYPICAL_SIZES) == {*MORE_ROOM_WORDS, *TABLETOP_WORDS}


def test_all_words_of_the_layouts_can_be_generated() -> None:
    for layout in LAYOUTS.values():
        for piece in layout.pieces:
            assert {*piece.names, *piece.of} <= set(CATEGORIES)


def test_other_words_can_be_asked_for() -> None:
    assert set(make_room(seed=3, kind="workshop", words=("table", "bucket")).labels) == {"table", "bucket"}


def test_chairs_stand_around_high_tables_only() -> None:
    room = make_room(seed=60, kind="living room")
    high = [i for i, label in enumerate(room.labels) if label == "table" and room.boxes.sizes[i, 2] > 0.6]
    assert high or room.labels.count("chair") <= 2  # the layout has up to two chairs that stand alone


def test_front_of_a_sofa_looks_into_the_room() -> None:
    room = make_room(seed=0, kind="living room")
    i = room.labels.index("sofa")
    yaw, middle = room.oriented.yaws[i], room.outline.mean(axis=0)
    ahead = room.oriented.centers[i, :2] + np.array([np.sin(yaw), -np.cos(yaw)])
    assert np.linalg.norm(ahead - middle) < np.linalg.norm(room.oriented.centers[i, :2] - middle)


@pytest.mark.parametrize(("seed", "low", "high"), [(3, 3, 500_000), (499_999, 499_999, 500_000), (600_000, 600_000, 1_000_000)])
def test_seeds_of_shapes_stay_in_the_range_of_the_room(seed: int, low: int, high: int) -> None:
    source = ShapeSource.of(seed, None)
    assert low <= source.first and source.first + source.count <= high


def test_test_rooms_take_test_shapes() -> None:
    source = ShapeSource.of(1_000_000, None)
    assert source.first == 1_000_000
    assert source.count >= 1000


def test_given_shapes_are_used_and_scaled() -> None:
    cube = make_shape("cardboard box", seed=1)
    room = make_room(seed=4, kind="bathroom", shapes={"toilet": [cube]})
    i = room.labels.index("toilet")
    assert len(room.mesh.faces[room.instances == i]) == len(cube.faces)
    low, high = TYPICAL_SIZES["toilet"][1:]
    assert low <= room.boxes.sizes[i, 2] <= high


def test_shapes_can_be_a_folder(tmp_path: Path) -> None:
    write_library(tmp_path, ["toilet"], each=1)
    room = make_room(seed=4, kind="bathroom", shapes=tmp_path)
    assert "toilet" in room.labels
    (tmp_path / "shapes.csv").write_text("class,id,fine_name\ntoilet,0,wall hung toilet\n")
    with pytest.raises(ConfigError, match=r"holds no folders of shapes"):
        make_room(seed=4, kind="bathroom", shapes=tmp_path)


def test_hanging_lamps_are_told_from_standing_ones() -> None:
    piece = Piece(("lamp",), (1, 1), "hanging", height=(0.4, 1.2))
    r = np.random.default_rng(0)
    body = ShapeSource.of(0, None).choose(r, "lamp", piece)
    assert body is not None and body.hangs
    assert not Body.from_mesh(make_shape("bottle", seed=0)).hangs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, r"seed is -1; it must be at least 0"),
        ({"seed": 0, "kind": "garage"}, r"garage"),
        ({"seed": 0, "words": ["unicorn"]}, r"unicorn"),
        ({"seed": 0, "shapes": {"chair": []}}, r"There is no shape for 'chair'. Pass at least one mesh or file"),
        ({"seed": 0, "shapes": "no/such/folder"}, r"Folder 'no/such/folder' not found. Pass a folder with one folder of shapes"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_room(**arguments)  # type: ignore[arg-type]


def test_point_clouds_are_no_furniture(tmp_path: Path) -> None:
    file = basrelief.save(PointCloud(np.random.default_rng(0).random((50, 3), dtype=np.float32)), tmp_path / "toilet" / "1.ply")
    with pytest.raises(ConfigError, match=r"1.ply is a point cloud; a room is built from meshes. Pass files with faces."):
        make_room(seed=4, kind="bathroom", shapes={"toilet": [file]})


def test_rooms_are_written_with_their_boxes(tmp_path: Path) -> None:
    (file,) = write_rooms(tmp_path / "scans", [4], kind="tabletop", spacing=0.02)
    truth = json.loads(file.with_suffix(".json").read_text())
    room = make_room(seed=4, kind="tabletop")
    assert file.name == "room-4.ply"
    assert [thing["label"] for thing in truth["objects"]] == list(room.labels)
    np.testing.assert_allclose([thing["center"] for thing in truth["objects"]], room.boxes.centers, atol=1e-4)
    assert isinstance(basrelief.load(file), PointCloud)


def test_repr_names_kind_and_size(room: Room) -> None:
    assert f"{room.kind}, seed 11" in repr(room)
