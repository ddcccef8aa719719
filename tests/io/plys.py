"""PLY files made by hand: any encoding, any types, polygons of any sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from basrelief.io.formats.ply_header import ENCODINGS

from .conftest import VERTICES

NAMES = {"f4": "float", "f8": "double", "u1": "uchar", "i1": "char", "i4": "int", "i2": "short", "u4": "uint", "u2": "ushort"}
BINARY = [name for name in ENCODINGS if name != "ascii"]
CUBE = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], dtype=np.float64)
CUBE_FACES = [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6], [0, 6, 2], [1, 3, 7, 5]]

Value = tuple[str, str]  # a property's type and name; lists as `u1 i4`
Rows = tuple[list[Value], list[list[Any]]]


def body(encoding: str, kinds: list[str], rows: list[list[Any]]) -> bytes:
    """Rows of an element; a value is a number or a list of them."""
    out = b""
    order = ">" if "big" in encoding else "<"
    for row in rows:
        cells: list[tuple[str, Any]] = []
        for kind, value in zip(kinds, row, strict=True):
            if isinstance(value, list):
                counter, item = kind.split()
                cells += [(counter, len(value)), *((item, entry) for entry in value)]
            else:
                cells.append((kind, value))
        if encoding == "ascii":
            out += " ".join(str(value) for _, value in cells).encode() + b"\n"
        else:
            out += b"".join(np.array(value).astype(order + kind).tobytes() for kind, value in cells)
    return out


def ply(encoding: str, **elements: Rows) -> bytes:
    """A PLY of any encoding from rows of Python numbers and lists."""
    lines, data = ["ply", f"format {encoding} 1.0", "comment made by hand", "obj_info nothing"], b""
    for element, (properties, rows) in elements.items():
        lines.append(f"element {element} {len(rows)}")
        for kinds, name in properties:
            words = [NAMES[kind] for kind in kinds.split()]
            lines.append(f"property {'list ' if len(words) == 2 else ''}{' '.join(words)} {name}")
        data += body(encoding, [kinds for kinds, _ in properties], rows)
    return "\n".join([*lines, "end_header\n"]).encode() + data


def vertices(points: np.ndarray = VERTICES, kind: str = "f4") -> Rows:
    return [(kind, axis) for axis in "xyz"], points.tolist()


def faces(polygons: list[list[int]], kind: str = "u1 i4", name: str = "vertex_indices") -> Rows:
    return [(kind, name)], [[polygon] for polygon in polygons]
