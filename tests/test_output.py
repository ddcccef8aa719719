"""Files are written whole or not at all, never through a link, and failures are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from basrelief.errors import OutputError
from basrelief.output import replace_file, write_text


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "card.json"
    write_text(target, "old")
    with pytest.raises(KeyboardInterrupt), replace_file(target) as part:
        assert part.suffix == ".json"
        part.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    write_text(target, "new")
    assert target.read_text() == "new"
    assert [file.name for file in target.parent.iterdir()] == ["card.json"]
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_links_are_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (tmp_path / "link").symlink_to(outside)
    write_text(tmp_path / "link", "new")
    assert outside.read_text() == "kept"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_devices_are_written_to_and_a_full_disk_is_named() -> None:
    write_text("/dev/null", "x")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OutputError, match=r"Cannot write '/dev/full': No space left on device\. Free some space"):
        write_text("/dev/full", "x")


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write .*: it is a folder"):
        write_text(tmp_path, "x")
    with pytest.raises(OutputError, match="Cannot write .*: (Not a directory|File exists)"):
        write_text(tmp_path / "file" / "below", "x")
    with pytest.raises(OutputError, match="Cannot write .*: File name too long"):
        write_text(tmp_path / ("x" * 300), "x")
    with pytest.raises(OutputError, match="null byte"):
        write_text(tmp_path / "a\0b", "x")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
