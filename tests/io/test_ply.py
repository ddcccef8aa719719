"""PLY as different programs write it."""

from __future__ import annotations

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.types import Mesh, PointCloud

from .conftest import FACES, RGB, VERTICES, Put


def ply(encoding: str, vertex: np.ndarray, face: np.ndarray | None = None) -> bytes:
    """A binary PLY of these structured arrays."""
    names = {"f4": "float", "f8": "double", "u1": "uchar", "i4": "int", "i2": "short"}
    lines = ["ply", f"format {encoding} 1.0", "comment made by hand", f"element vertex {len(vertex)}"]
    fields = vertex.dtype.fields or {}
    lines += [f"property {names[kind.str[1:]]} {name}" for name, (kind, *_) in fields.items()]
    if face is not None:
        lines += [f"element face {len(face)}", "property list uchar int vertex_indices"]
    body = vertex.tobytes() + (b"" if face is None else face.tobytes())
    return "\n".join([*lines, "end_header\n"]).encode() + body


def vertices(order: str, kind: str = "f4", *, colored: bool = False) -> np.ndarray:
    fields = [(axis, f"{order}{kind}") for axis in "xyz"] + ([(c, "u1") for c in ("red", "green", "blue")] if colored else [])
    table = np.zeros(len(VERTICES), dtype=fields)
    for i, axis in enumerate("xyz"):
        table[axis] = VERTICES[:, i]
    for i, channel in enumerate(("red", "green", "blue") if colored else ()):
        table[channel] = RGB[:, i]
    return table


def faces(order: str) -> np.ndarray:
    table = np.zeros(len(FACES), dtype=[("count", "u1"), ("index", f"{order}i4", (3,))])
    table["count"], table["index"] = 3, FACES
    return table


@pytest.mark.parametrize(("encoding", "order"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("colored", [False, True])
def test_binary_of_either_byte_order(encoding: str, order: str, kind: str, colored: bool, put: Put) -> None:
    shape = shapes.load(put("a.ply", ply(encoding, vertices(order, kind, colored=colored), faces(order))))
    assert isinstance(shape, Mesh)
    assert np.array_equal(shape.vertices, VERTICES)
    assert np.array_equal(shape.faces, FACES)
    assert (shape.colors is not None) == colored
    if shape.colors is not None:
        assert np.allclose(shape.colors, RGB / 255)


@pytest.mark.parametrize(("encoding", "order"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_binary_points(encoding: str, order: str, put: Put) -> None:
    shape = shapes.load(put("a.ply", ply(encoding, vertices(order, colored=True))))
    assert isinstance(shape, PointCloud)
    assert np.array_equal(shape.points, VERTICES)
    assert shape.colors is not None
    assert np.allclose(shape.colors, RGB / 255)


def test_an_empty_face_list_makes_a_cloud(put: Put) -> None:
    assert isinstance(shapes.load(put("a.ply", ply("binary_little_endian", vertices("<"), faces("<")[:0]))), PointCloud)


def test_text_of_mixed_polygons(put: Put) -> None:
    text = "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\nelement face 2\n"
    text += "property list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1\n4 0 1 2 3\n3 0 1 4\n"
    shape = shapes.load(put("a.ply", text))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 3


@pytest.mark.parametrize("cut", [1, 4, 16, 60])
def test_binary_that_ends_early(cut: int, put: Put) -> None:
    data = ply("binary_little_endian", vertices("<"), faces("<"))
    with pytest.raises(FileFormatError, match="path must be a readable ply file, but got a.ply"):
        shapes.load(put("a.ply", data[:-cut]))


def test_a_header_that_never_ends(put: Put) -> None:
    with pytest.raises(FileFormatError, match="path must be a readable ply file, but got a.ply"):
        shapes.load(put("a.ply", "ply\nformat ascii 1.0\nelement vertex 3\n"))


def test_vertices_without_positions(put: Put) -> None:
    text = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float u\nproperty float v\nend_header\n0 0\n"
    with pytest.raises(FileFormatError, match="path must be a readable ply file, but got a.ply"):
        shapes.load(put("a.ply", text))
