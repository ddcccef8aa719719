"""OFF, the format of ModelNet, including counts on the keyword line, colours and polygons."""

from __future__ import annotations

import dataclasses
import io
import re
from array import array
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.lines import line_blocks
from basrelief.io.mesh import join_parts
from basrelief.io.numbers import all_numbers
from basrelief.io.polygons import degenerate_note, list_positions
from basrelief.io.source import RawShape, Source
from basrelief.io.split import check_corners
from basrelief.io.surface import UNCOLORED
from basrelief.io.triangulate import MOST_TRIES, triangulate
from basrelief.limits import limits

_KEYWORD = re.compile(rb"(?:ST)?(C?)(N?)OFF\s*", re.IGNORECASE)
_OTHER = re.compile(rb"(?:ST)?C?N?(?:4n|4|n)OFF")
_HEAD = 1 << 16  # bytes that must contain comments, keyword and counts
_CHUNK = 1 << 17  # faces triangulated at a time


def read_off(source: Source) -> RawShape:
    """Read .off, one vertex or face per line, with vertex colours (`COFF`) or else the colours after the corners of faces.

    Args:
        source: The file.

    Returns:
        Vertices and faces in the axes of the file; only points if there is no face.

    Raises:
        FileFormatError: If the keyword is missing, or the counts are invalid or larger than the file.
        GeometryError: If a face refers to a vertex that does not exist.
    """
    source.check_size(limits().text_bytes)
    with source.path.open("rb") as file:
        keyword, counts = _head(source, file)
        vertices, faces = (int(word) for word in counts.split()[:2])
        check_count(source.path, vertices, limits().points, of="vertices")
        check_count(source.path, faces, limits().faces, of="faces")
        numbers, widths = all_numbers(source.path, line_blocks(source.path, file))
    if len(widths) < vertices + faces:
        raise FileFormatError(
            f"{source.path.name} is truncated: it holds {len(widths):,} of {vertices + faces:,} lines. Download or export it again."
        )
    if not vertices:
        raise FileFormatError(f"{source.path.name} contains no triangles or points. Check the export settings.")
    columns = int(widths[0])
    if columns < 3 or (widths[:vertices] != columns).any():
        raise FileFormatError(
            f"A vertex line of {source.path.name} has {_bad_width(widths[:vertices])} columns; expected x, y, z. Check the file."
        )
    rows = numbers[: vertices * columns].reshape(vertices, columns)
    first = 6 if keyword[2] else 3
    part: dict[str, Any] = {"vertices": rows[:, :3].copy(), "vertex_colors": rows[:, first : first + 3].copy() if keyword[1] else None}
    notes: tuple[str, ...] = ()
    if faces:
        part["faces"], part["face_colors"], notes = _triangles(
            source, numbers[vertices * columns :], widths[vertices : vertices + faces], part["vertices"]
        )
    del numbers, widths, rows
    return dataclasses.replace(join_parts([(part, np.eye(4))], with_faces=len(part.get("faces", ())) > 0), notes=notes)


def _bad_width(widths: np.ndarray) -> int:
    """Return the invalid number of columns: fewer than three, or different from the first line."""
    return int(widths[0]) if widths[0] < 3 else int(widths[widths != widths[0]][0])


def _head(source: Source, file: io.BufferedIOBase) -> tuple[re.Match[bytes], bytes]:
    """Read up to the line with the counts, which may follow the keyword, leaving `file` after it."""
    head = b""
    while file.tell() < _HEAD and (line := file.readline(_HEAD)):
        words = line.split(b"#")[0].removeprefix(b"\xef\xbb\xbf").strip()
        if not words:
            continue
        head = words if not head else head + b" " + words
        other, keyword = _OTHER.match(head), _KEYWORD.match(head)
        if other is not None:
            raise FileFormatError(f"{source.path.name} is {other[0].decode()}: its vertices do not have three coordinates. Save it as OFF.")
        if keyword is None:
            break
        if head[keyword.end() :].upper().startswith(b"BINARY"):
            raise FileFormatError(f"{source.path.name} is binary OFF, which is not supported. Save it as text.")
        if keyword.end() < len(head):
            return keyword, head[keyword.end() :]
    if (keyword := _KEYWORD.match(head)) is not None:
        return keyword, b""
    raise FileFormatError(f"{source.path.name} begins with {head[:8]!r}; expected OFF or COFF. Check its file extension.")


def _triangles(
    source: Source, numbers: np.ndarray, widths: np.ndarray, vertices: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Triangulate faces, with the colours after their corners, three or four numbers; faces without them are grey beside others."""
    ends = np.cumsum(widths, dtype=np.int64)
    leading = numbers[ends - widths]
    if not ((leading >= 0) & (leading < widths)).all():
        raise FileFormatError(
            f"A face of {source.path.name} has fewer corners than it declares. The file is truncated or damaged; export it again."
        )
    counts = leading.astype(np.int32)
    colored = np.isin(widths - 1 - counts, (3, 4))
    check_count(source.path, int(np.maximum(counts - 2, 0).sum(dtype=np.int64)), limits().faces, of="triangles")
    triangles, colors = array("q"), array("f")
    for start in range(0, len(counts), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        corners = ends[chunk] - widths[chunk] + 1
        with np.errstate(invalid="ignore"):
            listed = numbers[list_positions(corners, counts[chunk])].astype(np.int64)
        check_corners(listed, len(vertices))
        found, of = triangulate(counts[chunk], listed, vertices, tries=max(MOST_TRIES * len(corners) // len(counts), 1))
        triangles.frombytes(listed[found].tobytes())
        if colored.any():
            behind = np.full((len(corners), 3), np.nan, dtype=np.float32)
            behind[colored[chunk]] = numbers[(corners + counts[chunk])[colored[chunk], None] + np.arange(3)]
            colors.frombytes(behind[of].tobytes())
    faces = np.frombuffer(triangles, dtype=np.int64).reshape(-1, 3)
    shades = np.array(colors, dtype=np.float32).reshape(-1, 3) if colored.any() else None
    if shades is not None:
        grey = np.array(UNCOLORED) * (255 if np.nanmax(shades, initial=0) > 1 else 1)
        shades[~colored[np.repeat(np.arange(len(counts)), np.maximum(counts - 2, 0))]] = grey
    return faces, shades, degenerate_note(counts)
