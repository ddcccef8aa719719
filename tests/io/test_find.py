"""Shape files under folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from basrelief.io import FORMATS, count_unread, find_shapes, unread_note
from basrelief.io.find import UNREAD_FORMATS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with shapes, notes, hidden things and links."""
    top = tmp_path / "top"
    for name in ("b/z.ply", "b/a.GLB", "c.obj", "c.mtl", "notes.md", ".hidden/x.ply", ".x.ply", "b/readme.txt", "b/points.txt"):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("chair\n")
    (top / "b/points.txt").write_text("0.1,0.2,0.3,1,0,0\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.ply").write_text("ply")
    (top / "out").symlink_to(outside)
    (top / "secret.ply").symlink_to(outside / "secret.ply")
    (top / "same.obj").symlink_to(top / "c.obj")
    (top / "gone.ply").symlink_to(top / "nothing.ply")
    return top


def test_a_folder_gives_its_shapes_in_sorted_order(folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in find_shapes([folder])]
    assert found == ["b/a.GLB", "b/points.txt", "b/z.ply", "c.obj", "same.obj"]


def test_files_are_passed_on_as_given_and_once(folder: Path) -> None:
    missing, other = folder / "missing.ply", folder / "notes.md"
    found = find_shapes([str(missing), other, folder / "c.obj", folder, missing])
    assert found[:3] == [missing, other, folder / "c.obj"]
    assert len(found) == len(set(found)) == 7


def test_rows_of_a_file_pass_through() -> None:
    assert find_shapes(["clouds.h5#12"]) == [Path("clouds.h5#12")]


def test_an_empty_folder_gives_nothing(tmp_path: Path) -> None:
    assert find_shapes([tmp_path]) == []
    assert find_shapes([]) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_found(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{kind}").write_text("1 2 3\n")
    assert find_shapes([tmp_path]) == [tmp_path / f"a.{kind}"]


@pytest.mark.parametrize("text", ["", "a chair\n", "1 2\n", "\xff\xfe", "1 2 three\n"])
def test_text_files_that_are_not_points_are_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert find_shapes([tmp_path]) == []


def test_pipes_devices_and_circles_of_links_are_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ply")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.ply").symlink_to("/dev/zero")
    (tmp_path / "x.ply").symlink_to("y.ply")
    (tmp_path / "y.ply").symlink_to("x.ply")
    (tmp_path / "again").symlink_to(tmp_path)
    assert find_shapes([tmp_path]) == []


def test_names_that_are_not_utf8_are_found(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe.ply"
    with open(name, "wb"):  # noqa: PTH123 - a name in bytes
        pass
    found = find_shapes([tmp_path])
    assert [os.fsencode(path) for path in found] == [name]


def test_what_may_not_be_looked_at_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may look at everything, so the refusals of the system are imitated."""
    (tmp_path / "shut").mkdir()
    (tmp_path / "a.ply").write_text("ply")
    scan, stat = os.scandir, Path.stat

    def guarded_scan(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    def guarded_stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "a.ply":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "scandir", guarded_scan)
    monkeypatch.setattr(Path, "stat", guarded_stat)
    assert find_shapes([tmp_path]) == [tmp_path / "a.ply", tmp_path / "shut"]
    assert find_shapes([tmp_path / "a.ply"]) == [tmp_path / "a.ply"]


def test_files_of_other_3d_formats_are_counted(tmp_path: Path) -> None:
    (tmp_path / "deep" / ".hidden").mkdir(parents=True)
    for name in ("a.blend", "b.BLEND", "deep/c.max", "deep/.hidden/d.max", "e.glb", "f.txt", ".g.blend"):
        (tmp_path / name).write_bytes(b"x")
    counts = count_unread([tmp_path, tmp_path / "a.blend"])
    assert counts == {"blend": 2, "max": 1}
    assert unread_note(counts) == "3 files are of formats that are not read: 2 .blend (Blender), 1 .max (3ds Max). Export them as .glb."
    assert unread_note(count_unread([tmp_path / "e.glb"])) == ""


def test_no_format_is_both_read_and_not(tmp_path: Path) -> None:
    assert not set(UNREAD_FORMATS) & set(FORMATS)
