"""A killed and resumed run gives the same card as an uninterrupted one."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from basrelief.encoders import VectorCache


def start(folder: Path, cache: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "basrelief", "evaluate", "tiny", "folder", "--root", str(folder), "-o", str(out), "--device", "cpu"]
    environment = os.environ | {"BASRELIEF_CACHE": str(cache)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> int:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return process.returncode


def card(out: Path) -> dict[str, object]:
    (path,) = out.glob("*/card.json")
    found = json.loads(path.read_text())
    for own in ("run", "command"):
        found.pop(own)
    assert isinstance(found, dict)
    return found


def kept(cache: Path) -> int:
    """Embeddings on disk."""
    if not (cache / "shapes.sqlite").is_file():
        return 0
    try:
        with sqlite3.connect(cache / "shapes.sqlite", timeout=5) as base:
            (table,) = base.execute("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 1").fetchone()
            number = base.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    except (sqlite3.OperationalError, TypeError):
        return 0
    else:
        base.close()
        return int(number)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_card(folder: Path, tmp_path: Path) -> None:
    finish(start(folder, tmp_path / "whole", tmp_path / "a"))
    process = start(folder, tmp_path / "killed", tmp_path / "b")
    until = time.monotonic() + 60
    while kept(tmp_path / "killed") == 0 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    after_kill = kept(tmp_path / "killed")
    finish(start(folder, tmp_path / "killed", tmp_path / "b"))
    assert card(tmp_path / "b") == card(tmp_path / "a")
    assert 0 < after_kill <= kept(tmp_path / "killed") == kept(tmp_path / "whole")


WRITER = """
import sys
import numpy as np
from pathlib import Path
from basrelief.encoders import VectorCache
cache = VectorCache(Path(sys.argv[1]))
for i in range(40):
    cache.put("print", {f"{sys.argv[2]} {i}": np.full(8, i, dtype=np.float32)})
"""


def test_two_processes_can_write_the_cache_at_once(tmp_path: Path) -> None:
    path = tmp_path / "shapes.sqlite"
    both = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stderr=subprocess.PIPE) for name in ("one", "other")]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    found = VectorCache(path).get("print", [f"{name} {i}" for name in ("one", "other") for i in range(40)])
    assert len(found) == 80
    assert all((vector == int(name.split()[1])).all() for name, vector in found.items())


@pytest.mark.slow
def test_a_damaged_cache_changes_no_result(folder: Path, tmp_path: Path) -> None:
    finish(start(folder, tmp_path / "cache", tmp_path / "a"))
    (tmp_path / "cache" / "shapes.sqlite").write_bytes(b"not a data base" * 100)
    finish(start(folder, tmp_path / "cache", tmp_path / "b"))
    assert card(tmp_path / "b") == card(tmp_path / "a")


@pytest.mark.parametrize("dim", [1, 512])
def test_cached_vectors_are_bit_identical(dim: int, tmp_path: Path) -> None:
    vector = np.random.default_rng(0).normal(size=dim).astype(np.float32)
    cache = VectorCache(tmp_path / "shapes.sqlite")
    cache.put("print", {"a": vector})
    np.testing.assert_array_equal(VectorCache(tmp_path / "shapes.sqlite").get("print", ["a"])["a"], vector)
    assert VectorCache(tmp_path / "shapes.sqlite").get("other", ["a"]) == {}
