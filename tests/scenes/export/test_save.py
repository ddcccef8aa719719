"""JSON, CSV, KITTI, PLY and glTF: each is read back by something else, in the coordinates of the scan's file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

import basrelief as br
from basrelief.errors import ConfigError, FileFormatError, OutputError
from basrelief.geometry import rotation_to_z_up
from basrelief.scenes import Detections, propose
from basrelief.scenes.export.archive import load_detections
from basrelief.scenes.export.colors import PALETTE, label_colors
from basrelief.scenes.export.coordinates import in_file, up_axis
from basrelief.scenes.export.save import FORMATS, save_detections
from basrelief.scenes.export.spreadsheet import harmless
from basrelief.scenes.export.table import COLUMNS, table_rows
from support.made_detections import THINGS, made_detections, surface

HOSTILE = ('=HYPERLINK("http://example.com")', "</script><b>x", "a,b\n2", "٣ \u202egnp")


def frame(up: str = "z", scale: float = 1.0, yaw: float = 0.0, shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Scene frame to a file with another up axis, unit, direction and origin."""
    matrix = np.eye(4)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    matrix[:3, :3] = scale * rotation_to_z_up(up).T @ turn
    matrix[:3, 3] = shift
    return matrix


FRAMES = {
    "metres": frame(),
    "millimetres, y up": frame("y", 1000.0),
    "turned by 30 degrees": frame(yaw=np.pi / 6),
    "x down, turned, feet": frame("-x", 1 / 0.3048, yaw=-1.0, shift=(3, -2, 1)),
    "surveyed": frame(yaw=0.4, shift=(486_123.25, 5_427_911.5, 212.0)),
}


@pytest.fixture(params=FRAMES, name="made")
def made_in_frame(request: pytest.FixtureRequest) -> Detections:
    return made_detections(to_file=FRAMES[request.param])


def thing_in_file(detections: Detections, number: int) -> np.ndarray:
    """Points on the faces of a thing, in the coordinates of the file, made without `Boxes`."""
    _, center, size, yaw, _ = THINGS[number]
    return in_file(detections.scene, surface(center, size, yaw, 500, seed=99))


def assert_inside(points: np.ndarray, center: np.ndarray, axes: np.ndarray, size: np.ndarray) -> None:
    """Points on all faces of a box: none outside, and the box is no larger than needed."""
    local = (points - center) @ axes
    tight = 1e-4 * size.max() + 2e-6 * np.abs(center).max() * 1e-3
    assert (np.abs(local) <= size / 2 + tight).all()
    assert np.allclose(np.abs(local).max(axis=0), size / 2, atol=tight)


def test_json_places_boxes_in_the_file(made: Detections, tmp_path: Path) -> None:
    document = json.loads(made.save(tmp_path / "boxes.json").read_text())
    assert (document["format"], document["version"], document["model"]) == ("basrelief-detections", 1, "tiny")
    assert document["labels"] == ["table", "office chair", "monitor", "lamp"]
    assert document["scene"]["up"] == up_axis(made.scene)
    assert document["scene"]["metres_per_unit"] == pytest.approx(1 / made.scene.scale)
    assert document["scene"]["findings"][1] == {"check": "up axis", "level": "warning", "fact": "z is a guess.", "remedy": "Pass --up."}
    assert np.allclose(document["scene"]["scene_to_file"], made.scene.to_file)
    for number, record in enumerate(document["detections"]):
        assert record["label"] == THINGS[number][0]
        assert_inside(thing_in_file(made, number), *(np.array(record[name]) for name in ("center", "rotation", "size")))
    assert document["detections"][3]["height"] == pytest.approx(0.75)


@pytest.mark.parametrize("name", ["metres", "turned by 30 degrees", "surveyed"])
def test_yaws_are_angles_in_the_file(name: str) -> None:
    made = made_detections(to_file=FRAMES[name])
    for number, record in enumerate(made.records()):
        forward = np.array([np.cos(record["yaw"]), np.sin(record["yaw"]), 0])  # of a file with +Z up
        assert np.allclose(np.array(record["rotation"])[:, 0], forward, atol=1e-5)
        local = (thing_in_file(made, number) - record["center"]) @ np.array([forward, [-forward[1], forward[0], 0], [0, 0, 1]]).T
        assert np.allclose(np.abs(local).max(axis=0), np.array(record["size"]) / 2, atol=1e-4)


def test_saved_boxes_can_be_labelled_again(made: Detections, tmp_path: Path) -> None:
    given = propose(made.scene, "boxes", boxes=made.save(tmp_path / "boxes.json"))
    for name in ("centers", "sizes", "yaws"):
        assert np.allclose(getattr(given.boxes, name), getattr(made.boxes, name), atol=1e-5), name
    assert np.allclose(given.scores, made.scores, atol=1e-4)


def test_json_has_a_line_for_each_box(tmp_path: Path) -> None:
    lines = made_detections().save(tmp_path / "a.json").read_text().splitlines()
    assert [json.loads(line.rstrip(","))["id"] for line in lines if line.startswith("    {")] == [0, 1, 2, 3]
    assert json.loads(made_detections(boxes=0).save(tmp_path / "none.json").read_text())["detections"] == []


def test_csv_bounds_hold_the_things(made: Detections, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(made.save(tmp_path / "boxes.csv").read_text())))
    for number, row in enumerate(rows):
        points = thing_in_file(made, number)
        low, high = (np.array([float(row[f"{end}_{axis}"]) for axis in "xyz"]) for end in ("low", "high"))
        assert np.allclose([points.min(axis=0), points.max(axis=0)], [low, high], atol=0.03 * np.ptp(points))
        assert (float(row["probability"]), row["points"]) == (0.8, "400")
    assert [row["label"] for row in rows] == [thing[0] for thing in THINGS]


def test_spreadsheets_do_not_execute_labels(tmp_path: Path) -> None:
    text = made_detections(labels=HOSTILE).save(tmp_path / "a.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["label"] for row in rows] == [f"'{HOSTILE[0]}", HOSTILE[1], HOSTILE[1], HOSTILE[2]]
    assert float(rows[1]["x"]) == -0.8  # numbers stay numbers
    for cell in ("=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"):
        assert harmless(cell) == f"'{cell}"
    assert harmless("coffee-table") == "coffee-table"


def parse_kitti(text: str) -> list[dict[str, object]]:
    """Parse KITTI labels as its development kit describes them."""
    names = "type truncated occluded alpha left top right bottom height width length x y z rotation_y score".split()
    return [dict(zip(names, line.split(" "), strict=True)) for line in text.splitlines()]


def kitti_corners(label: dict[str, object]) -> np.ndarray:
    """Corners in the camera frame, as the development kit computes them: (3, 8)."""
    h, w, length, x, y, z, turn = (float(str(label[name])) for name in ("height", "width", "length", "x", "y", "z", "rotation_y"))
    around = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    xs = np.array([1, 1, -1, -1, 1, 1, -1, -1]) * length / 2
    ys = np.array([0, 0, 0, 0, -1, -1, -1, -1]) * h
    zs = np.array([1, -1, -1, 1, 1, -1, -1, 1]) * w / 2
    corners: np.ndarray = around @ np.stack([xs, ys, zs]) + np.array([[x], [y], [z]])
    return corners


def test_kitti_boxes_hold_the_things_in_a_camera_frame(made: Detections, tmp_path: Path) -> None:
    labels = parse_kitti(made.save(tmp_path / "000000.txt").read_text())
    assert [label["type"] for label in labels] == ["table", "office_chair", "office_chair", "monitor"]
    upright = rotation_to_z_up(up_axis(made.scene)) / made.scene.scale  # file to lidar frame, metres
    for number, label in enumerate(labels):
        x, y, z = upright @ thing_in_file(made, number).T
        camera = np.stack([-y, -z, x])
        corners = kitti_corners(label)
        assert np.allclose(corners.min(axis=1), camera.min(axis=1), atol=0.03)
        assert np.allclose(corners.max(axis=1), camera.max(axis=1), atol=0.03)
        assert -np.pi < float(str(label["rotation_y"])) <= np.pi
        assert [label[name] for name in ("truncated", "occluded", "alpha", "left", "bottom")] == ["-1", "-1", "-10", "-1", "-1"]


def test_kitti_types_are_one_word(tmp_path: Path) -> None:
    labels = parse_kitti(made_detections(labels=("a\tb  c", "d\r\ne", "", "x")).save(tmp_path / "a.txt").read_text())
    assert [label["type"] for label in labels] == ["a_b_c", "d_e", "d_e", "_"]


def test_ply_has_points_and_edges_in_the_file(made: Detections, tmp_path: Path) -> None:
    path = made.save(tmp_path / "boxes.ply")
    raw = trimesh.load(path, process=False).metadata["_ply_raw"]["vertex"]["data"]
    positions = np.stack([raw["x"], raw["y"], raw["z"]], axis=1).reshape(-1, 3)
    assert positions.dtype == np.float64
    count = len(made.scene.cloud.points)
    assert np.array_equal(positions[:count], in_file(made.scene, made.scene.cloud.points))
    for number in range(len(made)):
        edges = positions[(raw["box"].ravel() == number) & (raw["edge"].ravel() == 1)]
        points = thing_in_file(made, number)
        assert np.allclose([edges.min(axis=0), edges.max(axis=0)], [points.min(axis=0), points.max(axis=0)], atol=0.03 * np.ptp(points))
    cloud = br.load(path)
    assert isinstance(cloud, br.PointCloud)
    assert len(cloud.points) == len(positions)


def test_ply_colours_points_by_box_or_as_scanned(tmp_path: Path) -> None:
    made = made_detections()
    by_box, scanned = br.load(made.save(tmp_path / "a.ply")), br.load(made.save(tmp_path / "b.ply", colors="scan"))
    assert by_box.colors is not None
    assert scanned.colors is not None
    assert made.scene.cloud.colors is not None
    assert np.array_equal(np.round(by_box.colors[0] * 255), PALETTE[0])
    count = len(made.scene.cloud.points)
    assert np.allclose(scanned.colors[:count], made.scene.cloud.colors, atol=0.003)
    assert np.allclose(by_box.colors[1600:count], made.scene.cloud.colors[1600:], atol=0.003)
    assert b"comment box 1 office chair 0.7" in (tmp_path / "a.ply").read_bytes()


def test_ply_of_bars_is_a_mesh_of_closed_bars(made: Detections, tmp_path: Path) -> None:
    mesh = trimesh.load(made.save(tmp_path / "bars.ply", edges="faces"), process=False)
    assert (len(mesh.vertices), len(mesh.faces)) == (4 * 12 * 8, 4 * 12 * 12)
    first = trimesh.Trimesh(mesh.vertices[:8], mesh.faces[:12])
    assert first.is_watertight
    assert first.volume > 0
    assert isinstance(br.load(tmp_path / "bars.ply"), br.Mesh)
    points = thing_in_file(made, 0)
    bars = mesh.vertices[: 12 * 8]
    assert np.allclose([bars.min(axis=0), bars.max(axis=0)], [points.min(axis=0), points.max(axis=0)], atol=0.03 * np.ptp(points))


def test_glb_shows_points_and_boxes_upright(made: Detections, tmp_path: Path) -> None:
    scene = trimesh.load(made.save(tmp_path / "boxes.glb"))
    to_y_up = rotation_to_z_up("y").T @ rotation_to_z_up(up_axis(made.scene))
    names = [f"{name} {score:.2f}" for name, score in zip(made.names, made.scores, strict=True)]
    assert set(scene.graph.nodes_geometry) == {"scan", *names}
    for number, name in enumerate(names):
        matrix, geometry = scene.graph[name]
        corners = trimesh.transform_points(scene.geometry[geometry].vertices, matrix)
        points = thing_in_file(made, number) @ to_y_up.T
        far = 1e-3 if np.abs(points).max() > 1e5 else 0.0
        expected = [points.min(axis=0), points.max(axis=0)]
        assert np.allclose([corners.min(axis=0), corners.max(axis=0)], expected, rtol=0, atol=0.03 * np.ptp(points[:, 1]) + far)
    matrix, geometry = scene.graph["scan"]
    seen = trimesh.transform_points(scene.geometry[geometry].vertices, matrix)
    assert np.allclose(seen, in_file(made.scene, made.scene.cloud.points) @ to_y_up.T, rtol=0, atol=1e-5 * np.ptp(seen) + 1e-9)


def test_glb_is_what_load_reads(tmp_path: Path) -> None:
    made = made_detections()
    cloud = br.load(made.save(tmp_path / "a.glb"))
    count = len(made.scene.cloud.points)
    assert isinstance(cloud, br.PointCloud)
    assert cloud.colors is not None
    assert made.scene.cloud.colors is not None
    assert np.allclose(cloud.points[:count], made.scene.cloud.points, atol=1e-6)
    assert np.allclose(cloud.colors[:count], made.scene.cloud.colors, atol=0.02)


def test_glb_nodes_carry_the_records(tmp_path: Path) -> None:
    path = made_detections(labels=HOSTILE).save(tmp_path / "a.glb")
    data = path.read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    boxes = [node for node in document["nodes"] if "score" in node.get("extras", {})]
    assert [node["extras"]["id"] for node in boxes] == [0, 1, 2, 3]
    assert boxes[0]["extras"]["label"] == HOSTILE[0]
    assert len(data) == int.from_bytes(data[8:12], "little")
    assert {primitive["mode"] for mesh in document["meshes"] for primitive in mesh["primitives"]} == {0, 1}


@pytest.mark.parametrize("suffix", sorted(set(FORMATS) - {"html"}))
def test_no_boxes_no_colours_and_flat_boxes_can_be_saved(suffix: str, tmp_path: Path) -> None:
    path = made_detections(boxes=0, colors=False).save(tmp_path / f"none.{suffix}")
    assert path.stat().st_size > 0 or suffix == "txt"
    if suffix in ("ply", "glb"):
        assert len(br.load(path).points) == 2000  # type: ignore[union-attr]


def test_equal_labels_have_equal_colours() -> None:
    colors = label_colors(made_detections())
    assert np.array_equal(colors[1], colors[2])
    assert len(np.unique(colors, axis=0)) == 3


def test_table_has_the_best_boxes_first() -> None:
    rows = table_rows(made_detections(to_file=FRAMES["millimetres, y up"]), top=2)
    assert COLUMNS[:2] == ("label", "score")
    assert rows[0] == ["table", "0.90", "1.40 x 0.80 x 0.75", "1000, 375, -500", "0.00", "400"]
    assert [row[0] for row in rows] == ["table", "office chair"]


def test_unknown_suffixes_and_options_are_refused(tmp_path: Path) -> None:
    made = made_detections()
    with pytest.raises(FileFormatError, match="Unknown format of detections 'jsn'; expected one of json, csv, .* Did you mean 'json'?"):
        made.save(tmp_path / "a.jsn")
    with pytest.raises(ConfigError, match=r"Unknown option of \.ply files 'edge'; expected one of edges, colors\. Did you mean 'edges'\?"):
        made.save(tmp_path / "a.ply", edge="faces")
    with pytest.raises(ConfigError, match=r"\.csv files take no options, but 'edges' was given\. Leave it out\."):
        made.save(tmp_path / "a.csv", edges="faces")
    with pytest.raises(ConfigError, match="Unknown edges 'lines'; expected one of points, faces"):
        made.save(tmp_path / "a.ply", edges="lines")


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_are_written_whole_or_not_at_all(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"taken.{suffix}").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        save_detections(made_detections(), tmp_path / f"taken.{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == [f"taken.{suffix}"]


ODD = ('=cmd|"/c calc"!A1', "comment\nend_header\nelement face 9", "a\x00b\x1b[31m\x7f", "x" * 1_000_000)


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_odd_labels_stay_in_their_field(suffix: str, tmp_path: Path) -> None:
    path = made_detections(labels=ODD, points=50).save(tmp_path / f"odd.{suffix}")
    content = path.read_bytes()
    assert len(content) < 10_000_000
    if suffix in ("json", "html", "txt"):
        assert not {0x00, 0x1B, 0x7F} & set(content)
    if suffix in ("ply", "glb"):
        assert br.load(path).points is not None  # type: ignore[union-attr]
    if suffix == "txt":
        assert all(len(line.split(" ")) == 16 for line in content.decode().splitlines())
    if suffix == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        assert [row["label"] for row in rows] == [f"'{ODD[0]}", ODD[1], ODD[1], ODD[2]]
    if suffix == "npz":
        assert load_detections(path).labels == ODD
