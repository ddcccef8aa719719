"""Unwritable outputs: every command prints one line, exits with code 2 and leaves no partial file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from basrelief.cli.app import main
from basrelief.datasets import open_benchmark
from basrelief.encoders.tuned import FORMAT
from basrelief.io import save
from basrelief.models import Model, get_recipe
from basrelief.shapes import make_shape, write_library
from support.small_models import small_encoder


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
def test_an_unwritable_path_is_one_line(
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("render {chair} --points 999999999999 -o {out}/s.png", "points is 999,999,999,999; the limit is"),
        ("render {chair} --seed -1 -o {out}/s.png", "Invalid value for '--seed'"),
        ("render {chair} --seed 99999999999999999999 -o {out}/s.png", "Invalid value for '--seed'"),
        ("classify {chair} -l a,b --device meta", "Device 'meta' is not available"),
        ("evaluate tiny folder --root {out} --points 999999999999", "points is 999,999,999,999; the limit is"),
        ("train clip2point --pairs {out} -o {out}/run seed=-1", "seed is -1; it must not be negative"),
        ("train depth-aligned source=shaded size=100000 --root {out} -o {out}/run", "a size of 8 to 2,048"),
        ("train depth-aligned diffusion.size=100000 --root {out} -o {out}/run", "it must be a multiple of 8, at most 2,048"),
        (
            "train pairs --size 100000 --root {library} -o {out}/run",
            "size, points and supersample are 100000, 8192 and 2; they must be at most",
        ),
    ],
)
def test_absurd_requests_are_refused_at_once(
    words: str, said: str, chair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    library = write_library(tmp_path / "library", ("chair", "mug"), each=1) if "library" in words else ""
    assert run(monkeypatch, *words.format(chair=chair, library=library, out=tmp_path).split()) == 2
    assert said in " ".join(capsys.readouterr().err.replace("│", "").split())


HOSTILE = {
    "zero.pt": b"",
    "text.pt": b"just text",
    "deep.json": b"[" * 100_000,
    "null.json": b"\0\xff",
}


@pytest.mark.parametrize("name", [*HOSTILE, "deep.safetensors", "absent.pt", "folder"])
@pytest.mark.parametrize(
    "words",
    [
        "classify {chair} -l chair,table -m clip2point --checkpoint {bad} --weights {bad}",
        "classify {chair} --adapter {bad}",
        "classify {chair} -l chair,table --calibration {bad}",
        "train clip2point --pairs {bad} -o {out}",
        "train opendlign {bad} -o {out}",
        "train filter {bad}",
        "train clip2point --pairs {bad} --recipe {bad} -o {out}",
        "train tiny --shapes {bad} --clip-text {bad} -o {out}",
        "evaluate tiny auto --root {bad}",
        "doctor {bad}",
        "doctor tiny --checkpoint {bad}",
    ],
)
def test_a_missing_file_is_one_line(
    words: str, name: str, chair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / name
    if name == "folder":
        bad.mkdir()
    elif name == "deep.safetensors":
        save_file({"tuned_blocks.0.a": torch.zeros(3)}, bad, metadata={"format": FORMAT, "tuned": "[" * 100_000})
    elif name in HOSTILE:
        bad.write_bytes(HOSTILE[name])
    code = run(monkeypatch, *words.format(chair=chair, bad=bad, out=tmp_path / "out").split())
    told = capsys.readouterr()
    if words.startswith("doctor"):
        assert code in (1, 2)
        assert ("wrong" in told.out) == (code == 1)
        assert told.err.startswith("basrelief: ") == (code == 2)
    else:
        assert code == 2
        assert told.err.strip().splitlines()[-1].startswith("basrelief: ")
        assert "Aborted" not in told.err


def test_an_empty_checkpoint_of_a_run_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from basrelief.train import PairMaker, make_records
    from basrelief.train.pairs.draw import PairSettings

    library = open_benchmark(write_library(tmp_path / "library", ("chair", "mug"), each=1), "folder")
    make_records(library, tmp_path / "pairs", maker=PairMaker(PairSettings(size=16, points=64, supersample=1)))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"")
    monkeypatch.setattr("basrelief.evaluate.sources.load_model", lambda *_, **__: Model(get_recipe("clip2point-untuned"), small_encoder()))
    assert run(monkeypatch, "train", "clip2point", "--pairs", str(tmp_path / "pairs"), "-o", str(tmp_path / "run"), "batch_size=2") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("basrelief: Cannot resume from")
