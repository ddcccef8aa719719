"""STL, binary or text: three vertices per triangle."""

from __future__ import annotations

import re

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.lines import model_lines
from basrelief.io.mesh import check_size
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attribute", "<u2")])
_HEADER = 84  # bytes: 80 of text, then the number of triangles
_VERTEX = re.compile(rb"^[ \t]*vertex[ \t]([^\n]*)", re.MULTILINE | re.IGNORECASE)


def read_stl(source: Source) -> RawShape:
    """Read .stl, binary or text; the solids of a text file are joined.

    Args:
        source: The file.

    Returns:
        Three vertices per face, in the axes of the file.

    Raises:
        FileFormatError: If it is neither, or has too many triangles or none.
    """
    head = source.head(_HEADER)
    count = int.from_bytes(head[80:84], "little")
    if len(head) == _HEADER and source.size == _HEADER + count * _TRIANGLE.itemsize:
        check_size(source.path, [(1, 3 * count, count)])
        vertices = np.fromfile(source.path, dtype=_TRIANGLE, count=count, offset=_HEADER)["vertices"].reshape(-1, 3)
    else:
        vertices = _text_vertices(source)
        check_size(source.path, [(1, len(vertices), len(vertices) // 3)])
    return RawShape(points=vertices, faces=np.arange(len(vertices)).reshape(-1, 3))


def _text_vertices(source: Source) -> np.ndarray:
    """Collect the numbers after each `vertex`, block by block, across solids."""
    found: list[np.ndarray] = []
    for block in model_lines(source):
        lines = _VERTEX.findall(block)
        numbers = np.fromstring(b" ".join(lines), sep=" ")
        if len(numbers) != 3 * len(lines):
            raise FileFormatError(f"A vertex line of {source.path.name} does not hold x, y, z. Check the file.")
        found.append(numbers.reshape(-1, 3))
        check_count(source.path, sum(map(len, found)), limits().points, of="vertices")
    vertices = np.concatenate(found)
    if len(vertices) % 3:
        raise FileFormatError(f"{source.path.name} holds {len(vertices):,} vertices, which is not a multiple of three. Export it again.")
    return vertices
