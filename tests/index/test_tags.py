"""Tags: proposals from stored views, writing, sidecar files, undo."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("lancedb")

from basrelief.errors import ConfigError, OutputError
from basrelief.index import Index, add
from basrelief.index.tags import SIDECAR_SUFFIX
from basrelief.io import load
from basrelief.models import Model
from basrelief.tasks import RejectPolicy

LABELS = ("chair", "table", "mug", "bottle", "car")
RIGHT = {
    "seats/chair_1.glb": "chair",
    "seats/oldChair2.ply": "chair",
    "tables/table.obj": "table",
    "kitchen/mug.stl": "mug",
    "kitchen/deep/bottle.glb": "bottle",
    "car.off": "car",
}


def test_tags_are_proposed_from_stored_views(index: Index, made: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(add, "read_file", None)
    found = {Path(answer.path).relative_to(made / "files").as_posix(): answer for answer in index.propose_tags(LABELS)}
    assert {place: answer.label for place, answer in found.items()} == RIGHT
    answer = found["kitchen/mug.stl"]
    known = model.classify([load(answer.path)], LABELS)[0]
    assert known.probabilities is not None
    assert answer.confidence == pytest.approx(float(known.probabilities[0]), abs=0.02)
    assert answer.view == int(known.view_scores[:, 0].argmax())
    assert [label for label, _ in answer.others] == list(known.labels[1:4])


def test_none_of_these_is_an_answer(index: Index) -> None:
    found = {
        Path(answer.path).name: answer for answer in index.propose_tags(["teapot", "banana"], policy=RejectPolicy(min_confidence=0.999999))
    }
    assert any(answer.label == "" and answer.declined for answer in found.values())
    others = RejectPolicy(distractors=("car", "chair", "table", "mug", "bottle"))
    assert {answer.label for answer in index.propose_tags(["teapot", "banana"], policy=others)} == {""}


def test_filters_limit_proposals(index: Index) -> None:
    assert {Path(answer.path).name for answer in index.propose_tags(LABELS, where=["under:kitchen"])} == {"mug.stl", "bottle.glb"}
    with pytest.raises(ConfigError, match="Need at least two labels"):
        list(index.propose_tags(["chair"]))


def _tags(index: Index) -> dict[str, list[str]]:
    rows = index.tables.rows("path", list(index.tables.indexed_files()), columns=["path", "tags"])
    return {Path(row["path"]).name: row["tags"] for row in rows if row["tags"]}


def test_tags_are_written_and_undone(own: Index, made: Path) -> None:
    car, mug = str(made / "files" / "car.off"), str(made / "files" / "kitchen" / "mug.stl")
    assert own.tag({car: ["red", "fast", "red"], mug: ["it's"], "/nowhere.glb": ["x"]}) == 2
    assert _tags(own) == {"car.off": ["fast", "red"], "mug.stl": ["it's"]}
    assert own.tag({car: ["fast", "red"]}) == 0
    assert own.tag({car: []}) == 1
    assert _tags(own) == {"mug.stl": ["it's"]}
    assert own.undo_tags() == 1
    assert _tags(own) == {"car.off": ["fast", "red"], "mug.stl": ["it's"]}
    assert own.undo_tags() == 2
    assert _tags(own) == {}
    assert own.undo_tags() == 0


def test_sidecars_are_written_and_undone(own: Index, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "files", tmp_path / "files")
    own.add(tmp_path / "files")
    car = tmp_path / "files" / "car.off"
    own.tag({str(car): ["auto"]}, sidecars=True)
    sidecar = car.with_name("car.off" + SIDECAR_SUFFIX)
    assert json.loads(sidecar.read_text(encoding="utf-8")) == {"tags": ["auto"]}
    own.tag({str(car): ["wägelchen"]}, sidecars=True)
    assert json.loads(sidecar.read_text(encoding="utf-8")) == {"tags": ["wägelchen"]}
    own.undo_tags()
    assert json.loads(sidecar.read_text(encoding="utf-8")) == {"tags": ["auto"]}
    own.undo_tags()
    assert not sidecar.exists()
    assert own.add(tmp_path / "files").unchanged == 6  # sidecars are no shapes


def test_undo_keeps_edited_sidecars(own: Index, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "files", tmp_path / "files")
    own.add(tmp_path / "files")
    car = tmp_path / "files" / "car.off"
    own.tag({str(car): ["auto"]}, sidecars=True)
    sidecar = car.with_name("car.off" + SIDECAR_SUFFIX)
    sidecar.write_text('{"tags": ["mine"]}', encoding="utf-8")
    own.undo_tags()
    assert json.loads(sidecar.read_text(encoding="utf-8")) == {"tags": ["mine"]}
    sidecar.write_text("no json", encoding="utf-8")
    own.tag({str(car): ["auto"]})
    assert own.undo_tags() == 1
    assert sidecar.read_text(encoding="utf-8") == "no json"


def test_a_tag_can_be_searched(own: Index, made: Path) -> None:
    own.tag({str(made / "files" / "car.off"): ["it's red"]})
    from basrelief.index import Query

    hits = own.search(Query(("anything",), where=("tag:it's red",)))
    assert [hit.metadata["tags"] for hit in hits] == [["it's red"]]


@pytest.fixture
def car(own: Index, made: Path, tmp_path: Path) -> Path:
    """A file in a folder of its own, `inside`, that `own` holds."""
    (tmp_path / "inside" / "deep").mkdir(parents=True)
    shutil.copy(made / "files" / "car.off", tmp_path / "inside" / "deep" / "car.off")
    own.add(tmp_path / "inside")
    return tmp_path / "inside" / "deep" / "car.off"


def test_links_planted_for_a_sidecar_are_not_followed(own: Index, car: Path, tmp_path: Path) -> None:
    outside, sidecar = tmp_path / "outside.txt", car.with_name("car.off" + SIDECAR_SUFFIX)
    outside.write_text("precious")
    for name in (f".{sidecar.name}.part", sidecar.name):
        (car.parent / name).symlink_to(outside)
    own.tag({str(car): ["auto"]}, sidecars=True)
    assert outside.read_text() == "precious"
    assert not sidecar.is_symlink()
    assert json.loads(sidecar.read_text(encoding="utf-8")) == {"tags": ["auto"]}


def test_undo_reads_no_sidecar_through_a_link(own: Index, car: Path, tmp_path: Path) -> None:
    own.tag({str(car): ["old"]})
    own.tag({str(car): ["auto"]})
    sidecar, outside = car.with_name("car.off" + SIDECAR_SUFFIX), tmp_path / "outside.txt"
    outside.write_text(json.dumps({"tags": ["auto"]}) + "\n")
    sidecar.symlink_to(outside)
    assert own.undo_tags() == 1
    assert sidecar.is_symlink()
    assert outside.read_text() == json.dumps({"tags": ["auto"]}) + "\n"


def test_undo_keeps_pipes_and_huge_sidecars(own: Index, car: Path) -> None:
    sidecar = car.with_name("car.off" + SIDECAR_SUFFIX)
    own.tag({str(car): ["auto"]})
    os.mkfifo(sidecar)
    assert own.undo_tags() == 1
    sidecar.unlink()
    own.tag({str(car): ["auto"]})
    with sidecar.open("wb") as file:
        file.truncate(1 << 40)
    assert own.undo_tags() == 1
    assert sidecar.stat().st_size == 1 << 40


def test_a_folder_that_became_a_link_gets_no_sidecars(own: Index, car: Path, tmp_path: Path) -> None:
    car.parent.rename(tmp_path / "elsewhere")
    car.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="1 sidecar files cannot be written. The first: Cannot write .*lies behind a link"):
        own.tag({str(car): ["auto"]}, sidecars=True)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["car.off"]
    assert _tags(own) == {"car.off": ["auto"]}


def test_a_sidecar_that_cannot_be_written_stops_no_other(own: Index, car: Path) -> None:
    long = car.with_name("x" * 250 + ".off")
    shutil.copy(car, long)
    own.add(car.parent.parent)
    with pytest.raises(OutputError, match="1 sidecar files cannot be written. .*File name too long"):
        own.tag({str(long): ["a"], str(car): ["b"]}, sidecars=True)
    assert car.with_name("car.off" + SIDECAR_SUFFIX).is_file()
