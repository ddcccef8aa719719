"""STL, binary or text: three vertices per triangle."""

from __future__ import annotations

import re

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.lines import model_lines
from basrelief.io.mesh import check_size, join_parts
from basrelief.io.source import RawShape, Source
from basrelief.io.surface import UNCOLORED
from basrelief.limits import limits

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attribute", "<u2")])
_HEADER = 84  # bytes: 80 of text, then the number of triangles
_VERTEX = re.compile(rb"^[ \t]*vertex[ \t]([^\n]*)", re.MULTILINE | re.IGNORECASE)


def read_stl(source: Source) -> RawShape:
    """Read .stl, binary or text; the solids of a text file are joined. Binary files may have colours, in two dialects, see `_colors`.

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
        triangles = np.fromfile(source.path, dtype=_TRIANGLE, count=count, offset=_HEADER)
        vertices, colors = triangles["vertices"].reshape(-1, 3), _colors(head, triangles["attribute"])
        if colors is not None:
            part = {"vertices": vertices, "faces": np.arange(len(vertices)).reshape(-1, 3), "face_colors": colors}
            return join_parts([(part, np.eye(4))], with_faces=True)
    else:
        vertices = _text_vertices(source)
        check_size(source.path, [(1, len(vertices), len(vertices) // 3)])
    return RawShape(points=vertices, faces=np.arange(len(vertices)).reshape(-1, 3))


def _colors(head: bytes, attributes: np.ndarray) -> np.ndarray | None:
    """Return the colour of each face (F, 3) from its 16 bits, uint8; None if there is none.

    VisCAM and SolidView: the highest bit says that red, green and blue follow with five bits each. Materialise Magics: the header holds
    `COLOR=` and the four bytes of a common colour; the highest bit says that a face has it, else blue, green and red follow.
    """
    at = head.find(b"COLOR=", 0, _HEADER - 14)
    if at < 0 and not (attributes & 0x8000).any():
        return None
    channels = np.stack([attributes >> shift & 31 for shift in ((0, 5, 10) if at >= 0 else (10, 5, 0))], axis=1)
    colors = np.rint(channels * (255 / 31)).astype(np.uint8)
    own = (attributes & 0x8000 == 0) if at >= 0 else (attributes & 0x8000 != 0)
    common = np.frombuffer(head, dtype=np.uint8, count=3, offset=at + 6) if at >= 0 else np.rint(np.array(UNCOLORED) * 255)
    found: np.ndarray = np.where(own[:, None], colors, common.astype(np.uint8))
    return found


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
