"""glTF scenes: hierarchies, instances, primitives, winding, features that are absent or broken."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import FileFormatError, GeometryError
from basrelief.types import Mesh, PointCloud

from .conftest import FACES, VERTICES, Put, gltf_text

pytest.importorskip("trimesh")

SQUARE = np.sqrt(0.5)
X_TURN = [SQUARE, 0, 0, SQUARE]  # a quarter turn about +X, as x, y, z, w


def gltf(
    nodes: list[dict[str, Any]], *, roots: list[int] | None = None, meshes: list[list[dict[str, Any]]] | None = None, **more: Any
) -> str:
    """A tetrahedron in a .gltf; accessor 0 holds positions, 1 its faces, 2 one face alone."""
    faces = FACES.astype("<u2").tobytes()
    data = VERTICES.astype("<f4").tobytes() + faces
    header: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": len(data), "uri": "data:;base64," + base64.b64encode(data).decode()}],
        "bufferViews": [{"buffer": 0, "byteLength": 48}, {"buffer": 0, "byteOffset": 48, "byteLength": 24}],
        "accessors": [
            {"bufferView": 0, "count": 4, "type": "VEC3", "componentType": 5126},
            {"bufferView": 1, "count": 12, "type": "SCALAR", "componentType": 5123},
            {"bufferView": 1, "count": 3, "type": "SCALAR", "componentType": 5123},
        ],
        "meshes": [{"primitives": primitives} for primitives in meshes or [[primitive()]]],
        "nodes": nodes,
        "scenes": [{"nodes": list(range(len(nodes))) if roots is None else roots}],
        "scene": 0,
    }
    return json.dumps(header | more)


def primitive(indices: int = 1, **more: Any) -> dict[str, Any]:
    return {"attributes": {"POSITION": 0}, "indices": indices, **more}


def loaded(put: Put, text: str) -> Mesh:
    shape = shapes.load(put("a.gltf", text), up="z")
    assert isinstance(shape, Mesh)
    return shape


def volume(shape: Mesh) -> float:
    """Positive when faces are turned outward."""
    return float(np.linalg.det(shape.vertices[shape.faces].astype(np.float64)).sum() / 6)


@pytest.mark.parametrize(
    ("node", "matrix"),
    [
        ({"translation": [1, 2, 3]}, np.eye(3)),
        ({"scale": [2, 3, 4]}, np.diag([2, 3, 4])),
        ({"rotation": X_TURN}, np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])),
        ({"scale": [-1, 1, 1]}, np.diag([-1, 1, 1])),
        ({"scale": [-1, -1, -1]}, -np.eye(3)),
        ({"scale": [-1, -1, 1]}, np.diag([-1, -1, 1])),
        ({"rotation": X_TURN, "scale": [1, -2, 1]}, np.array([[1, 0, 0], [0, 0, -1], [0, -2, 0]])),
        ({"matrix": [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}, np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])),
    ],
)
def test_a_node_moves_turns_scales_and_mirrors(node: dict[str, Any], matrix: np.ndarray, put: Put) -> None:
    shape = loaded(put, gltf([{"mesh": 0, **node}]))
    expected = VERTICES @ matrix.T + node.get("translation", [0, 0, 0])
    assert np.allclose(np.sort(shape.vertices, axis=0), np.sort(expected, axis=0), atol=1e-6)
    if "translation" not in node:
        assert volume(shape) == pytest.approx(abs(np.linalg.det(matrix)), rel=1e-5)


@pytest.mark.parametrize("mirrors", [0, 1, 2, 3])
def test_mirrors_in_a_chain_of_nodes_cancel(mirrors: int, put: Put) -> None:
    chain: list[dict[str, Any]] = [{"children": [i + 1], "scale": [1, 1, -1]} for i in range(mirrors)]
    shape = loaded(put, gltf([*chain, {"mesh": 0, "translation": [1, 1, 1]}], roots=[0]))
    assert shape.vertices[:, 2].min() == (-4 if mirrors % 2 else 1)
    assert volume(shape) == pytest.approx(1, rel=1e-5)


def test_a_parent_is_applied_after_its_child(put: Put) -> None:
    nodes: list[dict[str, Any]] = [
        {"children": [1], "rotation": X_TURN},
        {"children": [2], "translation": [0, 5, 0]},
        {"mesh": 0, "scale": [2, 2, 2]},
    ]
    shape = loaded(put, gltf(nodes, roots=[0]))
    x, y, z = (2 * VERTICES + [0, 5, 0]).T
    assert np.allclose(np.sort(shape.vertices, axis=0), np.sort(np.stack([x, -z, y], axis=1), axis=0), atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_mesh_stands_wherever_a_node_has_it(count: int, put: Put) -> None:
    shape = loaded(put, gltf([{"mesh": 0, "translation": [10 * i, 0, 0]} for i in range(count)]))
    assert (len(shape.vertices), len(shape.faces)) == (4 * count, 4 * count)
    assert sorted(set(np.floor(shape.vertices[:, 0] / 10).tolist())) == list(range(count))


def test_nodes_of_one_name_are_all_there(put: Put) -> None:
    nodes = [{"mesh": 0, "name": "leg", "translation": [10 * i, 0, 0]} for i in range(4)]
    assert len(loaded(put, gltf(nodes)).faces) == 16


def test_several_meshes_and_primitives(put: Put) -> None:
    text = gltf([{"mesh": 0}, {"mesh": 1, "translation": [9, 0, 0]}], meshes=[[primitive(), primitive(2)], [primitive(2)]])
    shape = loaded(put, text)
    assert len(shape.faces) == 4 + 1 + 1
    assert int((shape.vertices[shape.faces].min(axis=(1, 2)) >= 0).sum()) == 6
    assert int((shape.vertices[shape.faces][:, :, 0] >= 9).all(axis=1).sum()) == 1


def test_only_the_default_scene_is_shown(put: Put) -> None:
    scenes = [{"nodes": [0]}, {"nodes": [1]}]
    for scene, low in ((0, 0), (1, 5)):
        shape = loaded(put, gltf([{"mesh": 0}, {"mesh": 0, "translation": [5, 5, 5]}], scenes=scenes, scene=scene))
        assert (len(shape.faces), shape.vertices.min()) == (4, low)


def test_cameras_and_empty_nodes_are_passed_over(put: Put) -> None:
    cameras = [{"type": "perspective", "perspective": {"yfov": 1, "znear": 0.1}}]
    assert len(loaded(put, gltf([{"camera": 0}, {}, {"mesh": 0}], cameras=cameras)).faces) == 4


def test_points_beside_triangles_are_passed_over(put: Put) -> None:
    shape = loaded(put, gltf([{"mesh": 0}], meshes=[[primitive(), {"attributes": {"POSITION": 0}, "mode": 0}]]))
    assert (len(shape.vertices), len(shape.faces)) == (4, 4)


@pytest.mark.parametrize("kind", [5121, 5123, 5125])
def test_indices_of_each_size(kind: int, put: Put) -> None:
    indices = FACES.astype({5121: "<u1", 5123: "<u2", 5125: "<u4"}[kind]).tobytes()
    data = VERTICES.astype("<f4").tobytes() + indices
    text = gltf(
        [{"mesh": 0}],
        buffers=[{"byteLength": len(data), "uri": "data:;base64," + base64.b64encode(data).decode()}],
        bufferViews=[{"buffer": 0, "byteLength": 48}, {"buffer": 0, "byteOffset": 48, "byteLength": len(indices)}],
        accessors=[
            {"bufferView": 0, "count": 4, "type": "VEC3", "componentType": 5126},
            {"bufferView": 1, "count": 12, "type": "SCALAR", "componentType": kind},
        ],
    )
    assert np.array_equal(loaded(put, text).faces, FACES)


def test_corners_that_are_no_vertices(put: Put) -> None:
    data = VERTICES.astype("<f4").tobytes() + np.array([0, 1, 9], dtype="<u2").tobytes()
    uri = "data:;base64," + base64.b64encode(data).decode()
    text = gltf([{"mesh": 0}], meshes=[[primitive(2)]], buffers=[{"byteLength": len(data), "uri": uri}])
    with pytest.raises((GeometryError, FileFormatError), match=r"a\.gltf|Faces use vertices 0 to 9, but there are only 4"):
        shapes.load(put("a.gltf", text))


@pytest.mark.parametrize(("scale", "word"), [([0, 0, 0], "flat"), ([1e-3, 1e-3, 1e-3], "small")])
def test_scales_that_flatten_or_shrink_still_load(scale: list[float], word: str, put: Put) -> None:
    shape = loaded(put, gltf([{"mesh": 0, "scale": scale}]))
    assert np.ptp(shape.vertices) == pytest.approx(3 * scale[0]), word


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": [{"mesh": 0, "children": [9]}]},
        {"scenes": [{"nodes": [9]}]},
        {"meshes": [{"primitives": [{"attributes": {"POSITION": 9}}]}]},
        {"meshes": [{"primitives": [{"attributes": {}}]}]},
        {"meshes": 3},
        {"accessors": [{"bufferView": 5, "count": 3, "type": "VEC3", "componentType": 5126}]},
        {"accessors": [{"bufferView": 0, "count": 3, "type": "VEC9", "componentType": 5126}]},
        {"accessors": [{"bufferView": 0, "count": 3, "type": "VEC3", "componentType": 1}]},
        {"accessors": [{"bufferView": 0, "count": "3", "type": "VEC3", "componentType": 5126}]},
        {"accessors": [{"bufferView": 0, "count": -3, "type": "VEC3", "componentType": 5126}]},
        {"buffers": [{"byteLength": 36, "uri": "data:;base64,AAAA"}]},
        {"buffers": [{"byteLength": 36, "uri": "data:;base64,!!!"}]},
        {"buffers": []},
    ],
)
def test_references_to_nothing_never_escape_as_other_errors(changes: dict[str, Any], put: Put) -> None:
    with pytest.raises((FileFormatError, GeometryError), match="a.gltf|Faces use vertices"):
        shapes.load(put("a.gltf", gltf_text(**changes)))


@pytest.mark.parametrize(("mode", "kind"), [(0, PointCloud), (1, PointCloud), (4, Mesh), (5, Mesh)])
def test_what_the_mode_of_a_primitive_gives(mode: int, kind: type, put: Put) -> None:
    assert isinstance(shapes.load(put("a.gltf", gltf_text(meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": mode}]}]))), kind)


@pytest.mark.parametrize("mode", [2, 3])
def test_line_strips_alone_are_no_shape(mode: int, put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.gltf contains no triangles or points"):
        shapes.load(put("a.gltf", gltf_text(meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": mode}]}])))


@pytest.mark.parametrize("part", ["magic", "version", "length", "kind"])
def test_binary_headers_that_lie(part: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    data = bytearray(valid_files["glb"][0])
    at, value = {"magic": (0, b"glTx"), "version": (4, b"\x01\0\0\0"), "length": (12, b"\xff\xff\xff\x7f"), "kind": (16, b"ABCD")}[part]
    data[at : at + 4] = value
    with pytest.raises(FileFormatError, match="a.glb"):
        shapes.load(put("a.glb", bytes(data)))


def test_a_text_gltf_named_glb_and_the_other_way(put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    with pytest.raises(FileFormatError, match="a.glb"):
        shapes.load(put("a.glb", gltf_text()))
    with pytest.raises(FileFormatError, match="a.gltf is not a .gltf file; it looks like binary glTF"):
        shapes.load(put("a.gltf", valid_files["glb"][0]))


@pytest.mark.parametrize("scene", ["hello", 7, -1, None])
def test_a_default_scene_that_does_not_exist_is_the_first(scene: Any, put: Put) -> None:
    scenes = [{"nodes": [1]}, {"nodes": [0]}]
    shape = loaded(put, gltf([{"mesh": 0}, {"mesh": 0, "translation": [5, 5, 5]}], scenes=scenes, scene=scene))
    assert (len(shape.faces), shape.vertices.min()) == (4, 5)


def test_without_scenes_all_nodes_are_shown(put: Put) -> None:
    shape = loaded(put, gltf([{"children": [1], "translation": [5, 0, 0]}, {"mesh": 0}, {"mesh": 0}], scenes=[]))
    assert len(shape.faces) == 8
    assert sorted(set(np.floor(shape.vertices[:, 0] / 5).tolist())) == [0, 1]


def test_corners_left_over_and_primitives_without_positions_are_passed_over(put: Put) -> None:
    primitives = [primitive(), {"attributes": {}}, {"attributes": {"NORMAL": 0}}]
    text = gltf([{"mesh": 0}], meshes=[primitives]).replace('"count": 12', '"count": 11')
    assert len(loaded(put, text).faces) == 3
