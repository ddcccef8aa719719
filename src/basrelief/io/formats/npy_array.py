"""NumPy's array format: its header, its plain types, and arrays read in parts."""

from __future__ import annotations

import ast
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError

_MAGIC = b"\x93NUMPY"
_HEADER_BYTES = 10_000  # NumPy's own limit
_PLAIN = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|S\d{1,5}|U\d{1,5}|[?bBhHiIlLqQefd])")
_OBJECTS = ("O", "|O", "O8")
_MAX_DIMENSIONS = 32
_PART_BYTES = 1 << 20


@dataclass(frozen=True)
class ArrayHeader:
    """What a `.npy` file declares.

    Attributes:
        dtype: Type of the elements, a plain one; None for Python objects, which follow as a pickle.
        shape: Dimensions, each 0 or more.
        fortran: Whether the first index varies fastest.
    """

    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]
    fortran: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the data, 0 for Python objects."""
        return math.prod(self.shape) * (self.dtype.itemsize if self.dtype is not None else 0)


def plain_dtype(text: str) -> np.dtype[Any]:
    """Return the dtype for a code; only bool, integers, floats and strings of fixed length are allowed.

    Args:
        text: NumPy's code, e.g. `<f4`.

    Returns:
        The dtype.

    Raises:
        ValueError: If it is any other type.
    """
    if not is_plain(text):
        raise ValueError(f"dtype {text[:40]!r} is not that of plain numbers or strings")
    return np.dtype(text)


def is_plain(text: str) -> bool:
    """Whether a code is one of those that `plain_dtype` allows."""
    return _PLAIN.fullmatch(text) is not None


def checked_shape(value: object) -> tuple[int, ...]:
    """Check the dimensions that a file declares.

    Args:
        value: The shape as stored.

    Returns:
        The dimensions, each 0 or more, with a product that fits an index.

    Raises:
        ValueError: If it is anything else.
    """
    if type(value) is not tuple or len(value) > _MAX_DIMENSIONS or any(type(size) is not int or size < 0 for size in value):
        raise ValueError("the shape is not a tuple of sizes")
    if math.prod(size or 1 for size in value) >= 1 << 48:
        raise ValueError(f"the shape {str(value)[:80]} is larger than any memory")
    return value


def read_header(path: Path, file: io.BufferedIOBase) -> ArrayHeader:
    """Read the header of a `.npy` file, leaving `file` at the start of the data.

    Args:
        path: The file, for messages.
        file: The file, or a member of an archive, at its start.

    Returns:
        The header.

    Raises:
        FileFormatError: If it is invalid, too long, or declares anything but plain numbers, strings and objects.
    """
    start = file.read(8)
    width = {1: 2, 2: 4, 3: 4}.get(start[6]) if len(start) == 8 and start.startswith(_MAGIC) else None
    if width is None:
        raise FileFormatError(f"{path.name} is not a NumPy array: its signature is missing. Save it again with numpy.save.")
    length = int.from_bytes(file.read(width), "little")
    if length > _HEADER_BYTES:
        raise FileFormatError(
            f"The header of {path.name} has {length:,} bytes; at most {_HEADER_BYTES:,} are read. Save it again with numpy.save."
        )
    text = re.sub(r"(\d)L\b", r"\1", file.read(length).decode("utf-8" if start[6] == 3 else "latin1"))  # Python 2 wrote sizes as 10L
    try:
        fields = ast.literal_eval(text.strip())
        if type(fields) is not dict or set(fields) != {"descr", "fortran_order", "shape"} or type(fields["fortran_order"]) is not bool:
            raise ValueError("it is not a dict of descr, fortran_order and shape")
        kind = fields["descr"]
        dtype = None if kind in _OBJECTS else plain_dtype(kind if type(kind) is str else str(kind))
        return ArrayHeader(dtype, checked_shape(fields["shape"]), fields["fortran_order"])
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise FileFormatError(f"The header of {path.name} is not valid: {str(error)[:120]}. Save it again with numpy.save.") from error


class NpyArray:
    """A `StoredArray` of plain numbers in a .npy file or a member of an archive.

    Attributes:
        shape: Dimensions.
        dtype: Type of the numbers.
    """

    def __init__(self, path: Path, file: io.BufferedIOBase, header: ArrayHeader, size: int) -> None:
        """Check that the data are complete.

        Args:
            path: The file, for messages.
            file: The file at the start of the data.
            header: Its header.
            size: Bytes of header and data together.

        Raises:
            FileFormatError: If the file is shorter than it declares.
        """
        self._path, self._file, self._fortran = path, file, header.fortran
        self.shape = header.shape
        self.dtype = header.dtype or np.dtype(object)
        if header.nbytes > size - file.tell():
            raise FileFormatError(
                f"{path.name} is truncated: it holds {size - file.tell():,} of {header.nbytes:,} bytes for an array of shape "
                f"{header.shape}. Save it again."
            )

    def read(self, row: int | None, columns: int) -> np.ndarray:
        """Read columns; see `StoredArray.read`. Call it once, since the file position moves."""
        rows, width = self.shape[-2:]
        out = np.empty((rows, columns), dtype=self.dtype.newbyteorder("="))
        if self._fortran:
            batch = 1 if row is None else self.shape[0]
            for column in range(columns):
                for part in _parts(rows, batch * self.dtype.itemsize):
                    out[part, column] = self._next(part.stop - part.start, batch)[:, row or 0]
        else:
            self._skip((row or 0) * rows * width * self.dtype.itemsize)
            for part in _parts(rows, width * self.dtype.itemsize):
                out[part] = self._next(part.stop - part.start, width)[:, :columns]
        return out

    def read_all(self) -> np.ndarray:
        """Read the whole array; see `StoredArray.read_all`. Call it once, in place of `read`."""
        data = self._file.read(math.prod(self.shape) * self.dtype.itemsize)
        return np.frombuffer(data, dtype=self.dtype).reshape(self.shape, order="F" if self._fortran else "C")

    def _next(self, rows: int, width: int) -> np.ndarray:
        data = self._file.read(rows * width * self.dtype.itemsize)
        return np.frombuffer(data, dtype=self.dtype).reshape(rows, width)

    def _skip(self, size: int) -> None:
        self._file.seek(size, io.SEEK_CUR)


def _parts(rows: int, size: int) -> Iterator[slice]:
    """Split rows of `size` bytes each into parts of about a megabyte."""
    step = max(1, _PART_BYTES // max(size, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
