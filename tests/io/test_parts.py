"""Helpers of the readers."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.archive import check_archive
from basrelief.io.checks import check_count
from basrelief.io.colors import part_colors
from basrelief.io.graph import count_instances
from basrelief.io.mesh import join_parts
from basrelief.io.resolver import FolderResolver
from basrelief.io.sniff import check_content
from basrelief.io.source import open_source, split_row
from basrelief.io.xml import local_name, walk_xml
from basrelief.limits import Limits

from .conftest import FACES, RGB, VERTICES, Put

HERE = Path("a.3mf")


@pytest.mark.parametrize("count", [0, 1, 5])
def test_counts_within_the_limit_pass(count: int) -> None:
    check_count(HERE, count, 5, of="points")


@pytest.mark.parametrize(("count", "shown"), [(6, "6"), (-1, "-1"), (10**9, "1,000,000,000")])
def test_counts_beyond_the_limit_are_named(count: int, shown: str) -> None:
    with pytest.raises(FileFormatError, match=f"a.3mf declares {shown} points; at most 5 are read. Simplify it"):
        check_count(HERE, count, 5, of="points")


def test_a_chain_as_deep_as_allowed() -> None:
    chain = {str(i): [str(i + 1)] for i in range(Limits.nesting)}
    assert count_instances(HERE, chain, ["0"]) == Limits.nesting + 1
    with pytest.raises(FileFormatError, match=f"declares {Limits.nesting + 1} levels of scene nodes; at most {Limits.nesting} are read"):
        count_instances(HERE, chain | {str(Limits.nesting): ["end"]}, ["0"])


def test_as_many_instances_as_allowed() -> None:
    assert count_instances(HERE, {"a": ["b"] * (Limits.instances - 1)}, ["a"]) == Limits.instances
    with pytest.raises(FileFormatError, match="declares 100,001 scene nodes; at most 100,000 are read"):
        count_instances(HERE, {"a": ["b"] * Limits.instances}, ["a"])


def test_what_no_root_reaches_does_not_count() -> None:
    assert count_instances(HERE, {"a": ["b"], "lost": ["b", "b"]}, ["a"]) == 2


@pytest.mark.parametrize("children", [{"a": ["a"]}, {"a": ["b"], "b": ["a"]}, {"a": ["b"], "b": ["c"], "c": ["b"]}])
def test_circles_are_found_wherever_they_are(children: dict[str, list[str]]) -> None:
    with pytest.raises(FileFormatError, match="The scene of a.3mf has a cycle"):
        count_instances(HERE, children, ["a"])


@pytest.mark.parametrize("name", ["t.png", " t.png ", "./t.png", "sub/../t.png", "sub\\..\\t.png", "%74.png"])
def test_names_that_stay_inside(name: str, put: Put, tmp_path: Path) -> None:
    put("t.png", b"inside")
    resolver = FolderResolver(tmp_path)
    assert resolver.get(name) == b"inside"
    assert resolver.refused == []


@pytest.mark.parametrize("name", ["..", "../t.png", "a/../../t.png", "/t.png", "\\\\host\\t.png", "c:t.png", "data:x", "t\0.png"])
def test_names_that_leave(name: str, tmp_path: Path) -> None:
    resolver = FolderResolver(tmp_path)
    with pytest.raises(FileFormatError, match="outside its own folder"):
        resolver.get(name)
    assert resolver.refused == [name]
    assert resolver.notes == (f"{name!r} lies outside the folder of the file and was not read.",)


def test_notes_about_refused_names_appear_once_and_are_limited(tmp_path: Path) -> None:
    resolver = FolderResolver(tmp_path)
    for i in (*range(30), 0, 0):
        with pytest.raises(FileFormatError):
            resolver.get(f"../{i}.png")
    assert len(resolver.notes) == 10
    assert len(set(resolver.notes)) == 10


def test_names_are_tested_without_reading(put: Put, tmp_path: Path) -> None:
    put("t.png", b"inside")
    assert FolderResolver(tmp_path).find("t.png") == tmp_path / "t.png"
    assert FolderResolver(tmp_path).find("u.png") is None


def test_a_side_file_must_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(FileFormatError, match="'sub', which is not beside it. Copy it into the same folder"):
        FolderResolver(tmp_path).get("sub")


@pytest.mark.parametrize(("name", "kind", "row"), [("a.h5#12", "h5", 12), ("a.npy#0", "npy", 0), ("a.H5", "h5", None)])
def test_a_row_is_split_from_the_name(name: str, kind: str, row: int | None, put: Put) -> None:
    put(name.split("#", maxsplit=1)[0], b"123")
    source = open_source(put(name.split("#", maxsplit=1)[0], b"123").with_name(name))
    assert (source.format, source.row, source.size, source.read(), source.head(2)) == (kind, row, 3, b"123", b"12")


@pytest.mark.parametrize("name", ["#1", "a#b.ply", "a.ply#", "a.ply#x", "a.ply#-1", "a.ply#99999999999"])
def test_a_hash_that_names_no_row_belongs_to_the_name(name: str, put: Put) -> None:
    assert open_source(put(name, b"1")).row is None


@pytest.mark.parametrize(
    ("path", "file", "row"),
    [
        ("C#/chair.ply", "C#/chair.ply", None),
        ("C#/batch.h5#12", "C#/batch.h5", 12),
        ("C#1/chair.ply", "C#1/chair.ply", None),
        ("scans/chair#2.ply", "scans/chair#2.ply", None),
        ("a.h5#1#2", "a.h5#1", 2),
    ],
)
def test_only_a_number_at_the_end_of_a_path_names_a_row(path: str, file: str, row: int | None) -> None:
    assert split_row(path) == (Path(file), row)


def test_a_source_knows_its_limit(put: Put) -> None:
    source = open_source(put("a.ply", b"12345"))
    assert source.read(5) == b"12345"
    with pytest.raises(FileFormatError, match="a.ply has 5 bytes; at most 4 are read. Simplify or split it"):
        source.read(4)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.glb", b"glTF"),
        ("a.ply", b"ply\r\n"),
        ("a.3mf", b"PK\x03\x04"),
        ("a.npz", b"PK\x03\x04"),
        ("a.dae", b"\xef\xbb\xbf\n<?xml"),
        ("a.dae", b"<COLLADA>"),
        ("a.laz", b"LASF"),
        ("a.hdf5", b"\x89HDF\r\n\x1a\n"),
        ("a.obj", b"# anything"),
        ("a.txt", b"1 2 3"),
    ],
)
def test_content_that_fits_its_name(name: str, content: bytes, put: Put) -> None:
    check_content(open_source(put(name, content)))


def test_xml_is_walked_in_order_and_without_namespaces() -> None:
    steps = [(event, local_name(element)) for event, element in walk_xml(HERE, b'<a xmlns="urn:x"><b>text</b><!-- no --><c/></a>')]
    assert steps == [("start", "a"), ("start", "b"), ("end", "b"), ("start", "c"), ("end", "c"), ("end", "a")]


def test_a_tight_archive_of_small_files_is_no_bomb() -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"\0" * 500_000)
    with zipfile.ZipFile(out) as archive:
        check_archive(HERE, archive)


def test_parts_are_joined_with_their_faces_moved_on() -> None:
    part = {"vertices": VERTICES, "faces": FACES}
    moved = np.eye(4)
    moved[:3, 3] = [10, 0, 0]
    raw = join_parts([(part, np.eye(4)), (part, moved)], with_faces=True)
    assert raw.faces is not None
    assert np.allclose(raw.points[raw.faces[4:]], VERTICES[FACES] + [10, 0, 0])
    assert np.array_equal(raw.faces[:4], FACES)
    assert raw.colors is None


def test_parts_without_color_are_grey_beside_colored_ones() -> None:
    plain = {"vertices": VERTICES, "faces": FACES}
    raw = join_parts([(plain | {"vertex_colors": RGB}, np.eye(4)), (plain, np.eye(4))], with_faces=True)
    assert raw.colors is not None
    assert np.allclose(raw.colors, np.concatenate([RGB / 255, np.full((4, 3), 0.8)]))


@pytest.mark.parametrize("faces", [[[0, 1, 4]], [[-1, 0, 1]]])
def test_faces_may_not_reach_into_the_next_part(faces: list[list[int]]) -> None:
    part = {"vertices": VERTICES, "faces": np.array(faces)}
    with pytest.raises(GeometryError, match="but there are only 4"):
        join_parts([(part, np.eye(4)), (part, np.eye(4))], with_faces=True)


@pytest.mark.parametrize(
    "broken",
    [
        {"vertex_colors": np.zeros((2, 3))},
        {"vertex_colors": np.full((4, 3), np.nan)},
        {"vertex_colors": "red"},
        {"face_colors": RGB[:2], "faces": FACES},
        {"color": "red"},
        {"color": None},
        {"texture": None, "uv": np.zeros((4, 2))},
        {},
    ],
)
def test_broken_colors_are_none(broken: dict[str, object]) -> None:
    assert part_colors({"vertices": VERTICES, **broken}, linear=False) is None


def test_colors_are_cut_to_their_range() -> None:
    colors = part_colors({"vertices": VERTICES, "vertex_colors": np.array([[-0.5, 0.5, 1.0]] * 4)}, linear=False)
    assert colors is not None
    assert colors.tolist() == [[0, 0.5, 1]] * 4
