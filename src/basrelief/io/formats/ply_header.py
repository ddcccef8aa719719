"""The header of a PLY: which elements the file holds, and what each row of them is made of."""

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
"""The most bytes that a header may have."""


@dataclass(frozen=True)
class Property:
    """One property of an element.

    Attributes:
        name: As in the header.
        kind: Type of the value, or of each value of a list, byte order included.
        counter: Type of the length in front of a list, unsigned; None for a single value.
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
        properties: What each row holds, in order.
    """

    name: str
    count: int
    properties: tuple[Property, ...] = ()

    @property
    def least(self) -> int:
        """Bytes that a row takes when its lists are empty."""
        return sum((item.kind if item.counter is None else item.counter).itemsize for item in self.properties)


@dataclass(frozen=True)
class Header:
    """What a PLY declares.

    Attributes:
        encoding: One of `ENCODINGS`.
        elements: Elements by name, in order.
        texture: Texture that a comment names, or nothing.
        size: Bytes up to where the data begin.
    """

    encoding: str
    elements: dict[str, Element]
    texture: str
    size: int

    def count(self, name: str) -> int:
        """Give the rows of an element, 0 where there is none of this name."""
        return self.elements[name].count if name in self.elements else 0


def read_header(path: Path, data: bytes) -> Header:
    """Read the header of a PLY.

    Args:
        path: The file, for messages.
        data: Its content, or the first `HEADER_BYTES` of it.

    Returns:
        What it declares; at least an element `vertex` with x, y and z.

    Raises:
        FileFormatError: If it does not end, or declares an unknown encoding or type, a name twice, or no positions.
    """
    lines, size = _lines(path, data)
    encoding = next((line.split()[1] for line in lines if line.startswith("format ")), "")
    if encoding not in ENCODINGS:
        raise FileFormatError(unknown_choice(f"format of {path.name}", encoding[:80], ENCODINGS))
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
    texture = next((line.split(maxsplit=2)[2] for line in lines if line.lower().startswith("comment texturefile ")), "")
    return Header(encoding, elements, texture, size)


def _lines(path: Path, data: bytes) -> tuple[list[str], int]:
    """Give the lines above end_header and the place after it."""
    lines: list[str] = []
    at = 0
    while lines[-1:] != ["end_header"]:
        end = data.find(b"\n", at, HEADER_BYTES)
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
    """Read `property float x` or `property list uchar int vertex_indices`; a length cannot be negative, so it is taken as unsigned."""
    listed = words[1:2] == ["list"]
    if len(words) != (5 if listed else 3):
        raise FileFormatError(f"Header line {' '.join(words)[:80]!r} of {path.name} is not `property TYPE NAME`. Export it again.")
    *counter, kind, name = words[2:] if listed else words[1:]
    for word, choices in ((kind, tuple(_TYPES)), *((word, _COUNTERS) for word in counter)):
        if word not in choices:
            raise FileFormatError(unknown_choice(f"property type in {path.name}", word[:80], choices))
    unsigned = np.dtype(order + _TYPES[counter[0]].replace("i", "u")) if listed else None
    return Property(name, np.dtype(order + _TYPES[kind]), unsigned)


def _check_new(path: Path, name: str, known: Container[str]) -> None:
    if name in known:
        raise FileFormatError(f"The header of {path.name} declares {name[:80]!r} twice. Export it again.")
