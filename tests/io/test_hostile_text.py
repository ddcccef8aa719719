"""Text and polygons made to harm: endless numbers, lines and corners."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import BasreliefError, FileFormatError
from basrelief.io.lines import line_blocks
from basrelief.io.numbers import all_numbers
from basrelief.io.polygons import Lists, fan_triangles
from basrelief.types import Mesh

from .conftest import Put, loaded

HERE = Path("a.xyz")
PLY = b"ply\nformat %s 1.0\nelement vertex %d\nproperty float x\nproperty float y\nproperty float z\n"


def numbers(text: bytes) -> tuple[list[float], list[int]]:
    values, counts = all_numbers(HERE, line_blocks(HERE, BytesIO(text)))
    return values.tolist(), counts.tolist()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\n\n", b" \n\t"])
@pytest.mark.parametrize("last", [True, False])
def test_numbers_and_lines(end: bytes, last: bool) -> None:
    text = end.join([b"1 2 3", b"-4e2 .5", b"nan"]) + (end if last else b"")
    values, counts = numbers(text)
    assert values[:5] == [1, 2, 3, -400, 0.5]
    assert np.isnan(values[5])
    assert counts == [3, 2, 1]


def test_numbers_are_whole_wherever_blocks_end() -> None:
    lines = [b" ".join(b"%d" % (i * 7 + j) for j in range(i % 5)) + b" # comment" for i in range(200_000)]
    values, counts = numbers(b"\n".join(lines))
    assert values == [i * 7 + j for i in range(200_000) for j in range(i % 5)]
    assert counts == [i % 5 for i in range(200_000) if i % 5]


@pytest.mark.parametrize("word", ["x", "1-2", "1.2.3", "0x10", "1_000", "1,2", "--1", "\0", "\x7f", "é", "1e", "٣"])
def test_words_that_are_no_numbers(word: str) -> None:
    with pytest.raises(FileFormatError, match=r"a.xyz contains .+; expected numbers\. Check its lines\."):
        numbers(b"1 2 3\n" + word.encode() + b"\n")


@pytest.mark.parametrize("content", [b"1" * (20 << 20), b" " * (20 << 20), b"1 " * (10 << 20), b"#" * (20 << 20)])
def test_a_line_without_end(content: bytes, put: Put) -> None:
    with pytest.raises(FileFormatError, match="A line of a.xyz is longer than 16,777,216 bytes"):
        shapes.load(put("a.xyz", content))


@pytest.mark.parametrize("content", [b"\n", b"#\n", b"\r\n", b" \n", b"# a # b\n"])
@pytest.mark.parametrize("kind", ["xyz", "off", "pcd", "ply"])
def test_lines_of_nothing(kind: str, content: bytes, put: Put) -> None:
    """A megabyte of lines without numbers takes no time, whatever the patterns that look at them."""
    head = {"xyz": b"", "off": b"OFF\n1 0 0\n", "pcd": b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 1\nHEIGHT 1\nDATA ascii\n"}
    head["ply"] = PLY % (b"ascii", 1) + b"end_header\n"
    path = put(f"a.{kind}", head[kind] + content * ((1 << 20) // len(content)) + b"1 2 3\n")
    start = time.process_time()
    assert len(loaded(path).points) == 1
    assert time.process_time() - start < 2


def test_points_are_counted_as_they_are_read(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "points=1000")
    assert len(loaded(put("a.xyz", "0 0 0\n" * 1000)).points) == 1000
    with pytest.raises(FileFormatError, match="a.xyz declares [0-9,]+ points; at most 1,000 are read"):
        shapes.load(put("a.xyz", "0 0\t0\n" * 500_000))


@pytest.mark.parametrize("kind", ["ply", "off"])
def test_numbers_are_counted_as_they_are_read(kind: str, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "memory_bytes=24000")
    head = b"OFF\n1 0 0\n" if kind == "off" else PLY % (b"ascii", 1) + b"end_header\n"
    assert len(loaded(put(f"a.{kind}", head + b"0 0 0\n" * (1 if kind == "off" else 333))).points) == 1
    with pytest.raises(FileFormatError, match=f"a.{kind} declares [0-9,]+ numbers; at most 1,000 are read"):
        shapes.load(put(f"a.{kind}", head + b"0 0 0\n" * 334))


@pytest.fixture
def traced() -> Iterator[None]:
    """Count the memory that Python and NumPy take during the test."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_text_takes_little_more_than_its_points(put: Put) -> None:
    path = put("a.xyz", "0 0 0 1 2 3 4 5 6 7 8 9\n" * 200_000)
    tracemalloc.reset_peak()
    assert len(loaded(path).points) == 200_000
    assert tracemalloc.get_traced_memory()[1] < 200_000 * 100 + (24 << 20)


def test_fans_in_parts_are_the_fans_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 7, size=500)
    polygons = Lists(values=rng.integers(0, 99, size=counts.sum()), counts=counts)
    whole = fan_triangles(polygons)
    monkeypatch.setattr("basrelief.io.polygons._CHUNK", 7)
    for part, expected in zip(fan_triangles(polygons), whole, strict=True):
        assert np.array_equal(part, expected)


@pytest.mark.parametrize("encoding", [b"ascii", b"binary_little_endian"])
def test_faces_in_parts_are_those_of_the_whole(encoding: bytes, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    faces = [rng.integers(0, 9, size=rng.integers(0, 6)).tolist() for _ in range(300)]
    faces[0] = [0, 1, 2]
    header = PLY % (encoding, 9) + b"element face 300\nproperty list uchar int vertex_indices\nproperty uchar red\nend_header\n"
    points = np.outer(np.arange(9), [1, 2, 3]).astype("<f4")  # on a line, no polygon has a reflex corner
    if encoding == b"ascii":
        rows = [" ".join(map(repr, row)) for row in points.tolist()] + [" ".join(map(str, [len(face), *face, 7])) for face in faces]
        data = header + "\n".join(rows).encode()
    else:
        data = header + points.tobytes() + b"".join(bytes([len(face)]) + np.array(face, dtype="<i4").tobytes() + b"\7" for face in faces)
    path = put("a.ply", data)
    whole = shapes.load(path)
    monkeypatch.setattr("basrelief.io.formats.ply_rows._CHUNK", 11)
    parts = shapes.load(path)
    assert isinstance(whole, Mesh)
    assert isinstance(parts, Mesh)
    expected = [[face[0], face[i], face[i + 1]] for face in faces for i in range(1, len(face) - 1)]
    assert whole.faces.tolist() == parts.faces.tolist() == expected


def test_off_in_parts_is_that_of_the_whole(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    faces = [rng.integers(0, 9, size=rng.integers(3, 6)).tolist() for _ in range(200)]
    rows = [" ".join(map(str, row)) for row in np.outer(np.arange(9), [1.0, 2.0, 3.0]).tolist()]
    rows += [" ".join(map(str, [len(face), *face, 255, 0, i % 256])) for i, face in enumerate(faces)]
    path = put("a.off", "OFF\n9 200 0\n" + "\n".join(rows))
    whole = shapes.load(path)
    monkeypatch.setattr("basrelief.io.formats.off._CHUNK", 13)
    parts = shapes.load(path)
    assert isinstance(whole, Mesh)
    assert isinstance(parts, Mesh)
    assert whole.faces.tolist() == [[face[0], face[i], face[i + 1]] for face in faces for i in range(1, len(face) - 1)]
    assert np.array_equal(whole.faces, parts.faces)
    assert whole.colors is not None
    assert parts.colors is not None
    assert np.array_equal(whole.colors, parts.colors)


def test_off_polygons_are_counted_as_triangles(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_LIMITS", "faces=100")
    corners = " ".join(["0 1 2"] * 100)
    with pytest.raises(FileFormatError, match="a.off declares 298 triangles; at most 100 are read"):
        shapes.load(put("a.off", f"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n300 {corners}\n"))


@pytest.mark.parametrize(
    "counts", ["1e9 1 0", "99999999999999999999 0 0", "1 99999999999999999999 0", "1 -1 0", "nan 0 0", "1.5 0 0", "1", "0x1 0"]
)
def test_off_counts_that_cannot_be(counts: str, put: Put) -> None:
    with pytest.raises(FileFormatError, match="a.off"):
        shapes.load(put("a.off", f"OFF\n{counts}\n1 2 3\n"))


def test_off_whose_head_never_ends(put: Put) -> None:
    for text in ("OFF" + " " * 200_000, "OFF\n" + "\n" * 200_000, "#\n" * 100_000, "OFF" + "#" * 200_000):
        with pytest.raises(FileFormatError, match="a.off"):
            shapes.load(put("a.off", text))


@pytest.mark.parametrize(
    "field", ["COUNT 1 1 99999", "SIZE 4 4 99", "TYPE F F X", "WIDTH -1", "POINTS 99999999999999999999", "COUNT 1 1", "SIZE 4 4"]
)
@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_pcd_headers_that_cannot_be(field: str, encoding: str, put: Put) -> None:
    name = field.split(maxsplit=1)[0]
    lines = {
        "FIELDS": "FIELDS x y z",
        "SIZE": "SIZE 4 4 4",
        "TYPE": "TYPE F F F",
        "COUNT": "COUNT 1 1 1",
        "WIDTH": "WIDTH 1",
        "HEIGHT": "HEIGHT 1",
    }
    lines = lines | {name: field} | {"DATA": f"DATA {encoding}"}
    with pytest.raises(BasreliefError):
        shapes.load(put("a.pcd", "\n".join(lines.values()) + "\n1 2 3\n" + "\0" * 90))


def test_a_format_that_is_a_book(put: Put) -> None:
    path = put("a.ply", b"ply\nformat " + b"x" * 60_000 + b" 1.0\nend_header\n")
    with pytest.raises(FileFormatError, match="Unknown format '.*' in a.ply; expected one of") as caught:
        shapes.load(path)
    assert len(str(caught.value)) < 300
