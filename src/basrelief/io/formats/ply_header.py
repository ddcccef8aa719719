"""The header of a PLY file: its elements and their properties."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from basrelief.errors import FileFormatError, unknown_choice

ENCODINGS = ("ascii", "binary_little_endian", "binary_big_endian")
_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8"}
_TYPES |= {f"{word}{8 * size}": f"{word[0]}{size}" for word in ("int", "uint") for size in (1, 2, 4, 8)}
_TYPES |= {"float16": "f2", "float32": "f4", "float64": "f8"}
_COUNTERS = tuple(name for name, kind in _TYPES.items() if kind[0] != "f")
HEADER_BYTES = 1 << 16
"""Largest size of a header."""


@dataclass(frozen=True)
class Property:
    """One property of an element.

    Attributes:
        name: As in the header.
        kind: Type of the value, or of each value of a list, with byte order.
        counter: Unsigned type of the length of a list; None for a single value.
    """

    name: str
    kind: np.dtype
    counter: np.dtype | None = None


@dataclass(frozen=True)
class Element:
    """One element.

    Attributes:
        name: As in the header, e.g. `vertex`.
        count: Rows, 0 or more.
        properties: Properties of each row, in order.
    """

    name: str
    count: int
    properties: tuple[Property, ...] = ()

    @property
    def least(self) -> int:
        """Bytes of a row with empty lists."""
        return sum((item.kind if item.counter is None else item.counter).itemsize for item in self.properties)


@dataclass(frozen=True)
class Header:
    """The declarations of a PLY file.

    Attributes:
        encoding: One of `ENCODINGS`.
        elements: Elements by name, in order.
        textures: Image files named in comments, in order.
        size: Bytes before the data.
    """

    encoding: str
    elements: dict[str, Element]
    textures: tuple[str, ...]
    size: int

    def count(self, name: str) -> int:
        """Return the number of rows of an element, 0 if there is none of this name."""
        return self.elements[name].count if name in self.elements else 0


def read_header(path: Path, data: bytes) -> Header:
    """Parse the header of a PLY file.

    Args:
        path: The file, for messages.
        data: Its content, or the first `HEADER_BYTES` of it.

    Returns:
        The header, with at least an element `vertex` with x, y and z.

    Raises:
        FileFormatError: If it is incomplete, or declares an unknown encoding or type, a name twice, or no positions.
    """
    lines, size = _lines(path, data)
    encoding = next((line.split()[1] for line in lines if line.startswith("format ")), "")
    if encoding not in ENCODINGS:
        raise FileFormatError(unknown_choice("format", encoding[:80], ENCODINGS, where=f" in {path.name}"))
    elements: dict[str, Element] = {}
    for words in map(str.split, lines):
        if words[:1] == ["element"]:
            name, count = _element(path, words)
            _check_new(path, name, elements)
            elements[name] = Element(name, count)
        elif words[:1] == ["property"] and elements:
            name, element = elements.popitem()
            item = _property(path, words, ">" if "big" in encoding else "<")
            _check_new(path, item.name, [known.name for known in element.properties])
            elements[name] = replace(element, properties=(*element.properties, item))
    vertex = elements.get("vertex", Element("vertex", 0))
    missing = [axis for axis in "xyz" if axis not in {item.name for item in vertex.properties if item.counter is None}]
    if missing:
        raise FileFormatError(f"Vertices of {path.name} have no property {missing[0]!r}. Export it with x, y and z.")
    textures = tuple(line.split(maxsplit=2)[2] for line in lines if line.lower().startswith("comment texturefile "))
    return Header(encoding, elements, textures, size)


def _lines(path: Path, data: bytes) -> tuple[list[str], int]:
    """Return the lines before end_header, which end in LF, CRLF or CR, and the position after it."""
    lines: list[str] = []
    at = 0
    newline = b"\r" if data[3:4] == b"\r" and data[4:5] != b"\n" else b"\n"  # after CR alone, binary data may begin with any byte
    while lines[-1:] != ["end_header"]:
        end = data.find(newline, at, HEADER_BYTES)
        if end < 0:
            raise FileFormatError(f"The header of {path.name} does not end with end_header. Export it again as PLY.")
        lines.append(data[at:end].decode("utf-8", "replace").strip())
        at = end + 1
    return lines[:-1], at


def _element(path: Path, words: list[str]) -> tuple[str, int]:
    if len(words) != 3 or not (words[2].isascii() and words[2].isdigit() and len(words[2]) < 19):
        raise FileFormatError(f"Header line {' '.join(words)[:80]!r} of {path.name} is not `element NAME COUNT`. Export it again.")
    return words[1], int(words[2])


def _property(path: Path, words: list[str], order: str) -> Property:
    """Parse `property float x` or `property list uchar int vertex_indices`; list lengths are read as unsigned."""
    listed = words[1:2] == ["list"]
    if len(words) != (5 if listed else 3):
        raise FileFormatError(f"Header line {' '.join(words)[:80]!r} of {path.name} is not `property TYPE NAME`. Export it again.")
    *counter, kind, name = words[2:] if listed else words[1:]
    for word, choices in ((kind, tuple(_TYPES)), *((word, _COUNTERS) for word in counter)):
        if word not in choices:
            raise FileFormatError(unknown_choice("property type", word[:80], choices, where=f" in {path.name}"))
    unsigned = np.dtype(order + _TYPES[counter[0]].replace("i", "u")) if listed else None
    return Property(name, np.dtype(order + _TYPES[kind]), unsigned)


def _check_new(path: Path, name: str, known: Container[str]) -> None:
    if name in known:
        raise FileFormatError(f"The header of {path.name} declares {name[:80]!r} twice. Export it again.")
