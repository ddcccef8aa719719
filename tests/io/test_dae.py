"""COLLADA: geometry, materials and scenes, and scenes that expand without limit."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError
from basrelief.limits import limits, use_limits
from basrelief.types import Mesh

from .conftest import Put
from .test_textures import encoded

VERTEX = '<input semantic="VERTEX" source="#v" offset="0"/>'
TRIANGLE = f'<triangles count="1" material="skin">{VERTEX}<p>0 1 2</p></triangles>'
SHOWN = '<node><instance_geometry url="#g"/></node>'


def source(name: str, numbers: str, stride: int = 3) -> str:
    accessor = f'<technique_common><accessor source="#{name}-a" stride="{stride}"/></technique_common>'
    return f'<source id="{name}"><float_array id="{name}-a">{numbers}</float_array>{accessor}</source>'


def mesh(primitives: str = TRIANGLE, *, more: str = "", inputs: str = "") -> str:
    """The unit square, corners counter-clockwise, with primitives on it."""
    corners = source("s", "0 0 0 1 0 0 1 1 0 0 1 0")
    return f'<mesh>{corners}{more}<vertices id="v"><input semantic="POSITION" source="#s"/>{inputs}</vertices>{primitives}</mesh>'


def dae(nodes: str = SHOWN, *, geometry: str = mesh(), libraries: str = "", scene: str = '<instance_visual_scene url="#scene"/>') -> str:
    return (
        f'<?xml version="1.0"?><COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">{libraries}'
        f'<library_geometries><geometry id="g">{geometry}</geometry></library_geometries>'
        f'<library_visual_scenes><visual_scene id="scene">{nodes}</visual_scene></library_visual_scenes><scene>{scene}</scene></COLLADA>'
    )


def loaded(put: Put, text: str) -> Mesh:
    shape = shapes.load(put("a.dae", text), up="z")
    assert isinstance(shape, Mesh)
    return shape


def area(shape: Mesh) -> float:
    """The area seen from above, negative where faces are turned away."""
    corners = shape.vertices[shape.faces].astype(np.float64)
    return float(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2].sum() / 2)


@pytest.mark.parametrize(
    ("primitives", "faces"),
    [
        (f"<triangles>{VERTEX}<p>0 1 2 0 2 3</p></triangles>", 2),
        (f"<polylist>{VERTEX}<vcount>4</vcount><p>0 1 2 3</p></polylist>", 2),
        (f"<polylist>{VERTEX}<vcount>3 2 3</vcount><p>0 1 2 0 1 0 2 3</p></polylist>", 2),
        (f"<polygons>{VERTEX}<p>0 1 2</p><p>0 2 3</p></polygons>", 2),
        (f"<polygons>{VERTEX}<ph><p>0 1 2 3</p><h>0 1 2</h></ph></polygons>", 2),
        (f"<trifans>{VERTEX}<p>0 1 2 3</p></trifans>", 2),
        (f"<tristrips>{VERTEX}<p>0 1 3 2</p></tristrips>", 2),
        (f"<tristrips>{VERTEX}<p>1 3 0</p><p>1 2 3</p></tristrips>", 2),
        (f"<lines>{VERTEX}<p>0 1</p></lines><triangles>{VERTEX}<p>0 1 2 0 2 3 1</p></triangles>", 2),
        (f"<triangles>{VERTEX}</triangles><triangles>{VERTEX}<p> </p></triangles><triangles>{VERTEX}<p>0 1 2 0 2 3</p></triangles>", 2),
    ],
)
def test_a_square_of_each_kind(primitives: str, faces: int, put: Put) -> None:
    shape = loaded(put, dae(geometry=mesh(primitives)))
    assert (len(shape.faces), len(shape.vertices)) == (faces, 3 * faces)
    assert area(shape) == pytest.approx(1)


def test_lines_alone_are_named(put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.dae contains only lines"):
        shapes.load(put("a.dae", dae(geometry=mesh(f"<lines>{VERTEX}<p>0 1</p></lines>"))))


@pytest.mark.parametrize(
    ("node", "low"),
    [
        ("<translate>1 2 3</translate>", [1, 2, 3]),
        ("<matrix>1 0 0 4 0 1 0 5 0 0 1 6 0 0 0 1</matrix>", [4, 5, 6]),
        ("<rotate>0 0 2 90</rotate><translate>1 0 0</translate>", [-1, 1, 0]),
        ("<translate>1 0 0</translate><rotate>0 0 2 90</rotate>", [0, 0, 0]),
        ("<scale>-2 1 1</scale>", [-2, 0, 0]),
        ("<translate>0,5 1,5 -2,5</translate>", [0.5, 1.5, -2.5]),
    ],
)
def test_nodes_move_what_they_show(node: str, low: list[float], put: Put) -> None:
    shape = loaded(put, dae(f'<node>{node}<node><instance_geometry url="#g"/></node></node>'))
    assert np.allclose(shape.vertices.min(axis=0), low, atol=1e-6)
    assert area(shape) > 0


CONTROLLERS = (
    '<library_controllers><controller id="morph"><morph source="#g"/></controller><controller id="c"><skin source="#morph">'
    "<bind_shape_matrix>1 0 0 5 0 1 0 0 0 0 1 0 0 0 0 1</bind_shape_matrix>"
    + source("joints", "9 9 9")
    + "</skin></controller></library_controllers>"
)


def test_skinned_geometry_stands_as_it_is_bound(put: Put) -> None:
    shape = loaded(put, dae('<node><instance_controller url="#c"/></node>', libraries=CONTROLLERS))
    assert shape.vertices.min(axis=0).tolist() == [5, 0, 0]


def test_inputs_of_joints_and_animations_do_not_reach_the_geometry_before_them(put: Put) -> None:
    inputs = '<input semantic="JOINT" source="#joints" offset="0"/><input semantic="WEIGHT" source="#weights" offset="1"/>'
    skin = f'<controller id="c"><skin source="#g"><joints>{inputs}</joints><vertex_weights>{inputs}</vertex_weights></skin></controller>'
    text = dae(SHOWN).replace("</library_geometries>", f"</library_geometries><library_controllers>{skin}</library_controllers>")
    assert len(loaded(put, text).faces) == 1


@pytest.mark.parametrize("nodes", ["", "<node/>", '<node><instance_geometry url="#gone"/><instance_node url="#gone"/></node>'])
@pytest.mark.parametrize("scene", ["", '<instance_visual_scene url="#scene"/>', '<instance_visual_scene url="#gone"/>'])
def test_geometry_that_no_scene_shows_is_taken_once(nodes: str, scene: str, put: Put) -> None:
    assert len(loaded(put, dae(nodes, scene=scene)).faces) == 1


def test_the_first_scene_is_shown_where_none_is_chosen(put: Put) -> None:
    text = dae(SHOWN * 3, scene="").replace("<scene></scene>", "")
    assert len(loaded(put, text).faces) == 3


def test_nodes_of_version_1_3(put: Put) -> None:
    geometry = mesh(TRIANGLE.replace("offset", "idx")).replace("float_array", "array")
    assert len(loaded(put, dae("", geometry=geometry, scene='<node><instance url="#g"/></node>')).faces) == 1


def test_nodes_of_one_id_are_both_shown(put: Put) -> None:
    assert len(loaded(put, dae(SHOWN.replace("<node>", '<node id="n">') * 2)).faces) == 2


EFFECTS = (
    '<library_images><image id="i"><init_from>t.png</init_from></image></library_images><library_effects>'
    '<effect id="plain-e"><profile_COMMON><technique><phong><emission><color>1 1 1 1</color></emission>'
    "<diffuse><color>0.2 0.4 0.6 1</color></diffuse></phong></technique></profile_COMMON></effect>"
    '<effect id="none-e"><profile_COMMON><technique><phong/></technique></profile_COMMON></effect>'
    '<effect id="picture-e"><profile_COMMON><newparam sid="surface"><surface><init_from>i</init_from></surface></newparam>'
    '<newparam sid="sampler"><sampler2D><source>surface</source></sampler2D></newparam>'
    '<technique><lambert><diffuse><texture texture="sampler" texcoord="uv"/></diffuse></lambert></technique></profile_COMMON></effect>'
    "</library_effects><library_materials>"
    + "".join(f'<material id="{name}"><instance_effect url="#{name}-e"/></material>' for name in ("plain", "none", "picture"))
    + "</library_materials>"
)
PLACES = source("uv", "0 0 1 0 1 1 0 1", 2)
UV = '<input semantic="TEXCOORD" source="#uv" offset="1"/>'
PICTURED = mesh(f'<triangles material="skin">{VERTEX}{UV}<p>0 0 1 1 2 2</p></triangles>', more=PLACES)


def bound(name: str) -> str:
    material = f'<bind_material><technique_common><instance_material symbol="skin" target="#{name}"/></technique_common></bind_material>'
    return f'<node><instance_geometry url="#g">{material}</instance_geometry></node>'


@pytest.mark.parametrize(
    ("name", "color"), [("plain", [0.2, 0.4, 0.6]), ("none", None), ("picture", [200 / 255, 10 / 255, 30 / 255]), ("gone", None)]
)
def test_materials_give_colors(name: str, color: list[float] | None, put: Put) -> None:
    put("t.png", encoded(Image.new("RGB", (4, 4), (200, 10, 30))))
    found = loaded(put, dae(bound(name), geometry=PICTURED, libraries=EFFECTS)).colors
    assert (found is None) == (color is None)
    assert found is None or np.allclose(found, [color] * 3)


def test_a_texture_that_is_absent_is_white(put: Put) -> None:
    found = loaded(put, dae(bound("picture"), geometry=PICTURED, libraries=EFFECTS)).colors
    assert found is not None
    assert found.tolist() == [[1, 1, 1]] * 3


def test_colors_of_vertices(put: Put) -> None:
    colors = source("rgb", "1 0 0 0 1 0 0 0 1 1 1 1")
    own = mesh(f'<triangles>{VERTEX}<input semantic="COLOR" source="#rgb" offset="1"/><p>0 2 1 1 2 0</p></triangles>', more=colors)
    shared = mesh(more=colors, inputs='<input semantic="COLOR" source="#rgb"/>')
    for geometry, expected in ((own, np.eye(3)[::-1]), (shared, np.eye(3))):
        found = loaded(put, dae(geometry=geometry)).colors
        assert found is not None
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("primitives", "error"),
    [
        (f"<triangles>{VERTEX}<p>0 1 4</p></triangles>", GeometryError),
        (f"<triangles>{VERTEX}<p>0 1 -1</p></triangles>", GeometryError),
        (f"<triangles>{VERTEX}<p>0 1 x</p></triangles>", FileFormatError),
        (f"<polylist>{VERTEX}<vcount>4</vcount><p>0 1 2</p></polylist>", GeometryError),
        (f"<polylist>{VERTEX}<vcount>-3 6</vcount><p>0 1 2</p></polylist>", GeometryError),
        (f"<polylist>{VERTEX}<vcount>2000000000</vcount><p>0 1 2</p></polylist>", FileFormatError),
        ("<triangles><p>0 1 2</p></triangles>", FileFormatError),
        (TRIANGLE.replace('offset="0"', 'offset="-1"'), FileFormatError),
        (TRIANGLE.replace('offset="0"', 'offset="999999999999"'), FileFormatError),
        (TRIANGLE.replace("#v", "#w"), FileFormatError),
    ],
)
def test_primitives_that_are_wrong(primitives: str, error: type[Exception], put: Put) -> None:
    with pytest.raises(error, match="a.dae|Faces use vertices|<vcount>"):
        shapes.load(put("a.dae", dae(geometry=mesh(primitives))))


@pytest.mark.parametrize(("old", "new"), [('stride="3"', 'stride="1000000000000"'), ('stride="3"', 'stride="3" offset="99"')])
def test_accessors_that_lie(old: str, new: str, put: Put) -> None:
    with pytest.raises(GeometryError, match="but there are only 0"):
        shapes.load(put("a.dae", dae().replace(old, new)))


def test_counts_that_lie_are_not_believed(put: Put) -> None:
    text = dae(geometry=mesh(TRIANGLE.replace('count="1"', 'count="1000000000"'))).replace("<accessor", '<accessor count="1000000000"')
    assert len(loaded(put, text).faces) == 1


@pytest.mark.parametrize("anonymous", [True, False])
def test_nodes_that_double_in_anonymous_nodes(anonymous: bool, put: Put) -> None:
    """Two references each to the node before; inner nodes without an id must not hide them."""
    inner = "<node>{}</node>" if anonymous else "{}"
    nodes = f'<node id="n0">{SHOWN}</node>'
    for i in range(1, 60):
        nodes += f'<node id="n{i}">{inner.format(f"""<instance_node url="#n{i - 1}"/>""") * 2}</node>'
    library = f"<library_nodes>{nodes}</library_nodes>"
    start = time.process_time()
    with pytest.raises(FileFormatError, match=" scene nodes; at most 100,000 are read"):
        shapes.load(put("a.dae", dae('<node><instance_node url="#n59"/></node>', libraries=library)))
    assert len(loaded(put, dae('<node><instance_node url="#n3"/></node>', libraries=library)).faces) == 8
    assert time.process_time() - start < 2


def test_nodes_in_a_circle(put: Put) -> None:
    nodes = '<node id="a"><node><instance_node url="#b"/></node></node><node id="b"><instance_node url="#a"/></node>'
    with pytest.raises(FileFormatError, match="has a cycle"):
        shapes.load(put("a.dae", dae(nodes)))


def test_controllers_in_a_circle(put: Put) -> None:
    library = CONTROLLERS.replace('<morph source="#g"/>', '<morph source="#c"/>')
    assert len(loaded(put, dae('<node><instance_controller url="#c"/></node>', libraries=library)).faces) == 1


def test_instances_are_counted_before_they_are_made(put: Put) -> None:
    with use_limits(replace(limits(), points=3000)):
        assert len(loaded(put, dae(SHOWN * 1000)).faces) == 1000
        with pytest.raises(FileFormatError, match="declares 3,003 vertices; at most 3,000 are read"):
            shapes.load(put("a.dae", dae(SHOWN * 1001)))
    with (
        use_limits(replace(limits(), instances=3000)),
        pytest.raises(FileFormatError, match="declares 4,000 parts of a scene; at most 3,000 are read"),
    ):
        shapes.load(put("a.dae", dae(SHOWN * 1000, geometry=mesh(TRIANGLE * 4))))
