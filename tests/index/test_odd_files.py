"""Odd file names and times, side files, and files that change while they are read."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lancedb")

from basrelief.errors import FileFormatError
from basrelief.index import Index, IndexOptions, add, files
from basrelief.io import save
from basrelief.limits import limits, use_limits
from basrelief.shapes import make_shape

from .conftest import RED_OBJ

MTL = "newmtl one\nKd 1 0 0\n"


def _write(folder: Path, name: bytes, seed: int) -> Path:
    path = Path(os.fsdecode(os.path.join(os.fsencode(folder), name)))  # noqa: PTH118 - bytes
    save(make_shape("mug", seed=seed), folder / "made.ply").rename(path)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names and times")
@pytest.mark.parametrize("jobs", [0, 1])
def test_odd_names_and_times_do_not_stop_the_run(folder: Path, empty_index: Index, jobs: int) -> None:
    bad = _write(folder, b"bad\xff\xfe.ply", 2)
    fine = [b"new\nline.ply", b"\x1b[31mred\x01.ply", b"x" * 250 + b".ply", b"late.ply", b"early.ply"]
    paths = [_write(folder, name, seed) for seed, name in enumerate(fine, 3)]
    os.utime(paths[3], (2**34, 2**34))
    os.utime(paths[4], (-(2**31), -(2**31)))
    report = empty_index.add(folder, options=IndexOptions(jobs))
    name = str(folder / "bad\\udcff\\udcfe.ply")
    assert report.failures == [(name, f"File name {name!r} is not valid UTF-8. Rename the file.")]
    assert report.read == 6
    assert set(empty_index.tables.indexed_files()) == {str(folder / "good.ply"), *map(str, paths)}
    again = empty_index.add(folder, options=IndexOptions(jobs))
    assert (again.read, again.unchanged, again.failures) == (0, 7, report.failures)
    bad.rename(folder / "better.ply")
    after = empty_index.add(folder)
    assert (after.read, after.removed, after.failures) == (1, 1, [])


def test_folder_with_an_invalid_name_is_rejected(empty_index: Index, tmp_path: Path) -> None:
    for name in (os.fsdecode(b"odd\xff"), "a\0b", "x" * 5000):
        with pytest.raises(FileFormatError, match="Folder .* not found|is not valid UTF-8"):
            empty_index.add(tmp_path / name)


def test_file_deleted_before_reading_is_a_failure(folder: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = _write(folder, b"gone.ply", 2)
    real = add.find_changes

    def find_changes(*args: Any, **kwargs: Any) -> object:
        gone.unlink()
        return real(*args, **kwargs)

    monkeypatch.setattr(add, "find_changes", find_changes)
    report = empty_index.add(folder)
    monkeypatch.undo()
    assert report.read == 1
    assert [path for path, _ in report.failures] == [str(gone)]
    assert empty_index.add(folder).failures == []


def test_files_of_an_unlistable_folder_are_kept(folder: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sub").mkdir()
    shutil.copy(folder / "good.ply", folder / "sub" / "inner.ply")
    empty_index.add(folder)
    monkeypatch.setattr(files, "find_shapes", lambda _: [folder / "good.ply", folder / "sub"])  # as find_shapes tells of such folders
    report = empty_index.add(folder)
    assert [path for path, _ in report.failures] == [str(folder / "sub")]
    assert report.removed == 0
    assert str(folder / "sub" / "inner.ply") in empty_index.tables.indexed_files()
    monkeypatch.undo()
    assert empty_index.add(folder).failures == []


def test_file_without_permission_is_a_failure(folder: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, real = _write(folder, b"secret.ply", 2), Path.stat

    def look(path: Path, **kwargs: Any) -> os.stat_result:
        if path.name == "secret.ply":
            raise PermissionError(13, "Permission denied")
        return real(path, **kwargs)

    monkeypatch.setattr(files, "find_shapes", lambda _: [folder / "good.ply", secret])
    monkeypatch.setattr(Path, "stat", look)
    report = empty_index.add(folder)
    assert report.failures == [(str(secret), f"Cannot read {secret}: Permission denied. Check that it exists and that you may read it.")]
    monkeypatch.undo()
    assert empty_index.add(folder).read == 1


@pytest.mark.parametrize("stamped", [False, True])
def test_a_file_rewritten_between_hash_and_read_is_left_for_the_next_run(
    folder: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch, stamped: bool
) -> None:
    """Its new vectors would otherwise be kept under the hash of its old bytes, for ever if size and time are the same."""
    path = _write(folder, b"busy.ply", 2)
    shutil.copy(path, folder / "copy.ply")
    old, before = path.read_bytes(), path.stat()
    new = old[:-4] + bytes([old[-4] ^ 1]) + old[-3:]
    real = add.read_file

    def read_file(file: Path, options: add.FileOptions) -> add.ReadFile:
        if file == path:
            path.write_bytes(new)
            if stamped:
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return real(file, options)

    monkeypatch.setattr(add, "read_file", read_file)
    report = empty_index.add(folder)
    reason = "The file changed while it was read. Run basrelief index again."
    assert report.failures == [(str(path), reason), (str(folder / "copy.ply"), reason)]
    monkeypatch.undo()
    after = empty_index.add(folder)
    assert (after.read, after.failures) == (2, [])
    rows = empty_index.tables.indexed_files()
    assert (
        rows[str(path)].content_hash
        == files.hash_file(files.find_files(folder)[0]).state.content_hash
        != rows[str(folder / "copy.ply")].content_hash
    )


@pytest.mark.slow
def test_file_rewritten_during_a_worker_run_is_noticed(folder: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a real worker: a file that another process rewrites all the time is never stored."""
    import threading

    path, stop = _write(folder, b"busy.ply", 2), threading.Event()
    versions = [path.read_bytes(), path.read_bytes() + b"\n"]

    def rewrite() -> None:
        while not stop.is_set():
            for content in versions:
                path.write_bytes(content)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        report = empty_index.add(folder, options=IndexOptions(1))
    finally:
        stop.set()
        thread.join()
    assert [path for path, _ in report.failures] == [str(path)]
    assert empty_index.add(folder, options=IndexOptions(1)).read == 1


def test_a_changed_side_file_makes_a_file_changed(folder: Path, empty_index: Index) -> None:
    (folder / "red.obj").write_text(RED_OBJ)
    (folder / "look.mtl").write_text(MTL)
    assert empty_index.add(folder).read == 2
    row = empty_index.tables.indexed_files()[str(folder / "red.obj")]
    empty_index.tag({str(folder / "red.obj"): ["mine"]})
    assert empty_index.add(folder).unchanged == 2
    (folder / "look.mtl").write_text(MTL.replace("1 0 0", "0 0.5 0"))
    after = empty_index.add(folder)
    assert (after.read, after.unchanged) == (1, 1)
    assert empty_index.tables.indexed_files()[str(folder / "red.obj")].content_hash != row.content_hash
    assert empty_index.tables.rows("path", [str(folder / "red.obj")])[0]["tags"] == ["mine"]
    (folder / "look.mtl").unlink()
    assert empty_index.add(folder).read == 1
    assert empty_index.add(folder).unchanged == 2


def test_equal_files_with_different_side_files_are_read_separately(folder: Path, empty_index: Index) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "x.obj").write_text(RED_OBJ)
    (folder / "a" / "look.mtl").write_text(MTL)
    (folder / "b" / "look.mtl").write_text(MTL.replace("1 0 0", "0 0.5 0"))
    assert empty_index.add(folder).read == 3
    thumbnails = [row["thumbnail"] for row in empty_index.tables.rows("path", [str(folder / name / "x.obj") for name in ("a", "b")])]
    assert thumbnails[0] != thumbnails[1]


def test_files_too_large_are_not_even_hashed(folder: Path, empty_index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_digest", None)
    with use_limits(replace(limits(), file_bytes=100)):
        ((_, reason),) = empty_index.add(folder).failures
    assert reason.startswith("good.ply has 10,465 bytes with its side files; the limit is 100. Split it")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_pipe_is_not_opened(folder: Path) -> None:
    (one,) = files.find_files(folder)
    (folder / "good.ply").unlink()
    os.mkfifo(folder / "good.ply")
    assert stat.S_ISFIFO((folder / "good.ply").stat().st_mode)
    with pytest.raises(FileFormatError, match="not a regular file"):
        files.hash_file(one)
