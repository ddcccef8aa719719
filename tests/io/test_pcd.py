"""PCD in its three encodings, and its LZF compression."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import basrelief.io as shapes
from basrelief.errors import FileFormatError
from basrelief.io.formats.pcd import lzf_decompress
from basrelief.types import PointCloud

from .conftest import POINT_RGB as RGB
from .conftest import POINTS, Put, loaded, pcd_bytes

h5py = pytest.importorskip("h5py")


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_pcd_positions_and_packed_colors(encoding: str, put: Put) -> None:
    shape = shapes.load(put("a.pcd", pcd_bytes(encoding, POINTS, RGB)))
    assert isinstance(shape, PointCloud)
    assert np.array_equal(shape.points, POINTS)
    assert shape.colors is not None
    assert np.allclose(shape.colors, RGB / 255, atol=1e-6)
    assert shape.origin is not None
    assert (shape.origin.up, shape.origin.up_reason) == ("z", "PCD is +Z up by convention")


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_pcd_rows_without_a_return_are_dropped_and_counted(encoding: str, put: Put) -> None:
    points = POINTS.copy()
    points[::3] = np.nan
    shape = loaded(put("a.pcd", pcd_bytes(encoding, points)))
    assert np.array_equal(shape.points, points[np.isfinite(points).all(axis=1)])
    assert shape.origin is not None
    assert shape.origin.notes == ("10 of 30 points are not finite and were dropped.",)


def test_pcd_fields_of_several_values_and_padding(put: Put) -> None:
    record = np.dtype([("x", "<f8"), ("_", "u1", (4,)), ("y", "<f8"), ("h", "<f4", (3,)), ("z", "<f8")])
    table = np.zeros(5, dtype=record)
    table["x"], table["y"], table["z"] = np.arange(5), 1, 2
    header = "VERSION 0.7\nFIELDS x _ y h z\nSIZE 8 1 8 4 8\nTYPE F U F F F\nCOUNT 1 4 1 3 1\nWIDTH 5\nHEIGHT 1\nPOINTS 5\nDATA binary\n"
    shape = loaded(put("a.pcd", header.encode() + table.tobytes()))
    assert shape.points.tolist() == [[i, 1, 2] for i in range(5)]


def test_pcd_without_points_counts_width_times_height(put: Put) -> None:
    data = pcd_bytes("binary", POINTS).replace(b"WIDTH 30\nHEIGHT 1", b"WIDTH 10\nHEIGHT 3").replace(b"POINTS 30\n", b"")
    assert len(loaded(put("a.pcd", data)).points) == 30


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"DATA binary", b"DATA zipped", "DATA of a.pcd is 'zipped'; expected ascii, binary or binary_compressed"),
        (b"FIELDS x y z", b"FIELDS x y w", "a.pcd has no field 'z'"),
        (b"POINTS 30", b"POINTS 31", "a.pcd is truncated: it holds 360 of 372 bytes"),
        (b"POINTS 30", b"POINTS 99999999", "a.pcd declares 99,999,999 points; at most 20,000,000 are read"),
        (b"DATA binary\n", b"", "The header of a.pcd does not end with DATA"),
        (b"COUNT 1 1 1", b"COUNT 1 1 0", "COUNT is"),
    ],
)
def test_pcd_headers_that_lie(old: bytes, new: bytes, message: str, put: Put) -> None:
    data = pcd_bytes("binary", np.ones((30, 3), dtype=np.float32) * 0.1)
    with pytest.raises(FileFormatError, match=message):
        shapes.load(put("a.pcd", data.replace(old, new)))


def test_pcd_compressed_size_that_lies(put: Put) -> None:
    data = pcd_bytes("binary_compressed", POINTS)
    at = data.index(b"DATA binary_compressed\n") + len(b"DATA binary_compressed\n") + 4
    with pytest.raises(FileFormatError, match="a.pcd declares 4,294,967,295 unpacked bytes, but its fields need 360"):
        shapes.load(put("a.pcd", data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]))


def slow_lzf(data: bytes, size: int) -> bytes:
    """The reference of lzf_decompress: one byte at a time, as the format is told."""
    out: list[int] = []
    at = 0
    while at < len(data) and len(out) < size:
        control, at = data[at], at + 1
        if control < 32:
            for _ in range(control + 1):
                out.append(data[at])
                at += 1
            continue
        length, high = control >> 5, control & 31
        if length == 7:
            length, at = length + data[at], at + 1
        start, at = len(out) - (high * 256 + data[at]) - 1, at + 1
        for i in range(length + 2):
            out.append(out[start + i])
    return bytes(out)


def lzf_stream(plain: bytes) -> bytes:
    """Compress by HDF5's own LZF filter, an implementation apart from ours."""
    out = BytesIO()
    with h5py.File(out, "w") as file:
        data = file.create_dataset("d", data=np.frombuffer(plain, dtype=np.uint8), chunks=(len(plain),), compression="lzf")
        mask, packed = data.id.read_direct_chunk((0,))
    return plain if mask else packed


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=8), st.integers(10, 60))
def test_lzf_agrees_with_hdf5_and_with_its_reference(words: list[bytes], repeats: int) -> None:
    plain = (b"".join(words) + words[0] * 20) * repeats
    packed = lzf_stream(plain)
    assert len(packed) < len(plain)
    assert lzf_decompress(packed, len(plain)) == plain == slow_lzf(packed, len(plain))


@pytest.mark.parametrize(
    ("data", "message"), [(b"\x20\x05", "refers to before its start"), (b"\x01ab", "gives 2 bytes where 5 are declared")]
)
def test_lzf_that_is_damaged(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lzf_decompress(data, 5)
