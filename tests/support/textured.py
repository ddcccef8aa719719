"""A small textured file, written by hand: a box whose texture has one colour on the left half and another one on the right half."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

RED, BLUE = (220, 30, 30), (30, 60, 220)
_SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def textured_gltf(path: Path, *, left: tuple[int, int, int] = RED, right: tuple[int, int, int] = BLUE) -> Path:
    """Write a glTF file with everything in it, and return its path."""
    pixels = np.empty((16, 16, 3), np.uint8)
    pixels[:, :8], pixels[:, 8:] = left, right
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, "PNG")
    corners = np.array([(x, y, z) for x in (0, 1) for y in (0, 2) for z in (0, 3)], np.float32)
    positions = corners[np.ravel(_SIDES)]
    uv = np.tile(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32), (len(_SIDES), 1))
    faces = np.concatenate([[(s, s + 1, s + 2), (s, s + 2, s + 3)] for s in range(0, len(positions), 4)]).astype(np.uint16)
    parts = [positions.tobytes(), uv.tobytes(), faces.tobytes()]
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    accessor = {"componentType": 5126, "count": len(positions)}
    record = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"uri": _uri("image/png", picture.getvalue())}],
        "accessors": [
            {**accessor, "bufferView": 0, "type": "VEC3", "min": positions.min(0).tolist(), "max": positions.max(0).tolist()},
            {**accessor, "bufferView": 1, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5123, "count": faces.size, "type": "SCALAR"},
        ],
        "bufferViews": [{"buffer": 0, "byteOffset": start, "byteLength": len(part)} for start, part in zip(starts, parts, strict=False)],
        "buffers": [{"byteLength": starts[-1], "uri": _uri("application/octet-stream", b"".join(parts))}],
    }
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
