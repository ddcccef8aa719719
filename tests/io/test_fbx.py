"""FBX: text and binary files, transforms, materials, skins, what is hidden, what is broken."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.io.formats.fbx_document import MAGIC, FbxNode
from basrelief.limits import Limits, use_limits
from basrelief.types import Mesh
from support.fbx_files import SQUARE, as_binary, as_text, node, properties, square_scene

Write = Callable[[list[FbxNode]], str | bytes]
FORMS: dict[str, Write] = {
    "text": as_text,
    "binary": as_binary,
    "binary, 64 bits": lambda nodes: as_binary(nodes, version=7500),
    "binary, not packed": lambda nodes: as_binary(nodes, packed=False),
}


def load(path: Path, nodes: list[FbxNode], write: Write = as_binary) -> Mesh:
    content = write(nodes)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    shape = shapes.load(path)
    assert isinstance(shape, Mesh)
    return shape


def picture(color: tuple[int, int, int] = (0, 255, 0)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (2, 2), color).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_hold_the_same_square(tmp_path: Path, form: str) -> None:
    (tmp_path / "textures").mkdir()
    (tmp_path / "textures" / "picture.png").write_bytes(picture())
    mesh = load(tmp_path / "a.fbx", square_scene(up=2), FORMS[form])
    assert mesh.origin is not None and (mesh.origin.up, mesh.origin.up_reason) == ("z", "the settings of the FBX file say so")
    np.testing.assert_allclose(np.unique(mesh.vertices, axis=0), np.unique(SQUARE, axis=0))
    assert mesh.colors is not None and mesh.appearance is not None
    np.testing.assert_allclose(mesh.colors[mesh.faces[0]], np.tile([1, 0, 0], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(mesh.colors[mesh.faces[1]], np.tile([0, 1, 0], (3, 1)), atol=1e-6)
    assert mesh.appearance.has_textures


def test_the_up_axis_of_the_settings_is_turned(tmp_path: Path) -> None:
    mesh = load(tmp_path / "a.fbx", square_scene(up=1))
    assert mesh.origin is not None and mesh.origin.up == "y"
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [2, 0, 1], atol=1e-6)


def test_transforms_are_those_of_autodesk(tmp_path: Path) -> None:
    root = {"Lcl Translation": (1.0, 2.0, 3.0), "Lcl Rotation": (0.0, 0.0, 90.0), "PreRotation": (0.0, 0.0, 90.0)}
    child = {"Lcl Scaling": (2.0, 2.0, 2.0), "RotationPivot": (5.0, 0.0, 0.0), "GeometricTranslation": (0.0, 0.0, 1.0)}
    mesh = load(tmp_path / "a.fbx", square_scene(up=2, model=root, child=child))
    expected = (2 * (SQUARE + [0, 0, 1])) * [-1, -1, 1] + [1, 2, 3]  # half a turn about Z
    np.testing.assert_allclose(np.sort(np.unique(mesh.vertices, axis=0), axis=0), np.sort(expected, axis=0), atol=1e-5)


def test_rotations_are_applied_in_the_order_of_the_file(tmp_path: Path) -> None:
    turned = {"Lcl Rotation": (90.0, 90.0, 0.0)}
    first = load(tmp_path / "a.fbx", square_scene(up=2, model=turned))
    other = load(tmp_path / "b.fbx", square_scene(up=2, model={**turned, "RotationOrder": 5}))  # ZYX
    np.testing.assert_allclose(np.ptp(first.vertices, axis=0), [1, 0, 2], atol=1e-5)  # x, then y
    np.testing.assert_allclose(np.ptp(other.vertices, axis=0), [0, 2, 1], atol=1e-5)


@pytest.mark.parametrize("form", ["text", "binary"])
def test_an_embedded_picture_is_read(tmp_path: Path, form: str) -> None:
    import base64

    content = picture((0, 0, 255))
    stored = base64.b64encode(content).decode() if form == "text" else content
    video = node("Video", 50, "Clip\0\1Video", "Clip", nodes=(node("Content", stored),))
    scene = square_scene(up=2, extra=(video,), links=(node("C", "OO", 50, 40),))
    mesh = load(tmp_path / "a.fbx", scene, FORMS[form])
    assert mesh.colors is not None
    np.testing.assert_allclose(mesh.colors[mesh.faces[1]], np.tile([0, 0, 1], (3, 1)), atol=1e-6)


def test_a_picture_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture())
    (tmp_path / "in").mkdir()
    scene = square_scene(up=2)
    scene[2].nodes[5].nodes = [node("RelativeFilename", "..\\secret.png")]
    mesh = load(tmp_path / "in" / "a.fbx", scene)
    assert mesh.appearance is None or not mesh.appearance.has_textures


def test_a_skin_moves_its_vertices_with_the_bones(tmp_path: Path) -> None:
    identity = np.eye(4).reshape(-1)
    cluster = node(
        "Deformer",
        61,
        "Cluster\0\1SubDeformer",
        "Cluster",
        nodes=(node("Indexes", np.arange(4, dtype=np.int32)), node("Weights", np.ones(4)), node("Transform", identity)),
    )
    bone = node("Model", 22, "Bone\0\1Model", "LimbNode", nodes=(properties(**{"Lcl Translation": (0.0, 0.0, 7.0)}),))
    skin = node("Deformer", 60, "Skin\0\1Deformer", "Skin")
    links = (node("C", "OO", 60, 10), node("C", "OO", 61, 60), node("C", "OO", 22, 61), node("C", "OO", 22, 0))
    moved = {"Lcl Translation": (100.0, 0.0, 0.0)}  # of the mesh's own node, which a skin ignores
    mesh = load(tmp_path / "a.fbx", square_scene(up=2, child=moved, extra=(skin, cluster, bone), links=links))
    np.testing.assert_allclose(np.unique(mesh.vertices, axis=0), np.unique(SQUARE + [0, 0, 7], axis=0), atol=1e-5)


def test_hidden_models_are_left_out_unless_nothing_else_is_there(tmp_path: Path) -> None:
    hidden = node("Model", 23, "Hidden\0\1Model", "Mesh", nodes=(properties(Visibility=0.0, **{"Lcl Translation": (0.0, 0.0, 9.0)}),))
    links = (node("C", "OO", 23, 0), node("C", "OO", 10, 23))
    mesh = load(tmp_path / "a.fbx", square_scene(up=2, extra=(hidden,), links=links))
    assert len(mesh.faces) == 2 and mesh.vertices[:, 2].max() == 0
    assert mesh.origin is not None and any("hidden" in note for note in mesh.origin.notes)
    alone = load(tmp_path / "b.fbx", square_scene(up=2, model={"Show": 0}))
    assert len(alone.faces) == 2


def test_the_finest_level_of_detail_is_read(tmp_path: Path) -> None:
    group = node("Model", 24, "Levels\0\1Model", "LodGroup")
    second = node("Model", 25, "Second\0\1Model", "Mesh", nodes=(properties(**{"Lcl Translation": (0.0, 0.0, 9.0)}),))
    links = (node("C", "OO", 24, 0), node("C", "OO", 21, 24), node("C", "OO", 25, 24), node("C", "OO", 10, 25))
    scene = square_scene(up=2, extra=(group, second), links=links)
    scene[3].nodes = [link for link in scene[3].nodes if link.values[1:3] != [21, 20]]
    assert load(tmp_path / "a.fbx", scene).vertices[:, 2].max() == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (as_binary(square_scene())[:400], "truncated or damaged"),
        (MAGIC + b"\x1a\x00" + struct.pack("<I", 6100) + bytes(40), "FBX 6.1; versions from 7.0"),
        (as_text(square_scene()).replace("Geometry: 10", "Geometry: 11").encode(), "contains no mesh"),
        (as_text(square_scene())[:-3].encode(), "brackets stay open"),
        (as_text(square_scene()).encode() + b"\n}\n}", "closes more brackets"),
        (b"; FBX 7.4.0 project file\nsomething else", "is not an FBX file"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.fbx"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        shapes.load(path)


def test_nodes_within_themselves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cycle"):
        load(tmp_path / "a.fbx", square_scene(links=(node("C", "OO", 20, 21),)))


def test_arrays_that_unpack_to_too_much_are_refused(tmp_path: Path) -> None:
    with use_limits(Limits(unpacked_bytes=64)), pytest.raises(FileFormatError, match="bytes of arrays; at most 64"):
        load(tmp_path / "a.fbx", square_scene())


def test_too_many_nodes_are_refused(tmp_path: Path) -> None:
    for write in (as_binary, as_text):
        with use_limits(Limits(json_values=20)), pytest.raises(FileFormatError, match="nodes and values"):
            load(tmp_path / "a.fbx", square_scene(), write)
