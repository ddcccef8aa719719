"""Shape files under folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from basrelief.io import FORMATS, find_shapes


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
