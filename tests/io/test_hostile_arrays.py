"""Arrays, archives and scans made to harm: declared sizes are checked before allocation."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import BasreliefError, FileFormatError, GeometryError
from basrelief.io.lzf import lzf_decompress

from .conftest import POINTS, Put, las_bytes, loaded, pcd_bytes
from .test_hostile import zipped

h5py = pytest.importorskip("h5py")


@pytest.fixture
def traced() -> Iterator[None]:
    """Count the memory that Python and NumPy take during the test."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def npy_header(text: str, version: int = 1) -> bytes:
    data = text.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(data)) + data


HEADER = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}"


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("[('a', '|O')]", "(3,)"),
        ("[('x', '<f4'), ('y', '<f4')]", "(3, 3)"),
        ("('<f4', (1000000000,))", "(3, 3)"),
        ("'V8'", "(3, 3)"),
        ("'f8,O'", "(3, 3)"),
        ("'(9)f8'", "(3, 3)"),
        ("'M8[s]'", "(3, 3)"),
        ("'<f4'", "(-1, 3)"),
        ("'<f4'", "(1 << 70, 3)"),
        ("'<f4'", f"({1 << 70}, 3)"),
        ("'<f4'", f"({1 << 40}, {1 << 40}, 0)"),
        ("'<f4'", "(3.0, 3)"),
        ("'<f4'", "[3, 3]"),
        ("'<f4'", "(True, 3)"),
        ("'<f4'", "(" + "1, " * 40 + ")"),
        ("'<f4'", "(" * 3000 + ")" * 3000),
        ("'<f4'", "-" * 5000 + "1"),
        ("__import__('os')", "(3, 3)"),
        ("{}", "(3, 3)"),
        ("None", "(3, 3)"),
    ],
)
def test_npy_headers_of_other_things(descr: str, shape: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match="The header of a.npy is not valid"):
        shapes.load(put("a.npy", npy_header(HEADER.format(descr, "False", shape)) + b"\0" * 100))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x93NUMPY\x04\0" + b"\0" * 20, "a.npy is not a NumPy array: its signature is missing"),
        (b"\x93NUMPY", "a.npy is not a NumPy array: its signature is missing"),
        (b"\x93NUMPY\x02\0\xff\xff\xff\x7f" + b"{" * 50, "has 2,147,483,647 bytes; at most 10,000 are read"),
        (npy_header(HEADER.format("'<f4'", "1", "(3, 3)")), "is not valid"),
        (npy_header("{'descr': '<f4', 'shape': (3, 3)}"), "is not valid"),
        (npy_header("[]"), "is not valid"),
        (npy_header(HEADER.format("'<f4'", "False", "(3, 3)")) + b"\0" * 35, "a.npy is truncated: it holds 35 of 36 bytes"),
    ],
)
def test_npy_that_cannot_be(data: bytes, message: str, put: Put) -> None:
    with pytest.raises(FileFormatError) as caught:
        shapes.load(put("a.npy", data))
    assert message in str(caught.value)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("shape", ["(2L, 3L)", "(2, 3)"])
def test_npy_of_every_version_and_of_python_2(version: int, shape: str, put: Put) -> None:
    data = npy_header(HEADER.format("'<f4'", "False", shape), version) + np.arange(6, dtype="<f4").tobytes()
    assert loaded(put("a.npy", data)).points.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("row", [None, 0, 2])
def test_npy_in_parts_is_what_numpy_reads(order: Any, row: int | None, put: Put) -> None:
    shape = (90_000, 7) if row is None else (3, 30_000, 7)
    array = np.asarray(np.random.default_rng(0).normal(size=shape).astype("f4"), order=order)
    out = BytesIO()
    np.save(out, array)
    path = put("a.npy", out.getvalue())
    assert np.array_equal(loaded(path if row is None else f"{path}#{row}").points, (array if row is None else array[row])[:, :3])


def test_only_the_wanted_part_of_an_array_is_held(put: Put, traced: None) -> None:
    out = BytesIO()
    np.save(out, np.zeros((40_000, 250), dtype="f4"))
    path = put("a.npy", out.getvalue())
    del out
    tracemalloc.reset_peak()
    shapes.load(path)
    assert tracemalloc.get_traced_memory()[1] - tracemalloc.get_traced_memory()[0] < 16 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_packed_by_slow_methods(method: int, put: Put) -> None:
    out, inner = BytesIO(), BytesIO()
    np.save(inner, POINTS)
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("points.npy", inner.getvalue())
    with pytest.raises(FileFormatError, match="'points.npy' in a.npz is not compressed with deflate. Repack it"):
        shapes.load(put("a.npz", out.getvalue()))


def test_archives_with_too_many_members(put: Put) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("points.npy", b"")
    data = out.getvalue()
    start, size = data.index(b"PK\1\2"), data.index(b"PK\5\6") - data.index(b"PK\1\2")
    count = (5 << 20) // size
    end = bytearray(data[start + size :])
    end[8:12] = struct.pack("<HH", min(count, 65535), min(count, 65535))
    end[12:16] = struct.pack("<I", count * size)
    for kind in ("npz", "3mf"):
        with pytest.raises(FileFormatError, match=f"The directory of archive a.{kind} is larger than 4,194,304 bytes"):
            shapes.load(put(f"a.{kind}", data[:start] + data[start : start + size] * count + bytes(end)))


def changed(data: bytes, what: str) -> bytes:
    """A ZIP archive of one member with one fault."""
    central, out = data.index(b"PK\1\2"), bytearray(data)
    if what == "encrypted":
        out[6] |= 1
        out[central + 8] |= 1
    elif what == "wrong sum":
        out[14] ^= 1
        out[central + 16] ^= 1
    elif what == "elsewhere":
        out[central + 42 : central + 46] = (1 << 30).to_bytes(4, "little")
    return bytes(out)


@pytest.mark.parametrize("what", ["encrypted", "wrong sum", "elsewhere"])
@pytest.mark.parametrize("kind", ["npz", "3mf"])
def test_members_with_a_fault(what: str, kind: str, put: Put) -> None:
    inner = BytesIO()
    np.save(inner, POINTS)
    model = b'<model><resources><object id="1"/></resources><build/></model>'
    data = zipped("points.npy", inner.getvalue()) if kind == "npz" else zipped("3D/3dmodel.model", model)
    with pytest.raises(FileFormatError):
        shapes.load(put(f"a.{kind}", changed(data, what)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name_and_names_with_zeros(put: Put) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for scale in (1, 2):
            inner = BytesIO()
            np.save(inner, POINTS * scale)
            archive.writestr("points.npy", inner.getvalue())
    assert np.array_equal(loaded(put("a.npz", out.getvalue())).points, POINTS * np.float32(2))
    with pytest.raises(FileFormatError):
        shapes.load(put("b.npz", zipped("poin\0ts.txt", b"1 2 3")))


def test_pickles_in_npz_are_never_read(put: Put) -> None:
    out = BytesIO()
    np.savez(out, points=np.array([{"xyz": POINTS}], dtype=object))
    with pytest.raises(FileFormatError, match=r"a.npz has shape \(1,\); expected \(N, 3\)"):
        shapes.load(put("a.npz", out.getvalue()))


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip"}, {"compression": "lzf"}, {"compression": "gzip", "shuffle": True, "fletcher32": True},
                                     {"compression": "lzf", "shuffle": True}, {"fletcher32": True}, {"shuffle": True}])  # fmt: skip
@pytest.mark.parametrize("row", [None, 0, 3])
def test_hdf5_with_any_of_the_filters(filters: dict[str, Any], row: int | None, tmp_path: Path) -> None:
    data = np.round(np.random.default_rng(0).normal(size=(500, 4) if row is None else (5, 100, 4)), 1)
    for order in ("<", ">"):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("data", data=data.astype(f"{order}f8"), chunks=(70, 3) if row is None else (2, 30, 2), **filters)
        path = tmp_path / "a.h5" if row is None else f"{tmp_path}/a.h5#{row}"
        assert np.allclose(loaded(path).points, (data if row is None else data[row])[:, :3])


@pytest.mark.parametrize("options", [{}, {"chunks": (1000, 3)}, {"chunks": (1000, 3), "compression": "gzip"}])
def test_hdf5_of_values_that_were_never_written(options: dict[str, Any], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (10**6, 3), dtype="f4", fillvalue=1.0, **options)
    assert (tmp_path / "a.h5").stat().st_size < 10_000
    with pytest.raises(FileFormatError, match=r"a.h5 stores only 0 bytes for an array of shape \(1000000, 3\)"):
        shapes.load(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("compression", "packed"), [("gzip", zlib.compress(b"\0" * (64 << 20), 9)), ("lzf", b"\0\0" + b"\xe0\xff\0" * 250_000)]
)
def test_hdf5_chunks_unpack_to_what_is_declared_only(compression: str, packed: bytes, tmp_path: Path, traced: None) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (100, 3), dtype="f4", chunks=(100, 3), compression=compression)
        data.id.write_direct_chunk((0, 0), packed)
    tracemalloc.reset_peak()
    try:
        assert len(loaded(tmp_path / "a.h5").points) == 100
    except FileFormatError as error:
        assert "the compressed data gives" in str(error)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20


def test_hdf5_chunks_that_are_shorter_than_declared(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (100, 3), dtype="f4", chunks=(100, 3), compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(b"\0" * 100))
    with pytest.raises(FileFormatError, match="a chunk unpacks to 100 of 1,200 bytes"):
        shapes.load(tmp_path / "a.h5")


def test_hdf5_with_other_filters(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=np.arange(30).reshape(10, 3), chunks=(10, 3), scaleoffset=0)
    with pytest.raises(FileFormatError, match="a.h5 uses HDF5 filters .6.; supported are gzip, shuffle, fletcher32, lzf"):
        shapes.load(tmp_path / "a.h5")


def test_hdf5_of_very_many_or_very_large_chunks(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (10**6, 3), maxshape=(None, 3), dtype="f4", chunks=(1, 3))
    with pytest.raises(FileFormatError, match="a.h5 declares 1,000,000 chunks; at most 100,000 are read"):
        shapes.load(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("data", (9000, 1000, 3), dtype="f4", chunks=(9000, 100, 3))
        file.create_dataset("big", (10**7, 200), dtype="f8", chunks=(10_000, 200))
    with pytest.raises(FileFormatError, match="stores only 0 bytes"):
        shapes.load(f"{tmp_path}/b.h5#1")


@pytest.mark.parametrize("kind", ["str", "compound", "reference", "enum", "group", "soft link", "cycle"])
def test_hdf5_of_other_things(kind: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if kind == "str":
            file["data"] = [["a", "b", "c"]]
        elif kind == "compound":
            file["data"] = np.zeros((2, 3), dtype=[("a", "f4"), ("b", "i4")])
        elif kind == "reference":
            file["x"] = 1
            file.create_dataset("data", (1, 3), dtype=h5py.ref_dtype)[:] = file["x"].ref
        elif kind == "enum":
            file["data"] = np.zeros((2, 3), dtype=bool)
        elif kind == "group":
            file.create_group("data")
        elif kind == "soft link":
            file["data"] = h5py.SoftLink("/data")
        else:
            file.create_group("data")["data"] = file
    with pytest.raises(FileFormatError, match="expected real numbers|is not stored in the file itself"):
        shapes.load(tmp_path / "a.h5")


def test_lzf_makes_no_more_than_is_declared() -> None:
    bomb = b"\0\0" + b"\xe0\xff\0" * 1_000_000
    with pytest.raises(ValueError, match="the compressed data gives 1057 bytes where 1000 are declared"):
        lzf_decompress(bomb, 1000)


def test_pcd_that_unpacks_to_too_much(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "unpacked_bytes=300")
    with pytest.raises(FileFormatError, match="a.pcd declares 360 bytes when unpacked; at most 300 are read"):
        shapes.load(put("a.pcd", pcd_bytes("binary_compressed", POINTS)))


@pytest.mark.parametrize("cut", [1, 5, 33, 100])
@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_pcd_that_ends_early(encoding: str, cut: int, put: Put) -> None:
    data = pcd_bytes(encoding, POINTS)
    data = data[:-cut] if encoding != "ascii" else data[:-cut].rsplit(None, 1)[0]
    with pytest.raises(FileFormatError, match="a.pcd"):
        shapes.load(put("a.pcd", data))


def test_pcd_with_a_wide_record_is_read_in_parts(put: Put, traced: None) -> None:
    header = b"FIELDS x y z h\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 4000\nWIDTH 2000\nHEIGHT 1\nPOINTS 2000\nDATA binary\n"
    path = put("a.pcd", header + np.ones((2000, 4003), dtype="<f4").tobytes())
    tracemalloc.reset_peak()
    assert loaded(path).points.tolist() == [[1, 1, 1]] * 2000
    assert tracemalloc.get_traced_memory()[1] < 8 << 20


@pytest.mark.parametrize("suffix", ["las", "laz"])
def test_las_is_read_in_parts(suffix: str, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).integers(-1000, 1000, size=(1000, 3)) / 100
    data = las_bytes(suffix, points, tmp_path)
    monkeypatch.setattr("basrelief.io.formats.las._PART_BYTES", 5000)
    shape = loaded(put(f"a.{suffix}", data))
    assert np.allclose(shape.points, points, atol=1e-3)
    assert shape.colors is not None
    assert np.allclose(shape.colors[:, 0], np.linspace(0, 65535, 1000).astype(np.uint16) / 65535, atol=1e-6)


@pytest.mark.parametrize("suffix", ["las", "laz"])
@pytest.mark.parametrize(
    ("at", "data"), [(105, b"\xff\xff"), (105, b"\x01\0"), (104, b"\x7f"), (131, b"\xff" * 8), (94, b"\xff\xff"), (100, b"\xff" * 4)]
)
def test_las_headers_that_lie(suffix: str, at: int, data: bytes, put: Put, tmp_path: Path) -> None:
    content = las_bytes(suffix, POINTS, tmp_path)
    path = put(f"a.{suffix}", content[:at] + data + content[at + len(data) :])
    try:
        loaded(path)
    except BasreliefError as error:
        assert "a.la" in str(error) or "points" in str(error)


@pytest.mark.parametrize("value", ["1e400", "inf", "nan"])
def test_hdf5_of_numbers_beyond_float64(value: str, tmp_path: Path) -> None:
    points = np.array([[0, 1, 2], [3, 4, 5], [np.longdouble(value), 0, 0]], dtype=np.longdouble)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = points
    assert loaded(tmp_path / "a.h5").points.tolist() == [[0, 1, 2], [3, 4, 5]]
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["data"] = points[2:]
    with pytest.raises(GeometryError, match="rows of points are not finite in float32"):
        shapes.load(tmp_path / "b.h5")
