"""Files are written completely or not at all, never through a link; failures name the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from basrelief.errors import ConfigError, OutputError
from basrelief.output import make_folder, output_errors, remove_temporary_files, replace_file, size_text, to_json, write_text


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


def test_unwritable_paths_are_named(tmp_path: Path) -> None:
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


def test_parts_of_killed_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "check[1].pt"
    with pytest.raises(KeyboardInterrupt), replace_file(target) as part:
        part.with_name(part.name[:-4] + "a.pt").touch()  # another one
        kept = [tmp_path / ".check[1].pt", tmp_path / ".check[1].0123.pt", tmp_path / ".check1.0123456789ab.pt", target]
        for path in kept:
            path.touch()
        raise KeyboardInterrupt
    remove_temporary_files(target)
    assert set(tmp_path.iterdir()) == set(kept)


def test_a_folder_is_made_once_or_the_path_in_its_way_is_named(tmp_path: Path) -> None:
    for _ in range(2):
        assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
        assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write .*file.*: (Not a directory|File exists)"):
        make_folder(tmp_path / "file" / "below")


def test_other_errors_of_ours_pass(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mine"), output_errors(tmp_path):
        raise ConfigError("mine")


def test_json_is_that_of_the_standard() -> None:
    found = to_json({"a": [1.5, float("nan"), (float("-inf"), True)], "b": {"c": float("inf")}, "d": "ä"})
    assert json.loads(found, parse_constant=lambda _: pytest.fail("no JSON")) == {
        "a": [1.5, None, [None, True]],
        "b": {"c": None},
        "d": "ä",
    }


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_234, "1.2 KB"),
        (12_345, "12 KB"),
        (2_224_003, "2.2 MB"),
        (605_143_284, "605 MB"),
        (3_944_437_764, "3.9 GB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert size_text(size) == text
