"""Small glTF documents built from arrays."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

KINDS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def inline(data: bytes, kind: str = "application/octet-stream") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def document(arrays: list[np.ndarray], *, normalized: tuple[int, ...] = (), **header: Any) -> str:
    """A .gltf whose accessor i holds `arrays[i]`; one mesh of one primitive, with positions in accessor 0, in one node."""
    data = b""
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    for i, array in enumerate(arrays):
        rows = array.reshape(len(array), -1)
        stored = np.ascontiguousarray(rows).tobytes()
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(stored)})
        data += stored + b"\0" * (-len(stored) % 4)
        accessors.append({"bufferView": i, "count": len(rows), "type": TYPES[rows.shape[1]], "componentType": KINDS[rows.dtype.str[1:]]})
        if i in normalized:
            accessors[i]["normalized"] = True
    found: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": len(data), "uri": inline(data)}],
        "bufferViews": views,
        "accessors": accessors,
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
    }
    found |= header
    found.setdefault("scenes", [{"nodes": list(range(len(found["nodes"])))}])
    return json.dumps(found)
