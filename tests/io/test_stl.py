"""STL: both kinds, whatever their solids are called and however their lines end."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.limits import limits, use_limits
from basrelief.types import Mesh

from .conftest import FACES, VERTICES, Put

SOLID = "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\nendsolid a\n"
TRIANGLE = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


def binary(triangles: np.ndarray) -> bytes:
    table = np.zeros(len(triangles), dtype=[("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attribute", "<u2")])
    table["vertices"] = triangles
    return b" " * 80 + len(triangles).to_bytes(4, "little") + table.tobytes()


def loaded(put: Put, content: bytes | str) -> Mesh:
    shape = shapes.load(put("a.stl", content))
    assert isinstance(shape, Mesh)
    return shape


def test_binary_triangles_have_vertices_of_their_own(put: Put) -> None:
    shape = loaded(put, binary(VERTICES[FACES]))
    assert np.array_equal(shape.vertices.reshape(-1, 3, 3), VERTICES[FACES])
    assert shape.faces.tolist() == np.arange(12).reshape(-1, 3).tolist()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way(end: str, put: Put) -> None:
    assert loaded(put, SOLID.replace("\n", end)).vertices.tolist() == TRIANGLE


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text.replace("vertex", "\t  vertex \t"), lambda text: text[: text.index("endloop")]]
)
def test_variations_of_text_stl_give_the_same_triangles(change: object, put: Put) -> None:
    assert loaded(put, change(SOLID)).vertices.tolist() == TRIANGLE  # type: ignore[operator]


def test_blocks_of_text_join_without_a_seam(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(SOLID.replace("vertex 1", f"vertex {i}") for i in range(1, 50))
    whole = loaded(put, text).vertices
    for size in (40, 41, 97, 1000):
        monkeypatch.setattr("basrelief.io.lines._BLOCK", size)
        assert np.array_equal(loaded(put, text).vertices, whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SOLID.replace("0 1 0", "0 1"), "A vertex line of a.stl does not hold x, y, z"),
        (SOLID.replace("0 1 0", "0 1 0 0"), "A vertex line of a.stl does not hold x, y, z"),
        (SOLID.replace("0 1 0", "a b c"), "a.stl"),
        (SOLID.replace("vertex 0 1 0\n", ""), "a.stl holds 2 vertices, which is not a multiple of three"),
        ("solid a\nendsolid a\n", "a.stl contains no triangles or points"),
    ],
)
def test_text_that_is_wrong(text: str, message: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put("a.stl", text))


@pytest.mark.parametrize("content", [binary(np.zeros((5, 3, 3))), SOLID * 5])
def test_triangles_are_counted_before_they_are_kept(content: bytes | str, put: Put) -> None:
    with use_limits(replace(limits(), faces=4)), pytest.raises(FileFormatError, match="declares 5 faces; at most 4 are read"):
        shapes.load(put("a.stl", content))
    with use_limits(replace(limits(), points=14)), pytest.raises(FileFormatError, match="declares 15 vertices; at most 14 are read"):
        shapes.load(put("a.stl", content))


@pytest.mark.parametrize(
    "content",
    [
        "solid a\n" + "\n" * 2_000_000,
        "solid a\n" + " " * 2_000_000,
        "solid a\n" + " \n" * 1_000_000,
        "solid a\n" + "vertex\n" * 300_000,
        "solid a\n" + "vertex " * 300_000,
        "endsolid\nsolid\n" * 150_000,
        "solid a\n" + "\n".join(" " * i for i in range(2000)),
    ],
)
def test_megabytes_of_little(content: str, put: Put) -> None:
    start = time.process_time()
    with pytest.raises(FileFormatError, match="a.stl"):
        shapes.load(put("a.stl", content))
    assert time.process_time() - start < 2


def test_very_many_solids_of_one_name(put: Put) -> None:
    path, start = put("a.stl", SOLID * 100_000), time.process_time()
    assert len(shapes.load(path).faces) == 100_000  # type: ignore[union-attr]
    assert time.process_time() - start < 4


def test_lines_without_end_are_refused(put: Put) -> None:
    with pytest.raises(FileFormatError, match="A line of a.stl is longer than 16,777,216 bytes"):
        shapes.load(put("a.stl", "solid a\n" + "x" * 17_000_000))


def colored_stl(header: bytes, attributes: list[int]) -> bytes:
    """One triangle for each attribute."""
    kind = np.dtype([("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles = np.zeros(len(attributes), dtype=kind)
    triangles["vertices"] = np.random.default_rng(0).random((len(attributes), 3, 3))
    triangles["attribute"] = attributes
    return header.ljust(80, b"\0") + len(attributes).to_bytes(4, "little") + triangles.tobytes()


GREY = [0.8, 0.8, 0.8]


@pytest.mark.parametrize(
    ("header", "attributes", "expected"),
    [
        (b"VisCAM", [0xFC00, 0x83E0, 0x801F, 0x7C00], [[1, 0, 0], [0, 1, 0], [0, 0, 1], GREY]),
        (b"COLOR=\xff\x00\x00\xff,MATERIAL=", [0x8000, 0x001F, 0x03E0, 0x7C00], [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (b"plain", [0, 7, 0, 0x7FFF], None),
    ],
)
def test_colors_of_binary_triangles(header: bytes, attributes: list[int], expected: list[list[float]] | None, put: Put) -> None:
    shape = shapes.load(put("a.stl", colored_stl(header, attributes)))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 4
    if expected is None:
        assert shape.colors is None
    else:
        assert shape.colors is not None
        assert np.allclose(shape.colors[shape.faces[:, 0]], expected)
