"""PLY of less common programs: other line ends, names of colours, strips, Gaussian splats."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.errors import GeometryError
from basrelief.io.formats.ply_header import ENCODINGS
from basrelief.io.polygons import Lists, strip_triangles
from basrelief.types import Mesh

from .conftest import FACES, RGB, VERTICES, Put, loaded
from .plys import BINARY, CUBE, faces, ply, vertices


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", [b"\r", b"\r\n"])
def test_lines_may_end_in_cr_or_crlf(encoding: str, end: bytes, put: Put) -> None:
    data = ply(encoding, vertex=vertices(), face=faces(FACES.tolist()))
    head, mark, body = data.partition(b"end_header\n")
    text = (head + mark).replace(b"\n", end)
    shape = shapes.load(put("a.ply", text + (body.replace(b"\n", end) if encoding == "ascii" else body)))
    assert isinstance(shape, Mesh)
    assert np.array_equal(shape.vertices, VERTICES)
    assert np.array_equal(shape.faces, FACES)


@pytest.mark.parametrize("encoding", BINARY)
def test_binary_data_that_begin_like_a_line_end(encoding: str, put: Put) -> None:
    rows = [("u1", "label"), *vertices()[0]], [[10, *point] for point in VERTICES.tolist()]
    data = ply(encoding, vertex=rows)
    head, mark, body = data.partition(b"end_header\n")
    cloud = loaded(put("a.ply", (head + mark).replace(b"\n", b"\r") + body))
    assert np.array_equal(cloud.points, VERTICES)


@pytest.mark.parametrize("names", [("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b")])
def test_other_names_of_colors(names: tuple[str, ...], put: Put) -> None:
    rows = [*vertices()[0], *(("u1", name) for name in names)], np.hstack([VERTICES, RGB]).tolist()
    cloud = loaded(put("a.ply", ply("binary_little_endian", vertex=rows)))
    assert cloud.colors is not None
    assert np.array_equal(np.rint(cloud.colors * 255), RGB)


@pytest.mark.parametrize(
    ("kind", "values", "grey"), [("u1", [0, 51, 102, 255], [0, 0.2, 0.4, 1]), ("f4", [0, 500, 1000, 2000], [0, 0.25, 0.5, 1])]
)
def test_intensity_is_grey(kind: str, values: list[float], grey: list[float], put: Put) -> None:
    rows = [*vertices()[0], (kind, "intensity")], np.column_stack([VERTICES, values]).tolist()
    cloud = loaded(put("a.ply", ply("ascii" if kind == "f4" else "binary_big_endian", vertex=rows)))
    assert cloud.colors is not None
    assert np.allclose(cloud.colors, np.array(grey)[:, None], atol=1e-6)


def test_constant_intensity_is_no_color(put: Put) -> None:
    rows = [*vertices()[0], ("f4", "intensity")], np.column_stack([VERTICES, np.full(4, 0.5)]).tolist()
    assert loaded(put("a.ply", ply("ascii", vertex=rows))).colors is None


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_triangle_strips(encoding: str, put: Put) -> None:
    strips = faces([[0, 1, 2, 3, -1, 4, 5, 6]], kind="i4 i4")
    shape = shapes.load(put("a.ply", ply(encoding, vertex=vertices(CUBE), tristrips=strips)))
    assert isinstance(shape, Mesh)
    assert shape.faces.tolist() == [[0, 1, 2], [2, 1, 3], [4, 5, 6]]


def test_strips_end_with_their_list_and_drop_joining_triangles() -> None:
    strips = Lists(np.array([0, 1, 2, 2, 4, 5, 6, 7, 8]), np.array([6, 0, 3]))
    assert strip_triangles(strips).tolist() == [[0, 1, 2], [4, 2, 5], [6, 7, 8]]


def test_gaussian_splats_are_points_with_the_color_of_degree_zero(put: Put) -> None:
    names = ["f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
    light = (np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]) - 0.5) / 0.28209479177387814
    rows = [*vertices()[0], *(("f4", name) for name in names)], np.column_stack([VERTICES, light, [4, 4, -6, 0]]).tolist()
    cloud = loaded(put("a.ply", ply("binary_little_endian", vertex=rows)))
    assert cloud.origin is not None
    assert np.array_equal(cloud.points, VERTICES[[0, 1, 3]])
    assert cloud.colors is not None
    assert np.allclose(cloud.colors, [[1, 0, 0], [0, 1, 0], [1, 1, 1]], atol=1e-6)
    assert cloud.origin.notes == ("The points are Gaussian splats; 1 of 4 with an opacity below 0.1 were dropped.",)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lists_before_positions(encoding: str, put: Put) -> None:
    rows = [("u1 i4", "tags"), *vertices()[0]], [[list(range(i)), *point] for i, point in enumerate(VERTICES.tolist())]
    shape = shapes.load(put("a.ply", ply(encoding, vertex=rows, face=faces(FACES.tolist(), name="vertex_index"))))
    assert isinstance(shape, Mesh)
    assert np.array_equal(shape.vertices, VERTICES)


def png(color: tuple[int, int, int], size: int = 2) -> bytes:
    out = BytesIO()
    Image.new("RGB", (size, size), color).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_texture_coordinates_of_faces_split_vertices_at_seams(encoding: str, put: Put) -> None:
    put("Skin.png", png((255, 0, 0)))
    properties = [("u1 i4", "vertex_indices"), ("u1 f4", "texcoord")]
    rows = [[[0, 1, 2], [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]], [[0, 2, 3], [0.0, 0.0, 0.5, 0.5, 0.0, 1.0]]]
    data = (
        ply(encoding, vertex=vertices(), face=(properties, rows))
        .replace(b"made by hand", b"")
        .replace(b"obj_info nothing", b"comment TextureFile skin.PNG")
    )
    shape = shapes.load(put("a.ply", data))
    assert isinstance(shape, Mesh)
    assert shape.appearance is not None
    assert shape.appearance.uv is not None
    assert len(shape.vertices) == 5
    assert np.allclose(shape.appearance.uv[shape.faces].reshape(2, 6), [rows[0][1], rows[1][1]])
    assert np.array_equal(shape.vertices[shape.faces], VERTICES[[[0, 1, 2], [0, 2, 3]]])


def test_faces_choose_among_textures(put: Put) -> None:
    put("red.png", png((255, 0, 0)))
    put("green.png", png((0, 255, 0)))
    properties = [("u1 i4", "vertex_indices"), ("u1 f4", "texcoord"), ("i4", "texnumber")]
    rows = [[[0, 1, 2], [0.0] * 6, 1], [[0, 2, 3], [0.0] * 6, 0], [[1, 2, 3], [0.0] * 6, 2]]
    names = b"comment TextureFile red.png\ncomment TextureFile green.png\ncomment TextureFile gone.png"
    shape = shapes.load(put("a.ply", ply("ascii", vertex=vertices(), face=(properties, rows)).replace(b"obj_info nothing", names)))
    assert isinstance(shape, Mesh)
    assert shape.colors is not None
    assert {tuple(colors[0]) for colors in shape.colors[shape.faces].tolist()} == {(1, 0, 0), (0, 1, 0), (np.float32(0.8).item(),) * 3}
    assert shape.origin is not None
    assert shape.origin.notes == ("1 texture is missing or damaged: gone.png.",)


def test_texture_coordinates_of_vertices_that_do_not_exist(put: Put) -> None:
    put("red.png", png((255, 0, 0)))
    rows = [[[0, 1, 9], [0.0] * 6]]
    data = ply("ascii", vertex=vertices(), face=([("u1 i4", "vertex_indices"), ("u1 f4", "texcoord")], rows))
    with pytest.raises(GeometryError, match="Faces use vertices 0 to 9, but there are only 4"):
        shapes.load(put("a.ply", data.replace(b"obj_info nothing", b"comment TextureFile red.png")))


def test_lines_with_more_numbers_than_declared(put: Put) -> None:
    text = ply("ascii", vertex=vertices(), face=faces(FACES.tolist())).decode()
    head, _, body = text.partition("end_header\n")
    longer = "".join(f"{line} 9 9 9\n" for line in body.splitlines())
    shape = shapes.load(put("a.ply", f"{head}end_header\n{longer}"))
    assert isinstance(shape, Mesh)
    assert np.array_equal(shape.vertices, VERTICES)
    assert np.array_equal(shape.faces, FACES)
    assert shape.origin is not None
    assert shape.origin.notes == ("Lines hold more numbers than the header declares; the last ones were ignored.",)


def test_rows_that_span_lines(put: Put) -> None:
    text = ply("ascii", vertex=vertices(), face=faces(FACES.tolist())).decode()
    head, _, body = text.partition("end_header\n")
    words = body.split()
    for per_line in (1, 2, 5, 1000):
        lines = "\n".join(" ".join(words[i : i + per_line]) for i in range(0, len(words), per_line))
        shape = shapes.load(put("a.ply", f"{head}end_header\n{lines}\n"))
        assert isinstance(shape, Mesh)
        assert np.array_equal(shape.faces, FACES)
