"""Places that cannot be written: one line and exit code 2 of every command, and nothing half beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from basrelief.cli.app import main
from basrelief.io import save
from basrelief.testing import make_shape, write_library


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["basrelief", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def chair(tmp_path: Path) -> Path:
    save(make_shape("chair"), tmp_path / "chair.ply")
    return tmp_path / "chair.ply"


@pytest.mark.parametrize(
    "words",
    [
        "render {chair} -o {bad}/sheet.png",
        "classify {chair} -l chair,table --picture {bad}/seen.png",
        "evaluate tiny folder --root {library} --limit 2 --fresh --out {bad}",
        "train adapter --root {library} --shots 1 --out {bad}/head.safetensors",
        "train pairs --root {library} --out {bad} --jobs 1 --size 32",
        "train depth-aligned source=shaded --root {library} --out {bad}",
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(
    words: str, chair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "file").touch()
    library = write_library(tmp_path / "library", ("chair", "mug"), each=1) if "library" in words else ""
    assert run(monkeypatch, *words.format(chair=chair, library=library, bad=tmp_path / "file").split()) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert errors[-1].startswith("basrelief: Cannot write "), errors
    assert "Traceback" not in "\n".join(errors)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_one_line(chair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sheet.png").symlink_to("/dev/full")
    assert run(monkeypatch, "render", str(chair), "-o", str(tmp_path / "sheet.png")) == 2
    assert "Cannot write" in capsys.readouterr().err


def test_a_file_that_grows_too_large_leaves_nothing_half(tmp_path: Path) -> None:
    """The system's limit on the size of a file stands for a full disk."""
    code = """
import resource, signal, sys
import torch
from basrelief.errors import OutputError
from basrelief.train.checkpoint import write_checkpoint
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_checkpoint(Path(sys.argv[1]), {"tower": torch.zeros(100_000)})
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "c.pt")], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"Cannot write '{tmp_path / 'c.pt'}': ")
    assert list(tmp_path.iterdir()) == []
