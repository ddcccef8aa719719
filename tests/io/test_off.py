"""OFF as ModelNet, Geomview and meshing programs write it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.polygons import list_positions
from basrelief.types import Mesh, PointCloud

from .conftest import FACES, RGB, VERTICES, Put

trimesh = pytest.importorskip("trimesh")

POINTS = ["0 0 0", "1 0 0", "1 1 0", "0 1 0"]
COLORS = ["255 0 0", "0 255 0", "0 0 255", "255 255 0"]


def off(keyword: str, points: list[str], faces: list[str]) -> str:
    return "\n".join([keyword, f"{len(points)} {len(faces)} 0", *points, *faces]) + "\n"


def mesh(put: Put, text: str | bytes) -> Mesh:
    shape = shapes.load(put("a.off", text))
    assert isinstance(shape, Mesh)
    return shape


@pytest.mark.parametrize(
    "top", ["OFF\n4 1 0", "OFF 4 1 0", "OFF4 1 0", "off\n4 1", "\ufeffOFF\r\n4 1 0", "# one\nOFF # two\n\n4 1 0 # three"]
)
def test_counts_wherever_they_stand(top: str, put: Put) -> None:
    shape = mesh(put, "\n".join([top, *POINTS, "3 0 1 2"]))
    assert shape.faces.tolist() == [[0, 1, 2]]
    assert shape.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]


def test_lines_may_end_as_on_windows_and_lie_apart(put: Put) -> None:
    assert mesh(put, off("OFF", POINTS, ["3 0 1 2"]).replace("\n", "\r\n\r\n")).faces.tolist() == [[0, 1, 2]]


def test_polygons_are_fans_in_order(put: Put) -> None:
    shape = mesh(put, off("OFF", POINTS, ["4 0 1 2 3", "3 3 2 1", "2 0 1", "4 3 2 1 0"]))
    assert shape.faces.tolist() == [[0, 1, 2], [0, 2, 3], [3, 2, 1], [3, 2, 1], [3, 1, 0]]
    assert shape.origin is not None
    assert shape.origin.notes == ("1 of 4 faces have fewer than three corners and were dropped.",)


@pytest.mark.parametrize(
    ("keyword", "between", "after"), [("COFF", "", ""), ("COFF", "", " 255"), ("CNOFF", " 0 0 1", " 255"), ("STCOFF", "", " 255 0.5 0.5")]
)
def test_colors_of_vertices(keyword: str, between: str, after: str, put: Put) -> None:
    points = [f"{point}{between} {color}{after}" for point, color in zip(POINTS, COLORS, strict=True)]
    for text in (off(keyword, points, ["4 0 1 2 3"]), off(keyword, points, [])):
        shape = shapes.load(put("a.off", text))
        assert shape.colors is not None
        assert np.allclose(shape.colors, RGB / 255)


def test_colors_as_fractions(put: Put) -> None:
    points = [f"{point} 0.25 0.5 1.0 1.0" for point in POINTS]
    shape = mesh(put, off("COFF", points, ["3 0 1 2"]))
    assert shape.colors is not None
    assert np.allclose(shape.colors, [[0.25, 0.5, 1]] * 4)


@pytest.mark.parametrize("keyword", ["OFF", "NOFF", "COFF"])
def test_what_is_no_color_is_not_taken_for_one(keyword: str, put: Put) -> None:
    points = [f"{point} 0 0 1" for point in POINTS] if keyword != "COFF" else POINTS
    assert mesh(put, off(keyword, points, ["3 0 1 2"])).colors is None


def test_faces_without_color_are_grey_beside_others(put: Put) -> None:
    shape = mesh(put, off("OFF", [*POINTS, "5 0 0", "6 0 0", "6 1 0"], ["3 0 1 2 255 0 0", "3 4 5 6", "3 0 2 3 255 0 0 255"]))
    assert shape.colors is not None
    assert np.allclose(shape.colors, [[1, 0, 0]] * 4 + [[0.8] * 3] * 3)


@pytest.mark.parametrize("after", ["", " 255", " 1 1 1"])
def test_colors_of_faces_reach_their_corners(after: str, put: Put) -> None:
    faces = [f"3 0 1 2 255 0 0{after}", f"3 0 2 3 255 0 0{after}"]
    shape = mesh(put, off("OFF", POINTS, faces))
    if after == " 1 1 1":
        assert shape.colors is None
    else:
        assert shape.colors is not None
        assert np.allclose(shape.colors, [[1, 0, 0]] * 4)


def test_a_quad_and_a_triangle_with_colors_of_their_own(put: Put) -> None:
    points = [*POINTS, "5 0 0", "6 0 0", "6 1 0"]
    shape = mesh(put, off("OFF", points, ["4 0 1 2 3 255 0 0", "3 4 5 6 0 0 255"]))
    assert shape.colors is not None
    assert np.allclose(shape.colors, [[1, 0, 0]] * 4 + [[0, 0, 1]] * 3)


def test_the_same_as_trimesh(put: Put) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    path = put("a.off", ball.export(file_type="off"))
    ours, theirs = mesh(put, path.read_bytes()), trimesh.load(path, process=False)
    assert np.array_equal(ours.faces, theirs.faces)
    assert np.allclose(ours.vertices, theirs.vertices, atol=1e-7)


def test_points_without_a_face_are_a_cloud(put: Put) -> None:
    shape = shapes.load(put("a.off", off("OFF", [*POINTS, "nan 0 0"], [])))
    assert isinstance(shape, PointCloud)
    assert len(shape.points) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FFO\n1 0 0\n1 2 3\n", "a.off begins with b'FFO"),
        ("4OFF\n1 0 0\n1 2 3 4\n", "a.off is 4OFF: its vertices do not have three coordinates"),
        ("nOFF\n3\n1 0 0\n1 2 3\n", "a.off is nOFF: its"),
        ("solid", "a.off begins with b'solid'"),
        ("OFF\n-1 0 0\n1 2 3\n", "a.off declares -1 vertices; at most 20,000,000 are read"),
        ("OFF\n0 0 0\n", "a.off contains no triangles or points"),
        ("OFF\n2 0 0\n1 2\n3 4\n", "A vertex line of a.off has 2 columns"),
        ("OFF\n2 0 0\n1 2 3\n4 5\n", "A vertex line of a.off has 2 columns"),
        ("OFF\n1 0 0\n1 2 x\n", "a.off contains 'x'; expected numbers"),
        ("OFF\n", "a.off cannot be read as off"),
        ("OFF BINARY\n", "a.off is binary OFF, which is not supported"),
        (off("OFF", POINTS, ["3 0 1"]), "fewer corners than it declares"),
        (off("OFF", POINTS, ["-3 0 1 2"]), "fewer corners than it declares"),
        (off("OFF", POINTS, ["nan 0 1 2"]), "fewer corners than it declares"),
        (off("OFF", POINTS, ["1e18 0 1 2"]), "fewer corners than it declares"),
    ],
)
def test_what_is_not_off(text: str, message: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put("a.off", text))


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_a_file_that_ends_early_is_not_taken_for_a_smaller_one(lines: int, put: Put) -> None:
    text = off("OFF", POINTS, ["3 0 1 2", "3 0 2 3"]).splitlines()
    with pytest.raises(FileFormatError, match=f"a.off is truncated: it holds {6 - lines} of 6 lines"):
        shapes.load(put("a.off", "\n".join(text[:-lines])))


@pytest.mark.parametrize("face", ["3 0 1 4", "3 -1 0 1", "3 0 1 1e15"])
def test_corners_that_are_no_vertices(face: str, put: Put) -> None:
    with pytest.raises(GeometryError, match="but there are only 4"):
        shapes.load(put("a.off", off("OFF", POINTS, [face])))


def test_what_is_saved_is_read(put: Put) -> None:
    path = shapes.save(Mesh(vertices=VERTICES, faces=FACES), put("b.off", "x"))
    shape = shapes.load(path)
    assert isinstance(shape, Mesh)
    assert np.array_equal(shape.faces, FACES)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 6)), max_size=8), st.integers(1, 5))
def test_places_of_lists(lists: list[tuple[int, int]], step: int) -> None:
    starts, counts = (np.array([pair[i] for pair in lists], dtype=np.int64) for i in (0, 1))
    expected = [start + i * step for start, count in lists for i in range(count)]
    assert list_positions(starts, counts, step=step).tolist() == expected
