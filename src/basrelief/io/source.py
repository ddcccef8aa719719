"""A file to read, and what a reader returns before the up axis is applied."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from basrelief.appearance import Appearance
from basrelief.errors import FileFormatError
from basrelief.io.intrinsics import Intrinsics
from basrelief.limits import limits


@dataclass(frozen=True)
class Source:
    """A file that exists, is readable and is not too large.

    Attributes:
        path: The file.
        format: Its suffix in lower case, without the dot.
        size: Bytes.
        row: Number of the shape in a file with many, from `file.h5#12`; None if not given.
        intrinsics: Of the camera that took a depth map; None if not given.
    """

    path: Path
    format: str
    size: int
    row: int | None = None
    intrinsics: Intrinsics | None = None

    def read(self, limit: int | None = None) -> bytes:
        """Read the whole file.

        Args:
            limit: Largest size for this format, `Limits.file_bytes` when None; parsing text takes many times its size.

        Returns:
            Its bytes.

        Raises:
            FileFormatError: If the file is larger than `limit`.
        """
        self.check_size(limits().file_bytes if limit is None else limit)
        return self.path.read_bytes()

    def check_size(self, limit: int) -> None:
        """Reject a file of more than `limit` bytes.

        Args:
            limit: Largest size in bytes.

        Raises:
            FileFormatError: If the file is larger.
        """
        if self.size > limit:
            raise FileFormatError(f"{self.path.name} has {self.size:,} bytes; at most {limit:,} are read. Simplify or split it.")

    def head(self, count: int = 512) -> bytes:
        """Read the first bytes."""
        with self.path.open("rb") as file:
            return file.read(count)


@dataclass(frozen=True, eq=False)
class RawShape:
    """A shape as read, in the axes of the file.

    Attributes:
        points: (N, 3) positions of points or vertices, any real type; may hold NaN.
        faces: (F, 3) integer indices, or None for a point cloud.
        colors: (N, 3) floats in [0, 1], or None.
        up: The up axis that the file or its format states, or None.
        up_reason: Where that is stated.
        notes: What was changed or left out while reading.
        appearance: Materials and textures of the faces, or None.
    """

    points: np.ndarray
    faces: np.ndarray | None = None
    colors: np.ndarray | None = None
    up: str | None = None
    up_reason: str = ""
    notes: tuple[str, ...] = field(default=())
    appearance: Appearance | None = None


def open_source(path: str | os.PathLike[str]) -> Source:
    """Check that a path can be read, without reading its content.

    Args:
        path: A file, or `file.h5#12` for one shape of many.

    Returns:
        The source.

    Raises:
        FileFormatError: If the file is missing, not a regular file, not readable, empty or too large.
    """
    file, row = split_row(path)
    try:
        if file.is_dir():
            raise FileFormatError(f"{file} is a folder. Name the files in it, or use find_shapes.")
        if not file.exists():
            raise FileFormatError(f"File {str(file)!r} not found. Check the spelling.")
        if not file.is_file():
            raise FileFormatError(f"{file} is a device or a pipe. Copy its content to a file.")
        size = file.stat().st_size
        with file.open("rb"):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"Cannot open {file}: {error}. Check its name and permissions.") from error
    if size == 0:
        raise FileFormatError(f"{file.name} is empty. Download or export it again.")
    source = Source(path=file, format=file.suffix.lower().lstrip("."), size=size, row=row)
    source.check_size(limits().file_bytes)
    return source


def split_row(path: str | os.PathLike[str]) -> tuple[Path, int | None]:
    """Split `file.h5#12` into the file and the number of the shape in it.

    Args:
        path: A path. A `#` that is not followed by a number at the very end belongs to the name, as in `C#/chair.ply` or `chair#2.ply`.

    Returns:
        The file, and the number of the shape, from zero; None when the path has none.
    """
    path = Path(path)
    name, mark, row = path.name.rpartition("#")
    if mark and row.isascii() and row.isdigit() and len(row) < 10 and Path(name).suffix:
        return path.with_name(name), int(row)
    return path, None
