"""OFF, the format of ModelNet: also with its counts glued to the keyword, colours and polygons."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.mesh import join_parts
from basrelief.io.polygons import Lists, fan_triangles, list_places, thin_note
from basrelief.io.source import Raw, Source
from basrelief.limits import limits

_COMMENT = re.compile(rb"#[^\n]*")
_KEYWORD = re.compile(rb"\A(?:ST)?(C?)(N?)OFF\s*", re.IGNORECASE)


def read_off(source: Source) -> Raw:
    """Read .off, one vertex or face a line; `COFF` has colours of vertices, else those behind the corners of faces are taken.

    Args:
        source: The file.

    Returns:
        Vertices and faces in the axes of the file; points alone where there is no face.

    Raises:
        FileFormatError: If the keyword is absent, or the counts are wrong or more than the file holds.
        GeometryError: If a face refers to a vertex that does not exist.
    """
    text = _COMMENT.sub(b"", source.read(limits().text_bytes).removeprefix(b"\xef\xbb\xbf")).strip()
    keyword = _KEYWORD.match(text)
    if keyword is None:
        raise FileFormatError(f"path must begin with OFF or COFF, but got {source.path.name} with {text[:8]!r}. Check its extension.")
    counts, *lines = [line for line in text[keyword.end() :].splitlines() if line.strip()] or [b""]
    vertices, faces = (int(word) for word in counts.split()[:2])
    check_count(source.path, vertices, limits().points, of="vertices")
    check_count(source.path, faces, limits().faces, of="faces")
    if len(lines) < vertices + faces:
        raise FileFormatError(
            f"path must hold the data it declares, but got {len(lines):,} of {vertices + faces:,} lines in {source.path.name}. "
            "The file is truncated."
        )
    if not vertices:
        raise FileFormatError(f"path must hold triangles or points, but got {source.path.name} without any. Check the export.")
    rows = _numbers(lines[:vertices]).reshape(vertices, -1)
    if rows.shape[1] < 3:
        raise FileFormatError(f"path must hold x, y, z for each vertex, but got {rows.shape[1]} columns in {source.path.name}. Check it.")
    first = 6 if keyword[2] else 3
    part: dict[str, Any] = {"vertices": rows[:, :3], "vertex_colors": rows[:, first : first + 3] if keyword[1] else None}
    notes: tuple[str, ...] = ()
    if faces:
        polygons, behind = _polygons(source, lines[vertices : vertices + faces])
        part["faces"], of = fan_triangles(polygons)
        part["face_colors"] = None if behind is None else behind[of]
        notes = thin_note(polygons)
    return dataclasses.replace(join_parts([(part, np.eye(4))], with_faces=len(part.get("faces", ())) > 0), notes=notes)


def _polygons(source: Source, lines: list[bytes]) -> tuple[Lists, np.ndarray | None]:
    """Read faces, and what stands behind their corners when that is three or four numbers in each line."""
    numbers = _numbers(lines)
    widths = np.fromiter((len(line.split()) for line in lines), dtype=np.int64, count=len(lines))
    starts = np.cumsum(widths) - widths
    counts = numbers[starts].astype(np.int64)
    spare = widths - 1 - counts
    if (counts < 0).any() or (spare < 0).any():
        raise FileFormatError(
            f"path must hold the corners that each face declares, but got fewer in {source.path.name}. The file is truncated."
        )
    colored = spare[0] in (3, 4) and (spare == spare[0]).all()
    behind = numbers[(starts + 1 + counts)[:, None] + np.arange(3)] if colored else None
    return Lists(numbers[list_places(starts + 1, counts)].astype(np.int64), counts), behind


def _numbers(lines: list[bytes]) -> np.ndarray:
    numbers: np.ndarray = np.fromstring(b"\n".join(lines), sep=" ")
    return numbers
