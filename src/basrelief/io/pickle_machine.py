"""The stack machine of Python's pickles, without imports, calls or state.

A pickle is a program. Python's unpickler runs it: it imports what the file names, calls it, and passes state from the file to real
objects, which can corrupt memory even if only harmless names are allowed. This machine reads the same operations and makes plain values
only. What a name, a "call" and a "state" mean is decided by a subclass, in inert records of its own.
"""

from __future__ import annotations

import io
import struct
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.limits import limits

KEYS = (str, bytes, int, float, bool, type(None))
"""Types of dictionary keys that are kept; NumPy's scalars are, too."""
_LONG_TEXT = 1 << 20

Step = Callable[[Any], object]
"""An operation: changes the machine that it is given."""


class PickleMachine(ABC):
    """Runs one pickle to dicts, lists, tuples, strings, numbers and the records of a subclass.

    Time and memory are proportional to the file: every operation is counted, every length is compared with the rest of the file before it
    is read, and memory beyond that of the file is charged to a budget.
    """

    steps: ClassVar[Mapping[bytes, Step]]
    protocols: ClassVar[tuple[int, ...]] = (2, 3, 4)
    integer_bytes: ClassVar[int] = 8  # longer ones can be crafted to collide as keys
    reads: ClassVar[str] = "only NumPy arrays are read"

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

    def run(self) -> Any:  # noqa: ANN401 - any value may stand in a file
        """Run the pickle to its end, leaving the file behind it.

        Returns:
            The value, in which records may stand.

        Raises:
            FileFormatError: If it does what this machine does not know, ends early, or exceeds the limits.
        """
        steps, most = self.steps, limits().pickled_values
        for _ in range(most):
            code = self._take(1)
            if code == b".":
                return self._pop()
            step = steps.get(code)
            if step is None:
                self._refuse(f"uses the operation {code!r}")
            step(self)
        raise FileFormatError(f"{self._name} holds more than {most:,} pickled values. Save arrays, not lists.")

    @abstractmethod
    def _look_up(self, module: str, name: str) -> object:
        """Return the record of a name."""

    @abstractmethod
    def _call(self, target: object, arguments: object) -> object:
        """Return the record of a call."""

    @abstractmethod
    def _build(self, record: object, state: object) -> object:
        """Return a record after giving it a state."""

    def _refuse(self, fact: str) -> NoReturn:
        raise FileFormatError(f"{self._name} is a pickle that {fact}; {self.reads}. Do not trust this file.")

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
        if width > self.integer_bytes:
            self._refuse(f"holds an integer of {width:,} bytes")
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

    def _push(self, value: object) -> None:
        self._stack.append(value)

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
            self._refuse(f"changes a {kind_of(value)}")
        self._push(value)
        return value

    def _remember(self, key: int) -> None:
        value = self._pop()
        self._memo[key] = value
        self._push(value)

    def _recall(self, key: int) -> None:
        if key not in self._memo:
            self._damaged("a reference points nowhere")
        self._push(self._memo[key])

    def _extend(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def _fill(self, values: list[Any]) -> None:
        if len(values) % 2:
            self._damaged("a key has no value")
        record = self._top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if self._keeps(key):
                record[key] = value

    def _keeps(self, key: object) -> bool:
        """Whether to keep the entry of a dictionary with this key."""
        if not is_key(key):
            self._refuse(f"has a {kind_of(key)} as a key")
        return True

    def _name_parts(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            self._refuse("has a name that is no text")  # without printing it: a nested structure may have a huge repr
        self._push(self._look_up(module, name))

    def _reduce(self) -> None:
        self._push(self._call(*self._popped(2)))

    def _set_state(self) -> None:
        self._push(self._build(*self._popped(2)))


def is_key(value: object) -> bool:
    """Whether a value may be the key of a dictionary: hashing it is cheap and runs nothing."""
    return type(value) in KEYS or isinstance(value, np.generic)


def kind_of(value: object) -> str:
    """Name the type of a value for a message, without showing the value."""
    return type(value).__name__.strip("_").lower()


def push(value: Callable[[Any], object]) -> Step:
    """Return the operation that pushes what `value` returns for a machine."""
    return lambda machine: machine._push(value(machine))


STEPS: Mapping[bytes, Step] = {
    b"\x80": lambda m: m._number(1) in m.protocols or m._refuse("has a protocol that is not read"),
    b"\x95": lambda m: m._take(8),
    b"(": lambda m: m._marks.append(len(m._stack)),
    b"N": push(lambda m: None),
    b"\x88": push(lambda m: True),
    b"\x89": push(lambda m: False),
    b"K": push(lambda m: m._number(1)),
    b"M": push(lambda m: m._number(2)),
    b"J": push(lambda m: m._signed(4)),
    b"\x8a": push(lambda m: m._signed(m._number(1))),
    b"G": push(lambda m: struct.unpack(">d", m._take(8))[0]),
    b"U": push(lambda m: m._text(1, "latin1")),
    b"T": push(lambda m: m._text(4, "latin1")),
    b"\x8c": push(lambda m: m._text(1, "utf-8")),
    b"X": push(lambda m: m._text(4, "utf-8")),
    b"\x8d": push(lambda m: m._text(8, "utf-8")),
    b"C": push(lambda m: m._take(m._number(1))),
    b"B": push(lambda m: m._take(m._number(4))),
    b"\x8e": push(lambda m: m._take(m._number(8))),
    b")": push(lambda m: ()),
    b"]": push(lambda m: []),
    b"}": push(lambda m: {}),
    b"t": push(lambda m: tuple(m._since_mark())),
    b"\x85": push(lambda m: m._popped(1)),
    b"\x86": push(lambda m: m._popped(2)),
    b"\x87": push(lambda m: m._popped(3)),
    b"a": lambda m: m._extend([m._pop()]),
    b"e": lambda m: m._extend(m._since_mark()),
    b"s": lambda m: m._fill(list(m._popped(2))),
    b"u": lambda m: m._fill(m._since_mark()),
    b"c": lambda m: m._name_parts(m._line(), m._line()),
    b"\x93": lambda m: m._name_parts(*m._popped(2)),
    b"R": PickleMachine._reduce,
    b"b": PickleMachine._set_state,
    b"q": lambda m: m._remember(m._number(1)),
    b"r": lambda m: m._remember(m._number(4)),
    b"\x94": lambda m: m._remember(len(m._memo)),
    b"h": lambda m: m._recall(m._number(1)),
    b"j": lambda m: m._recall(m._number(4)),
}
"""The operations that NumPy's writer uses."""
PickleMachine.steps = STEPS
