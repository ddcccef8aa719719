"""`basrelief index | search | similar | dedupe | tag`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("lancedb")

from basrelief.io import save
from basrelief.shapes import make_shape
from support.small_scans import small_scan

from .conftest import Ended

Run = Callable[..., Ended]
FILES = {"seats/chair.glb": "chair", "mug.ply": "mug", "car.off": "car"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("cli")
    for place, name in FILES.items():
        (home / "files" / place).parent.mkdir(parents=True, exist_ok=True)
        save(make_shape(name, seed=100_010), home / "files" / place)
    return home


@pytest.fixture
def db(run: Run, made: Path) -> Path:
    library = made / "lib.lance"
    if not library.exists():
        ended = run("index", made / "files", "--db", library, "--jobs", 1)
        assert ended.code == 0, ended.err
        assert ended.out == f"{made / 'files'}: 3 read, 0 moved or copied, 0 removed, 0 unchanged; 3 files in {library}\n"
    return library


def test_indexing_again_reads_nothing(run: Run, made: Path, db: Path) -> None:
    ended = run("index", made / "files", "--db", db, "--json")
    assert ended.code == 0
    assert json.loads(ended.out) == {
        "folder": str(made / "files"),
        "read": 0,
        "reused": 0,
        "removed": 0,
        "unchanged": 3,
        "failures": [],
        "boxes": 0,
        "unread": {},
        "colored": 0,
    }


def test_a_new_library_says_once_which_model_is_used_and_which_would_be_better(run: Run, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    save(make_shape("mug", seed=1), tmp_path / "files" / "mug.ply")
    (line,) = run("index", tmp_path / "files", "--db", tmp_path / "lib.lance", "--jobs", 1).err.splitlines()
    assert line.startswith("basrelief: tiny was used, which knows everyday names and no colours (1 of 1 files have some). views-")
    assert "s a file on two cores, download " in line
    assert line.endswith(f"basrelief models recommend {tmp_path / 'files'} names more.")
    assert run("index", tmp_path / "files", "--db", tmp_path / "lib.lance", "--jobs", 1).err == ""
    assert run("index", tmp_path / "files", "--db", tmp_path / "two.lance", "--jobs", 1, "--json").err == ""


def test_things_in_a_scan_are_found(run: Run, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    save(small_scan(spacing=0.08), tmp_path / "scans" / "office.ply")
    db = tmp_path / "lib.lance"
    ended = run("index", tmp_path / "scans", "--db", db, "--scenes", "all", "--jobs", 1)
    assert ended.code == 0, ended.err
    counts, _, found = ended.out.partition(" unchanged; ")
    assert counts.endswith("1 read, 0 moved or copied, 0 removed, 0")
    assert found.endswith(f" boxes in scans; 1 files in {db}\n")
    ended = run("search", "cabinet", "--db", db, "--top", 3, "--html", tmp_path / "hits.html")
    assert "office.ply#box-" in ended.out
    assert " at " in ended.out
    assert "office.ply#box-" in (tmp_path / "hits.html").read_text(encoding="utf-8")
    hit = json.loads(run("search", "cabinet", "--db", db, "--top", 1, "--where", "kind:box", "--json").out)
    assert hit["scan"] == str(tmp_path / "scans" / "office.ply")
    assert (len(hit["center"]), len(hit["rotation"]), len(hit["rotation"][0])) == (3, 3, 3)
    assert run("similar", hit["path"], "--db", db, "--top", 1).code == 0
    tagged = run("tag", "--labels", "cabinet,mug", "--db", db, "--where", "kind:box")
    assert "office.ply#box-0" in tagged.out


def test_bad_file_is_reported_and_exit_code_is_1(run: Run, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "good.ply").write_bytes((made / "files" / "mug.ply").read_bytes())
    (folder / "bad.glb").write_bytes(b"junk")
    ended = run("index", folder, "--db", tmp_path / "lib.lance", "--jobs", 1)
    assert ended.code == 1
    assert "1 read" in ended.out
    assert f"{folder / 'bad.glb'}: error: bad.glb does not start with a complete glTF header" in ended.err
    assert "1 shapes could not be used" in ended.err


def test_files_of_unread_formats_are_counted(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "scene.blend").write_bytes(b"BLENDER")
    note = "1 file is of formats that are not read: 1 .blend (Blender). Export them as .glb."
    assert run("index", folder, "--db", tmp_path / "l.lance", "--jobs", 1).out.splitlines()[-1] == note
    record = json.loads(run("index", folder, "--db", tmp_path / "l.lance", "--json").out)
    assert record["unread"] == {"blend": 1}


def test_library_can_be_set_by_environment_variable(run: Run, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_DB", str(db))
    assert "mug.ply" in run("search", "mug", "--top", 1).out


def test_words_find_a_shape(run: Run, db: Path) -> None:
    ended = run("search", "mug", "--db", db, "--no-names", "--top", 2)
    assert ended.code == 0
    first, *rest = ended.out.splitlines()
    assert first.split()[1] == "mug.ply"
    assert "faces" in first
    assert len(rest) == 1


def test_hits_are_json_lines(run: Run, made: Path, db: Path) -> None:
    ended = run("search", "car", "--db", db, "--json", "--where", "not under:seats", "--not", "mug")
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert [record["relative_path"] for record in records] == ["car.off", "mug.ply"]
    assert records[0]["path"] == str(made / "files" / "car.off")
    assert set(records[0]) >= {"score", "view", "name_match", "faces", "format", "tags", "width"}
    assert not any(name.startswith("_") for name in records[0])


def test_image_and_shape_can_be_mixed(run: Run, made: Path, db: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), "white").save(tmp_path / "photo.png")
    ended = run("search", "--image", tmp_path / "photo.png", "--shape", made / "files" / "car.off", "--db", db, "--pooling", "max")
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 3


def test_a_page_is_written(run: Run, db: Path, tmp_path: Path) -> None:
    assert run("search", "mug & co", "--db", db, "--html", tmp_path / "pages" / "hits.html").code == 0
    page = (tmp_path / "pages" / "hits.html").read_text(encoding="utf-8")
    assert "<h1>mug &amp; co</h1>" in page
    assert page.count("data:image/webp") == 3


def test_unknown_words_are_reported(run: Run, db: Path) -> None:
    assert "tiny does not know 'zeppelin'; nearest known: " in run("search", "zeppelin", "--db", db).err


def test_no_hits_are_reported(run: Run, db: Path) -> None:
    assert run("search", "mug", "--db", db, "-w", "faces>1G").out == "nothing found\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search"], "nothing to search for. Give words, an image or a shape"),
        (["search", "x", "-w", "fases<3"], "Did you mean 'faces'"),
        (["search", "x", "--pooling", "best"], "Unknown pooling 'best'; expected one of mean, max"),
        (["search", "--image", "nowhere.png"], "Image 'nowhere.png' not found"),
        (["similar", "nowhere.glb"], "nowhere.glb"),
        (["tag"], "There are no labels. Give some, e.g. --labels chair,table, or revert the last tags with --undo"),
        (["tag", "-l", "a,b", "-o", "x.xls"], "Name a file that ends in .csv, .json or .jsonl"),
    ],
)
def test_wrong_arguments_exit_with_2(run: Run, db: Path, arguments: list[str], told: str) -> None:
    ended = run(*arguments, "--db", db)
    assert ended.code == 2
    assert told in ended.err


def test_missing_library_is_reported(run: Run, tmp_path: Path) -> None:
    for command in (["search", "x"], ["dedupe"], ["tag", "-l", "a,b"], ["tag", "--undo"]):
        ended = run(*command, "--db", tmp_path / "none.lance")
        assert ended.code == 2
        assert "Create one with: basrelief index DIR" in ended.err
    assert not (tmp_path / "none.lance").exists()


def test_similar_shapes_are_listed_without_the_file(run: Run, made: Path, db: Path) -> None:
    ended = run("similar", made / "files" / "mug.ply", "--db", db)
    assert sorted(line.split()[1] for line in ended.out.splitlines()) == ["car.off", "seats/chair.glb"]


def test_duplicates_are_listed_and_kept(run: Run, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    save(make_shape("mug", seed=100_010), folder / "one.obj")
    save(make_shape("mug", seed=100_010), folder / "two.stl")
    run("index", folder, "--db", tmp_path / "lib.lance", "--jobs", 1)
    ended = run("dedupe", "--db", tmp_path / "lib.lance")
    assert ended.out == f"{folder / 'one.obj'}\n{folder / 'two.stl'}\n\ngroups of duplicates: 1; redundant files: 1\n"
    assert json.loads(run("dedupe", "--db", tmp_path / "lib.lance", "--json").out) == [str(folder / "one.obj"), str(folder / "two.stl")]
    assert run("dedupe", "--db", tmp_path / "lib.lance", "-w", "format:obj").out == "no duplicates found\n"
    assert len(list(folder.iterdir())) == 2


def test_a_new_folder_is_read_before_it_is_tagged(run: Run, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for seed in range(3):
        save(make_shape("mug", seed=seed), tmp_path / "more" / f"{seed}.glb")
    (tmp_path / "more" / "bad.stl").write_bytes(b"solid")
    ended = run("tag", tmp_path / "more", "-l", "chair,mug", "--db", tmp_path / "lib.lance", "--jobs", 2, "--json")
    assert ended.code == 1
    assert "bad.stl" in ended.err
    assert [json.loads(line)["label"] for line in ended.out.splitlines()] == ["mug"] * 3


def test_tags_are_written_and_undone(run: Run, made: Path, db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "tags.csv"
    ended = run("tag", made / "files" / "seats", "-l", "chair,mug,car", "--db", db, "-o", out, "--write")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1].split()[1] == "chair"
    assert "changed the tags of 1 files; basrelief tag --undo reverts this" in ended.err
    with out.open(newline="", encoding="utf-8") as lines:
        (row,) = csv.DictReader(lines)
    assert (row["label"], row["path"]) == ("chair", str(made / "files" / "seats" / "chair.glb"))
    assert [json.loads(line)["tags"] for line in run("search", "x", "--db", db, "-w", "tag:chair", "--json").out.splitlines()] == [
        ["chair"]
    ]
    assert run("tag", "--undo", "--db", db).out == "restored the tags of 1 files\n"
    assert run("search", "x", "--db", db, "-w", "tag:chair").out == "nothing found\n"


def test_nothing_is_written_unless_asked(run: Run, made: Path, db: Path) -> None:
    ended = run("tag", "-l", "chair,mug,car", "--db", db, "--json", "--min-confidence", "0.5")
    answers = {Path(record["path"]).name: record["label"] for record in map(json.loads, ended.out.splitlines())}
    assert answers == {"chair.glb": "chair", "mug.ply": "mug", "car.off": "car"}
    assert not list((made / "files").rglob("*.tags.json"))
    assert run("tag", "--undo", "--db", db).out == "restored the tags of 0 files\n"


def test_none_of_these_is_reported(run: Run, db: Path, tmp_path: Path) -> None:
    out = tmp_path / "tags.jsonl"
    ended = run("tag", "-l", "teapot,banana", "--distractors", "chair,mug,car", "--db", db, "-o", out)
    assert ended.out.count("none of these") == 3
    assert [json.loads(line)["label"] for line in out.read_text().splitlines()] == ["", "", ""]


def test_csv_cells_are_never_formulas(run: Run, made: Path, db: Path, tmp_path: Path) -> None:
    out = tmp_path / "tags.csv"
    run("tag", "-l", "=chair,+mug,@car", "--db", db, "-o", out)
    with out.open(newline="", encoding="utf-8") as lines:
        assert {row["label"][:1] for row in csv.DictReader(lines)} == {"'"}


def test_of_many_failures_ten_are_named_and_the_rest_counted(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(12):
        (folder / f"bad\x1b[31m{number:02}.glb").write_bytes(b"junk" + bytes([number]))
    ended = run("index", folder, "--db", tmp_path / "lib.lance", "--jobs", 1)
    assert ended.code == 1
    assert ended.err.count(": error: ") == 10
    assert "... and 2 more: --json lists them all\nbasrelief: 12 shapes could not be used" in ended.err
    assert "\x1b" not in ended.err
    assert "bad\\x1b[31m00.glb" in ended.err
    assert len(json.loads(run("index", folder, "--db", tmp_path / "lib.lance", "--json").out)["failures"]) == 12


def test_unwritable_outputs_exit_with_2(run: Run, db: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for arguments in (["search", "mug", "--html", tmp_path / "file" / "x.html"], ["search", "mug", "--html", tmp_path]):
        ended = run(*arguments, "--db", db)
        assert ended.code == 2
        assert "Cannot write" in ended.err
    ended = run("tag", "-l", "a,b", "--db", db, "-o", tmp_path / "file" / "x.csv")
    assert ended.code == 2
    assert "Cannot write" in ended.err
    ended = run("search", "x", "--db", db, f"--where={'-' * 3000}format:glb")
    assert ended.code == 2
    assert "the limit is 200. Shorten it" in ended.err
