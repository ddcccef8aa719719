"""OBJ: variants in use, and lines made to be slow."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.formats.mtl import TextureMap, library_names, parse_materials
from basrelief.io.formats.obj_lines import Elements
from basrelief.limits import limits, use_limits
from basrelief.types import Mesh, PointCloud

from .conftest import Put

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def loaded(put: Put, content: bytes | str) -> Mesh:
    shape = shapes.load(put("a.obj", content), up="z")
    assert isinstance(shape, Mesh)
    return shape


def elements(text: str) -> Elements:
    found = Elements()
    found.add(text.encode())
    return found


@pytest.mark.parametrize(
    "text",
    [
        SQUARE + "f 1 2 3\nf 1 3 4\n",
        SQUARE + "f 1 2 3 4\n",
        SQUARE + "f 1 2 3\nf 1 3 4",
        SQUARE + "f 1/1 2/2 3/3\nf 1/1 3/3 4/4\n",
        SQUARE + "vn 0 0 1\nf 1//1 2//1 3//1 4//1\n",
        SQUARE + "f -4 -3 -2 -1\n",
        SQUARE + "f 1 2 \\\n3 4\n",
        SQUARE.replace("\n", " # a comment 1 2\n") + "# f 1 2 3\nf 1 2 3 4 # 5\n",
        SQUARE.replace("\n", "\r\n") + "f 1 2 3 4\r\n",
        SQUARE.replace("\n", "\r") + "f 1 2 3 4\r",
        "\t" + SQUARE.replace("v ", "  v \t").replace("\n", " \n\n") + " f\t1 2  3 4\n",
        SQUARE.replace("1 0 0", "+1. 0e0 -0.0E+00") + "o a\ng b\ns off\nl 1 2\np 1\nf 1 2 3 4\nunknown 1 a\n",
        "\ufeff" + SQUARE + "f 1 2 3 4\n",
        "f 1 2 3 4\n" + SQUARE,
        SQUARE + "f 1 2\nf 1\nf\nf 1 2 3 4\n",
    ],
)
def test_a_square_in_many_hands(text: str, put: Put) -> None:
    shape = loaded(put, text)
    assert len(shape.faces) == 2
    corners = shape.vertices[shape.faces].astype(np.float64)
    assert np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2].sum() == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf16(encoding: str, put: Put) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    assert len(loaded(put, (mark + SQUARE + "f 1 2 3 4\n").encode(encoding)).faces) == 2


def test_relative_indices_count_each_kind_by_itself() -> None:
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvn 0 0 1\nf -3/-1/-1 2//1 -1\nv 5 5 5\nvt 1 1\nf -1/-1 1 2\n"
    assert elements(text).corners[0].tolist() == [[1, 1, 1], [2, 0, 1], [3, 0, 0], [4, 2, 0], [1, 0, 0], [2, 0, 0]]


def test_blocks_join_without_a_seam(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("m.mtl", "".join(f"newmtl m{i}\nKd {i / 10} 0 0\n" for i in range(9)))
    faces = "".join(f"usemtl m{i}\nv {i} 0 0\nv {i} 1 0\nvt 0 0\nv {i} 0 1\nf -3/-1 -2/-1 \\\n-1/-1\n" for i in range(9))
    whole = loaded(put, "mtllib m.mtl\n" + faces)
    assert whole.colors is not None
    for size in (30, 31, 64, 200):
        monkeypatch.setattr("basrelief.io.lines._BLOCK", size)
        shape = loaded(put, "mtllib m.mtl\n" + faces)
        assert np.array_equal(shape.vertices[shape.faces], whole.vertices[whole.faces])
        assert np.array_equal(shape.colors, whole.colors)  # type: ignore[arg-type]


def test_vertices_are_shared_where_nothing_differs(put: Put) -> None:
    normals = "vn 0 0 1\nvn 0 1 0\n"
    assert len(loaded(put, SQUARE + "v 9 9 9\nf 1 2 3 4\n").vertices) == 4
    assert len(loaded(put, SQUARE + normals + "f 1//1 2//1 3//1\nf 1//2 3//2 4//2\n").vertices) == 6
    assert len(loaded(put, SQUARE + normals + "f 1//1 2//1 3//1\nf 1 3 4\n").vertices) == 4
    assert len(loaded(put, SQUARE + "usemtl a\nf 1 2 3\nusemtl b\nf 1 3 4\n").vertices) == 6


def test_colors_behind_positions(put: Put) -> None:
    colored = "v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\n"
    shape = loaded(put, colored + "f 1 2 3\n")
    assert shape.colors is not None
    assert shape.colors.tolist() == np.eye(3).tolist()
    cloud = shapes.load(put("b.obj", colored))
    assert isinstance(cloud, PointCloud)
    assert cloud.colors is not None
    assert cloud.colors.tolist() == np.eye(3).tolist()
    assert loaded(put, colored + "v 0 0 0\nf 1 2 3\n").colors is None
    assert loaded(put, SQUARE.replace("0\n", "0 1\n") + "f 1 2 3\n").colors is None


def test_materials_without_color_are_grey_beside_others(put: Put) -> None:
    put("m.mtl", "newmtl a b\nKd 1 0 0\nnewmtl c\nNs 3\n")
    shape = loaded(put, "mtllib m.mtl\n" + SQUARE + "usemtl a  b\nf 1 2 3\nusemtl c\nf 1 3 4\n")
    assert shape.colors is not None
    assert np.allclose(shape.colors[shape.faces[:, 0]], [[1, 0, 0], [0.8, 0.8, 0.8]])


def test_materials_of_a_library() -> None:
    found = parse_materials(
        b"Kd 1 1 1\nmap_Kd x\nnewmtl a\n\tkd 0 .5 1\nMap_kd  my picture.png \nnewmtl b\nKd a b c\nKd\nnewmtl\nnewmtl a\n"
    )
    assert {name: (material.color, material.texture) for name, material in found.items()} == {"a": (None, None), "b": (None, None)}
    assert parse_materials(b"newmtl a\nKd 0 .5 1\nmap_Kd my picture.png\n")["a"].texture == TextureMap("my picture.png")


def test_libraries_are_named_at_the_start_of_a_line() -> None:
    assert list(library_names(b"mtllib a b.mtl\n# mtllib no\n  mtllib c\nusemtl mtllib\nmtllib d")) == ["a b.mtl", "c", "d"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (SQUARE + "f 1 2 5\n", GeometryError, "Faces use vertices 0 to 4, but there are only 4"),
        (SQUARE + "f 0 1 2\n", FileFormatError, "counts back beyond the first vertex"),
        (SQUARE + "f -5 1 2\n", FileFormatError, "counts back beyond the first vertex"),
        (SQUARE + "f 1 2 x\n", FileFormatError, "a.obj"),
        (SQUARE + "f 1 2 2.5\n", FileFormatError, "a.obj"),
        (SQUARE + "f / / /\n", FileFormatError, "counts back beyond the first vertex"),
        (SQUARE + "f 1 2 99999999999999999999\n", (FileFormatError, GeometryError), "a.obj|Faces use vertices"),
        (SQUARE + "f 1 2 4294967297\n", (FileFormatError, GeometryError), "a.obj|Faces use vertices"),
        ("v 1 2\n", FileFormatError, "A vertex line .v. of the .obj file has 2 numbers"),
        ("v 1 2 a\n", FileFormatError, "a.obj"),
        ("vt\n" + SQUARE, FileFormatError, "A texture line .vt. of the .obj file has no numbers"),
    ],
)
def test_invalid_obj_files_are_refused(text: str, error: type[Exception], message: str, put: Put) -> None:
    with pytest.raises(error, match=message):
        shapes.load(put("a.obj", text))


def test_places_that_are_absent_lose_the_texture_alone(put: Put) -> None:
    put("m.mtl", "newmtl a\nKd 0 1 0\nmap_Kd t.png\n")
    shape = loaded(put, "mtllib m.mtl\n" + SQUARE + "usemtl a\nf 1/7 2/8 3/9\n")
    assert shape.colors is not None
    assert shape.colors.tolist() == [[0, 1, 0]] * 3


def test_vertices_and_faces_are_counted(put: Put) -> None:
    with use_limits(replace(limits(), points=3)), pytest.raises(FileFormatError, match="declares 4 vertices; at most 3 are read"):
        shapes.load(put("a.obj", SQUARE + "f 1 2 3\n"))
    with use_limits(replace(limits(), faces=2)), pytest.raises(FileFormatError, match="declares 4 faces; at most 2 are read"):
        shapes.load(put("a.obj", SQUARE + "f 1 2 3 4 1 2\n"))
    with use_limits(replace(limits(), points=20)), pytest.raises(FileFormatError, match="declares 30 vertices; at most 20 are read"):
        shapes.load(put("a.obj", SQUARE + "".join(f"usemtl {i}\nf 1 2 3\n" for i in range(10))))


@pytest.mark.parametrize(
    "tail",
    [
        "\n" * 2_000_000,
        " " * 2_000_000,
        "#" * 2_000_000,
        " #" * 1_000_000,
        "\\\n" * 1_000_000,
        "mtllib a\n" * 200_000,
        "mtllib" * 300_000,
        "usemtl a\n" * 200_000,
        "".join(f"usemtl m{i}\n" for i in range(150_000)),
        "o a\ng b\n" * 200_000,
        "/" * 2_000_000,
        "x y z\n" * 300_000,
    ],
)
def test_megabytes_of_little(tail: str, put: Put) -> None:
    start = time.process_time()
    assert len(loaded(put, SQUARE + "f 1 2 3\n" + tail).faces) == 1
    assert time.process_time() - start < 3


def test_a_polygon_of_very_many_corners_and_very_many_materials(put: Put) -> None:
    put("m.mtl", "".join(f"newmtl m{i}\nKd 1 0 0\nmap_Kd t.png\n" for i in range(20_000)))
    start = time.process_time()
    assert len(loaded(put, SQUARE + "f" + " 1 2 3" * 100_000 + "\n").faces) == 299_998
    text = "mtllib m.mtl\nvt 0 0\n" + SQUARE + "".join(f"usemtl m{i}\nf 1/1 2/1 3/1\n" for i in range(20_000))
    assert len(loaded(put, text).faces) == 20_000
    assert time.process_time() - start < 4
