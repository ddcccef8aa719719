"""3MF: the build, components, parts in other files, colours of objects and triangles."""

from __future__ import annotations

import zipfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError
from basrelief.types import Mesh, PointCloud

from .conftest import Put


def corners(shape: Mesh | PointCloud) -> np.ndarray:
    assert isinstance(shape, Mesh)
    return shape.vertices[shape.faces]


def threemf(model: str, **others: str) -> bytes:
    """A 3MF archive; `others` are further models."""
    namespace = 'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02" xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"'
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("3D/3dmodel.model", f"<model {namespace}>{model}</model>")
        for name, text in others.items():
            archive.writestr(f"3D/{name}.model", f"<model {namespace}>{text}</model>")
    return out.getvalue()


TRIANGLE = (
    '<mesh><vertices><vertex x="0" y="0" z="0"/><vertex x="1" y="0" z="0"/><vertex x="0" y="1" z="0"/></vertices>'
    '<triangles><triangle v1="0" v2="1" v3="2"/></triangles></mesh>'
)


def test_3mf_puts_components_where_they_belong(put: Put) -> None:
    model = f'<resources><object id="1">{TRIANGLE}</object><object id="2"><components><component objectid="1"/>'
    model += '<component objectid="1" transform="1 0 0 0 1 0 0 0 1 5 0 0"/></components></object></resources>'
    model += '<build><item objectid="2" transform="0 1 0 -1 0 0 0 0 1 0 0 7"/></build>'
    shape = shapes.load(put("a.3mf", threemf(model)))
    found = sorted(tuple(row) for row in corners(shape).reshape(-1, 3).tolist())
    assert found == sorted([(0, 0, 7), (0, 1, 7), (-1, 0, 7), (0, 5, 7), (0, 6, 7), (-1, 5, 7)])


def test_3mf_parts_in_other_files_and_colors(put: Put) -> None:
    model = '<resources><object id="2"><components><component objectid="1" p:path="/3D/part.model"/></components></object></resources>'
    part = f'<resources><basematerials id="9"><base name="r" displaycolor="#FF0000FF"/></basematerials><object id="1" pid="9" pindex="0">{TRIANGLE}'
    shape = shapes.load(put("a.3mf", threemf(model + '<build><item objectid="2"/></build>', part=part + "</object></resources>")))
    assert shape.colors is not None
    assert shape.colors.tolist() == [[1, 0, 0]] * 3


def test_3mf_objects_outside_the_build_do_not_exist(put: Put) -> None:
    with pytest.raises(FileFormatError, match="The build of a.3mf contains no triangles"):
        shapes.load(put("a.3mf", threemf(f'<resources><object id="1">{TRIANGLE}</object></resources><build/>')))


def test_3mf_needs_its_model(put: Put) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(FileFormatError, match="a.3mf has no 3D/3dmodel.model"):
        shapes.load(put("a.3mf", out.getvalue()))


PALETTE = (
    '<basematerials id="9"><base name="r" displaycolor="#FF0000"/><base name="g" displaycolor="#00FF00FF"/></basematerials>'
    '<colorgroup id="8"><color color="#0000FFFF"/><color color="blue"/></colorgroup>'
)
POINTS = "".join(f'<vertex x="{x}" y="{y}" z="0"/>' for x, y in ((0, 0), (1, 0), (0, 1), (5, 0), (6, 0), (5, 1)))


def painted(first: str, second: str, on_object: str = "") -> str:
    """Two triangles that share no corner, with these attributes."""
    triangles = f'<triangle v1="0" v2="1" v3="2" {first}/><triangle v1="3" v2="4" v3="5" {second}/>'
    mesh = f"<mesh><vertices>{POINTS}</vertices><triangles>{triangles}</triangles></mesh>"
    return f'<resources>{PALETTE}<object id="1" {on_object}>{mesh}</object></resources><build><item objectid="1"/></build>'


RED, GREEN, BLUE, GREY = [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.8, 0.8, 0.8]


@pytest.mark.parametrize(
    ("first", "second", "on_object", "expected"),
    [
        ("", "", 'pid="9" pindex="1"', (GREEN, GREEN)),
        ('pid="9" p1="0"', 'pid="8" p1="0"', "", (RED, BLUE)),
        ('pid="9" p1="0"', "", 'pid="9" pindex="1"', (RED, GREEN)),
        ('p1="0"', "", 'pid="9" pindex="1"', (RED, GREEN)),
        ('pid="9" p1="0"', "", "", (RED, GREY)),
        ('pid="9" p1="0"', 'pid="9" p1="77"', "", (RED, GREY)),
        ('pid="9" p1="0"', 'pid="8" p1="1"', "", (RED, GREY)),
        ('pid="9" p1="0"', 'pid="7" p1="0"', "", (RED, GREY)),
        ('pid="9" p1="0"', 'pid="9" p1="x"', "", (RED, GREY)),
    ],
)
def test_colors_of_triangles(first: str, second: str, on_object: str, expected: tuple[list[float], ...], put: Put) -> None:
    shape = shapes.load(put("a.3mf", threemf(painted(first, second, on_object))))
    assert shape.colors is not None
    assert np.allclose(shape.colors, np.repeat(expected, 3, axis=0))


@pytest.mark.parametrize("paint", ["", 'pid="9"', 'pid="8" p1="1"', 'pid="9" p1="2"', 'p1="0"'])
def test_broken_colors_alone_are_none(paint: str, put: Put) -> None:
    assert shapes.load(put("a.3mf", threemf(painted(paint, paint)))).colors is None


def test_an_item_may_mirror_and_faces_stay_outward(put: Put) -> None:
    model = (
        f'<resources><object id="1">{TRIANGLE}</object></resources><build><item objectid="1" transform="-1 0 0 0 1 0 0 0 1 0 0 0"/></build>'
    )
    a, b, c = corners(shapes.load(put("a.3mf", threemf(model))))[0]
    assert np.cross(b - a, c - a)[2] > 0


def test_an_object_built_twice_is_there_twice(put: Put) -> None:
    model = f'<resources><object id="1">{TRIANGLE}</object></resources>'
    model += '<build><item objectid="1"/><item objectid="1" transform="1 0 0 0 1 0 0 0 1 9 0 0"/></build>'
    assert len(corners(shapes.load(put("a.3mf", threemf(model))))) == 2


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('v3="2"', 'v3="3"', GeometryError, "Faces use vertices 0 to 3, but there are only 3"),
        ('v3="2"', 'v3="-1"', GeometryError, "Faces use vertices -1 to 1, but there are only 3"),
        ('v3="2"', 'v3="two"', FileFormatError, "a.3mf cannot be read as 3mf"),
        ('v3="2"', "", FileFormatError, "a.3mf cannot be read as 3mf"),
        ('x="1"', 'x="nan"', GeometryError, "rows of vertices are not finite in float32"),
        ('x="1"', 'x="one"', FileFormatError, "a.3mf cannot be read as 3mf"),
        ('<item objectid="1"', '<item objectid="1" transform="1 2 3"', FileFormatError, "cannot be read as 3mf"),
        ('<item objectid="1"', '<item objectid="5"', FileFormatError, "The build of a.3mf contains no triangles"),
        ("</build>", "", FileFormatError, r"a.3mf cannot be read as 3mf \(ExpatError"),
    ],
)
def test_models_that_are_wrong(old: str, new: str, error: type[Exception], message: str, put: Put) -> None:
    model = f'<resources><object id="1">{TRIANGLE}</object></resources><build><item objectid="1"/></build>'
    with pytest.raises(error, match=message):
        shapes.load(put("a.3mf", threemf(model.replace(old, new))))


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_an_archive_that_ends_early(part: float, put: Put) -> None:
    data = threemf(painted("", ""))
    with pytest.raises(FileFormatError, match=r"a.3mf cannot be read as 3mf \(BadZipFile"):
        shapes.load(put("a.3mf", data[: int(part * len(data))]))


def test_slices_are_passed_over(put: Put) -> None:
    slices = '<resources><slicestack id="5"><slice ztop="1"><vertices><vertex x="0" y="1"/></vertices></slice></slicestack>'
    model = f'{slices}<object id="1">{TRIANGLE}</object></resources><build><item objectid="1"/></build>'
    shape = shapes.load(put("a.3mf", threemf(model)))
    assert isinstance(shape, Mesh)
    assert shape.vertices.shape == (3, 3)


def test_the_root_model_has_the_name_that_a_relationship_gives_it(put: Put) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        relation = '<Relationship Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel" Target="/3D/Body.custom" Id="r"/>'
        archive.writestr("_rels/.rels", f"<Relationships>{relation}</Relationships>")
        archive.writestr(
            "3D/body.custom", f'<model><resources><object id="1">{TRIANGLE}</object></resources><build><item objectid="1"/></build></model>'
        )
    assert isinstance(shapes.load(put("a.3mf", out.getvalue())), Mesh)


def square(resources: str, first: str, second: str, *, kind: str = "model", name: str = "") -> str:
    """A square of two triangles with these attributes, and resources before it."""
    corners = "".join(f'<vertex x="{x}" y="{y}" z="0"/>' for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
    triangles = f'<triangle v1="0" v2="1" v3="2" {first}/><triangle v1="0" v2="2" v3="3" {second}/>'
    mesh = f"<mesh><vertices>{corners}</vertices><triangles>{triangles}</triangles></mesh>"
    return (
        f'<resources>{resources}<object id="1" type="{kind}" name="{name}">{mesh}</object></resources><build><item objectid="1"/></build>'
    )


GROUP = '<colorgroup id="8"><color color="#FF0000"/><color color="#00FF00"/><color color="#0000FF80"/></colorgroup>'


def test_each_corner_of_a_triangle_has_a_color(put: Put) -> None:
    shape = shapes.load(put("a.3mf", threemf(square(GROUP, 'pid="8" p1="0" p2="1" p3="2"', 'pid="8" p1="0" p2="2" p3="1"'))))
    assert isinstance(shape, Mesh)
    assert shape.colors is not None
    found = shape.colors[shape.faces]
    assert np.allclose(found[0], [RED, GREEN, BLUE])
    assert np.allclose(found[1], [RED, BLUE, GREEN])


@pytest.mark.parametrize(
    ("paint", "expected"),
    [
        ('<multiproperties id="7" pids="9 8"><multi pindices="0 1"/></multiproperties>', GREEN),
        ('<multiproperties id="7" pids="9 6"><multi pindices="1"/></multiproperties>', GREEN),
        ('<multiproperties id="7" pids="9 8"><multi pindices="1"/></multiproperties>', RED),
        ('<compositematerials id="7" matid="9" matindices="0 1"><composite values="0.75 0.25"/></compositematerials>', [0.75, 0.25, 0]),
    ],
)
def test_paints_made_of_others(paint: str, expected: list[float], put: Put) -> None:
    base = '<basematerials id="9"><base name="r" displaycolor="#FF0000"/><base name="g" displaycolor="#00FF00"/></basematerials>'
    shape = shapes.load(put("a.3mf", threemf(square(base + GROUP + paint, 'pid="7" p1="0"', 'pid="7" p1="0"'))))
    assert shape.colors is not None
    assert np.allclose(shape.colors, expected, atol=1e-6)


def test_a_texture_of_the_archive(put: Put) -> None:
    picture, out = BytesIO(), BytesIO(threemf(""))
    Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8)).save(picture, "PNG")
    group = '<texture2d id="5" path="/3D/Wood.png" contenttype="image/png" tilestyleu="clamp" tilestylev="mirror"/>'
    group += '<texture2dgroup id="4" texid="5"><tex2coord u="0.2" v="0.5"/><tex2coord u="0.8" v="0.5"/></texture2dgroup>'
    model = square(group + GROUP, 'pid="4" p1="0" p2="1" p3="1"', 'pid="8" p1="1"')
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("3D/3dmodel.model", f"<model>{model}</model>")
        archive.writestr("3D/wood.png", picture.getvalue())
    shape = shapes.load(put("a.3mf", out.getvalue()))
    assert isinstance(shape, Mesh)
    assert shape.colors is not None
    assert shape.appearance is not None
    assert sorted(map(tuple, shape.colors.round(3).tolist())) == sorted([(1, 0, 0), (0, 0, 1), (0, 0, 1), *[(0, 1, 0)] * 3])
    textured = [material for material in shape.appearance.materials if material.texture is not None]
    assert [material.wrap for material in textured] == [("clamp", "mirror")]
    broken = threemf(model)
    shape = shapes.load(put("b.3mf", broken))
    assert shape.origin is not None
    assert any("/3D/Wood.png" in note for note in shape.origin.notes)


def test_supports_are_left_out(put: Put) -> None:
    corners = '<resources><object id="2" type="support" name="tree">' + TRIANGLE + "</object>"
    model = square("", "", "").replace("<resources>", corners).replace("<build>", '<build><item objectid="2"/>')
    shape = shapes.load(put("a.3mf", threemf(model)))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 2
    assert shape.origin is not None
    assert shape.origin.notes == ("1 hidden part was left out: tree.",)
