"""PCD, the format of the Point Cloud Library: ascii, binary and binary_compressed."""

from __future__ import annotations

import io
from array import array
from collections.abc import Mapping

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.lines import line_blocks
from basrelief.io.lzf import lzf_decompress
from basrelief.io.numbers import number_blocks
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

_MAX_HEADER = 1 << 16
_PART = 1 << 20  # bytes of records read at a time
_WANTED = ("x", "y", "z", "rgb", "rgba")
_MAX_EXPANSION = 132  # of LZF: 264 bytes from a reference of 2, rounded up by its literal


def read_pcd(source: Source) -> RawShape:
    """Read PCD 0.6 and 0.7. Points of organised clouds without a return are NaN and dropped later.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file, with colours from `rgb` or `rgba`.

    Raises:
        FileFormatError: If the header is incomplete or declares more than the file holds.
    """
    with source.path.open("rb") as file:
        header = _read_header(source, file)
        return _read_body(source, header, file)


def _read_body(source: Source, header: Header, file: io.BufferedReader) -> RawShape:
    count = int(header["POINTS"][0]) if "POINTS" in header else int(header["WIDTH"][0]) * int(header["HEIGHT"][0])
    check_count(source.path, count, limits().points, of="points")
    layout = _layout(header)
    encoding = header["DATA"][0].lower()
    if encoding == "ascii":
        columns = _ascii(source, file, layout, count)
    elif encoding == "binary":
        columns = _binary(source, file, layout, count)
    elif encoding == "binary_compressed":
        columns = _compressed(source, file, layout, count)
    else:
        raise FileFormatError(
            f"DATA of {source.path.name} is {encoding[:20]!r}; expected ascii, binary or binary_compressed. Save it again."
        )
    missing = [name for name in "xyz" if name not in columns]
    if missing:
        raise FileFormatError(f"{source.path.name} has no field {missing[0]!r}. Save it with the fields x, y and z.")
    points = np.stack([columns[name] for name in "xyz"], axis=1)
    return RawShape(points=points, colors=_colors(columns), up="z", up_reason="PCD is +Z up by convention")


Layout = list[tuple[str, np.dtype, int]]
Header = Mapping[str, list[str]]


def _read_header(source: Source, file: io.BufferedReader) -> Header:
    """Read the header up to DATA as a list of words per keyword."""
    header: dict[str, list[str]] = {}
    while "DATA" not in header:
        line = file.readline(_MAX_HEADER)
        if not line.endswith(b"\n") or file.tell() > _MAX_HEADER:
            raise FileFormatError(f"The header of {source.path.name} does not end with DATA. Save it again as PCD.")
        words = line.decode("ascii", "replace").split("#")[0].split()
        if words:
            header[words[0].upper()] = words[1:]
    return header


def _layout(header: Header) -> Layout:
    """Return name, type and count of each field; repeated and padding fields get unique names."""
    names = header.get("FIELDS") or header["COLUMNS"]
    counts = [int(count) for count in header.get("COUNT", ["1"] * len(names))]
    kinds = {"F": "f", "I": "i", "U": "u"}
    types = [np.dtype(f"<{kinds[kind.upper()]}{int(size)}") for kind, size in zip(header["TYPE"], header["SIZE"], strict=True)]
    if min(counts) < 1 or sum(counts) > 4096:
        raise ValueError(f"COUNT is {counts[:8]}")
    seen: dict[str, int] = {}
    unique = [name if seen.setdefault(name, i) == i else f"{name}/{i}" for i, name in enumerate(names)]
    return list(zip(unique, types, counts, strict=True))


def _ascii(source: Source, file: io.BufferedReader, layout: Layout, count: int) -> dict[str, np.ndarray]:
    """Read columns from text. A packed colour stored as a float keeps its bits through float32."""
    source.check_size(limits().text_bytes)
    starts = np.cumsum([0, *(n for _, _, n in layout)])
    wanted = {name: (int(start), kind, array("d")) for (name, kind, _), start in zip(layout, starts[:-1], strict=True) if name in _WANTED}
    rows = 0
    for values, counts in number_blocks(source.path, line_blocks(source.path, file)):
        if (counts != starts[-1]).any():
            raise ValueError(f"a line has {counts[counts != starts[-1]][0]} numbers where {starts[-1]} are declared")
        rows += len(counts)
        if rows > count:
            break
        for start, _, column in wanted.values():
            column.frombytes(values[start :: starts[-1]].tobytes())
    if rows != count:
        raise ValueError(f"the data are {rows} lines where {count} points are declared")
    return {name: np.frombuffer(column, dtype=np.float64).astype(kind) for name, (_, kind, column) in wanted.items()}


def _binary(source: Source, file: io.BufferedReader, layout: Layout, count: int) -> dict[str, np.ndarray]:
    """Read columns from records, in parts."""
    record = np.dtype([(name, kind, (n,)) for name, kind, n in layout])
    _check_length(source, source.size - file.tell(), count * record.itemsize)
    columns = {name: np.empty(count, dtype=kind) for name, kind, _ in layout if name in _WANTED}
    step = max(1, _PART // record.itemsize)
    for start in range(0, count, step):
        part = min(step, count - start)
        table = np.frombuffer(file.read(part * record.itemsize), dtype=record, count=part)
        for name, column in columns.items():
            column[start : start + part] = table[name][:, 0]
    return columns


def _compressed(source: Source, file: io.BufferedReader, layout: Layout, count: int) -> dict[str, np.ndarray]:
    """Read columns that are stored one after another and compressed together."""
    packed, unpacked = (int(n) for n in np.frombuffer(file.read(8), dtype="<u4"))
    _check_length(source, source.size - file.tell(), packed)
    expected = count * sum(kind.itemsize * n for _, kind, n in layout)
    if unpacked != expected or unpacked > _MAX_EXPANSION * packed:
        raise FileFormatError(f"{source.path.name} declares {unpacked:,} unpacked bytes, but its fields need {expected:,}. Save it again.")
    check_count(source.path, unpacked, limits().unpacked_bytes, of="bytes when unpacked")
    data = lzf_decompress(file.read(packed), unpacked)
    columns, at = {}, 0
    for name, kind, n in layout:
        if name in _WANTED:
            columns[name] = np.frombuffer(data, dtype=kind, count=count * n, offset=at)[::n]
        at += count * n * kind.itemsize
    return columns


def _check_length(source: Source, found: int, declared: int) -> None:
    if found < declared:
        raise FileFormatError(f"{source.path.name} is truncated: it holds {found:,} of {declared:,} bytes. Download or export it again.")


def _colors(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Unpack 0x00RRGGBB, stored as an integer or as a float with the same bits."""
    packed = columns.get("rgb", columns.get("rgba"))
    if packed is None or packed.dtype.itemsize != 4:
        return None
    bits = np.ascontiguousarray(packed).view(np.uint32)
    rgb = np.stack([((bits >> shift) & 255).astype(np.uint8) for shift in (16, 8, 0)], axis=1)
    return np.divide(rgb, 255, dtype=np.float32)
