"""Broken PLY: truncated, invalid lengths, types and corners, random damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.checks import parser_errors
from basrelief.io.formats.ply import read_ply
from basrelief.io.formats.ply_header import ENCODINGS
from basrelief.io.source import Source
from basrelief.types import Mesh, PointCloud

from .conftest import FACES, VERTICES, Put
from .plys import BINARY, CUBE, CUBE_FACES, Rows, faces, ply, vertices
from .test_fuzz import FUZZ, Damage, check, damaged, damages


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("polygons", [FACES.tolist(), CUBE_FACES])
def test_every_place_to_end_early_is_noticed(encoding: str, polygons: list[list[int]], tmp_path: Path) -> None:
    data = ply(encoding, vertex=vertices(CUBE), face=faces(polygons))
    path = tmp_path / "a.ply"
    for cut in range(1, len(data) - 1 if encoding == "ascii" else len(data)):
        path.write_bytes(data[:-cut].rsplit(None, 1)[0] if encoding == "ascii" else data[:-cut])
        with pytest.raises(FileFormatError), parser_errors(path, "ply"):
            read_ply(Source(path, "ply", path.stat().st_size))


@pytest.mark.parametrize(
    ("encoding", "polygons", "message"),
    [
        ("binary_little_endian", FACES.tolist(), "50 bytes are left where an element takes 52 bytes or more. Export it again"),
        ("binary_big_endian", [[0, 1, 2, 3], [0, 1, 2]], "28 bytes are left where an element takes 30 bytes or more"),
    ],
)
def test_the_message_of_a_truncated_file(encoding: str, polygons: list[list[int]], message: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=f"a.ply is truncated, or its header is wrong: {message}"):
        shapes.load(put("a.ply", ply(encoding, vertex=vertices(), face=faces(polygons))[:-2]))


@pytest.mark.parametrize(("end", "found"), [("", 12), ("4 5", 14)])
def test_a_text_that_ends_early(end: str, found: int, put: Put) -> None:
    text = ply("ascii", vertex=vertices()).replace(b"vertex 4", b"vertex 5") + end.encode()
    with pytest.raises(FileFormatError, match=f"{found} numbers are left where an element takes 15 numbers or more"):
        shapes.load(put("a.ply", text))


@pytest.mark.parametrize("word", [b"x", b"0x10", b"1,5", b"\0", b"\xff"])
def test_a_text_of_words(word: bytes, put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.ply contains '"):
        shapes.load(put("a.ply", ply("ascii", vertex=vertices()).replace(b"3.0", word)))


@pytest.mark.parametrize("length", ["-1", "nan", "inf", "1e300", "1e12", "250"])
@pytest.mark.parametrize("first", [False, True])
def test_a_text_whose_lists_cannot_be_so_long(length: str, first: bool, put: Put) -> None:
    text = ply("ascii", vertex=vertices(), face=faces(FACES.tolist()))
    row = b"3 0 2 1\n" if first else b"3 1 2 3\n"
    with pytest.raises(FileFormatError, match="is (truncated|damaged)"):
        shapes.load(put("a.ply", text.replace(row, row.replace(b"3", length.encode(), 1))))


@pytest.mark.parametrize("kind", ["u1 i4", "i1 i4", "i4 i4", "u4 u4"])
@pytest.mark.parametrize("encoding", BINARY)
def test_a_list_whose_length_is_all_ones(kind: str, encoding: str, put: Put) -> None:
    data = ply(encoding, vertex=vertices(), face=faces([[0, 1, 2], [3, 2, 1]], kind))
    width = np.dtype(kind.split(maxsplit=1)[0]).itemsize
    at = len(data) - width - 12
    with pytest.raises(FileFormatError, match="is (truncated|damaged)"):
        shapes.load(put("a.ply", data[:at] + b"\xff" * width + data[at + width :]))


@pytest.mark.parametrize(("told", "meant"), [BINARY, BINARY[::-1]])
def test_the_wrong_byte_order_is_not_taken_for_a_shape(told: str, meant: str, put: Put) -> None:
    data = ply(meant, vertex=vertices(), face=faces(FACES.tolist()))
    with pytest.raises(GeometryError, match="but there are only 4"):
        shapes.load(put("a.ply", data.replace(meant.encode(), told.encode())))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("polygon", "low", "high"), [([0, 1, 4], 0, 4), ([-1, 0, 1], -1, 2), ([0, 1, 2, 2**31 - 1], 0, 2**31 - 1)])
def test_corners_that_are_no_vertices(encoding: str, polygon: list[int], low: int, high: int, put: Put) -> None:
    with pytest.raises(GeometryError, match=f"Faces use vertices {low} to {high}, but there are only 4"):
        shapes.load(put("a.ply", ply(encoding, vertex=vertices(), face=faces([[0, 1, 2], polygon]))))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_not_a_number(encoding: str, put: Put) -> None:
    points = VERTICES.copy()
    points[1, 2] = np.nan
    cloud = shapes.load(put("a.ply", ply(encoding, vertex=vertices(points))))
    assert cloud.origin is not None
    assert cloud.origin.notes == ("1 of 4 points are not finite and were dropped.",)
    mesh = shapes.load(put("b.ply", ply(encoding, vertex=vertices(points), face=faces(FACES.tolist()))))
    assert isinstance(mesh, Mesh) and len(mesh.faces) == 1  # of four, three share the vertex
    assert mesh.origin is not None and len(mesh.origin.notes) == 1


GOOD = "element vertex 1\nproperty float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("format binary 1.0\n" + GOOD, "Unknown format 'binary' in a.ply; expected one of ascii, binary_little_endian, binary_big_endian"),
        (GOOD, "Unknown format '' in a.ply; expected one of ascii, .*"),
        ("format ascii 1.0\n", "Vertices of a.ply have no property 'x'. Export it with x, y and z"),
        ("format ascii 1.0\n" + GOOD.replace(" z", " w"), "Vertices of a.ply have no property 'z'"),
        ("format ascii 1.0\n" + GOOD.replace("float z", "list int int z"), "Vertices of a.ply have no property 'z'"),
        (
            "format ascii 1.0\n" + GOOD.replace("vertex 1", "vertex -1"),
            "Header line 'element vertex -1' of a.ply is not `element NAME COUNT`",
        ),
        ("format ascii 1.0\n" + GOOD.replace("vertex 1", "vertex"), "Header line 'element vertex' of a.ply is not `element NAME COUNT`"),
        ("format ascii 1.0\n" + GOOD.replace("vertex 1", "vertex 1" + "0" * 30), "Header line 'element vertex 1000"),
        (
            "format ascii 1.0\n" + GOOD.replace("float z", "floaty z"),
            "Unknown property type '.*' in a.ply; expected one of char, .*Did you mean 'float'",
        ),
        ("format ascii 1.0\n" + GOOD + "property list float int a\n", "Unknown property type 'float' in a.ply; expected one of .*"),
        ("format ascii 1.0\n" + GOOD + "property list int a\n", "Header line 'property list int a' of a.ply is not `property TYPE NAME`"),
        ("format ascii 1.0\n" + GOOD + "property\n", "Header line 'property' of a.ply is not `property TYPE NAME`"),
        ("format ascii 1.0\n" + GOOD + "property int x\n", "The header of a.ply declares 'x' twice"),
        ("format ascii 1.0\n" + GOOD + GOOD, "The header of a.ply declares 'vertex' twice"),
        ("format ascii 1.0\n" + GOOD.replace("vertex 1", "vertex 20000001"), "declares 20,000,001 vertices; at most 20,000,000 are read"),
        ("format ascii 1.0\n" + GOOD + "element face 99999999\n", "a.ply declares 99,999,999 faces; at most 20,000,000 are read"),
        (
            "format ascii 1.0\n" + GOOD + "element tristrips 1\n",
            "Faces of a.ply need a list of integers named vertex_indices; the lists are: none",
        ),
        (
            "format ascii 1.0\n" + GOOD + "element face 1\n",
            "Faces of a.ply need a list of integers named vertex_indices; the lists are: none",
        ),
        ("format ascii 1.0\n" + GOOD.replace("vertex 1", "vertex 0"), "a.ply contains no triangles or points"),
    ],
)
def test_headers_that_cannot_be(header: str, message: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put("a.ply", f"ply\n{header}end_header\n1 2 3\n"))


@pytest.mark.parametrize("kind", ["u1 f4", "u1 f8"])
def test_corners_that_are_not_integers(kind: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match="Faces of a.ply need a list of integers named vertex_indices; the lists are: vertex_indices"):
        shapes.load(put("a.ply", ply("binary_little_endian", vertex=vertices(), face=faces(FACES.tolist(), kind))))


def test_two_lists_neither_of_which_is_known(put: Put) -> None:
    face: Rows = ([("u1 i4", "a"), ("u1 i4", "b")], [[[0, 1, 2], [0, 1, 2]]])
    with pytest.raises(FileFormatError, match="Faces of a.ply need a list of integers named vertex_indices; the lists are: a, b"):
        shapes.load(put("a.ply", ply("ascii", vertex=vertices(), face=face)))


@pytest.mark.parametrize(
    "header", ["ply\nformat ascii 1.0\nelement vertex 3\n", "ply\n" + "comment x\n" * 10_000 + "end_header\n", "ply\r"]
)
def test_a_header_that_never_ends(header: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match="The header of a.ply does not end with end_header"):
        shapes.load(put("a.ply", header))


def test_a_huge_element_without_properties_costs_nothing(put: Put) -> None:
    data = ply("binary_little_endian", vertex=vertices()).replace(b"end_header", b"element ghosts 999999999999999999\nend_header")
    assert isinstance(shapes.load(put("a.ply", data)), PointCloud)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_huge_element_is_refused_before_it_is_made(encoding: str, put: Put) -> None:
    more = b"element edges 999999999999999999\nproperty list uint double weights\nend_header"
    with pytest.raises(FileFormatError, match="a.ply is truncated, or its header is wrong: 0 .* are left where an element takes"):
        shapes.load(put("a.ply", ply(encoding, vertex=vertices()).replace(b"end_header", more)))


@pytest.mark.parametrize("encoding", ENCODINGS)
@FUZZ
@given(wounds=damages, cut=st.floats(0, 1) | st.just(1.0))
def test_polygons_damaged_by_chance(encoding: str, wounds: list[Damage], cut: float, tmp_path: Path) -> None:
    content = damaged(ply(encoding, vertex=vertices(CUBE), face=faces(CUBE_FACES)), wounds)
    path = tmp_path / "a.ply"
    path.write_bytes(content[: max(1, int(cut * len(content)))])
    check(path)
