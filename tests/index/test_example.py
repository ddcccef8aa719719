"""The example of indexing runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lancedb")

from support import REPOSITORY, load_script


def test_the_example_finds_the_mug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(REPOSITORY / "examples" / "shapes", tmp_path / "shapes")
    (tmp_path / "shapes" / "bad.glb").write_bytes(b"junk")
    example = load_script("examples/find_in_folder.py")
    assert example.find(tmp_path / "shapes", "a mug")[0] == "mug.ply"
    printed = capsys.readouterr().out
    assert printed.startswith(f"skipped {tmp_path / 'shapes' / 'bad.glb'}: bad.glb does not start with a complete glTF header")
    assert printed.count(" faces") == 3


@pytest.mark.slow
def test_the_example_runs_as_a_script(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "examples" / "shapes", tmp_path / "shapes")
    command = [sys.executable, str(REPOSITORY / "examples" / "find_in_folder.py"), str(tmp_path / "shapes"), "something", "to", "fly"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert len(done.stdout.splitlines()) == 3
    assert (tmp_path / "shapes.lance").is_dir()
