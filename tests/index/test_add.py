"""Indexing folders: files are read once, moved files keep their rows, failures and kills lose nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lancedb")

from basrelief.errors import ConfigError, FileFormatError
from basrelief.index import Index, IndexOptions, add
from basrelief.io import load, save
from basrelief.models import Model
from basrelief.shapes import make_shape

from .conftest import PLACES, places, write_shapes


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_shapes(tmp_path / "files")


@pytest.fixture
def filled(files: Path, tmp_path: Path, model: Model) -> Index:
    index = Index.open(tmp_path / "own.lance", model=model)
    index.add(files)
    return index


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        def never(*_: object, **__: object) -> None:
            raise AssertionError("a file was read")

        monkeypatch.setattr(add, "read_file", never)

    return forbid


def test_row_describes_its_file(index: Index, made: Path, model: Model) -> None:
    path = made / "files" / "seats" / "oldChair2.ply"
    (row,) = index.tables.rows("path", [str(path)])
    shape = load(path)
    assert (row["relative_path"], row["name_words"], row["format"], row["kind"]) == (
        "seats/oldChair2.ply",
        "seats old chair 2",
        "ply",
        "mesh",
    )
    assert (row["faces"], row["points"], row["bytes"]) == (len(shape.faces), len(shape.vertices), path.stat().st_size)  # type: ignore[union-attr]
    assert np.allclose([row["width"], row["depth"], row["height"]], np.ptp(shape.vertices, axis=0), rtol=1e-5)  # type: ignore[union-attr]
    views = model.embed_views([shape])[0].numpy()
    assert np.allclose(np.reshape(row["views"], views.shape).astype(np.float32), views, atol=2e-3)
    assert np.allclose(row["vector"], model.embed_shapes([shape])[0].numpy(), atol=1e-4)


def test_report_counts_unchanged_files(filled: Index, files: Path) -> None:
    assert places(filled) == set(PLACES)
    again = filled.add(files)
    assert (again.read, again.reused, again.removed, again.unchanged, again.failures) == (0, 0, 0, 6, [])


def test_moved_files_keep_vectors_and_tags_without_being_read(filled: Index, files: Path, no_reading: Callable[[], None]) -> None:
    old = str(files / "car.off")
    filled.tag({old: ["red"]})
    before = filled.tables.rows("path", [old])[0]
    (files / "garage").mkdir()
    (files / "car.off").rename(files / "garage" / "my_car.off")
    no_reading()
    report = filled.add(files)
    assert (report.read, report.reused, report.removed) == (0, 1, 1)
    after = filled.tables.rows("path", [str(files / "garage" / "my_car.off")])[0]
    assert (after["views"], after["tags"], after["name_words"]) == (before["views"], ["red"], "garage my car")
    assert old not in filled.tables.indexed_files()


def test_copies_are_read_once(files: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        shutil.copy(files / "car.off", files / f"copy{number}.off")
    read = []
    real = add.read_file
    monkeypatch.setattr(add, "read_file", lambda path, options: read.append(path.name) or real(path, options))
    index = Index.open(tmp_path / "copies.lance", model=model)
    report = index.add(files)
    assert (report.read, report.reused, len(index)) == (6, 3, 9)
    assert len([name for name in read if name in ("car.off", "copy0.off", "copy1.off", "copy2.off")]) == 1


def test_same_bytes_with_another_suffix_are_read_separately(filled: Index, files: Path) -> None:
    shutil.copy(files / "car.off", files / "car.stl")
    report = filled.add(files)
    assert report.read == 0
    assert [Path(path).name for path, _ in report.failures] == ["car.stl"]


def test_a_changed_file_is_read_again(filled: Index, files: Path) -> None:
    before = filled.tables.rows("path", [str(files / "car.off")])[0]
    save(make_shape("mug", seed=9), files / "car.off")
    assert filled.add(files).read == 1
    after = filled.tables.rows("path", [str(files / "car.off")])[0]
    assert after["content_hash"] != before["content_hash"]
    assert np.dot(after["vector"], before["vector"]) < 0.9
    assert len(filled) == 6


def test_a_touched_file_is_not_read_again(filled: Index, files: Path, no_reading: Callable[[], None]) -> None:
    os.utime(files / "car.off", ns=(1, 1))
    no_reading()
    assert filled.add(files).reused == 1
    assert filled.add(files).unchanged == 6


def test_deleted_files_are_removed(filled: Index, files: Path) -> None:
    shutil.rmtree(files / "kitchen")
    assert filled.add(files).removed == 2
    assert places(filled) == {place for place in PLACES if not place.startswith("kitchen")}


def test_bad_files_are_listed_and_do_not_stop_the_run(filled: Index, files: Path, no_reading: Callable[[], None]) -> None:
    (files / "bad.glb").write_bytes(b"glTF junk")
    (files / "empty.ply").write_bytes(b"")
    save(make_shape("mug", seed=8), files / "good.glb")
    report = filled.add(files)
    assert report.read == 1
    assert [Path(path).name for path, _ in report.failures] == ["bad.glb", "empty.ply"]
    assert ["glTF header" in reason or "is empty" in reason for _, reason in report.failures] == [True, True]
    no_reading()
    assert len(filled.add(files).failures) == 2  # told again, not tried again


def test_bad_files_are_retried_on_request(filled: Index, files: Path) -> None:
    (files / "bad.glb").write_bytes(b"glTF junk")
    filled.add(files)
    assert filled.add(files, options=IndexOptions(retry_failed=True)).failures
    shutil.copy(files / "seats" / "chair_1.glb", files / "bad.glb")
    assert filled.add(files).failures == []
    assert len(filled) == 7


def test_a_file_that_becomes_bad_loses_its_row(filled: Index, files: Path) -> None:
    (files / "car.off").write_bytes(b"OFF\nnothing")
    assert len(filled.add(files).failures) == 1
    assert "car.off" not in places(filled)


def test_two_folders_live_in_one_library(filled: Index, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save(make_shape("lamp", seed=1), other / "lamp.glb")
    assert filled.add(other).read == 1
    assert len(filled) == 7
    (other / "lamp.glb").unlink()
    assert filled.add(other).removed == 1
    assert len(filled) == 6


@pytest.mark.slow
def test_worker_processes_give_the_same_rows(files: Path, tmp_path: Path, made: Path, model: Model) -> None:
    index = Index.open(tmp_path / "jobs.lance", model=model)
    assert index.add(files, options=IndexOptions(jobs=2)).read == 6
    first = {row["relative_path"]: row for row in index.tables.rows("path", list(index.tables.indexed_files()))}
    whole = Index.open(made / "lib.lance").tables
    for row in whole.rows("path", list(whole.indexed_files())):
        assert np.allclose(row["views"], first[row["relative_path"]]["views"], atol=2e-3)
        assert row["thumbnail"] == first[row["relative_path"]]["thumbnail"]


def test_progress_reaches_the_end(files: Path, tmp_path: Path, model: Model) -> None:
    (files / "bad.glb").write_bytes(b"junk")
    told: list[tuple[int, int]] = []
    Index.open(tmp_path / "told.lance", model=model).add(files, progress=lambda *pair: told.append(pair))
    assert told[-1] == (7, 7)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_missing_folder_creates_no_library(tmp_path: Path, model: Model) -> None:
    index = Index.open(tmp_path / "none.lance", model=model)
    with pytest.raises(FileFormatError, match="Folder .* not found"):
        index.add(tmp_path / "nowhere")
    assert not index.exists


def test_another_model_is_rejected(made: Path) -> None:
    with pytest.raises(ConfigError, match="was created with model tiny, not pointclip. Leave out the model"):
        Index.open(made / "lib.lance", model="pointclip")


def test_other_weights_are_rejected(made: Path, model: Model) -> None:
    from basrelief.train.tiny.towers import new_encoder

    other = Model(model.recipe, new_encoder(model.encoder.tokenizer, seed=5))
    with pytest.raises(ConfigError, match="was created with other weights of tiny"):
        _ = Index.open(made / "lib.lance", model=other).model


KILLED = """
import sys
from pathlib import Path
from basrelief.index import Index, add
add._ROWS_PER_WRITE = add.SHAPES_PER_PASS = 2
if __name__ == "__main__":
    Index.open(sys.argv[1]).add(Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_repeated_kills_neither_lose_nor_duplicate_files(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for seed in range(60):
        save(make_shape("chair", seed=seed), tmp_path / "files" / f"{seed}.glb")
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(tmp_path / "lib.lance"), str(tmp_path / "files")]
    rng, before = np.random.default_rng(0), 0
    for _ in range(20):
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        time.sleep(float(rng.uniform(2, 12)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        index = Index.open(tmp_path / "lib.lance")
        if index.exists:
            known = index.tables.indexed_files()
            assert len(index) == len(known) >= before
            before = len(known)
    subprocess.run(command, check=True)
    index = Index.open(tmp_path / "lib.lance")
    assert len(index) == len(index.tables.indexed_files()) == 60
