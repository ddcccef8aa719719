"""The body of a PLY: rows of equal or of varying length to columns."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.ply_header import Element, Header, Property
from basrelief.io.polygons import Lists, list_places
from basrelief.limits import limits

_NUMBER = np.dtype(np.float64)


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of an element, by property.

    Attributes:
        columns: Single values, (N,) each.
        lists: Lists.
    """

    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    lists: Mapping[str, Lists] = field(default_factory=dict)

    def stack(self, *names: str) -> np.ndarray | None:
        """Put columns side by side.

        Args:
            names: K properties of single values.

        Returns:
            (N, K), or None where one is absent.
        """
        return np.stack([self.columns[name] for name in names], axis=1) if set(names) <= set(self.columns) else None


class Body:
    """Reads the elements of a PLY one after another.

    A text body is turned into one array of float64 first; from there on it is a binary body whose values all have that type.

    Attributes:
        path: The file, for messages.
        data: Binary content, or the numbers of a text as bytes.
        at: Where the next element begins, bytes.
        text: Whether it was text.
    """

    def __init__(self, path: Path, header: Header, data: bytes) -> None:
        self.path = path
        self.text = header.encoding == "ascii"
        self.data = _numbers(path, data[header.size :]) if self.text else memoryview(data)
        self.at = 0 if self.text else header.size

    @property
    def left(self) -> str:
        """What has not been read yet, in words; nothing when all has been."""
        return self._amount(len(self.data) - self.at) if self.at < len(self.data) else ""

    def read(self, element: Element) -> Table:
        """Read the next element; nothing is made before its size is compared with what is left.

        Args:
            element: What the header declares.

        Returns:
            Its rows.

        Raises:
            FileFormatError: If the file ends before the element does, or its lists are too long in sum.
        """
        if not element.count or not element.least:
            return Table()
        if not self.text:
            return self._read(element)
        table = self._read(replace(element, properties=tuple(_as_number(item) for item in element.properties)))
        kinds = {item.name: item.kind for item in element.properties}
        return Table(
            {name: column.astype(kinds[name]) for name, column in table.columns.items()},
            {name: replace(lists, values=lists.values.astype(kinds[name])) for name, lists in table.lists.items()},
        )

    def _read(self, element: Element) -> Table:
        self._need(element.count * element.least)
        lengths = self._first_lengths(element)
        size = element.least + sum(lengths[item.name] * item.kind.itemsize for item in element.properties if item.counter)
        if self.at + element.count * size <= len(self.data):
            rows = np.ndarray((element.count,), _row_type(element, lengths), buffer=self.data, offset=self.at)
            if all((rows[f"{name}#"] == length).all() for name, length in lengths.items()):
                self.at += element.count * size
                return self._equal_rows(rows, lengths)
        return self._varying_rows(element, self._row_starts(element))

    def _need(self, size: int) -> None:
        left = len(self.data) - self.at
        if size > left:
            raise FileFormatError(
                f"path must hold the data it declares, but got {self._amount(left)} where an element of {self.path.name} takes "
                f"{self._amount(size)} or more. The file is truncated, or its header is wrong."
            )

    def _amount(self, size: int) -> str:
        return f"{size // 8:,} numbers" if self.text else f"{size:,} bytes"

    def _first_lengths(self, element: Element) -> dict[str, int]:
        """Read the length of each list of the first row."""
        at, lengths = self.at, {}
        for item in element.properties:
            if item.counter is not None:
                lengths[item.name] = _length(self.data, at, item.counter)
                at += item.counter.itemsize
            at += lengths.get(item.name, 1) * item.kind.itemsize
        return lengths

    def _equal_rows(self, rows: np.ndarray, lengths: Mapping[str, int]) -> Table:
        lists = {}
        for name, length in lengths.items():
            check_count(self.path, len(rows) * length, 3 * limits().faces, of="values in lists")
            lists[name] = Lists(values=rows[name].reshape(-1), counts=np.full(len(rows), length))
        return Table({name: rows[name] for name in rows.dtype.names or () if name.removesuffix("#") not in lengths}, lists)

    def _row_starts(self, element: Element) -> np.ndarray:
        """Walk from row to row by the lengths of their lists."""
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

    def _varying_rows(self, element: Element, cursor: np.ndarray) -> Table:
        """Gather each property from where it begins in each row; `cursor` holds (N,) byte positions."""
        columns, lists = {}, {}
        for item in element.properties:
            if item.counter is None:
                columns[item.name] = self._everywhere(item.kind)[cursor]
                cursor = cursor + item.kind.itemsize
                continue
            counts = self._everywhere(item.counter)[cursor].astype(np.int64)
            check_count(self.path, int(counts.sum()), 3 * limits().faces, of="values in lists")
            cursor = cursor + item.counter.itemsize
            places = list_places(cursor, counts, step=item.kind.itemsize)
            lists[item.name] = Lists(values=self._everywhere(item.kind)[places] if len(places) else places, counts=counts)
            cursor = cursor + counts * item.kind.itemsize
        return Table(columns, lists)

    def _everywhere(self, kind: np.dtype) -> np.ndarray:
        """See the value of this type that begins at every single byte."""
        return np.ndarray((len(self.data) - kind.itemsize + 1,), kind, buffer=self.data, strides=(1,))


def _numbers(path: Path, text: bytes) -> memoryview:
    try:
        return np.fromstring(text, sep=" ").view(np.uint8).data
    except ValueError as error:
        raise FileFormatError(f"path must hold numbers below its header, but got {path.name} with something else. Check it.") from error


def _as_number(item: Property) -> Property:
    return replace(item, kind=_NUMBER, counter=item.counter and _NUMBER)


def _length(data: memoryview, at: int, counter: np.dtype) -> int:
    """Read the length of a list; what cannot be one becomes so long that no file holds it."""
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
