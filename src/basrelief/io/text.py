"""Points as text: xyz, txt and pts, one point a line."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.source import Raw, Source
from basrelief.limits import limits


def read_text(source: Source) -> Raw:
    """Read lines of numbers: x, y, z, then colour, normal or whatever else.

    Numbers stand apart by spaces, tabs, commas or semicolons. Lines that begin with `#` or `//` are comments; one line of names or a
    single count may stand on top. Columns 4 to 6 (in .pts with 7 columns, 5 to 7) are taken as colours when all of them look so.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file.

    Raises:
        FileFormatError: If a line does not hold numbers or there are fewer than three columns.
    """
    data = source.read(limits().text_bytes)
    if b"\0" in data[:4096]:
        raise FileFormatError(f"path must hold lines of numbers, but got {source.path.name} with binary content. Check its extension.")
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b",", b" ").replace(b";", b" ").replace(b"//", b"#")
    rows = np.loadtxt(BytesIO(data), dtype=np.float64, comments="#", ndmin=2, skiprows=_header_lines(data))
    if rows.shape[1] < 3:
        raise FileFormatError(
            f"path must hold x, y, z in each line, but got {rows.shape[1]} columns in {source.path.name}. Check the file."
        )
    first = 4 if source.format == "pts" and rows.shape[1] >= 7 else 3
    return Raw(points=rows[:, :3], colors=guessed_colors(rows[:, first : first + 3]))


def guessed_colors(columns: np.ndarray) -> np.ndarray | None:
    """Take three nameless columns for colours when they can be nothing else that is common.

    Args:
        columns: (N, up to 3) numbers, perhaps colours, perhaps normals.

    Returns:
        (N, 3) in [0, 1] if all are whole numbers from 0 to 255 with one above 1, or all lie in [0, 1] and are not all of unit length;
        else None.
    """
    if columns.shape[1] != 3 or not len(columns) or not np.isfinite(columns).all() or columns.min() < 0 or columns.max() > 255:
        return None
    values = columns.astype(np.float64)
    if values.max() > 1:
        return values / 255 if (values == np.round(values)).all() else None
    unit = np.allclose(np.linalg.norm(values, axis=1), 1, atol=1e-2)
    return None if unit else values


def _header_lines(data: bytes) -> int:
    """Count the lines on top that are not points: a count alone, or names of columns."""
    for number, line in enumerate(data[:4096].splitlines()):
        words = line.split(b"#")[0].split()
        if not words:
            continue
        try:
            [float(word) for word in words]
        except ValueError:
            return number + 1
        return number + 1 if len(words) == 1 else 0
    return 0
