"""NumPy files that hold Python objects, as OpenShape publishes its clouds: pickles, read without running anything that is in them.

A pickle names the functions that rebuild its objects, and a hostile one names `os.system`. Here a name is looked up in a table of five:
the ones NumPy itself writes for arrays, dtypes and scalars. They are harmless: an array starts empty, whatever size the file
declares, and is filled from bytes that the file must hold. Any other name ends the reading.
"""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import border, check_count
from basrelief.limits import limits


def read_objects(path: Path) -> np.ndarray:
    """Read a `.npy` file whose elements are Python objects: dicts, lists, strings, numbers and arrays.

    The last file stays in memory, so that reading its shapes one by one does not read it again.

    Args:
        path: At most 2 GB.

    Returns:
        The array; without dimensions where the file holds one object, see `ndarray.item`.

    Raises:
        FileFormatError: If the file is absent, too large, broken, holds numbers only, or names anything but NumPy's own types.
    """
    with border(path, "npy"):
        state = path.stat()
        check_count(path, state.st_size, limits().file_bytes, of="bytes")
        return _read(path, state.st_size, state.st_mtime_ns)


def holds_objects(path: Path) -> bool:
    """Whether a `.npy` file holds Python objects; reads its header only."""
    with path.open("rb") as file:
        return bool(_header(file).hasobject)


@lru_cache(maxsize=1)
def _read(path: Path, _size: int, _time: int) -> np.ndarray:
    with path.open("rb") as file:
        if not _header(file).hasobject:
            raise FileFormatError(f"path must hold objects, but got an array of numbers in {path.name}. Read it with basrelief.load.")
        array = _Unpickler(file, path.name).load()
    if not isinstance(array, np.ndarray):
        raise FileFormatError(f"path must hold an array, but got {type(array).__name__} in {path.name}. Fetch the file again.")
    return array


def _header(file: IO[bytes]) -> np.dtype[Any]:
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = reader(file)
    return np.dtype(dtype)


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows five names."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__(file, encoding="latin1")  # arrays of Python 2 are bytes; strings of names are ASCII
        self._name = name

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Look a name up in the table; nothing is imported."""
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise FileFormatError(
                f"path must hold NumPy arrays only, but got {self._name}, a pickle that names {module}.{name}. Do not trust this file."
            )
        return known

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401 - any object may stand there
        """Refuse references to the outside."""
        raise FileFormatError(
            f"path must hold all its data, but got {self._name}, which refers to {str(pid)[:50]!r} outside. Do not trust this file."
        )


def _empty(_kind: type, _dimensions: tuple[int, ...], _type: bytes) -> np.ndarray:
    """An array to be filled by its state; NumPy writes dimensions (0,), a hostile file may write any."""
    return np.ndarray((0,), "b")


def _scalar(dtype: np.dtype[Any], data: bytes = b"") -> Any:  # noqa: ANN401 - any NumPy scalar
    if dtype.hasobject or dtype.itemsize != len(data):
        raise FileFormatError("path must hold plain numbers, but got a scalar of another size. The file is damaged.")
    return np.frombuffer(data, dtype)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise FileFormatError(f"path must hold bytes as latin1, but got {encoding!r}. Do not trust this file.")
    return codecs.encode(text, "latin1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}
