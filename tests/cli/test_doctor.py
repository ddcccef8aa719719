"""`basrelief doctor` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import dataset_miniatures

from .conftest import Run


def test_a_good_file_ends_with_0(run: Run, files: list[Path]) -> None:
    ended = run("doctor", files[0])
    assert ended.code == 0
    assert ended.out.splitlines()[0].split(maxsplit=2) == ["ok", "reading", "12 faces, glb."]


def test_a_broken_file_ends_with_1_and_a_remedy(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(b"junk")
    ended = run("doctor", tmp_path / "a.ply")
    assert ended.code == 1
    first, second = ended.out.splitlines()
    assert first.startswith("wrong    reading")
    assert second.strip().startswith("-> Export it again")


def test_warnings_alone_end_with_0(run: Run, files: list[Path]) -> None:
    ended = run("doctor", files[1], "--model", "opendlign-h14")
    assert ended.code == 0
    assert "warning  points" in ended.out


def test_programs_get_a_line_for_each_finding(run: Run, files: list[Path]) -> None:
    records = [json.loads(line) for line in run("doctor", files[0], "--json").out.splitlines()]
    assert [sorted(record) for record in records] == [["check", "fact", "level", "remedy"]] * len(records)
    assert records[0]["check"] == "reading"


def test_a_data_set_with_wrong_counts_ends_with_1(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", dataset_miniatures.modelnet_off(tmp_path), "--sample", 2)
    assert ended.code == 1
    assert "40 shapes, 2,468 expected in ModelNet40 test." in ended.out


def test_variant_and_split_are_passed_on(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", dataset_miniatures.scanobjectnn(tmp_path), "--variant", "PB_T50_RS", "--split", "train", "--sample", 1)
    assert "The variant is PB_T50_RS" in ended.out
    assert "This is the training split" in ended.out


def test_a_model_by_name(run: Run) -> None:
    ended = run("doctor", "opendlign-h14", "--dataset", "scanobjectnn")
    assert ended.code == 0
    assert "The paper uses variant OBJ_ONLY" in ended.out


def test_files_given_to_a_model_are_looked_at(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"junk")
    ended = run("doctor", "clip2point", "--checkpoint", tmp_path / "w.pt")
    assert ended.code == 1
    assert "wrong    weights file" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tinny",), "Did you mean 'tiny'"),
        (("FILE", "--model", "tinny"), "Did you mean 'tiny'"),
        (("FOLDER", "--dataset", "modelnet4"), "Unknown dataset 'modelnet4'; expected one of"),
        (("FOLDER", "--split", "tests"), "Unknown split 'tests'; expected one of"),
        (("FOLDER", "--up", "w"), "Unknown up axis 'w'; expected one of"),
        (("FILE", "--sample", "0"), "sample"),
    ],
)
def test_a_wrong_command_ends_with_2_and_a_reason(arguments: tuple[str, ...], message: str, run: Run, files: list[Path]) -> None:
    places = {"FILE": files[0], "FOLDER": files[0].parent}
    ended = run("doctor", *(places.get(word, word) for word in arguments))
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
