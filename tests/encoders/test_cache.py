"""The cache of text features: exact when it works, ignored when it is damaged."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from basrelief.encoders import VectorCache
from basrelief.folders import cache_folder

VECTORS = {"a chair": np.arange(4, dtype=np.float32), "a table": -np.arange(4, dtype=np.float32)}


@pytest.fixture
def cache(tmp_path: Path) -> VectorCache:
    return VectorCache(tmp_path / "deep" / "text.sqlite")


def known(cache: VectorCache, fingerprint: str = "f") -> dict[str, list[float]]:
    return {p: v.tolist() for p, v in cache.get(fingerprint, [*VECTORS, "never seen"]).items()}


def filled(cache: VectorCache) -> VectorCache:
    cache.put("f", VECTORS)
    return cache


ALL = {p: v.tolist() for p, v in VECTORS.items()}


def test_stored_vectors_are_read_back(cache: VectorCache) -> None:
    assert known(cache) == {}
    assert known(filled(cache)) == ALL
    assert known(VectorCache(cache.path)) == ALL
    assert cache.get("f", ["a chair"])["a chair"].dtype == np.float32


def test_another_encoder_sees_nothing(cache: VectorCache) -> None:
    assert known(filled(cache), "g") == {}


def test_a_second_put_replaces(cache: VectorCache) -> None:
    filled(cache).put("f", {"a chair": np.ones(4, dtype=np.float32)})
    assert known(cache) == {**ALL, "a chair": [1.0] * 4}


def test_more_prompts_than_one_question_holds(cache: VectorCache) -> None:
    many = {f"prompt {i}": np.full(2, i, dtype=np.float32) for i in range(1203)}
    cache.put("f", many)
    found = cache.get("f", list(many))
    assert len(found) == len(many)
    assert all(found[p][0] == many[p][0] for p in many)


def test_prompts_that_are_no_text_do_not_break_it(cache: VectorCache) -> None:
    cache.put("f", {"bad \udcff": np.ones(2, dtype=np.float32)})
    assert list(cache.get("f", ["bad \udcff"])) == ["bad \udcff"]


def test_the_oldest_go_first(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "text.sqlite", limit=3)
    for i in range(6):
        cache.put("f", {f"p{i}": np.full(2, i, dtype=np.float32)})
    assert sorted(cache.get("f", [f"p{i}" for i in range(6)])) == ["p3", "p4", "p5"]


@pytest.mark.parametrize(
    "content", [b"this is no database, and it is long enough to be looked at" * 10, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_broken_file_is_set_aside(cache: VectorCache, content: bytes) -> None:
    cache.path.parent.mkdir()
    cache.path.write_bytes(content)
    known(cache)
    assert known(filled(cache)) == ALL
    aside = list(cache.path.parent.glob("text.sqlite.broken-*"))
    assert [p.read_bytes() for p in aside] == [content]


def test_a_file_broken_in_the_middle_never_raises(cache: VectorCache) -> None:
    cache.put("f", {f"p{i}": np.full(256, i, dtype=np.float32) for i in range(200)})
    raw = bytearray(cache.path.read_bytes())
    raw[4096:-4096:7] = b"\xa5" * len(raw[4096:-4096:7])
    cache.path.write_bytes(bytes(raw))
    for _ in range(3):
        known(cache)
        filled(cache)
    assert known(cache) == ALL


def test_a_foreign_database_is_passed_over(cache: VectorCache) -> None:
    cache.path.parent.mkdir()
    with sqlite3.connect(cache.path) as other:
        other.execute("CREATE TABLE text (mine TEXT)")
        other.execute("INSERT INTO text VALUES ('precious')")
    other.close()
    assert known(filled(cache)) == {}
    with sqlite3.connect(cache.path) as other:
        assert other.execute("SELECT mine FROM text").fetchall() == [("precious",)]
    other.close()


def test_a_vector_of_odd_length_is_passed_over(cache: VectorCache) -> None:
    filled(cache)
    with sqlite3.connect(cache.path) as database:
        database.execute("UPDATE text SET vector = x'010203'")
    database.close()
    assert known(cache) == {}


def test_a_folder_that_cannot_be_made_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = VectorCache(tmp_path / "file" / "text.sqlite")
    assert known(filled(cache)) == {}


def test_a_locked_file_is_left_alone(cache: VectorCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.encoders.cache._SECONDS", 0.05)
    filled(cache)
    holder = sqlite3.connect(cache.path)
    holder.execute("BEGIN EXCLUSIVE")
    assert known(cache) == {}
    holder.rollback()
    holder.close()
    assert known(cache) == ALL


def test_several_processes_write_at_once(cache: VectorCache) -> None:
    program = (
        "import sys, numpy as np; from basrelief.encoders.cache import VectorCache; cache = VectorCache(sys.argv[1])\n"
        "for i in range(15): cache.put('f', {f'{sys.argv[2]} {i}': np.full(8, i, dtype=np.float32)})"
    )
    workers = [subprocess.Popen([sys.executable, "-c", program, str(cache.path), name]) for name in "abc"]
    assert [w.wait(timeout=60) for w in workers] == [0, 0, 0]
    wanted = [f"{name} {i}" for name in "abc" for i in range(15)]
    assert sorted(cache.get("f", wanted)) == sorted(wanted)


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert VectorCache.shared("text").path == tmp_path / "own" / "text.sqlite"
    monkeypatch.delenv("BASRELIEF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "basrelief"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "basrelief"
