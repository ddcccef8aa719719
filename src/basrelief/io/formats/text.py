"""Points as text (xyz, txt, pts), one point per line."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.lines import line_blocks
from basrelief.io.numbers import number_blocks
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

_SEPARATORS = bytes.maketrans(b",;", b"  ")
_HEAD = 4096  # bytes that may contain column names or a count
_CHUNK = 1 << 18  # rows checked at a time


def read_text(source: Source) -> RawShape:
    """Read lines of numbers: x, y, z, then colours, normals or anything else.

    Numbers are separated by spaces, tabs, commas or semicolons. `#` and `//` start comments; the first line may hold column names or a
    count. Columns 4 to 6 (5 to 7 of a .pts with 7 columns) are read as colours if all of them look like colours.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file.

    Raises:
        FileFormatError: If a line does not hold numbers, lines differ in length or there are fewer than three columns.
    """
    source.check_size(limits().text_bytes)
    head = source.head(_HEAD)
    if b"\0" in head:
        raise FileFormatError(f"{source.path.name} is a binary file; expected lines of numbers. Check its file extension.")
    points, others, width = array("d"), array("f"), 0
    for values, counts in number_blocks(source.path, _lines(source, head)):
        width = width or int(counts[0])
        if width < 3 or (counts != width).any():
            columns = f"{width}" if width < 3 else f"{width} and {counts[counts != width][0]}"
            raise FileFormatError(
                f"Lines of {source.path.name} have {columns} columns; expected x, y, z and the same number in each line. Check the file."
            )
        check_count(source.path, len(points) // 3 + len(counts), limits().points, of="points")
        rows = values.reshape(-1, width)
        first = 4 if source.format == "pts" and width >= 7 else 3
        points.frombytes(rows[:, :3].tobytes())
        with np.errstate(over="ignore"):
            others.frombytes(rows[:, first : first + 3].astype(np.float32).tobytes())
    positions = np.frombuffer(points, dtype=np.float64).reshape(-1, 3)
    if not len(positions):
        return RawShape(points=positions)
    return RawShape(points=positions, colors=guessed_colors(np.frombuffer(others, dtype=np.float32).reshape(len(positions), -1)))


def guessed_colors(columns: np.ndarray) -> np.ndarray | None:
    """Return three unnamed columns as colours if they are unlikely to be anything else.

    Args:
        columns: (N, up to 3) numbers, e.g. colours or normals.

    Returns:
        (N, 3) float32 in [0, 1] if all are whole numbers from 0 to 255 with one above 1, or all lie in [0, 1] and are not all of unit
        length; else None.
    """
    if columns.shape[1] != 3 or not len(columns):
        return None
    integral, unit, top = True, True, 0.0
    for rows in _chunks(len(columns)):
        values = columns[rows].astype(np.float64)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 255):
            return None
        top = max(top, float(values.max()))
        integral = integral and bool((values == np.round(values)).all())
        unit = unit and bool(np.allclose(np.linalg.norm(values, axis=1), 1, atol=1e-2))
    if (top > 1 and not integral) or (top <= 1 and unit):
        return None
    colors = np.empty(columns.shape, dtype=np.float32)
    for rows in _chunks(len(columns)):
        colors[rows] = columns[rows] / (255 if top > 1 else 1)
    return colors


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


def _lines(source: Source, head: bytes) -> Iterator[bytes]:
    """Yield blocks of lines with points, with numbers separated by spaces."""
    with source.path.open("rb") as file:
        skipped = _header_lines(head.removeprefix(b"\xef\xbb\xbf").translate(_SEPARATORS).replace(b"//", b"#"))
        for i, block in enumerate(line_blocks(source.path, file)):
            text = block.removeprefix(b"\xef\xbb\xbf") if i == 0 else block
            text = text.translate(_SEPARATORS).replace(b"//", b"#")
            yield text if i or not skipped else b"\n".join(text.split(b"\n", skipped)[skipped:])


def _header_lines(head: bytes) -> int:
    """Return the number of header lines: a count, or column names."""
    for number, line in enumerate(head.splitlines()):
        words = line.split(b"#")[0].split()
        if not words:
            continue
        try:
            [float(word) for word in words]
        except ValueError:
            return number + 1
        return number + 1 if len(words) == 1 else 0
    return 0
