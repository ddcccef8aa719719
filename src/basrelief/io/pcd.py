"""PCD, the format of the Point Cloud Library: ascii, binary and binary_compressed."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.lzf import lzf_decompress
from basrelief.io.source import Raw, Source
from basrelief.limits import limits

_MAX_HEADER = 1 << 16
_MAX_EXPANSION = 132  # of LZF: 264 bytes from a reference of 2, rounded up by its literal


def read_pcd(source: Source) -> Raw:
    """Read PCD 0.6 and 0.7. Organised frames keep only the rows that have a return; the rest are NaN and dropped later.

    Args:
        source: The file.

    Returns:
        Points in the axes of the file, with colours from `rgb` or `rgba`.

    Raises:
        FileFormatError: If the header is incomplete or declares more than the file holds.
    """
    data = source.read()
    header, body = _split(source, data)
    count = int(header["POINTS"][0]) if "POINTS" in header else int(header["WIDTH"][0]) * int(header["HEIGHT"][0])
    check_count(source.path, count, limits().points, of="points")
    layout = _layout(header)
    encoding = header["DATA"][0].lower()
    if encoding == "ascii":
        columns = _ascii(body, layout, count)
    elif encoding == "binary":
        columns = _binary(source, body, layout, count)
    elif encoding == "binary_compressed":
        columns = _compressed(source, body, layout, count)
    else:
        raise FileFormatError(
            f"path must have DATA ascii, binary or binary_compressed, but got {encoding[:20]!r} in {source.path.name}. Save it again."
        )
    missing = [name for name in "xyz" if name not in columns]
    if missing:
        raise FileFormatError(f"path must have the fields x, y, z, but got no {missing[0]} in {source.path.name}. Save it with positions.")
    points = np.stack([columns[name][:, 0] for name in "xyz"], axis=1)
    return Raw(points=points, colors=_colors(columns), up="z", up_reason="PCD is +Z up by custom")


Layout = list[tuple[str, np.dtype, int]]


def _split(source: Source, data: bytes) -> tuple[Mapping[str, list[str]], bytes]:
    """Part the header from the data; a keyword becomes the list of its words."""
    header: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in header:
        end = data.find(b"\n", at, _MAX_HEADER)
        if end < 0:
            raise FileFormatError(f"path must have a PCD header that ends with DATA, but got {source.path.name} without. Save it again.")
        words = data[at:end].decode("ascii", "replace").split("#")[0].split()
        at = end + 1
        if words:
            header[words[0].upper()] = words[1:]
    return header, data[at:]


def _layout(header: Mapping[str, list[str]]) -> Layout:
    """Name, type and count of each field; fields that repeat or pad keep a name of their own."""
    names = header.get("FIELDS") or header["COLUMNS"]
    counts = [int(count) for count in header.get("COUNT", ["1"] * len(names))]
    kinds = {"F": "f", "I": "i", "U": "u"}
    types = [np.dtype(f"<{kinds[kind.upper()]}{int(size)}") for kind, size in zip(header["TYPE"], header["SIZE"], strict=True)]
    if min(counts) < 1 or sum(counts) > 4096:
        raise ValueError(f"COUNT is {counts[:8]}")
    seen: dict[str, int] = {}
    unique = [name if seen.setdefault(name, i) == i else f"{name}/{i}" for i, name in enumerate(names)]
    return list(zip(unique, types, counts, strict=True))


def _ascii(body: bytes, layout: Layout, count: int) -> dict[str, np.ndarray]:
    """Columns from text. A packed colour stored as a float keeps its bits by going through float32."""
    rows = np.loadtxt(BytesIO(body), dtype=np.float64, ndmin=2, max_rows=count)
    if len(rows) != count or rows.shape[1] != sum(n for _, _, n in layout):
        raise ValueError(f"the data are {rows.shape} where {count} points are declared")
    ends = np.cumsum([n for _, _, n in layout])
    return {name: rows[:, end - n : end].astype(kind) for (name, kind, n), end in zip(layout, ends, strict=True)}


def _binary(source: Source, body: bytes, layout: Layout, count: int) -> dict[str, np.ndarray]:
    record = np.dtype([(name, kind, (n,)) for name, kind, n in layout])
    _check_length(source, len(body), count * record.itemsize)
    table = np.frombuffer(body, dtype=record, count=count)
    return {name: table[name] for name, _, _ in layout}


def _compressed(source: Source, body: bytes, layout: Layout, count: int) -> dict[str, np.ndarray]:
    """Columns one after another, all compressed together."""
    packed, unpacked = (int(n) for n in np.frombuffer(body[:8], dtype="<u4"))
    _check_length(source, len(body) - 8, packed)
    expected = count * sum(kind.itemsize * n for _, kind, n in layout)
    if unpacked != expected or unpacked > _MAX_EXPANSION * packed:
        raise FileFormatError(
            f"path must unpack to the {expected:,} bytes it declares, but got {unpacked:,} in {source.path.name}. Save it again."
        )
    data = lzf_decompress(body[8 : 8 + packed], unpacked)
    columns, at = {}, 0
    for name, kind, n in layout:
        columns[name] = np.frombuffer(data, dtype=kind, count=count * n, offset=at).reshape(count, n)
        at += count * n * kind.itemsize
    return columns


def _check_length(source: Source, found: int, declared: int) -> None:
    if found < declared:
        raise FileFormatError(
            f"path must hold the data it declares, but got {found:,} of {declared:,} bytes in {source.path.name}. The file is truncated."
        )


def _colors(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Unpack 0x00RRGGBB, stored as an integer or as the float of the same bits."""
    packed = columns.get("rgb", columns.get("rgba"))
    if packed is None or packed.dtype.itemsize != 4:
        return None
    bits = np.ascontiguousarray(packed[:, 0]).view(np.uint32)
    return np.stack([(bits >> shift) & 255 for shift in (16, 8, 0)], axis=1) / 255
