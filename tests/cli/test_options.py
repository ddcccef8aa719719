"""Options that commands share: progress bars, reports of failures, second towers, caches."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from basrelief.cli import options
from basrelief.datasets.labels import label_set
from basrelief.errors import ConfigError


def test_failures_are_named_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        options.end_with([(f"{i}.ply", "broken") for i in range(15)])
    assert ended.value.exit_code == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "0.ply: error: broken"
    assert len(lines) == 12
    assert lines[10] == "... and 5 more"
    assert lines[-1] == "basrelief: 15 shapes could not be used"


def test_without_failures_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    options.end_with([])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("quiet", [True, False])
def test_there_is_no_bar_without_a_terminal(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with options.progress("work", quiet=quiet) as told:
        assert told is None
    assert capsys.readouterr() == ("", "")


def test_features_are_kept_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "kept"))
    assert options.shape_cache().path == tmp_path / "kept" / "shapes.sqlite"


def test_a_table_that_is_piped_is_cut_nowhere_and_brackets_stay(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a rather long explanation " * 8
    options.print_table(("name", "why"), [("[red]chair[/red]", long.strip()), None, ("[/x]", "-")], title="[some] title")
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    lines = [line for line in printed if line]
    assert lines[0].strip() == "[some] title"
    assert lines[1].split() == ["name", "why"]
    assert lines[3].split(maxsplit=1) == ["[red]chair[/red]", long.strip()]
    assert lines[-1].split() == ["[/x]", "-"]
    assert len(lines) == 5  # title, head, the line below it, two rows
    assert printed[printed.index(lines[3]) + 1 :][:2] == ["", lines[4]]


def test_a_table_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    options.print_table(("name",), [("a\x1b[2Jb\x07",)])
    assert "a\\x1b[2Jb\\x07" in capsys.readouterr().out


def test_zero_jobs_are_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert (options.cores(0), options.cores(3)) == (7, 3)


def test_a_file_is_found_even_if_its_name_holds_a_comma(tmp_path: Path) -> None:
    file = tmp_path / "a,b"
    file.write_text("chair\ntable\n", encoding="utf-8")
    assert options.read_labels(str(file)) == ("chair", "table")


def test_a_set_wins_over_a_file_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("modelnet10").write_text("cat\ndog\n", encoding="utf-8")
    assert options.read_labels("modelnet10") == label_set("modelnet10")
    assert options.read_labels("./modelnet10") == ("cat", "dog")


@pytest.mark.parametrize("text", ["nowhere.txt", "folder/nowhere"])
def test_an_absent_labels_file_is_not_taken_for_a_name(text: str) -> None:
    with pytest.raises(ConfigError, match=r"Labels file '.*nowhere.*' not found\. Check the path"):
        options.read_labels(text)


def test_labels_are_typed_too() -> None:
    names = tuple(f"thing {i}" for i in range(2000))  # longer than a path may be
    assert options.read_labels(",".join(names)) == names
    assert options.read_labels("Dr. Who,a/b") == ("Dr. Who", "a/b")
    with pytest.raises(ConfigError, match="Need at least two labels"):
        options.read_labels("chair")
