"""The body of a PLY file: read rows of equal or varying length as columns."""

from __future__ import annotations

import io
import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.formats.ply_header import Element, Header, Property
from basrelief.io.lines import line_blocks
from basrelief.io.numbers import all_numbers
from basrelief.io.polygons import Lists, list_positions
from basrelief.limits import limits

_NUMBER = np.dtype(np.float64)
COLOR_COLUMNS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
"""Names of colours, the usual ones first."""
ALPHA_COLUMNS = ("alpha", "diffuse_alpha", "a")
GREY_COLUMNS = ("intensity", "scalar_Intensity", "scalar_intensity", "gray", "grey", "reflectance")
SPLAT_COLUMNS = ("f_dc_0", "f_dc_1", "f_dc_2", "opacity")
"""Colour (spherical harmonics of degree zero) and opacity (logit) of Gaussian splats."""
TEXTURE_COLUMNS = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
_COLUMNS = frozenset(
    ("x", "y", "z", "texnumber", *sum(COLOR_COLUMNS, ()), *ALPHA_COLUMNS, *GREY_COLUMNS, *SPLAT_COLUMNS, *sum(TEXTURE_COLUMNS, ()))
)  # single values to keep
_LISTED = ("face", "tristrips")  # elements whose lists are kept
_CHUNK = 1 << 17  # rows gathered at a time


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of an element by property, restricted to what a shape needs.

    Attributes:
        columns: Single values, (N,) each.
        lists: Lists.
    """

    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    lists: Mapping[str, Lists] = field(default_factory=dict)

    def stack(self, *names: str) -> np.ndarray | None:
        """Stack columns.

        Args:
            names: K single-value properties.

        Returns:
            (N, K), or None if one is missing.
        """
        return np.stack([self.columns[name] for name in names], axis=1) if set(names) <= set(self.columns) else None


class Body:
    """Reads the elements of a PLY file one after another.

    A text body is first converted to one float64 array and then handled like a binary body with values of that type. Where it has one line
    for each row, lines may hold more numbers than the header declares.

    Attributes:
        path: The file, for messages.
        data: Binary content, or the numbers of a text body as bytes.
        at: Start of the next element, bytes.
        text: Whether the body is text.
        surplus: Whether lines of text held more numbers than declared.
    """

    def __init__(self, path: Path, header: Header, file: io.BufferedIOBase) -> None:
        """Read the body after the header."""
        self.path = path
        self.text = header.encoding == "ascii"
        file.seek(header.size)
        self.at, self.surplus = 0, False
        self._line, self._lines = 0, np.zeros(0, dtype=np.int64)  # byte positions of the lines of text, the end included
        if not self.text:
            self.data = memoryview(file.read())
            return
        numbers, counts = all_numbers(path, line_blocks(path, file))
        self.data = numbers.view(np.uint8).data
        if len(counts) == sum(element.count for element in header.elements.values() if element.least):
            self._lines = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]) * _NUMBER.itemsize

    @property
    def left(self) -> str:
        """A description of the unread data; empty when all is read."""
        return self._amount(len(self.data) - self.at) if self.at < len(self.data) else ""

    def read(self, element: Element) -> Table:
        """Read the next element, after comparing its size with the rest of the file.

        Args:
            element: Its declaration.

        Returns:
            Its rows.

        Raises:
            FileFormatError: If the file ends before the element, or its lists are too long in total.
        """
        if not element.count or not element.least:
            return Table()
        if not self.text:
            return self._read(element)
        numbers = replace(element, properties=tuple(_as_number(item) for item in element.properties))
        table = self._read_lines(numbers) or self._read(numbers)
        kinds = {item.name: item.kind for item in element.properties}
        with np.errstate(invalid="ignore", over="ignore"):
            return Table(
                {name: column.astype(kinds[name]) for name, column in table.columns.items()},
                {name: replace(lists, values=lists.values.astype(kinds[name])) for name, lists in table.lists.items()},
            )

    def _read_lines(self, element: Element) -> Table | None:
        """Read rows that are lines, if some hold more numbers than the header declares; None otherwise."""
        if not len(self._lines):
            return None
        starts, ends = (self._lines[self._line + step : self._line + step + element.count] for step in (0, 1))
        needed = self._row_ends(element, starts)
        if (needed > ends).any():  # rows are not lines
            self._lines = self._lines[:0]
            return None
        self._line += element.count
        if (needed == ends).all():
            return None
        self.at, self.surplus = int(ends[-1]), True
        return self._varying_rows(element, starts)

    def _row_ends(self, element: Element, starts: np.ndarray) -> np.ndarray:
        """Return where rows that start at byte positions `starts` end; invalid lengths give an end beyond the data."""
        ends, beyond = starts.copy(), len(self.data) + 1
        for item in element.properties:
            if item.counter is None:
                ends += item.kind.itemsize
                continue
            lengths = self._everywhere(item.counter)[np.minimum(ends, len(self.data) - item.counter.itemsize)]
            valid = (lengths >= 0) & (lengths < beyond) & (ends < len(self.data))
            ends += item.counter.itemsize + np.where(valid, lengths, beyond).astype(np.int64) * item.kind.itemsize
        return ends

    def _read(self, element: Element) -> Table:
        self._need(element.count * element.least)
        lengths = self._first_lengths(element)
        size = element.least + sum(lengths[item.name] * item.kind.itemsize for item in element.properties if item.counter)
        if self.at + element.count * size <= len(self.data):
            rows = np.ndarray((element.count,), _row_type(element, lengths), buffer=self.data, offset=self.at)
            if all((rows[f"{name}#"] == length).all() for name, length in lengths.items()):
                self.at += element.count * size
                return self._equal_rows(element, rows, lengths)
        return self._varying_rows(element, self._row_starts(element))

    def _need(self, size: int) -> None:
        left = len(self.data) - self.at
        if size > left:
            raise FileFormatError(
                f"{self.path.name} is truncated, or its header is wrong: {self._amount(left)} are left where an element takes "
                f"{self._amount(size)} or more. Export it again."
            )

    def _amount(self, size: int) -> str:
        return f"{size // 8:,} numbers" if self.text else f"{size:,} bytes"

    def _first_lengths(self, element: Element) -> dict[str, int]:
        """Return the length of each list in the first row."""
        at, lengths = self.at, {}
        for item in element.properties:
            if item.counter is not None:
                lengths[item.name] = _length(self.data, at, item.counter)
                at += item.counter.itemsize
            at += lengths.get(item.name, 1) * item.kind.itemsize
        return lengths

    def _equal_rows(self, element: Element, rows: np.ndarray, lengths: Mapping[str, int]) -> Table:
        lists = {}
        for item in _lists(element):
            check_count(self.path, len(rows) * lengths[item.name], 3 * limits().faces, of="values in lists")
            counts = np.full(len(rows), lengths[item.name], dtype=np.int32)
            lists[item.name] = Lists(values=rows[item.name].reshape(-1), counts=counts)
        return Table({item.name: rows[item.name] for item in element.properties if item.name in _COLUMNS and not item.counter}, lists)

    def _row_starts(self, element: Element) -> np.ndarray:
        """Return the start of each row by walking the list lengths."""
        steps, skip = [], 0
        for item in element.properties:
            if item.counter is None:
                skip += item.kind.itemsize
            else:
                steps.append((skip, item.counter, item.counter.itemsize, item.kind.itemsize))
                skip = 0
        data, at, end, starts = self.data, self.at, len(self.data), array("q")
        for _ in range(element.count):
            starts.append(at)
            for before, counter, width, size in steps:
                at += before
                at += width + size * (data[at] if width == 1 and at < end else _length(data, at, counter))
            at += skip
            if at > end:
                self._need(at - self.at)
        self.at = at
        return np.frombuffer(starts, dtype=np.int64)

    def _varying_rows(self, element: Element, starts: np.ndarray) -> Table:
        """Gather each property from rows that start at the byte positions `starts` (N,), some rows at a time."""
        columns = {item.name: bytearray() for item in element.properties if item.name in _COLUMNS and item.counter is None}
        values = {item.name: bytearray() for item in _lists(element)}
        lengths = {name: bytearray() for name in values}
        for start in range(0, len(starts), _CHUNK):
            cursor = starts[start : start + _CHUNK]
            for item in element.properties:
                if item.counter is None:
                    if item.name in columns:
                        columns[item.name] += self._everywhere(item.kind)[cursor].tobytes()
                    cursor = cursor + item.kind.itemsize
                    continue
                counts = self._everywhere(item.counter)[cursor].astype(np.int64)
                cursor = cursor + item.counter.itemsize
                if item.name in values:
                    size = int(counts.sum())
                    check_count(self.path, len(values[item.name]) // item.kind.itemsize + size, 3 * limits().faces, of="values in lists")
                    lengths[item.name] += counts.astype(np.int32).tobytes()
                    if size:
                        values[item.name] += self._everywhere(item.kind)[list_positions(cursor, counts, step=item.kind.itemsize)].tobytes()
                cursor = cursor + counts * item.kind.itemsize
        kinds = {item.name: item.kind for item in element.properties}
        return Table(
            {name: np.frombuffer(data, dtype=kinds[name]) for name, data in columns.items()},
            {name: Lists(np.frombuffer(data, kinds[name]), np.frombuffer(lengths[name], np.int32)) for name, data in values.items()},
        )

    def _everywhere(self, kind: np.dtype) -> np.ndarray:
        """Return a view of the values of this type that start at every byte."""
        return np.ndarray((len(self.data) - kind.itemsize + 1,), kind, buffer=self.data, strides=(1,))


def _lists(element: Element) -> list[Property]:
    """Return the lists to keep: those of faces and strips."""
    return [item for item in element.properties if item.counter is not None and element.name in _LISTED]


def _as_number(item: Property) -> Property:
    return replace(item, kind=_NUMBER, counter=item.counter and _NUMBER)


def _length(data: memoryview, at: int, counter: np.dtype) -> int:
    """Read the length of a list; an invalid one becomes larger than any file."""
    raw = data[at : at + counter.itemsize]
    if counter != _NUMBER or len(raw) < _NUMBER.itemsize:
        return int.from_bytes(raw, "big" if counter.str[0] == ">" else "little")
    length: float = struct.unpack("=d", raw)[0]
    return int(length) if 0 <= length < limits().file_bytes else limits().file_bytes


def _row_type(element: Element, lengths: Mapping[str, int]) -> np.dtype:
    fields: list[tuple[str, np.dtype] | tuple[str, np.dtype, tuple[int, ...]]] = []
    for item in element.properties:
        if item.counter is None:
            fields.append((item.name, item.kind))
        else:
            fields += [(f"{item.name}#", item.counter), (item.name, item.kind, (lengths[item.name],))]
    return np.dtype(fields)
