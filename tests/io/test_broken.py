"""Each format truncated at every section and with every part of its header wrong."""

from __future__ import annotations

import numpy as np
import pytest

import basrelief.io as shapes
from basrelief.errors import BasreliefError, FileFormatError, GeometryError
from basrelief.io.sniff import _SIGNATURES
from basrelief.types import Mesh

from .conftest import FACES, VERTICES, Put, pcd_bytes

pytest.importorskip("trimesh")

WHOLE = ("glb", "gltf", "3mf", "dae", "npy", "npz", "h5", "las")  # formats that tell where they end
POINTS = np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_anywhere_is_refused(kind: str, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    content = valid_files[kind][0].rstrip()
    for part in np.linspace(0.02, 0.98, 25):
        with pytest.raises((FileFormatError, GeometryError)):
            shapes.load(put(f"a.{kind}", content[: max(1, int(part * len(content)))]))


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_a_pcd_cut_at_every_line_of_its_header_and_in_its_data(encoding: str, put: Put) -> None:
    data = pcd_bytes(encoding, POINTS)
    body = data.index(b"DATA")
    ends = [i + 1 for i, byte in enumerate(data[:body]) if byte == 10]
    for cut in (*ends, body + 5, len(data) - 60, len(data) - 30):
        with pytest.raises(FileFormatError, match="a.pcd"):
            shapes.load(put("a.pcd", data[:cut]))


@pytest.mark.parametrize("keyword", ["FIELDS", "SIZE", "TYPE", "WIDTH", "DATA"])
@pytest.mark.parametrize("value", ["", "-1", "x y z", "nan nan nan", "99999999999999999999"])
def test_a_pcd_with_any_line_of_its_header_wrong(keyword: str, value: str, put: Put) -> None:
    lines = pcd_bytes("ascii", POINTS).decode().replace("POINTS 9\n", "").splitlines(keepends=True)
    text = "".join(f"{keyword} {value}\n" if line.startswith(f"{keyword} ") else line for line in lines)
    if (keyword, value) == ("FIELDS", "x y z"):
        assert len(shapes.load(put("a.pcd", text)).points) == 9  # type: ignore[union-attr]
    else:
        with pytest.raises(FileFormatError):
            shapes.load(put("a.pcd", text))


@pytest.mark.parametrize(("start", "found", "kinds"), _SIGNATURES)
def test_every_file_signature_is_named(start: bytes, found: str, kinds: tuple[str, ...], put: Put) -> None:
    for told in {"stl", "xyz", "ply", "glb"} - set(kinds):
        with pytest.raises(FileFormatError) as caught:
            shapes.load(put(f"a.{told}", start + b"\0" * 40))
        remedy = f"Rename it to end in .{kinds[0]}." if kinds else "Download or export the shape again."
        assert str(caught.value) == f"a.{told} is not a .{told} file; it looks like {found}. {remedy}"


@pytest.mark.parametrize("count", [0, 3, 5, 2**32 - 1])
def test_a_binary_stl_whose_count_lies(count: int, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    data = valid_files["stl"][0]
    with pytest.raises(FileFormatError, match="a.stl"):
        shapes.load(put("a.stl", data[:80] + count.to_bytes(4, "little") + data[84:]))


@pytest.mark.parametrize("cut", [1, 49, 50, 100])
def test_a_binary_stl_that_ends_early(cut: int, put: Put, valid_files: dict[str, tuple[bytes, ...]]) -> None:
    with pytest.raises(FileFormatError, match="a.stl"):
        shapes.load(put("a.stl", valid_files["stl"][0][:-cut]))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("v 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", BasreliefError, "has 2 numbers"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", BasreliefError, "Faces use vertices 0 to 3"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf a b c\n", FileFormatError, "a.obj"),
        ("v 0 0 0\nv 1 0 nan\nv 0 1 0\nf 1 2 3\n", GeometryError, "rows of vertices are not finite in float32"),
        ("vn 0 0 1\nvt 0 0\n", FileFormatError, "a.obj"),
        ("f 1 2 3\n", FileFormatError, "a.obj"),
        ("just words\n", FileFormatError, "a.obj"),
    ],
)
def test_an_obj_that_is_wrong(text: str, error: type[Exception], message: str, put: Put) -> None:
    with pytest.raises(error, match=message):
        shapes.load(put("a.obj", text))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"<p>", b"<p>9 9 9 "), (b"float_array", b"float_arr"), (b"<vertices", b"<nothing"), (b"#", b"#no"), (b"</COLLADA>", b"")],
)
def test_a_collada_that_is_wrong_never_gives_more_than_it_holds(
    old: bytes, new: bytes, put: Put, valid_files: dict[str, tuple[bytes, ...]]
) -> None:
    text = valid_files["dae"][0]
    assert old in text
    with pytest.raises((FileFormatError, GeometryError), match="a.dae|Faces use vertices"):
        shapes.load(put("a.dae", text.replace(old, new)))


@pytest.mark.parametrize("zeros", [0, 1, 3])
def test_zero_area_faces_are_kept_for_geometry_to_judge(zeros: int, put: Put) -> None:
    faces = np.concatenate([FACES, np.zeros((zeros, 3), dtype=int)])
    lines = ["OFF", f"4 {len(faces)} 0", *(" ".join(map(str, row)) for row in VERTICES), *(f"3 {a} {b} {c}" for a, b, c in faces)]
    shape = shapes.load(put("a.off", "\n".join(lines)))
    assert isinstance(shape, Mesh)
    assert len(shape.faces) == 4 + zeros
