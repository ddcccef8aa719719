"""NumPy files of Python objects, as OpenShape publishes its clouds: pickles, parsed without executing anything in them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count, parser_errors
from basrelief.io.formats.npy_array import read_header
from basrelief.io.formats.pickled import ArrayUnpickler
from basrelief.limits import limits


def read_objects(path: Path) -> np.ndarray:
    """Read a `.npy` file whose elements are Python objects: dicts, lists, strings, numbers and arrays.

    The last file is cached, so that reading its shapes one by one reads it once.

    Args:
        path: At most 2 GB.

    Returns:
        The array; zero-dimensional if the file holds one object, see `ndarray.item`.

    Raises:
        FileFormatError: If the file is missing, too large, damaged, holds only numbers, or names anything but NumPy's own types.
    """
    with parser_errors(path, "npy"):
        state = path.stat()
        check_count(path, state.st_size, limits().file_bytes, of="bytes")
        return _read(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1)
def _read(path: Path, _size: int, _time: int) -> np.ndarray:
    with path.open("rb") as file:
        if read_header(path, file).dtype is not None:
            raise FileFormatError(f"{path.name} holds an array of numbers, not Python objects. Read it with basrelief.load.")
        array = ArrayUnpickler(file, path.name).load()
    if not isinstance(array, np.ndarray):
        raise FileFormatError(f"{path.name} holds a {type(array).__name__}; expected an array. Download the file again.")
    return array
