"""Wavefront .obj: relative indices made absolute, then parsed by trimesh, which does not know them."""

from __future__ import annotations

import re

from basrelief.io.mesh import parse
from basrelief.io.source import Raw, Source
from basrelief.limits import limits

_RELATIVE = re.compile(rb"^[ \t]*f[ \t][^\n]*-\d", re.MULTILINE)
_MATERIAL = re.compile(rb"^[ \t]*usemtl\b[^\n]*\n", re.MULTILINE)
_MAX_MATERIALS = 1000  # trimesh's time grows with their square
_ELEMENTS = (b"v", b"vt", b"vn")


def read_obj(source: Source) -> Raw:
    """Read .obj with its materials, which are sought in its folder only; above 1000 materials they are left out.

    Args:
        source: The file.

    Returns:
        Vertices and faces in the axes of the file; points alone where there is no face.
    """
    data = source.read(limits().text_bytes)
    if len(set(_MATERIAL.findall(data))) > _MAX_MATERIALS:
        data = _MATERIAL.sub(b"", data)
    return parse(source, absolute_indices(data) if _RELATIVE.search(data) else data)


def absolute_indices(data: bytes) -> bytes:
    """Rewrite faces whose indices count back from the last vertex read so far.

    Args:
        data: The content of an .obj file.

    Returns:
        The same content with every index of a face counted from 1.

    Raises:
        ValueError: If an index is not a number or counts back beyond the first element.
    """
    counts = dict.fromkeys(_ELEMENTS, 0)
    lines = data.replace(b"\\\n", b"").splitlines()
    for i, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        if words[0] in counts:
            counts[words[0]] += 1
        elif words[0] == b"f":
            lines[i] = b"f " + b" ".join(_absolute_corner(word, counts) for word in words[1:])
    return b"\n".join(lines) + b"\n"


def _absolute_corner(corner: bytes, counts: dict[bytes, int]) -> bytes:
    indices = [(int(text) if text else None, counts[element]) for text, element in zip(corner.split(b"/"), _ELEMENTS, strict=False)]
    absolute = [index if index is None or index >= 0 else index + count + 1 for index, count in indices]
    if any(index is not None and index < 1 for index in absolute):
        raise ValueError(f"the face corner {corner[:40]!r} refers to before the first element")
    return b"/".join(b"" if index is None else b"%d" % index for index in absolute)
