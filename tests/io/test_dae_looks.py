"""What COLLADA files look like: transparency, several sets of texture coordinates, names, hidden nodes and units."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.types import Mesh

from .conftest import Put
from .test_dae import SHOWN, TRIANGLE, VERTEX, dae, mesh, source
from .test_textures import encoded

MATERIAL = '<library_materials><material id="m"><instance_effect url="#e"/></material></library_materials>'
SAMPLER = '<newparam sid="surface"><surface><init_from>i</init_from></surface></newparam>'
SAMPLER += '<newparam sid="sampler"><sampler2D><source>surface</source><wrap_s>MIRROR</wrap_s><wrap_t>clamp</wrap_t></sampler2D></newparam>'
IMAGE = '<library_images><image id="i"><init_from>file:///C:/models/T.PNG</init_from></image></library_images>'
TEXTURE = '<diffuse><texture texture="sampler" texcoord="CHANNEL1"/></diffuse>'


def libraries(lines: str) -> str:
    effect = f'<effect id="e"><profile_COMMON>{SAMPLER}<technique><phong>{lines}</phong></technique></profile_COMMON></effect>'
    return f"{IMAGE}<library_effects>{effect}</library_effects>{MATERIAL}"


def node(binding: str = "", *, symbol: str = "skin", name: str = "", extra: str = "") -> str:
    material = f'<instance_material symbol="{symbol}" target="#m">{binding}</instance_material>'
    bound = f"<bind_material><technique_common>{material}</technique_common></bind_material>"
    return f'<node name="{name}"><instance_geometry url="#g">{bound}</instance_geometry>{extra}</node>'


def loaded(put: Put, text: str) -> Mesh:
    shape = shapes.load(put("a.dae", text), up="z")
    assert isinstance(shape, Mesh)
    return shape


def notes(shape: Mesh) -> tuple[str, ...]:
    assert shape.origin is not None
    return shape.origin.notes


TWO_SETS = mesh(
    f'<triangles material="skin">{VERTEX}<input semantic="TEXCOORD" source="#one" offset="0" set="0"/>'
    '<input semantic="TEXCOORD" source="#two" offset="0" set="1"/><p>0 1 2</p></triangles>',
    more=source("one", "0.1 0.5 0.1 0.5 0.1 0.5 0 0", 2) + source("two", "0.9 0.5 0.9 0.5 0.9 0.5 0 0", 2),
)


@pytest.mark.parametrize(
    ("binding", "place"),
    [
        ("", 0.1),
        ('<bind_vertex_input semantic="CHANNEL1" input_semantic="TEXCOORD" input_set="1"/>', 0.9),
        ('<bind_vertex_input semantic="OTHER" input_semantic="TEXCOORD" input_set="1"/>', 0.1),
        ('<bind_vertex_input semantic="CHANNEL1" input_semantic="TEXCOORD" input_set="7"/>', 0.1),
    ],
)
def test_a_binding_chooses_among_sets_of_texture_coordinates(binding: str, place: float, put: Put) -> None:
    put("t.png", encoded(Image.new("RGB", (4, 4), (200, 10, 30))))
    shape = loaded(put, dae(node(binding), geometry=TWO_SETS, libraries=libraries(TEXTURE)))
    assert shape.appearance is not None
    assert shape.appearance.uv is not None
    assert np.allclose(shape.appearance.uv[:, 0], place)
    assert shape.appearance.materials[0].wrap == ("mirror", "clamp")
    assert notes(shape) == ()


@pytest.mark.parametrize(
    ("lines", "alpha"),
    [
        ("<transparent><color>0 0 0 0.4</color></transparent><transparency><float>0.5</float></transparency>", 0.2),
        ('<transparent opaque="A_ONE"><color>1 1 1 1</color></transparent><transparency><float>0.3</float></transparency>', 0.3),
        ('<transparent opaque="RGB_ZERO"><color>0.4 0.4 0.4 1</color></transparent><transparency><float>1</float></transparency>', 0.6),
        ('<transparent opaque="A_ZERO"><color>1 1 1 0.25</color></transparent>', 0.75),
        ('<transparent opaque="RGB_ONE"><color>0.5 0.5 0.5 1</color></transparent>', 0.5),
        ("<transparency><float>0.6</float></transparency>", 0.6),
        ("<transparent><color>1 1 1 1</color></transparent><transparency><float>0</float></transparency>", 1),
        ('<transparent opaque="RGB_ZERO"><color>1 1 1 1</color></transparent>', 1),
        ('<transparent opaque="RGB_ZERO"><color>0 0 0 1</color></transparent>', 1),
    ],
)
def test_transparency_in_all_its_modes(lines: str, alpha: float, put: Put) -> None:
    from basrelief.io.formats.dae_document import read_document

    path = put("a.dae", dae(node(), libraries=libraries(f"<diffuse><color>1 0 0 1</color></diffuse>{lines}")))
    effect = read_document(path, path.read_bytes()).effects["e"]
    assert effect.alpha == pytest.approx(alpha)
    assert effect.color == (1, 0, 0)


def test_a_mask_cuts_out(put: Put) -> None:
    picture = np.zeros((2, 2, 4), dtype=np.uint8)
    picture[0], picture[1] = (0, 255, 0, 255), (0, 255, 0, 0)
    put("t.png", encoded(Image.fromarray(picture)))
    lines = TEXTURE + TEXTURE.replace("diffuse", "transparent")
    shape = loaded(put, dae(node(), geometry=TWO_SETS, libraries=libraries(lines)))
    assert shape.appearance is not None
    assert shape.appearance.materials[0].cutoff > 0


def test_emission_stands_for_a_diffuse_color_that_is_absent(put: Put) -> None:
    for lines in (
        "<emission><color>0 0 1 1</color></emission>",
        "<emission><color>0 0 1 1</color></emission><diffuse><color>0 0 0 1</color></diffuse>",
    ):
        shape = loaded(put, dae(node(), libraries=libraries(lines)))
        assert shape.colors is not None
        assert shape.colors.tolist() == [[0, 0, 1]] * 3


def test_colors_of_vertices_win_over_the_material_unless_they_say_nothing(put: Put) -> None:
    lines = "<diffuse><color>0.8 0.8 0.8 1</color></diffuse>"
    for numbers, expected in (
        ("1 0 0 0 1 0 0 0 1 1 1 1", np.eye(3)),
        ("1 1 1 " * 4, np.full((3, 3), 0.8)),
        ("0 0 0 " * 4, np.full((3, 3), 0.8)),
    ):
        geometry = mesh(more=source("rgb", numbers), inputs='<input semantic="COLOR" source="#rgb"/>')
        shape = loaded(put, dae(node(), geometry=geometry, libraries=libraries(lines)))
        assert shape.colors is not None
        assert np.allclose(shape.colors, expected, atol=1e-6)


def test_a_material_of_the_name_of_its_symbol_needs_no_binding(put: Put) -> None:
    lines = "<diffuse><color>0 0 1 1</color></diffuse>"
    shape = loaded(put, dae(SHOWN, geometry=mesh(TRIANGLE.replace("skin", "m")), libraries=libraries(lines)))
    assert shape.colors is not None
    assert shape.colors[0].tolist() == [0, 0, 1]


HIDDEN = '<extra><technique profile="FCOLLADA"><visibility>{}</visibility></technique></extra>'


@pytest.mark.parametrize(
    ("second", "faces", "note"),
    [
        (node(name="UCX_chair"), 1, "1 collision mesh was left out: UCX_chair."),
        (node(name="cage", extra=HIDDEN.format("0")), 1, "1 hidden part was left out: cage."),
        (f'<node name="rig">{HIDDEN.format("false")}{node(name="cage")}</node>', 1, "1 hidden part was left out: cage."),
        (node(name="leg", extra=HIDDEN.format("1")), 2, ""),
    ],
)
def test_helper_geometry_and_hidden_nodes_are_left_out(second: str, faces: int, note: str, put: Put) -> None:
    shape = loaded(put, dae(node(name="chair") + second))
    assert len(shape.faces) == faces
    assert notes(shape) == ((note,) if note else ())


@pytest.mark.parametrize(
    ("unit", "note"), [('meter="0.0254" name="inch"', "The file says that its unit is 0.0254 m; the numbers were kept."), ('meter="1"', "")]
)
def test_units_are_noted_and_sizes_kept(unit: str, note: str, put: Put) -> None:
    shape = loaded(put, dae(libraries=f"<asset><unit {unit}/></asset>"))
    assert notes(shape) == ((note,) if note else ())
    assert shape.vertices.max() == 1


@pytest.mark.parametrize(("axis", "up"), [("X_UP", "x"), ("Y_UP", "y"), ("Z_UP", "z")])
def test_axes(axis: str, up: str, put: Put) -> None:
    shape = shapes.load(put("a.dae", dae(libraries=f"<asset><up_axis>{axis}</up_axis></asset>")))
    assert shape.origin is not None
    assert shape.origin.up == up
