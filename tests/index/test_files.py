"""Files under a folder, changes since the last run, and words in file names."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("lancedb")

from basrelief.errors import FileFormatError
from basrelief.index.files import FileEntry, find_changes, find_files, hash_file, name_words
from basrelief.index.schema import FileState


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "models"
    for place in ("a.glb", "sub/b.obj", "sub/notes.txt", ".hidden/c.glb", "d.png"):
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_bytes(b"x" * len(place))
    return home


def _known(found: list[FileEntry]) -> dict[str, FileState]:
    return {str(file.path): replace(file.state, content_hash="0") for file in found}


def test_shape_files_are_found_with_their_place_and_size(folder: Path) -> None:
    found = find_files(folder)
    assert [(file.relative_path, file.state.bytes) for file in found] == [("a.glb", 5), ("sub/b.obj", 9)]
    assert {file.state.root for file in found} == {str(folder)}
    assert all(file.path.is_absolute() for file in found)


def test_missing_folder_is_reported(folder: Path) -> None:
    for wrong in (folder / "a.glb", folder / "nowhere"):
        with pytest.raises(FileFormatError, match="Folder .* not found. Give the folder that holds your shape files"):
            find_files(wrong)


def test_indexed_files_need_nothing(folder: Path) -> None:
    found = find_files(folder)
    done = find_changes(folder, found, indexed=_known(found), failed={})
    assert (done.to_read, done.removed, done.unchanged) == ((), (), 2)


def test_changed_files_are_read_and_missing_ones_removed(folder: Path) -> None:
    known = _known(find_files(folder))
    (folder / "a.glb").write_bytes(b"other")
    os.utime(folder / "a.glb", ns=(0, 7))
    (folder / "sub" / "b.obj").rename(folder / "e.obj")
    changes = find_changes(folder, find_files(folder), indexed=known, failed={})
    assert [file.relative_path for file in changes.to_read] == ["a.glb", "e.obj"]
    assert changes.removed == (str(folder / "sub" / "b.obj"),)


def test_other_folders_are_left_alone(folder: Path, tmp_path: Path) -> None:
    known = {str(tmp_path / "elsewhere" / "x.glb"): FileState(str(tmp_path / "elsewhere"), 1, 1, "0")}
    assert find_changes(folder, [], indexed=known, failed={}).removed == ()


def test_subfolder_can_be_updated_alone(folder: Path) -> None:
    known = _known(find_files(folder))
    (folder / "sub" / "b.obj").unlink()
    changes = find_changes(folder / "sub", find_files(folder / "sub"), indexed=known, failed={})
    assert changes.removed == (str(folder / "sub" / "b.obj"),)


def test_bad_files_are_retried_on_request_or_change(folder: Path) -> None:
    found = find_files(folder)
    failed = _known(found)
    assert find_changes(folder, found, indexed={}, failed=failed).unchanged == 2
    assert len(find_changes(folder, found, indexed={}, failed=failed, retry_failed=True).to_read) == 2
    other = {path: replace(known, bytes=1) for path, known in failed.items()}
    assert len(find_changes(folder, found, indexed={}, failed=other).to_read) == 2


def test_a_hash_is_that_of_the_bytes(folder: Path) -> None:
    file = find_files(folder)[0]
    assert hash_file(file).state.content_hash == hashlib.sha256(b"xxxxx").hexdigest()
    (folder / "a.glb").unlink()
    with pytest.raises(FileFormatError, match="Cannot read .*: No such file"):
        hash_file(file)


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
    assert name_words(place) == words
