"""Random changes of a folder: one run gives the same library as indexing from scratch."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lancedb")

from basrelief.index import Index, add
from basrelief.io import save
from basrelief.models import Model
from basrelief.shapes import make_shape

NAMES = ("chair", "mug", "car", "lamp")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _new(folder: Path, draw: random.Random) -> None:
    number = draw.randrange(1000)
    target = folder / draw.choice("ab") / f"{number}.{draw.choice(['glb', 'ply', 'obj', 'off'])}"
    target.parent.mkdir(exist_ok=True)
    save(make_shape(draw.choice(NAMES), seed=number), target)


def _copy(folder: Path, draw: random.Random) -> None:
    if files := _files(folder):
        file = draw.choice(files)
        shutil.copy(file, file.with_name(f"copy{draw.randrange(1000)}{file.suffix}"))


def _move(folder: Path, draw: random.Random) -> None:
    if files := _files(folder):
        file = draw.choice(files)
        file.rename(folder / f"moved{draw.randrange(1000)}{file.suffix}")


def _delete(folder: Path, draw: random.Random) -> None:
    if files := _files(folder):
        draw.choice(files).unlink()


def _break(folder: Path, draw: random.Random) -> None:
    if files := _files(folder):
        draw.choice(files).write_bytes(bytes(draw.randrange(256) for _ in range(draw.randrange(40))))


def _touch(folder: Path, draw: random.Random) -> None:
    if files := _files(folder):
        os.utime(draw.choice(files), ns=(draw.randrange(10**9), draw.randrange(10**9)))


def _replace(folder: Path, draw: random.Random) -> None:
    if len(files := _files(folder)) > 1:
        one, other = draw.sample(files, 2)
        shutil.copy(one, other)


def _notes(folder: Path, draw: random.Random) -> None:
    (folder / f"readme{draw.randrange(9)}.txt").write_text("no points in here", encoding="utf-8")


DONE: tuple[Callable[[Path, random.Random], None], ...] = (_new, _new, _copy, _move, _delete, _break, _touch, _replace, _notes)


def _state(index: Index) -> tuple[dict[str, tuple[object, ...]], dict[str, str]]:
    rows = index.tables.rows("path", list(index.tables.indexed_files()))
    kept = {
        row["path"]: (
            row["relative_path"],
            row["name_words"],
            row["bytes"],
            row["mtime"],
            row["content_hash"],
            row["format"],
            row["faces"],
            row["points"],
            row["root"],
            tuple(np.round(row["vector"], 2)),
        )
        for row in rows
    }
    return kept, {path: state.content_hash for path, state in index.tables.failed_files().items()}


@pytest.mark.parametrize("seed", range(4))
def test_a_library_follows_its_folder(seed: int, tmp_path: Path, model: Model) -> None:
    draw, folder = random.Random(seed), tmp_path / "files"
    folder.mkdir()
    index = Index.open(tmp_path / "lib.lance", model=model)
    for _ in range(4):
        for _ in range(4):
            draw.choice(DONE)(folder, draw)
        report = index.add(folder)
        fresh = Index.open(tmp_path / f"fresh{draw.randrange(10**9)}.lance", model=model)
        fresh.add(folder)
        assert _state(index) == _state(fresh)
        assert len(report.failures) == len(index.tables.failed_files())
        again = index.add(folder)
        assert (again.read, again.reused, again.removed) == (0, 0, 0)


def test_each_shape_is_read_once_however_often_it_moves(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, folder, read = random.Random(9), tmp_path / "files", []
    folder.mkdir()
    real = add.read_file
    monkeypatch.setattr(add, "read_file", lambda path, style: read.append(path) or real(path, style))
    index = Index.open(tmp_path / "lib.lance", model=model)
    for seed in range(3):
        save(make_shape("mug", seed=seed), folder / f"{seed}.ply")
    for _ in range(5):
        index.add(folder)
        for change in (_copy, _move, _touch):
            change(folder, draw)
    index.add(folder)
    assert len(read) == 3
    assert len(index) == len(_files(folder)) == 8


@pytest.mark.parametrize("stopped_at", [1, 2, 3])
def test_interrupted_run_resumes(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, stopped_at: int) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for seed in range(6):
        save(make_shape("chair", seed=seed), folder / f"{seed}.glb")
    for number in ("_ROWS_PER_WRITE", "SHAPES_PER_PASS"):
        monkeypatch.setattr(add, number, 2)
    index = Index.open(tmp_path / "lib.lance", model=model)
    told = []

    def stop(done: int, total: int) -> None:
        told.append(done)
        if done >= 2 * stopped_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.add(folder, progress=stop)
    assert len(index) == 2 * stopped_at
    report = Index.open(tmp_path / "lib.lance", model=model).add(folder)
    assert (report.read, report.unchanged) == (6 - 2 * stopped_at, 2 * stopped_at)
    assert len(index.tables.indexed_files()) == 6
