"""Buffers of glTF: sparse, quantised, interleaved, compressed, and counted before reading."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import BasreliefError, FileFormatError
from basrelief.io.draco import FACES as DRACO_FACES
from basrelief.io.draco import decode_draco
from basrelief.io.source import open_source
from basrelief.limits import limits, use_limits
from basrelief.types import Mesh

from .conftest import FACES, VERTICES, Put, gltf_text

Gltf = Callable[..., Mesh]


@pytest.fixture
def gltf(put: Put) -> Gltf:
    """Load a .gltf of one buffer; its arrays lie in it one after another, a view and an accessor for each."""

    def load(arrays: list[np.ndarray], attributes: dict[str, int], accessors: dict[int, dict[str, Any]] | None = None, **more: Any) -> Mesh:
        kinds = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
        widths = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
        views, described, data = [], [], b""
        for i, array in enumerate(arrays):
            views.append({"buffer": 0, "byteOffset": len(data), "byteLength": array.nbytes})
            kind = {"count": len(array), "type": widths[array.shape[1]], "componentType": kinds[array.dtype.str[1:]]}
            described.append({"bufferView": i, **kind, **(accessors or {}).get(i, {})})
            data += array.tobytes() + b"\0" * (-array.nbytes % 4)
        primitive: dict[str, Any] = {"attributes": attributes, **more.pop("primitive", {})}
        uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
        text = gltf_text(
            **{
                "buffers": [{"byteLength": len(data), "uri": uri}],
                "bufferViews": views,
                "accessors": described,
                "meshes": [{"primitives": [primitive]}],
                **more,
            }
        )
        shape = shapes.load(put("a.gltf", text), up="z")
        assert isinstance(shape, Mesh)
        return shape

    return load


def floats(values: Any) -> np.ndarray:
    return np.asarray(values, dtype="<f4")


@pytest.mark.parametrize(("kind", "scale"), [("<i1", 127), ("<i2", 32767), ("<u1", 255), ("<u2", 65535)])
def test_quantised_positions(kind: str, scale: int, gltf: Gltf) -> None:
    stored = np.array([[0, 0, 0], [100, 0, 0], [0, 50, 0]], dtype=kind)
    assert np.array_equal(gltf([stored], {"POSITION": 0}).vertices, stored)
    assert np.allclose(gltf([stored], {"POSITION": 0}, {0: {"normalized": True}}).vertices, stored / scale)


def test_the_lowest_normalised_integer_is_minus_one(gltf: Gltf) -> None:
    shape = gltf([np.array([[-128, 0, 0], [127, 0, 0], [0, 127, 0]], dtype="<i1")], {"POSITION": 0}, {0: {"normalized": True}})
    assert shape.vertices[:, 0].tolist() == [-1, 1, 0]


@pytest.mark.parametrize("based", [True, False])
def test_sparse_positions(based: bool, gltf: Gltf) -> None:
    triangle = floats([[9, 9, 9], [1, 0, 0], [9, 9, 9]])
    sparse = {"count": 2, "indices": {"bufferView": 1, "componentType": 5121}, "values": {"bufferView": 2}}
    changed: dict[str, Any] = {"sparse": sparse} if based else {"sparse": sparse, "bufferView": None}
    arrays = [triangle, np.array([[0], [2]], dtype="<u1"), floats([[0, 0, 1], [0, 1, 0]])]
    if not based:
        with pytest.raises(FileFormatError):
            gltf(arrays, {"POSITION": 0}, {0: changed})
        return
    assert gltf(arrays, {"POSITION": 0}, {0: changed}).vertices.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_sparse_positions_upon_nothing(put: Put) -> None:
    data = b"\1\0\0\0" + floats([[0, 5, 0]]).tobytes()
    sparse = {
        "count": 1,
        "indices": {"bufferView": 0, "componentType": 5121},
        "values": {"bufferView": 0, "byteOffset": 4},
    }
    text = gltf_text(
        buffers=[{"byteLength": 16, "uri": "data:;base64," + base64.b64encode(data).decode()}],
        bufferViews=[{"buffer": 0, "byteLength": 16}],
        accessors=[{"count": 3, "type": "VEC3", "componentType": 5126, "sparse": sparse}],
    )
    shape = shapes.load(put("a.gltf", text), up="z")
    assert isinstance(shape, Mesh)
    assert shape.vertices.tolist() == [[0, 0, 0], [0, 5, 0], [0, 0, 0]]


@pytest.mark.parametrize(("mode", "expected"), [(5, [[0, 1, 2], [2, 1, 3], [2, 3, 4]]), (6, [[0, 1, 2], [0, 2, 3], [0, 3, 4]])])
def test_strips_and_fans(mode: int, expected: list[list[int]], gltf: Gltf) -> None:
    points = floats([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 2, 0]])
    shape = gltf([points], {"POSITION": 0}, primitive={"mode": mode})
    assert np.array_equal(np.sort(shape.faces, axis=1), np.sort(expected, axis=1))
    if mode == 5:
        corners = shape.vertices[shape.faces]
        assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0).all()


def test_interleaved_attributes(put: Put) -> None:
    table = np.zeros(3, dtype=[("position", "<f4", 3), ("normal", "<f4", 3), ("color", "<u1", 4)])
    table["position"], table["color"] = np.eye(3), [[255, 0, 0, 255]] * 3
    text = gltf_text(
        buffers=[{"byteLength": table.nbytes, "uri": "data:;base64," + base64.b64encode(table.tobytes()).decode()}],
        bufferViews=[{"buffer": 0, "byteLength": table.nbytes, "byteStride": 28}],
        accessors=[
            {"bufferView": 0, "count": 3, "type": "VEC3", "componentType": 5126},
            {"bufferView": 0, "byteOffset": 24, "count": 3, "type": "VEC4", "componentType": 5121, "normalized": True},
        ],
        meshes=[{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}}]}],
    )
    shape = shapes.load(put("a.gltf", text), up="z")
    assert isinstance(shape, Mesh)
    assert np.array_equal(shape.vertices, np.eye(3))
    assert shape.colors is not None
    assert shape.colors.tolist() == [[1, 0, 0]] * 3


@pytest.mark.parametrize("stride", [4, 253, -12, 10**12])
def test_strides_that_are_none(stride: int, put: Put) -> None:
    with pytest.raises(FileFormatError, match="is (truncated|damaged)"):
        shapes.load(put("a.gltf", gltf_text(bufferViews=[{"buffer": 0, "byteLength": 36, "byteStride": stride}])))


@pytest.mark.parametrize(
    "view", [{"byteLength": 35}, {"byteLength": 10**12, "byteOffset": 9}, {"byteOffset": -1}, {"byteOffset": 1}, {"byteOffset": 10**12}]
)
def test_views_that_reach_too_far(view: dict[str, int], put: Put) -> None:
    with pytest.raises(FileFormatError, match="is (truncated|damaged)"):
        shapes.load(put("a.gltf", gltf_text(bufferViews=[{"buffer": 0, "byteLength": 36, **view}])))


def test_only_what_the_scene_shows_is_read(put: Put) -> None:
    """Accessors of meshes that no node shows, and of attributes that nothing needs, may be broken or read the same bytes."""
    accessor = {"bufferView": 0, "count": 3, "type": "VEC3", "componentType": 5126}
    broken = accessor | {"count": 10**7}
    attributes = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_3": 1}
    text = gltf_text(
        accessors=[accessor, broken, *[accessor] * 5000],
        meshes=[{"primitives": [{"attributes": attributes}]}, {"primitives": [{"attributes": {"POSITION": 1}}]}],
    )
    assert len(shapes.load(put("a.gltf", text)).faces) == 1  # type: ignore[union-attr]


def test_indices_may_be_more_than_the_points_of_a_file(gltf: Gltf) -> None:
    indices = np.tile(np.arange(3, dtype="<u1"), 20)[:, None]
    with use_limits(replace(limits(), points=3, faces=20)):
        assert len(gltf([floats(np.eye(3)), indices], {"POSITION": 0}, primitive={"indices": 1}).faces) == 20
    with (
        use_limits(replace(limits(), points=3, faces=19)),
        pytest.raises(FileFormatError, match="values in an accessor; at most 57 are read"),
    ):
        gltf([floats(np.eye(3)), indices], {"POSITION": 0}, primitive={"indices": 1})


def test_buffers_of_many_files_are_read_in_any_order(put: Put) -> None:
    for i in range(40):
        put(f"{i}.bin", (np.eye(3) + i).astype("<f4").tobytes())
    text = gltf_text(
        buffers=[{"byteLength": 36, "uri": f"{i}.bin"} for i in range(40)],
        bufferViews=[{"buffer": i, "byteLength": 36} for i in range(40)],
        accessors=[{"bufferView": i, "count": 3, "type": "VEC3", "componentType": 5126} for i in range(40)],
        meshes=[{"primitives": [{"attributes": {"POSITION": i % 40}} for i in range(80)]}],
    )
    shape = shapes.load(put("a.gltf", text), up="z")
    assert isinstance(shape, Mesh)
    assert sorted(shape.vertices.min(axis=1).tolist()) == sorted([float(i) for i in range(40)] * 6)


@pytest.mark.parametrize("kind", ["gltf", "glb"])
def test_gltf_1_is_named(kind: str, put: Put) -> None:
    text = json.dumps({"asset": {"version": "1.0"}, "meshes": {"m": {"primitives": []}}})
    content = struct.pack("<4sIIII", b"glTF", 1, 20 + len(text), len(text), 0) + text.encode() if kind == "glb" else text
    with pytest.raises(FileFormatError, match=f"a.{kind} is glTF 1.0, which is not supported. Export it as glTF 2.0"):
        shapes.load(put(f"a.{kind}", content))


@pytest.mark.parametrize("nodes", [[{"mesh": 0, "children": [-1]}], [{"mesh": 0, "children": [1]}], [{"children": ["0"]}]])
def test_children_that_are_no_nodes(nodes: list[dict[str, Any]], put: Put) -> None:
    with pytest.raises(FileFormatError, match=r"a\.gltf|without cycles"):
        shapes.load(put("a.gltf", gltf_text(nodes=nodes)))


@pytest.mark.parametrize("material", [5, -9, "a", {"a": 1}])
def test_a_broken_material_is_no_reason_to_fail(material: object, put: Put) -> None:
    primitive = {"attributes": {"POSITION": 0}, "material": material}
    assert shapes.load(put("a.gltf", gltf_text(meshes=[{"primitives": [primitive]}]))).colors is None


def test_values_of_json_are_counted(put: Put) -> None:
    with use_limits(replace(limits(), json_values=1000)):
        shapes.load(put("a.gltf", gltf_text(extras=[0] * 800)))
        with pytest.raises(FileFormatError, match=" values of JSON; at most 1,000 are read"):
            shapes.load(put("a.gltf", gltf_text(extras=[0] * 1000)))


def draco(**changes: Any) -> bytes:
    module = pytest.importorskip("DracoPy")
    encoded: bytes = module.encode(points=VERTICES, faces=FACES, **changes)
    return encoded


@pytest.mark.parametrize("ordered", [True, False])
def test_draco_is_measured_by_its_header(ordered: bool, put: Put) -> None:
    path, data = open_source(put("a.glb", b"x")).path, draco(preserve_order=ordered)
    found = decode_draco(path, data, vertices=4, faces=4)
    assert (found[0].shape, found[DRACO_FACES].shape) == ((4, 3), (4, 3))
    with pytest.raises(FileFormatError, match="declares 4 vertices in compressed data; at most 3 are read"):
        decode_draco(path, data, vertices=3, faces=4)
    with pytest.raises(FileFormatError, match="declares 4 faces in compressed data; at most 3 are read"):
        decode_draco(path, data, vertices=4, faces=3)


@pytest.mark.parametrize("cut", [0, 5, 10, 11, 12, 13, 20, -3])
def test_draco_that_is_cut(cut: int, put: Put) -> None:
    path = open_source(put("a.glb", b"x")).path
    with pytest.raises(BasreliefError, match="a.glb"):
        decode_draco(path, draco()[:cut], vertices=4, faces=4)


@pytest.mark.parametrize("declared", [b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\x7f", b"\xff" * 20])
def test_draco_that_declares_too_much(declared: bytes, put: Put) -> None:
    path, data = open_source(put("a.glb", b"x")).path, draco(preserve_order=True)
    with pytest.raises(FileFormatError, match="in compressed data; at most 4 are read"):
        decode_draco(path, data[:11] + declared + data[12:], vertices=4, faces=4)
