"""FBX files of a square with two materials, in text and in binary form."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from basrelief.io.formats.fbx_document import MAGIC, FbxNode

SQUARE = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]], np.float64)


def node(name: str, *values: Any, nodes: tuple[FbxNode, ...] = ()) -> FbxNode:
    return FbxNode(name, list(values), list(nodes))


def properties(**named: Any) -> FbxNode:
    rows = []
    for name, value in named.items():
        values = value if isinstance(value, tuple) else (value,)
        rows.append(node("P", name.replace("_", " "), "", "", "", *values))
    return node("Properties70", nodes=tuple(rows))


def square_scene(
    *,
    up: int = 1,
    model: dict[str, Any] | None = None,
    child: dict[str, Any] | None = None,
    extra: tuple[FbxNode, ...] = (),
    links: tuple[FbxNode, ...] = (),
) -> list[FbxNode]:
    """A square below a node `Root`: two triangles, the first red, the second with texture coordinates and a texture beside the file."""
    layer = (
        node("MappingInformationType", "ByPolygonVertex"),
        node("ReferenceInformationType", "IndexToDirect"),
        node("UV", np.array([0.0, 0, 1, 0, 1, 1, 0, 1])),
        node("UVIndex", np.array([0, 1, 2, 0, 2, 3], np.int32)),
    )
    materials = (
        node("MappingInformationType", "ByPolygon"),
        node("ReferenceInformationType", "IndexToDirect"),
        node("Materials", np.array([0, 1], np.int32)),
    )
    geometry = node(
        "Geometry",
        10,
        "Square\0\1Geometry",
        "Mesh",
        nodes=(
            node("Vertices", SQUARE.reshape(-1)),
            node("PolygonVertexIndex", np.array([0, 1, -3, 0, 2, -4], np.int32)),
            node("LayerElementUV", 0, nodes=layer),
            node("LayerElementMaterial", 0, nodes=materials),
        ),
    )
    objects = (
        geometry,
        node("Model", 20, "Root\0\1Model", "Null", nodes=(properties(**(model or {})),)),
        node("Model", 21, "Square\0\1Model", "Mesh", nodes=(properties(**(child or {})),)),
        node("Material", 30, "Red\0\1Material", "", nodes=(properties(DiffuseColor=(1.0, 0.0, 0.0)),)),
        node("Material", 31, "Picture\0\1Material", "", nodes=(properties(DiffuseColor=(0.0, 0.0, 0.0)),)),
        node("Texture", 40, "Picture\0\1Texture", "", nodes=(node("RelativeFilename", "textures\\picture.png"),)),
        *extra,
    )
    connections = (
        node("C", "OO", 20, 0),
        node("C", "OO", 21, 20),
        node("C", "OO", 10, 21),
        node("C", "OO", 30, 21),
        node("C", "OO", 31, 21),
        node("C", "OP", 40, 31, "DiffuseColor"),
        *links,
    )
    return [
        node("FBXHeaderExtension", nodes=(node("FBXVersion", 7400),)),
        node("GlobalSettings", nodes=(properties(UpAxis=up, UpAxisSign=1),)),
        node("Objects", nodes=objects),
        node("Connections", nodes=connections),
    ]


def as_text(nodes: list[FbxNode], level: int = 0) -> str:
    """Write nodes as a text file."""
    lines = [] if level else ["; FBX 7.4.0 project file"]
    for one in nodes:
        shown = ",".join(_shown(value) for value in one.values if not isinstance(value, np.ndarray))
        arrays = [value for value in one.values if isinstance(value, np.ndarray)]
        inner = [f"*{len(arrays[0])} {{", "a: " + ",".join(map(str, arrays[0].tolist())), "}"] if arrays else []
        lines.append("\t" * level + f"{one.name}: {shown}" + (" ".join(inner)) + (" {" if one.nodes else ""))
        if one.nodes:
            lines += [as_text(one.nodes, level + 1), "\t" * level + "}"]
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, str):
        name, mark, kind = value.partition("\0\1")
        return f'"{kind}::{name}"' if mark else f'"{value}"'
    return str(value)


def as_binary(nodes: list[FbxNode], *, version: int = 7400, packed: bool = True) -> bytes:
    """Write nodes as a binary file."""
    start = MAGIC + b"\x1a\x00" + struct.pack("<I", version)
    data = bytearray(start.ljust(27, b"\0"))
    for one in nodes:
        _write(data, one, "<QQQ" if version >= 7500 else "<III", packed=packed)
    return bytes(data) + bytes(25 if version >= 7500 else 13)


def _write(data: bytearray, one: FbxNode, head: str, *, packed: bool) -> None:
    at, size = len(data), struct.calcsize(head)
    values = b"".join(_value(value, packed=packed) for value in one.values)
    data += bytes(size) + bytes([len(one.name)]) + one.name.encode() + values
    for inner in one.nodes:
        _write(data, inner, head, packed=packed)
    if one.nodes:
        data += bytes(size + 1)
    struct.pack_into(head, data, at, len(data), len(one.values), len(values))


def _value(value: object, *, packed: bool) -> bytes:
    if isinstance(value, np.ndarray):
        kind = b"d" if value.dtype == np.float64 else b"i"
        content = value.tobytes()
        stored = zlib.compress(content) if packed else content
        return kind + struct.pack("<III", len(value), int(packed), len(stored)) + stored
    if isinstance(value, bytes | str):
        content = value.encode() if isinstance(value, str) else value
        return (b"S" if isinstance(value, str) else b"R") + struct.pack("<I", len(content)) + content
    return b"L" + struct.pack("<q", value) if isinstance(value, int) else b"D" + struct.pack("<d", value)
