"""Parse pickles of NumPy arrays without executing them.

A pickle is a program. Python's unpickler runs it: it imports what the file names, calls it, and passes state from the file to real
objects, which can corrupt memory even if only NumPy's own names are allowed. This parser neither imports nor calls anything. A name is
only a placeholder; "calling" one of the few that NumPy writes creates an inert record, its "state" is checked and stored there, and arrays
are built from the records at the end, only of plain types and over bytes that the file holds.
"""

from __future__ import annotations

import io
import math
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.formats.npy_array import checked_shape, plain_dtype
from basrelief.limits import limits

_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): "_reconstruct",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
}
_KEYS = (str, bytes, int, float, bool, type(None))
_LONG_TEXT = 1 << 20


@dataclass(frozen=True)
class _Name:
    """A placeholder for one of the names in `_NAMES`."""

    name: str


@dataclass(eq=False)
class _Type:
    """A dtype: code and byte order, or Python objects."""

    code: str
    order: str = "="

    @property
    def is_object(self) -> bool:
        return self.code in ("O", "O8")

    def dtype(self) -> np.dtype[Any]:
        return plain_dtype(self.code).newbyteorder({"|": "="}.get(self.order, self.order))  # type: ignore[arg-type]


@dataclass(eq=False)
class _Array:
    """An array: empty until its state has been read."""

    shape: tuple[int, ...] = (0,)
    fortran: bool = False
    values: np.ndarray | list[Any] | None = None


class Unpickler:
    """Parses one pickle (protocols 2 to 4) to dicts, lists, tuples, strings, numbers and arrays.

    Time and memory are proportional to the file: every value is counted, every length is compared with the rest of the file before it is
    read, arrays share the bytes they were read from, and all other memory is charged to a budget.
    """

    def __init__(self, file: io.BufferedIOBase, name: str) -> None:
        """Parse `file`, on disk or in memory; `name` is for messages."""
        self._file, self._name = file, name
        here = file.tell()
        self._left = file.seek(0, io.SEEK_END) - here
        file.seek(here)
        self._budget = limits().memory_bytes // 2
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:  # noqa: ANN401 - any value may stand in a file
        """Parse the pickle.

        Returns:
            The value, made of dicts, lists, tuples, strings, numbers and arrays.

        Raises:
            FileFormatError: If it names or does anything else, ends early, or exceeds the limits.
        """
        steps, most = _STEPS, limits().pickled_values
        for _ in range(most):
            code = self._take(1)
            if code == b".":
                return self._result(self._pop(), 0, {})
            step = steps.get(code)
            if step is None:
                self._refuse(f"uses the operation {code!r}")
            step(self)
        raise FileFormatError(f"{self._name} holds more than {most:,} pickled values. Save arrays, not lists.")

    def _refuse(self, fact: str) -> NoReturn:
        raise FileFormatError(f"{self._name} is a pickle that {fact}; only NumPy arrays are read. Do not trust this file.")

    def _damaged(self, fact: str) -> NoReturn:
        raise FileFormatError(f"{self._name} is truncated or damaged: {fact}. Download it again.")

    def _charge(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            most = limits().memory_bytes
            raise FileFormatError(f"Reading {self._name} takes more than {most:,} bytes of memory. Split the file.")

    def _take(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            self._damaged("data ends early")
        data = self._file.read(size)
        if len(data) != size:
            self._damaged("data ends early")
        return data

    def _number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _signed(self, width: int) -> int:
        if width > 8:
            self._refuse("holds an integer that NumPy does not")  # long ones can also be crafted to collide
        return int.from_bytes(self._take(width), "little", signed=True)

    def _line(self) -> str:
        line = self._file.readline(256)
        self._left -= len(line)
        if not line.endswith(b"\n"):
            self._damaged("a name does not end")
        return line[:-1].decode("utf-8", "replace")

    def _text(self, width: int, encoding: str) -> str:
        data = self._take(self._number(width))
        if len(data) > _LONG_TEXT and not data.isascii():
            self._charge(3 * len(data))  # one character outside the basic plane makes all characters four bytes wide
        text = data.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
        self._charge(sys.getsizeof(text) - len(data))
        return text

    def _pop(self) -> Any:  # noqa: ANN401 - any value
        if not self._stack or (self._marks and len(self._stack) <= self._marks[-1]):
            self._damaged("a value is missing")
        return self._stack.pop()

    def _popped(self, count: int) -> tuple[Any, ...]:
        return tuple(self._pop() for _ in range(count))[::-1]

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            self._damaged("a mark is missing")
        at = self._marks.pop()
        values = self._stack[at:]
        del self._stack[at:]
        return values

    def _top(self, kind: type) -> Any:  # noqa: ANN401 - of that type
        value = self._pop()
        if type(value) is not kind:
            self._refuse(f"changes a {type(value).__name__.strip('_').lower()}")
        self._stack.append(value)
        return value

    def _remember(self, key: int) -> None:
        value = self._pop()
        self._memo[key] = value
        self._stack.append(value)

    def _recall(self, key: int) -> None:
        if key not in self._memo:
            self._damaged("a reference points nowhere")
        self._stack.append(self._memo[key])

    def _extend(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def _fill(self, values: list[Any]) -> None:
        if len(values) % 2:
            self._damaged("a key has no value")
        record = self._top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in _KEYS and not isinstance(key, np.generic):
                self._refuse(f"has a {type(key).__name__.strip('_').lower()} as a key")
            record[key] = value

    def _look_up(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            self._refuse("has a name that is no text")  # without printing it: a nested structure may have a huge repr
        found = _NAMES.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            self._refuse(f"names {module[:80]}.{name[:80]}")
        self._stack.append(_Name(found))

    def _reduce(self) -> None:
        """Create the record for a call of one of the names."""
        name, arguments = self._popped(2)
        if type(name) is not _Name or type(arguments) is not tuple:
            self._refuse(f"calls a {type(name).__name__.strip('_').lower()}")
        self._stack.append(self._made(name.name, arguments))

    def _made(self, name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401 - a record or a value
        match name, arguments:
            case "_reconstruct", (_Name("ndarray"), *_):
                return _Array()
            case "dtype", (str(code), *_):
                return _Type(code)
            case "scalar", (_Type() as kind, bytes() | str() as data):
                return self._scalar(kind, data)
            case "bytes", ():
                return b""
            case "encode", (str(text), str(encoding)):
                return self._encoded(text, encoding)
            case _:
                self._refuse(f"calls {name} in a way that NumPy does not")

    def _encoded(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise FileFormatError(f"{self._name} stores bytes as {encoding!r:.80}; NumPy writes latin1. Do not trust this file.")
        self._charge(len(text))
        return text.encode("latin1")

    def _scalar(self, kind: _Type, data: bytes | str) -> np.generic:
        content = self._encoded(data) if isinstance(data, str) else data
        if kind.is_object or kind.dtype().itemsize != len(content) or not content:
            raise FileFormatError(f"A scalar in {self._name} has the wrong size. The file is damaged; download it again.")
        value: np.generic = _checked(np.frombuffer(content, kind.dtype()))[0]
        return value

    def _build(self) -> None:
        """Store the state of an array or a dtype in its record."""
        record, state = self._popped(2)
        match record, state:
            case _Type(), (3 | 4, str(order), None, None, None, *_) if order in ("<", ">", "|", "="):
                record.order = order
            case _Array(), (1, shape, _Type() as kind, int(fortran), data) if record.values is None:
                record.values = self._values(checked_shape(shape), kind, data)
                record.shape, record.fortran = shape, bool(fortran)
            case _:
                self._refuse("sets a state that NumPy does not")
        self._stack.append(record)

    def _values(self, shape: tuple[int, ...], kind: _Type, data: object) -> np.ndarray | list[Any]:
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
        if type(value) in (_Name, _Type):
            self._refuse(f"leaves a {type(value).__name__.strip('_').lower()} behind")
        if type(value) not in (list, tuple, dict, _Array):
            return value
        if id(value) in done:
            return done[id(value)]
        if level >= limits().nesting:
            raise FileFormatError(f"Records in {self._name} are nested more than {limits().nesting} levels deep. Flatten them.")
        made: Any
        if type(value) is dict:
            made = {key: self._result(inner, level + 1, done) for key, inner in value.items()}
        elif type(value) is _Array:
            made = self._array(value, level, done)
        else:
            made = type(value)(self._result(inner, level + 1, done) for inner in value)
        done[id(value)] = made
        return made

    def _array(self, record: _Array, level: int, done: dict[int, Any]) -> np.ndarray:
        if record.values is None:
            return np.empty(0, dtype="i1")
        values = record.values
        if isinstance(values, list):
            objects = np.empty(len(values), dtype=object)
            for i, inner in enumerate(values):
                objects[i] = self._result(inner, level + 1, done)
            values = objects
        return values.reshape(record.shape, order="F" if record.fortran else "C")


def _checked(array: np.ndarray) -> np.ndarray:
    """Check that fixed-length strings are valid Unicode; numbers may be anything."""
    if array.dtype.kind == "U" and array.size and (array.view(array.dtype.str[0] + "u4") > 0x10FFFF).any():
        raise ValueError("a string holds an invalid character")
    return array


def _push(value: Callable[[Unpickler], object]) -> Callable[[Unpickler], object]:
    return lambda machine: machine._stack.append(value(machine))


_STEPS: Mapping[bytes, Callable[[Unpickler], object]] = {
    b"\x80": lambda m: m._number(1) in (2, 3, 4) or m._refuse("has a protocol that NumPy's files do not use"),
    b"\x95": lambda m: m._take(8),
    b"(": lambda m: m._marks.append(len(m._stack)),
    b"N": _push(lambda m: None),
    b"\x88": _push(lambda m: True),
    b"\x89": _push(lambda m: False),
    b"K": _push(lambda m: m._number(1)),
    b"M": _push(lambda m: m._number(2)),
    b"J": _push(lambda m: m._signed(4)),
    b"\x8a": _push(lambda m: m._signed(m._number(1))),
    b"G": _push(lambda m: struct.unpack(">d", m._take(8))[0]),
    b"U": _push(lambda m: m._text(1, "latin1")),
    b"T": _push(lambda m: m._text(4, "latin1")),
    b"\x8c": _push(lambda m: m._text(1, "utf-8")),
    b"X": _push(lambda m: m._text(4, "utf-8")),
    b"\x8d": _push(lambda m: m._text(8, "utf-8")),
    b"C": _push(lambda m: m._take(m._number(1))),
    b"B": _push(lambda m: m._take(m._number(4))),
    b"\x8e": _push(lambda m: m._take(m._number(8))),
    b")": _push(lambda m: ()),
    b"]": _push(lambda m: []),
    b"}": _push(lambda m: {}),
    b"t": _push(lambda m: tuple(m._since_mark())),
    b"\x85": _push(lambda m: m._popped(1)),
    b"\x86": _push(lambda m: m._popped(2)),
    b"\x87": _push(lambda m: m._popped(3)),
    b"a": lambda m: m._extend([m._pop()]),
    b"e": lambda m: m._extend(m._since_mark()),
    b"s": lambda m: m._fill(list(m._popped(2))),
    b"u": lambda m: m._fill(m._since_mark()),
    b"c": lambda m: m._look_up(m._line(), m._line()),
    b"\x93": lambda m: m._look_up(*m._popped(2)),
    b"R": Unpickler._reduce,
    b"b": Unpickler._build,
    b"q": lambda m: m._remember(m._number(1)),
    b"r": lambda m: m._remember(m._number(4)),
    b"\x94": lambda m: m._remember(len(m._memo)),
    b"h": lambda m: m._recall(m._number(1)),
    b"j": lambda m: m._recall(m._number(4)),
}
