"""Parse pickles of NumPy arrays without executing them.

A name is only a placeholder; "calling" one of the few that NumPy writes creates an inert record, its "state" is checked and stored there,
and arrays are built from the records at the end, only of plain types and over bytes that the file holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.formats.npy_array import checked_shape, plain_dtype
from basrelief.io.pickle_machine import PickleMachine, kind_of
from basrelief.limits import limits

_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): "_reconstruct",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
}


@dataclass(frozen=True)
class Name:
    """A placeholder for one of the names that are known."""

    name: str


@dataclass(eq=False)
class Type:
    """A dtype: code and byte order, or Python objects."""

    code: str
    order: str = "="

    @property
    def is_object(self) -> bool:
        """Whether the elements are Python objects."""
        return self.code in ("O", "O8")

    def dtype(self) -> np.dtype[Any]:
        """Return the dtype; a `ValueError` if it is not a plain one."""
        return plain_dtype(self.code).newbyteorder({"|": "="}.get(self.order, self.order))  # type: ignore[arg-type]


@dataclass(eq=False)
class Array:
    """An array: empty until its state has been read."""

    shape: tuple[int, ...] = (0,)
    fortran: bool = False
    values: np.ndarray | list[Any] | None = None


class ArrayUnpickler(PickleMachine):
    """Parses one pickle to dicts, lists, tuples, strings, numbers and arrays; arrays share the bytes they were read from."""

    def load(self) -> Any:  # noqa: ANN401 - any value may stand in a file
        """Parse the pickle.

        Returns:
            The value, made of dicts, lists, tuples, strings, numbers and arrays.

        Raises:
            FileFormatError: If it names or does anything else, ends early, or exceeds the limits.
        """
        return self._result(self.run(), 0, {})

    def _look_up(self, module: str, name: str) -> object:
        found = numpy_name(module, name)
        if found is None:
            self._refuse(f"names {module[:80]}.{name[:80]}")
        return found

    def _call(self, target: object, arguments: object) -> object:
        if type(target) is not Name or type(arguments) is not tuple:
            self._refuse(f"calls a {kind_of(target)}")
        match target.name, arguments:
            case "_reconstruct", (Name("ndarray"), *_):
                return Array()
            case "dtype", (str(code), *_):
                return Type(code)
            case "scalar", (Type() as kind, bytes() | str() as data):
                return self._scalar(kind, data)
            case "bytes", ():
                return b""
            case "encode", (str(text), str(encoding)):
                return self._encoded(text, encoding)
            case _:
                self._refuse(f"calls {target.name} in a way that NumPy does not")

    def _encoded(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise FileFormatError(f"{self._name} stores bytes as {encoding!r:.80}; NumPy writes latin1. Do not trust this file.")
        self._charge(len(text))
        return text.encode("latin1")

    def _scalar(self, kind: Type, data: bytes | str) -> np.generic:
        content = self._encoded(data) if isinstance(data, str) else data
        if kind.is_object or kind.dtype().itemsize != len(content) or not content:
            raise FileFormatError(f"A scalar in {self._name} has the wrong size. The file is damaged; download it again.")
        value: np.generic = _checked(np.frombuffer(content, kind.dtype()))[0]
        return value

    def _build(self, record: object, state: object) -> object:
        match record, state:
            case Type(), (3 | 4, str(order), None, None, None, *_) if order in ("<", ">", "|", "="):
                record.order = order
            case Array(), (1, shape, Type() as kind, int(fortran), data) if record.values is None:
                record.shape, record.fortran = checked_shape(shape), bool(fortran)
                record.values = self._values(record.shape, kind, data)
            case _:
                self._refuse("sets a state that NumPy does not")
        return record

    def _values(self, shape: tuple[int, ...], kind: Type, data: object) -> np.ndarray | list[Any]:
        """Return the values of an array after checking their number against its shape."""
        values: np.ndarray | list[Any]
        if kind.is_object and type(data) is list:
            values = data
            self._charge(16 * len(data))  # one list may fill many arrays
        else:
            content = self._encoded(data) if type(data) is str else data
            if kind.is_object or type(content) is not bytes:
                self._refuse("fills an array with something else than its data")
            values = _checked(np.frombuffer(content, kind.dtype()))
        if len(values) != math.prod(shape):
            self._damaged(f"an array of shape {shape} comes with other data")
        return values

    def _result(self, value: Any, level: int, done: dict[int, Any]) -> Any:  # noqa: ANN401 - any value
        """Convert records to values, each once even if it is referenced many times."""
        if type(value) in (Name, Type):
            self._refuse(f"leaves a {kind_of(value)} behind")
        if type(value) not in (list, tuple, dict, Array):
            return value
        if id(value) in done:
            return done[id(value)]
        if level >= limits().nesting:
            raise FileFormatError(f"Records in {self._name} are nested more than {limits().nesting} levels deep. Flatten them.")
        made: Any
        if type(value) is dict:
            made = {key: self._result(inner, level + 1, done) for key, inner in value.items()}
        elif type(value) is Array:
            made = self._array(value, level, done)
        else:
            made = type(value)(self._result(inner, level + 1, done) for inner in value)
        done[id(value)] = made
        return made

    def _array(self, record: Array, level: int, done: dict[int, Any]) -> np.ndarray:
        if record.values is None:
            return np.empty(0, dtype="i1")
        values = record.values
        if isinstance(values, list):
            objects = np.empty(len(values), dtype=object)
            for i, inner in enumerate(values):
                objects[i] = self._result(inner, level + 1, done)
            values = objects
        return values.reshape(record.shape, order="F" if record.fortran else "C")


def numpy_name(module: str, name: str) -> Name | None:
    """Look up a name that NumPy writes into pickles, or None."""
    found = _NAMES.get((module.replace("numpy._core", "numpy.core"), name))
    return None if found is None else Name(found)


def _checked(array: np.ndarray) -> np.ndarray:
    """Check that fixed-length strings are valid Unicode; numbers may be anything."""
    if array.dtype.kind == "U" and array.size and (array.view(array.dtype.str[0] + "u4") > 0x10FFFF).any():
        raise ValueError("a string holds an invalid character")
    return array
