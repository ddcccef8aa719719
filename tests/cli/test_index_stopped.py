"""`basrelief index` with several folders and an axis; stopped by Ctrl-C and run again; `--help` stays fast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("lancedb")

from basrelief.index import Index
from basrelief.io import save
from basrelief.shapes import make_shape

from .conftest import Run

COMMAND = [sys.executable, "-m", "basrelief", "index"]


def _shapes(folder: Path, count: int, name: str = "chair") -> Path:
    folder.mkdir(parents=True)
    for seed in range(count):
        save(make_shape(name, seed=seed), folder / f"{seed}.stl")
    return folder


def test_several_folders_and_an_axis(run: Run, tmp_path: Path) -> None:
    one, other = _shapes(tmp_path / "one", 1), _shapes(tmp_path / "other", 2, "mug")
    ended = run("index", one, other, "--db", tmp_path / "lib.lance", "--jobs", 1, "--up", "y", "--json")
    assert ended.code == 0, ended.err
    assert [json.loads(line)["read"] for line in ended.out.splitlines()] == [1, 2]
    ended = run("index", one, "--db", tmp_path / "plain.lance", "--jobs", 1)
    assert ended.code == 0, ended.err
    heights = []
    for library in ("lib.lance", "plain.lance"):
        rows = Index.open(tmp_path / library).tables.rows("path", [str(one / "0.stl")], columns=["depth", "height"])
        heights.append((rows[0]["depth"], rows[0]["height"]))
    assert heights[0] == pytest.approx(heights[1][::-1], rel=1e-5)


@pytest.mark.slow
def test_a_run_stopped_by_ctrl_c_resumes(tmp_path: Path) -> None:
    files = _shapes(tmp_path / "files", 160)
    library = tmp_path / "lib.lance"
    command = [*COMMAND, str(files), "--db", str(library), "--jobs", "1"]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
            if len(list(library.glob("shapes.lance/_versions/*.manifest"))) > 1:  # the empty table, then 64 rows; quicker than to open it
                process.send_signal(signal.SIGINT)
                break
        process.wait(timeout=20)
    kept = len(Index.open(library))
    assert process.returncode == 130
    assert 0 < kept < 160
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=240, check=False)
    report = json.loads(done.stdout)
    assert (report["read"], report["unchanged"]) == (160 - kept, kept)
    assert len(Index.open(library)) == 160


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['basrelief', 'search', '--help']\nfrom basrelief.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\nprint([name for name in ('torch', 'lancedb', 'gradio', 'pyarrow') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
