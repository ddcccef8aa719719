"""The node tree of FBX files, binary (7.1 to 7.7) or text: names, values and nested nodes, without any meaning."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.limits import limits

MAGIC = b"Kaydara FBX Binary  \x00"
_START = 27  # bytes: the magic, two more, and the version
_LONG_OFFSETS = 7500  # version since which offsets have eight bytes
_OLDEST = 7000
_SCALARS = {b"Y": "<h", b"C": "<?", b"I": "<i", b"F": "<f", b"D": "<d", b"L": "<q"}
_ARRAYS = {b"f": "<f4", b"d": "<f8", b"i": "<i4", b"l": "<i8", b"b": "?", b"c": "<u1"}
_TOKEN = re.compile(
    rb";[^\n]*"  # a comment
    rb'|"(?P<text>[^"]*)"'
    rb"|(?P<name>[A-Za-z_][\w|.]*):"
    rb"|(?P<numbers>[-+\d][-+\d.eE]*(?:\s*,\s*[-+\d][-+\d.eE]*)*)"
    rb"|(?P<mark>[{}])"
    rb"|\*(?P<length>\d+)"
    rb"|(?P<word>[A-Za-z]\w*)"
)
_MANY = 64  # commas from which a list becomes an array
_VERSION = re.compile(rb"FBXVersion:\s*(\d+)")


@dataclass(slots=True)
class FbxNode:
    """A node: its values, and the nodes inside.

    Attributes:
        name: e.g. `Vertices`.
        values: Numbers, texts, bytes, and arrays.
        nodes: The nodes inside.
    """

    name: str
    values: list[Any] = field(default_factory=list)
    nodes: list[FbxNode] = field(default_factory=list)

    def all(self, name: str) -> Iterator[FbxNode]:
        """Yield the nodes of a name."""
        return (node for node in self.nodes if node.name == name)

    def first(self, name: str) -> FbxNode | None:
        """Return the first node of a name, or None."""
        return next(self.all(name), None)

    def value(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - any value of the format
        """Return the first value of the first node of a name."""
        node = self.first(name)
        return node.values[0] if node is not None and node.values else default

    def array(self, name: str, dtype: type) -> np.ndarray | None:
        """Return the numbers of the first node of a name; None if there is no such node."""
        node = self.first(name)
        if node is None:
            return None
        inner = node.first("a")
        values = node.values if inner is None else inner.values
        return np.concatenate([np.atleast_1d(value) for value in values]).astype(dtype) if values else np.zeros(0, dtype)


def parse_fbx(path: Path, data: bytes) -> FbxNode:
    """Parse a file.

    Args:
        path: The file, for messages.
        data: Its content.

    Returns:
        A node without a name that holds all others.

    Raises:
        FileFormatError: If it is damaged, older than FBX 2011, or larger than the limits allow.
    """
    if data.startswith(MAGIC):
        return _Binary(path, data).root()
    version = _VERSION.search(data[:4096])
    if version is None:
        raise FileFormatError(f"{path.name} is not an FBX file. Download or export it again.")
    _check_version(path, int(version[1]))
    return _parse_text(path, data)


def _check_version(path: Path, version: int) -> None:
    if version < _OLDEST:
        raise FileFormatError(f"{path.name} is FBX {version / 1000:.1f}; versions from 7.0 (2011) are read. Save it in a newer version.")


class _Binary:
    """Reads nodes one after another; counts them and what arrays unpack to."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data = path, data
        self._nodes, self._unpacked = 0, 0
        version = int.from_bytes(data[_START - 4 : _START], "little")
        _check_version(path, version)
        self._head = struct.Struct("<QQQB" if version >= _LONG_OFFSETS else "<IIIB")

    def root(self) -> FbxNode:
        root = FbxNode("")
        self._fill(root, _START, len(self._data), 0)
        return root

    def _fill(self, parent: FbxNode, at: int, end: int, level: int) -> None:
        """Read the nodes between two positions, up to an empty one."""
        check_count(self._path, level, limits().nesting, of="levels of nodes")
        while at + self._head.size <= end:
            stop, count, length, name = self._head.unpack_from(self._data, at)
            if not stop:
                return
            first = at + self._head.size + name
            if not first + length <= stop <= end:
                raise FileFormatError(f"{self._path.name} is truncated or damaged. Download or export it again.")
            self._nodes += 1 + count
            check_count(self._path, self._nodes, limits().json_values, of="nodes and values")
            node = FbxNode(self._data[first - name : first].decode(errors="replace"), self._values(first, first + length, count))
            parent.nodes.append(node)
            self._fill(node, first + length, stop, level + 1)
            at = stop

    def _values(self, at: int, end: int, count: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(count):
            if at >= end:
                raise FileFormatError(f"{self._path.name} is truncated or damaged. Download or export it again.")
            value, at = self._value(self._data[at : at + 1], at + 1, end)
            found.append(value)
        return found

    def _value(self, kind: bytes, at: int, end: int) -> tuple[Any, int]:
        if kind in _SCALARS:
            size = struct.calcsize(_SCALARS[kind])
            return struct.unpack_from(_SCALARS[kind], self._data, at)[0], at + size
        if kind in (b"S", b"R"):
            first = at + 4
            last = first + int.from_bytes(self._data[at:first], "little")
            content = self._data[first : min(last, end)]
            return content if kind == b"R" else content.decode(errors="replace"), last
        if kind not in _ARRAYS:
            raise FileFormatError(f"{self._path.name} holds values of an unknown type {kind!r}. It is probably damaged.")
        length, encoding, packed = struct.unpack_from("<III", self._data, at)
        dtype, first = np.dtype(_ARRAYS[kind]), at + 12
        size = length * dtype.itemsize
        self._unpacked += size
        check_count(self._path, self._unpacked, limits().unpacked_bytes, of="bytes of arrays")
        content = self._data[first : first + packed] if encoding else self._data[first : first + size]
        if encoding:
            content = zlib.decompressobj().decompress(content, size or 1)
        if len(content) < size:
            raise FileFormatError(f"An array of {self._path.name} is truncated. Download or export it again.")
        return np.frombuffer(content, dtype, length), first + (packed if encoding else size)


def _parse_text(path: Path, data: bytes) -> FbxNode:
    """Parse a text file; lists of numbers become arrays, as in binary files."""
    open_nodes, nodes = [FbxNode("")], 0
    last = open_nodes[0]
    for token in _TOKEN.finditer(data):
        kind = token.lastgroup
        if kind == "name":
            last = FbxNode(token["name"].decode())
            open_nodes[-1].nodes.append(last)
            nodes += 1
            check_count(path, nodes, limits().json_values, of="nodes and values")
        elif kind == "text":
            last.values.append(token["text"].decode(errors="replace"))
        elif kind == "numbers":
            last.values.extend(_numbers(token["numbers"]))
        elif kind == "word":
            last.values.append(token["word"].decode())
        elif kind == "mark" and token["mark"] == b"{":
            open_nodes.append(last)
            check_count(path, len(open_nodes), limits().nesting, of="levels of nodes")
        elif kind == "mark":
            if len(open_nodes) == 1:
                raise FileFormatError(f"{path.name} closes more brackets than it opens. Download or export it again.")
            open_nodes.pop()
            last = open_nodes[-1]
    if len(open_nodes) > 1:
        raise FileFormatError(f"{path.name} is truncated: {len(open_nodes) - 1} brackets stay open. Download it again.")
    return open_nodes[0]


def _numbers(text: bytes) -> list[Any]:
    """The numbers of a list, as an array if there are many."""
    if text.count(b",") >= _MANY:
        return [np.fromstring(text, sep=",")]
    return [_number(word) for word in text.split(b",")]


def _number(word: bytes) -> int | float:
    try:
        return int(word)
    except ValueError:
        return float(word)
