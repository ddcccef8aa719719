"""What .obj files look like: textures, transparency, groups, and libraries that lie elsewhere."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.io.formats.mtl import Material, TextureMap, parse_map, parse_materials
from basrelief.types import Mesh, PointCloud

from .conftest import Put

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0.2 0.5\nvt 0.8 0.5\nvt 0.8 0.5\nvt 0.2 0.5\n"
FACE = "f 1/1 2/2 3/3 4/4\n"
RED, BLUE, GREY = [1, 0, 0], [0, 0, 1], [0.8, 0.8, 0.8]


def png(pixels: list[list[list[int]]]) -> bytes:
    out = BytesIO()
    Image.fromarray(np.array(pixels, dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


HALVES = png([[[255, 0, 0], [0, 0, 255]]])  # red to the left, blue to the right


def loaded(put: Put, text: str) -> Mesh:
    shape = shapes.load(put("a.obj", text), up="z")
    assert isinstance(shape, Mesh)
    return shape


def notes(shape: Mesh | PointCloud) -> tuple[str, ...]:
    assert shape.origin is not None
    return shape.origin.notes


@pytest.mark.parametrize("kd", ["", "Kd 0 0 0\n", "Kd 0.1 0.2 0.3\n"])
@pytest.mark.parametrize("name", ["skin.png", "SKIN.PNG", "..\\textures\\Skin.png", "D:\\work\\skin.png", "/srv/work/skin.png"])
def test_an_image_replaces_the_diffuse_color(kd: str, name: str, put: Put) -> None:
    put("skin.png", HALVES)
    put("m.mtl", f"newmtl a\n{kd}map_Kd {name}\n")
    shape = loaded(put, "mtllib m.mtl\n" + SQUARE + "usemtl a\n" + FACE)
    assert shape.colors is not None
    assert shape.colors.tolist() == [RED, BLUE, BLUE, RED]
    assert shape.appearance is not None
    assert shape.appearance.materials[0].color == (1, 1, 1, 1)
    assert notes(shape) == ()


@pytest.mark.parametrize(("kd", "color"), [("Kd 0 0 0\n", None), ("Kd 0 0 1\n", BLUE)])
def test_without_its_image_a_black_material_is_no_color(kd: str, color: list[float] | None, put: Put) -> None:
    put("m.mtl", f"newmtl a\n{kd}map_Kd gone.png\n")
    shape = loaded(put, "mtllib m.mtl\n" + SQUARE + "usemtl a\n" + FACE)
    assert (None if shape.colors is None else shape.colors[0].tolist()) == color
    assert notes(shape) == ("1 texture is missing or damaged: gone.png.",)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", TextureMap("my skin.png")),
        ("-s 2 3 1", TextureMap("my skin.png", (2, 3))),
        ("-s 2", TextureMap("my skin.png", (2, 1))),
        ("-o 0.5 0.25", TextureMap("my skin.png", (1, 1), (0.5, 0.25))),
        ("-clamp on", TextureMap("my skin.png", clamp=True)),
        ("-clamp off -bm 0.5 -mm 0 1 -blendu on -texres 256", TextureMap("my skin.png")),
        ("-S 2 2 2  -o 1 1 1 -t 0 0 0 -Clamp on -imfchan l", TextureMap("my skin.png", (2, 2), (1, 1), True)),
    ],
)
def test_options_of_images(options: str, expected: TextureMap) -> None:
    assert parse_map(f" {options} my skin.png ") == expected
    assert parse_materials(f"newmtl a\nmap_Kd {options} my skin.png\n".encode())["a"].maps == {"map_kd": expected}


@pytest.mark.parametrize(
    ("text", "name"), [("-odd name.png", "-odd name.png"), ("-s 1 1 1", None), ("", None), ("-o name.png", "name.png")]
)
def test_names_and_options_that_are_odd(text: str, name: str | None) -> None:
    found = parse_map(text)
    assert (None if found is None else found.name) == name


def test_options_move_the_image(put: Put) -> None:
    put("skin.png", HALVES)
    put("m.mtl", "newmtl a\nmap_Kd -s 0.5 1 -o 0.5 0 -clamp on skin.png\n")
    shape = loaded(put, "mtllib m.mtl\n" + SQUARE + "usemtl a\n" + FACE)
    assert shape.appearance is not None
    assert shape.appearance.uv is not None
    assert np.allclose(shape.appearance.uv, [[0.6, 0.5], [0.9, 0.5], [0.9, 0.5], [0.6, 0.5]])
    assert shape.appearance.materials[0].wrap == ("clamp", "clamp")


@pytest.mark.parametrize(
    ("lines", "alpha"),
    [("d 0.5", 0.5), ("Tr 0.25", 0.75), ("d 1\nTr 0.5", 1), ("Tr 0.5\nd 1", 1), ("Tr 1", 1), ("d -halo 0.5", 0.5), ("d x", 1), ("d 7", 1)],
)
def test_transparency(lines: str, alpha: float) -> None:
    assert parse_materials(f"newmtl a\n{lines}\n".encode())["a"].alpha == alpha


@pytest.mark.parametrize(
    ("lines", "color"),
    [
        ("Ka 1 0 0", (1, 0, 0)),
        ("Ke 0 0 1\nKd 0 0 0", (0, 0, 1)),
        ("Ka 0.2 0.2 0.2\nKd 1 0 0\nKe 0 0 0", (1, 0, 0)),
        ("Ka 0 0 0\nKd 0 0 0\nKe 0 0 0", (0, 0, 0)),
        ("Ka 0 0 0", None),
        ("Kd 0.5", (0.5, 0.5, 0.5)),
    ],
)
def test_materials_without_diffuse_color(lines: str, color: tuple[float, ...] | None) -> None:
    assert parse_materials(f"newmtl a\n{lines}\n".encode())["a"].color == color


def test_an_image_of_light_is_shown_where_the_surface_is_black() -> None:
    screen = TextureMap("screen.png")
    assert Material({"kd": (0, 0, 0)}, {"map_ke": screen}).texture == screen
    assert Material({"kd": (1, 0, 0)}, {"map_ke": screen}).texture is None


LEAF = png([[[0, 255, 0, 255], [0, 0, 0, 0]]])


@pytest.mark.parametrize(
    ("maps", "cut"),
    [
        ("map_Kd leaf.png", True),  # its alpha is either 0 or 255
        ("map_Kd leaf.png\nmap_d leaf.png", True),
        ("map_Kd green.png\nmap_d mask.png", True),
        ("map_d mask.png\nKd 0 1 0", True),
        ("map_Kd gloss.png", False),  # an alpha of many values is not meant for viewers
        ("map_Kd gloss.png\nmap_d gloss.png", True),
        ("map_Kd green.png", False),
    ],
)
def test_alpha_cuts_out(maps: str, cut: bool, put: Put) -> None:
    put("leaf.png", LEAF)
    put("green.png", png([[[0, 255, 0]]]))
    put("mask.png", png([[[255, 255, 255], [0, 0, 0]]]))
    put("gloss.png", png([[[0, 255, 0, value] for value in range(20, 200, 20)]]))
    put("m.mtl", f"newmtl a\n{maps}\n")
    shape = loaded(put, "mtllib m.mtl\n" + SQUARE + "usemtl a\n" + FACE)
    assert shape.appearance is not None
    material = shape.appearance.materials[0]
    assert (material.cutoff > 0) == cut
    assert material.texture is not None
    assert (int(material.texture[:, :, 3].min()) < 255) == cut


def test_what_is_half_transparent_is_drawn_and_what_is_invisible_is_not(put: Put) -> None:
    put("m.mtl", "newmtl glass\nKd 0 0 1\nd 0.3\nnewmtl none\nKd 1 0 0\nd 0\nnewmtl wall\nKd 0 1 0\n")
    text = "usemtl glass\n" + FACE + "usemtl none\n" + FACE.replace("1", "2") + "usemtl wall\n" + FACE
    shape = loaded(put, "mtllib m.mtl\n" + SQUARE + text)
    assert shape.colors is not None
    assert {tuple(color) for color in shape.colors.tolist()} == {(0, 0, 1), (0, 1, 0)}


def test_vertex_colors_win_over_materials_and_images_over_both(put: Put) -> None:
    put("skin.png", HALVES)
    put("m.mtl", "newmtl a\nKd 0.5 0.5 0.5\nnewmtl b\nmap_Kd skin.png\n")
    colored = SQUARE.replace("0\nv", "0 0 1 0\nv")
    shape = loaded(put, "mtllib m.mtl\n" + colored + "usemtl a\nf 1 2 3\nusemtl b\n" + FACE)
    assert shape.colors is not None
    assert sorted(map(tuple, shape.colors.tolist())) == sorted([(0, 1, 0)] * 3 + [(1, 0, 0)] * 2 + [(0, 0, 1)] * 2)
    white = loaded(put, "mtllib m.mtl\n" + colored.replace("0 1 0\nv", "1 1 1\nv") + "usemtl a\nf 1 2 3\n")
    assert white.colors is not None
    assert np.allclose(white.colors, 0.5)


def test_a_library_of_the_same_name_is_used_where_the_one_that_is_named_is_absent(put: Put) -> None:
    put("a.mtl", "newmtl m\nKd 1 0 0\n")
    for line, note in (("mtllib other name.mtl\n", 1), ("", 0)):
        shape = loaded(put, line + SQUARE + "usemtl m\n" + FACE)
        assert shape.colors is not None
        assert shape.colors[0].tolist() == RED
        assert len(notes(shape)) == note
        assert put("a.obj", line + SQUARE).parent / "a.mtl" in shapes.side_files(put("a.obj", line + SQUARE))
    assert notes(loaded(put, "mtllib gone.mtl\n" + SQUARE + FACE)) == ("The material library 'gone.mtl' was not found beside the file.",)


def test_several_libraries_in_a_line_and_names_with_spaces(put: Put) -> None:
    put("one.mtl", "newmtl a\nKd 1 0 0\n")
    put("two.mtl", "newmtl b\nKd 0 0 1\n")
    put("my own.mtl", "newmtl c\nKd 0 1 0\n")
    faces = "usemtl a\nf 1 2 3\nusemtl b\nf 1 2 3\nusemtl c\nf 1 2 3\n"
    shape = loaded(put, "mtllib one.mtl two.mtl\nmtllib my own.mtl\n" + SQUARE + faces)
    assert shape.colors is not None
    assert {tuple(color) for color in shape.colors.tolist()} == {(1, 0, 0), (0, 0, 1), (0, 1, 0)}
    assert notes(shape) == ()


def test_side_files_are_all_images_of_the_materials(put: Put, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "Skin.png").write_bytes(HALVES)
    put("mask.png", HALVES)
    put("m.mtl", "newmtl a\nmap_Kd -s 2 2 C:\\work\\skin.png\nmap_d mask.png\n")
    found = shapes.side_files(put("a.obj", "mtllib M.MTL\n" + SQUARE))
    assert [path.name for path in found] == ["m.mtl", "Skin.png", "mask.png"]


@pytest.mark.parametrize("mark", ["o", "g"])
def test_groups_with_names_of_helpers_are_left_out(mark: str, put: Put) -> None:
    text = SQUARE + "v 5 5 5\n" + f"{mark} body\nf 1 2 3\n{mark} body_collider\nf 1 2 5\n"
    shape = loaded(put, text)
    assert len(shape.faces) == 1
    assert notes(shape) == ("1 collision mesh was left out: body_collider.",)


def test_groups_belong_to_their_object(put: Put) -> None:
    text = SQUARE + "o house\ng roof\nf 1 2 3\ng wall\nf 1 3 4\no UCX_house\nf 1 2 4\ng roof\nf 2 3 4\n"
    assert len(loaded(put, text).faces) == 2
    only = loaded(put, SQUARE + "o UCX_house\nf 1 2 3\n")
    assert len(only.faces) == 1


def test_groups_beyond_number_are_one_part(put: Put) -> None:
    text = SQUARE + "".join(f"g {i}\nf 1 2 3\n" for i in range(5000)) + "g UCX_a\nf 1 2 3\n"
    assert len(loaded(put, text).faces) == 5001


def test_faces_of_each_material_keep_their_corners(put: Put) -> None:
    put("skin.png", HALVES)
    put("m.mtl", "newmtl a\nmap_Kd skin.png\nnewmtl b\nKd 1 0 0\n")
    text = "usemtl a\nf 1/1 2/2 3/3\nusemtl b\nf 1 3 4\nusemtl a\nf 2/2 3/3 4/4\n"
    shape = loaded(put, "mtllib m.mtl\n" + SQUARE + text)
    found = sorted(tuple(map(tuple, shape.vertices[face].tolist())) for face in shape.faces)
    square = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 0.0)]
    assert found == sorted([tuple(square[i] for i in face) for face in ((0, 1, 2), (0, 2, 3), (1, 2, 3))])
    assert shape.appearance is not None
    assert sorted(np.bincount(shape.appearance.material_ids).tolist()) == [1, 2]


def test_free_form_surfaces(put: Put) -> None:
    curves = "cstype bspline\ndeg 3 3\nsurf 0 1 0 1 1 2 3 4\nparm u 0 1\nend\n"
    with pytest.raises(FileFormatError, match="a.obj holds only free-form curves or surfaces. Export it as a mesh of polygons"):
        shapes.load(put("a.obj", SQUARE + curves))
    assert notes(loaded(put, SQUARE + FACE + curves)) == ("Free-form curves and surfaces were left out.",)


def test_numbers_as_other_programs_write_them(put: Put) -> None:
    cloud = shapes.load(put("a.obj", "v 1 2. +3.0\nv 1e2 2.e-1 3.1-e2\nv 1.#QNAN -nan(ind) 0\n"), up="z")
    assert isinstance(cloud, PointCloud)
    assert np.allclose(cloud.points, [[1, 2, 3], [100, 0.2, 0.031]])
