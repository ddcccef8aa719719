"""The command line: exit codes, and what goes to stdout and stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Run


@pytest.mark.workers
def test_classify_prints_a_line_for_each_file(run: Run, files: list[Path]) -> None:
    ended = run("classify", *files, "--labels", "chair,ball,box", "--top", 2)
    assert ended.code == 0
    first, second = ended.out.splitlines()
    assert first.split()[0] == str(files[0])
    assert second.split()[0] == str(files[1])
    assert len(first.split()) == len(second.split()) == 1 + 2 * 2
    assert float(first.split()[2]) >= float(first.split()[4])


def test_classify_prints_json_lines(run: Run, files: list[Path]) -> None:
    ended = run("classify", *files, "-l", "chair,ball,box", "--json")
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert [r["file"] for r in records] == [str(f) for f in files]
    for record in records:
        assert sorted(record["labels"]) == ["ball", "box", "chair"]
        assert record["label"] == record["labels"][0]
        assert sum(record["probabilities"]) == pytest.approx(1, abs=1e-4)
        assert record["scores"] == sorted(record["scores"], reverse=True)
        assert len(record["views"]) == 10
        assert {"azimuth", "elevation", "label", "similarity"} == set(record["views"][0])
    assert records[0]["up"] == "y"
    assert records[1]["up"] == "z"


def test_a_failed_file_gives_exit_code_1_with_the_others_done(run: Run, files: list[Path]) -> None:
    broken = files[0].with_name("broken.stl")
    broken.write_bytes(b"<html>not a mesh</html>")
    ended = run("classify", files[0], broken, files[1], "-l", "chair,ball")
    assert ended.code == 1
    assert len(ended.out.splitlines()) == 2
    assert f"{broken}: error: " in ended.err
    assert "1 of 3 files failed" in ended.err
    as_json = run("classify", broken, files[1], "-l", "chair,ball", "--json")
    assert as_json.code == 1
    assert "error" in json.loads(as_json.out.splitlines()[0])
    assert json.loads(as_json.out.splitlines()[1])["label"] in ("chair", "ball")


def test_a_folder_is_walked_and_names_come_from_stdin(run: Run, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    walked = run("classify", files[0].parent, "-l", "chair,ball")
    assert len(walked.out.splitlines()) == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{files[0]}\n\n{files[1]}\n"))
    piped = run("classify", "-", "-l", "chair,ball")
    assert piped.code == 0
    assert [line.split()[0] for line in piped.out.splitlines()] == [str(f) for f in files]


def test_pictures_are_written(run: Run, files: list[Path], tmp_path: Path) -> None:
    one, many = tmp_path / "new" / "one.png", tmp_path / "many.png"
    assert run("classify", files[0], "-l", "chair,ball", "--picture", one).code == 0
    assert run("classify", *files, "-l", "chair,ball", "--picture", many).code == 0
    for path in (one, tmp_path / "many-0-box.png", tmp_path / "many-1-ball.png"):
        with Image.open(path) as picture:
            assert picture.width >= 1000


@pytest.mark.parametrize("projection", ["pointclip", "clip2point", "opendlign", "shaded"])
def test_render_writes_a_sheet(run: Run, files: list[Path], tmp_path: Path, projection: str) -> None:
    sheet = tmp_path / "sheets" / "out.png"
    ended = run("render", files[0], "--projection", projection, "-o", sheet)
    assert ended.code == 0
    assert "views of" in ended.out
    assert "up axis y" in ended.out
    with Image.open(sheet) as picture:
        assert picture.width >= 1000


def test_models_are_listed_for_people_and_programs(run: Run) -> None:
    people = run("models")
    assert people.code == 0
    assert "opendlign-h14" in people.out
    assert "basrelief models fetch MODEL" in people.out
    programs = run("models", "--json")
    records = [json.loads(line) for line in programs.out.splitlines()]
    assert records[0]["name"] == "tiny"
    assert records[0]["ready"] is True
    assert "best_eval.pth" in next(record["missing"] for record in records if record["name"] == "clip2point")
    assert {r["name"] for r in records} >= {"pointclip", "pointclip-v2", "clip2point", "opendlign-h14"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("classify", "FILE", "-l", "chair"), "basrelief: Need at least two labels"),
        (("classify", "FILE", "-l", "chair,chair"), "basrelief: Label 'chair' occurs twice"),
        (("classify", "FILE", "-l", "a,b", "--model", "tiney"), "Did you mean 'tiny'?"),
        (("classify", "FILE", "-l", "a,b", "--device", "abacus"), "basrelief: Device 'abacus' is not available"),
        (("classify", "FILE", "-l", "a,b", "--model", "clip2point"), "basrelief: clip2point needs its checkpoint"),
        (("render", "FILE", "-p", "pointclip3"), "basrelief: Unknown projection 'pointclip3'; expected one of"),
        (("render", "nowhere.glb"), "basrelief: File 'nowhere.glb' not found"),
        (("classify", "FILE", "-l", "a,b", "--up", "w"), "basrelief: Unknown up axis 'w'; expected one of"),
        (("render", "FILE", "--up", "w"), "basrelief: Unknown up axis 'w'; expected one of"),
        (("render", "FILE", "-o", "sheet.txt"), "basrelief: output is "),
        (("classfy",), "No such command"),
    ],
)
def test_a_wrong_command_ends_with_2_and_a_reason(run: Run, files: list[Path], arguments: tuple[str, ...], message: str) -> None:
    ended = run(*(files[0] if a == "FILE" else a for a in arguments))
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_traceback_on_request(run: Run, files: list[Path]) -> None:
    with pytest.raises(ValueError, match="Need at least two labels"):
        run("--traceback", "classify", files[0], "-l", "chair")


def test_interrupting_is_no_crash(run: Run, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("basrelief.io.find_shapes", interrupted)
    ended = run("classify", files[0], "-l", "chair,ball")
    assert ended.code == 130
    assert "Traceback" not in ended.err


def test_version(run: Run) -> None:
    from basrelief import __version__

    assert run("--version").out == f"basrelief {__version__}\n"


@pytest.mark.parametrize(("given", "used"), [(None, "10000"), ("7", "7")])
def test_threads_do_not_spin_for_long_by_default(run: Run, monkeypatch: pytest.MonkeyPatch, given: str | None, used: str) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", given or "")
    if given is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    assert run("--version").code == 0
    assert os.environ["GOMP_SPINCOUNT"] == used


def test_the_package_runs_as_a_module() -> None:
    import subprocess

    from basrelief import __version__

    done = subprocess.run([sys.executable, "-m", "basrelief", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"basrelief {__version__}\n"
