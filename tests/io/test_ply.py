"""PLY as different programs write it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import basrelief.io as shapes
from basrelief.geometry import sample_surface
from basrelief.io.formats.ply_header import ENCODINGS, read_header
from basrelief.io.formats.ply_rows import Body
from basrelief.io.polygons import Lists, fan_triangles
from basrelief.types import Mesh, PointCloud

from .conftest import FACES, RGB, VERTICES, Put
from .plys import CUBE, CUBE_FACES, Value, faces, ply, vertices

trimesh = pytest.importorskip("trimesh")


def mesh(path: Path) -> Mesh:
    shape = shapes.load(path)
    assert isinstance(shape, Mesh)
    return shape


def area(shape: Mesh) -> float:
    a, b, c = (shape.vertices[shape.faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def notes(shape: Mesh | PointCloud) -> tuple[str, ...]:
    assert shape.origin is not None
    return shape.origin.notes


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("corners", ["u1 i4", "u1 u4", "i4 i4", "u2 u2", "i1 i2", "u4 u1"])
def test_any_encoding_and_type(encoding: str, kind: str, corners: str, put: Put) -> None:
    shape = mesh(put("a.ply", ply(encoding, vertex=vertices(kind=kind), face=faces(FACES.tolist(), corners))))
    assert np.array_equal(shape.vertices, VERTICES)
    assert np.array_equal(shape.faces, FACES)
    assert shape.colors is None
    assert notes(shape) == ()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("kind", "top"), [("u1", 255), ("f4", 1), ("u2", 65535)])
def test_vertex_colors_of_any_type(encoding: str, kind: str, top: int, put: Put) -> None:
    rgb = RGB.astype(np.int64) * top // 255
    properties = vertices()[0] + [(kind, name) for name in ("red", "green", "blue")] + [("f4", "confidence")]
    rows = np.hstack([VERTICES, rgb, np.ones((4, 1))]).tolist()
    if encoding == "ascii" and kind != "f4":
        rows = [[*map(float, row[:3]), *map(int, row[3:6]), 1.0] for row in rows]
    for rest in ({}, {"face": faces(FACES.tolist())}):
        shape = shapes.load(put("a.ply", ply(encoding, vertex=(properties, rows), **rest)))
        assert shape.colors is not None
        assert np.allclose(shape.colors, RGB / 255)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_points_without_a_face_are_a_cloud(encoding: str, put: Put) -> None:
    for data in (ply(encoding, vertex=vertices()), ply(encoding, vertex=vertices(), face=faces([]))):
        shape = shapes.load(put("a.ply", data))
        assert isinstance(shape, PointCloud)
        assert np.array_equal(shape.points, VERTICES)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_cube_of_quads_and_triangles(encoding: str, put: Put) -> None:
    shape = mesh(put("a.ply", ply(encoding, vertex=vertices(CUBE), face=faces(CUBE_FACES))))
    assert len(shape.faces) == 12
    assert area(shape) == pytest.approx(6)
    volume = np.linalg.det(shape.vertices[shape.faces].astype(np.float64)).sum() / 6
    assert volume == pytest.approx(1)
    assert float(sample_surface(shape, 500, seed=0).points.max()) == pytest.approx(1)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["vertex_indices", "vertex_index", "corners"])
def test_a_polygon_of_many_corners_and_any_name_of_its_list(encoding: str, name: str, put: Put) -> None:
    turns = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns), 0 * turns], axis=1)
    shape = mesh(put("a.ply", ply(encoding, vertex=vertices(circle, "f8"), face=faces([list(range(100)), [0, 1, 2]], name=name))))
    assert len(shape.faces) == 99
    assert area(shape) == pytest.approx(50 * np.sin(2 * np.pi / 100), rel=1e-3)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_faces_of_fewer_than_three_corners_are_dropped_and_counted(encoding: str, put: Put) -> None:
    shape = mesh(put("a.ply", ply(encoding, vertex=vertices(), face=faces([[0], [], [0, 1], [0, 1, 2], [0, 1, 2, 3]]))))
    assert shape.faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]
    assert notes(shape) == ("3 of 5 faces have fewer than three corners and were dropped.",)
    lines = shapes.load(put("a.ply", ply(encoding, vertex=vertices(), face=faces([[0, 1], [2, 3]]))))
    assert isinstance(lines, PointCloud)
    assert notes(lines) == ("2 of 2 faces have fewer than three corners and were dropped.",)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("polygons", [FACES.tolist(), [[0, 1, 2, 3], [0, 1, 2]]])
def test_other_properties_and_elements_are_stepped_over(encoding: str, polygons: list[list[int]], put: Put) -> None:
    face: list[Value] = [("f4", "quality"), ("u1 f4", "texcoord"), ("u1 i4", "vertex_indices"), ("i2", "group")]
    rows: list[list[Any]] = [[0.5, [0.25] * 2 * len(polygon), polygon, -1] for polygon in polygons]
    edge = ([("i4", "vertex1"), ("i4", "vertex2")], [[0, 1], [1, 2]])
    odd = ([("u1 f4", "weights"), ("u1", "end")], [[[0.5, 0.5], 7], [[], 7], [[0.1], 7]])
    camera = ([("f8", "view")], [[1.0]])
    data = ply(encoding, camera=camera, odd=odd, vertex=vertices(), edge=edge, face=(face, rows), last=camera)
    plain = ply(encoding, vertex=vertices(), face=faces(polygons))
    assert np.array_equal(mesh(put("a.ply", data)).faces, mesh(put("b.ply", plain)).faces)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_face_colors_reach_the_vertices_of_their_polygon(encoding: str, put: Put) -> None:
    properties: list[Value] = [("u1 i4", "vertex_indices"), ("u1", "red"), ("u1", "green"), ("u1", "blue")]
    rows: list[list[Any]] = [[[0, 1, 3, 2], 255, 0, 0], [[4, 5, 7], 0, 0, 255], [[4, 7, 6], 0, 0, 255]]
    shape = mesh(put("a.ply", ply(encoding, vertex=vertices(CUBE), face=(properties, rows))))
    assert shape.colors is not None
    assert np.allclose(shape.colors, [[1, 0, 0]] * 4 + [[0, 0, 1]] * 4)


def picture() -> bytes:
    """Left half red, right half blue."""
    out = BytesIO()
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:, :4, 0] = pixels[:, 4:, 2] = 255
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("axes", ["st", "uv", None])
def test_a_texture_beside_the_file_colors_the_vertices(encoding: str, axes: str | None, put: Put) -> None:
    put("my picture.png", picture())
    places = [0.1, 0.1, 0.9, 0.9]
    if axes is None:
        vertex = vertices()
        properties: list[Value] = [("u1 i4", "vertex_indices"), ("u1 f4", "texcoord")]
        polygons: list[list[int]] = [[0, 1, 2, 3], [0, 1, 2]]
        face = (properties, [[polygon, [x for i in polygon for x in (places[i], 0.5)]] for polygon in polygons])
    else:
        rows = [[*row, place, 0.5] for row, place in zip(VERTICES.tolist(), places, strict=True)]
        vertex, face = (vertices()[0] + [("f4", axis) for axis in axes], rows), faces([[0, 1, 2, 3]])
    data = ply(encoding, vertex=vertex, face=face).replace(b"comment made by hand", b"comment TextureFile my picture.png")
    shape = mesh(put("a.ply", data))
    assert shape.colors is not None
    assert shape.colors.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]]
    put("my picture.png", b"\x89PNG\r\n\x1a\nbroken")
    assert shapes.load(put("a.ply", data)).colors is None


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_texture_elsewhere_is_not_read(encoding: str, put: Put) -> None:
    data = ply(encoding, vertex=vertices(), face=faces(FACES.tolist()))
    shape = mesh(put("a.ply", data.replace(b"comment made by hand", b"comment TextureFile ../t.png")))
    assert shape.colors is None
    assert notes(shape) == ("'../t.png' lies outside the folder of the file and was not read.",)


def test_lines_may_end_as_on_windows(put: Put) -> None:
    data = ply("binary_little_endian", vertex=vertices(), face=faces(FACES.tolist()))
    end = data.index(b"end_header\n") + len(b"end_header\n")
    shape = mesh(put("a.ply", data[:end].replace(b"\n", b"\r\n") + data[end:]))
    assert np.array_equal(shape.faces, FACES)


@pytest.mark.parametrize(("encoding", "rest"), [("ascii", "3 numbers"), ("binary_big_endian", "6 bytes")])
def test_bytes_after_the_last_element_are_reported(encoding: str, rest: str, put: Put) -> None:
    shape = shapes.load(put("a.ply", ply(encoding, vertex=vertices()) + b"1 2 3\n"))
    assert notes(shape) == (f"{rest} after the last element were ignored.",)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
@pytest.mark.parametrize("colored", [False, True])
def test_the_same_as_trimesh(encoding: str, colored: bool, put: Put) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    if colored:
        ball.visual.vertex_colors = np.random.default_rng(0).integers(0, 256, (len(ball.vertices), 4))
    path = put("a.ply", trimesh.exchange.ply.export_ply(ball, encoding=encoding))
    theirs, ours = trimesh.load(path, process=False), mesh(path)
    assert np.array_equal(ours.faces, theirs.faces)
    assert np.allclose(ours.vertices, theirs.vertices, atol=1e-7)
    if colored:
        assert ours.colors is not None
        assert np.allclose(ours.colors, theirs.visual.vertex_colors[:, :3] / 255)


polygon_lists = st.lists(st.lists(st.integers(0, 7), max_size=9), min_size=1, max_size=12)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(polygons=polygon_lists, encoding=st.sampled_from(ENCODINGS), kind=st.sampled_from(["u1 i4", "u1 u1", "i4 i4", "u2 i2"]))
def test_polygons_of_any_sizes_are_fans(polygons: list[list[int]], encoding: str, kind: str) -> None:
    data = ply(encoding, vertex=vertices(CUBE), face=faces(polygons, kind))
    header = read_header(Path("a.ply"), data)
    rows = Body(Path("a.ply"), header, BytesIO(data))
    points, lists = (rows.read(element) for element in header.elements.values())
    triangles, of = fan_triangles(lists.lists["vertex_indices"])
    expected = [(n, [p[0], p[i], p[i + 1]]) for n, p in enumerate(polygons) for i in range(1, len(p) - 1)]
    assert np.array_equal(np.stack([points.columns[axis] for axis in "xyz"], axis=1), CUBE)
    assert triangles.tolist() == [triangle for _, triangle in expected]
    assert of.tolist() == [n for n, _ in expected]
    assert rows.left == ""


def test_fans_of_no_polygon() -> None:
    triangles, of = fan_triangles(Lists(values=np.zeros(0, dtype=np.int64), counts=np.zeros(0, dtype=np.int64)))
    assert (triangles.shape, of.shape) == ((0, 3), (0,))
