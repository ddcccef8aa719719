"""What lies under a folder, what of it is known, and the words in names."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("lancedb")

from basrelief.errors import FileFormatError
from basrelief.index.files import FileEntry, find_files, identify, plan, words_of
from basrelief.index.schema import Known


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "models"
    for place in ("a.glb", "sub/b.obj", "sub/notes.txt", ".hidden/c.glb", "d.png"):
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_bytes(b"x" * len(place))
    return home


def _known(found: list[FileEntry]) -> dict[str, Known]:
    return {str(one.path): replace(one.known, content="0") for one in found}


def test_shape_files_are_found_with_their_place_and_size(folder: Path) -> None:
    found = find_files(folder)
    assert [(one.place, one.known.bytes) for one in found] == [("a.glb", 5), ("sub/b.obj", 9)]
    assert {one.known.root for one in found} == {str(folder)}
    assert all(one.path.is_absolute() for one in found)


def test_a_folder_that_is_none_is_named(folder: Path) -> None:
    for wrong in (folder / "a.glb", folder / "nowhere"):
        with pytest.raises(FileFormatError, match="folder must be there, but got"):
            find_files(wrong)


def test_what_is_known_needs_nothing(folder: Path) -> None:
    found = find_files(folder)
    done = plan(folder, found, known=_known(found), failed={})
    assert (done.read, done.gone, done.unchanged, done.bad) == ((), (), 2, 0)


def test_what_changed_is_read_and_what_went_is_gone(folder: Path) -> None:
    known = _known(find_files(folder))
    (folder / "a.glb").write_bytes(b"other")
    os.utime(folder / "a.glb", ns=(0, 7))
    (folder / "sub" / "b.obj").rename(folder / "e.obj")
    todo = plan(folder, find_files(folder), known=known, failed={})
    assert [one.place for one in todo.read] == ["a.glb", "e.obj"]
    assert todo.gone == (str(folder / "sub" / "b.obj"),)


def test_other_folders_are_left_alone(folder: Path, tmp_path: Path) -> None:
    known = {str(tmp_path / "elsewhere" / "x.glb"): Known(str(tmp_path / "elsewhere"), 1, 1, "0")}
    assert plan(folder, [], known=known, failed={}).gone == ()


def test_a_part_of_an_indexed_folder_can_be_brought_up_to_date_alone(folder: Path) -> None:
    known = _known(find_files(folder))
    (folder / "sub" / "b.obj").unlink()
    todo = plan(folder / "sub", find_files(folder / "sub"), known=known, failed={})
    assert todo.gone == (str(folder / "sub" / "b.obj"),)


def test_bad_files_are_tried_again_when_asked_or_changed(folder: Path) -> None:
    found = find_files(folder)
    failed = _known(found)
    assert plan(folder, found, known={}, failed=failed).bad == 2
    assert len(plan(folder, found, known={}, failed=failed, again=True).read) == 2
    other = {path: replace(known, bytes=1) for path, known in failed.items()}
    assert len(plan(folder, found, known={}, failed=other).read) == 2


def test_a_hash_is_that_of_the_bytes(folder: Path) -> None:
    one = find_files(folder)[0]
    assert identify(one).known.content == hashlib.sha256(b"xxxxx").hexdigest()
    (folder / "a.glb").unlink()
    with pytest.raises(FileFormatError, match="file must be readable, but got No such file"):
        identify(one)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("props/officeChair_02.glb", "props office chair 02"),
        ("USBStick.obj", "usb stick"),
        ("Möbel/Stuhl-alt.ply", "möbel stuhl alt"),
        ("a.b.c/x", "a b c x"),
        ("__.glb", ""),
    ],
)
def test_words_of_names(place: str, words: str) -> None:
    assert words_of(place) == words
