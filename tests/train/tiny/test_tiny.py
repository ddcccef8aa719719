"""The whole run: files in, weights out, resumed; the command and its script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from basrelief.encoders import load_encoder_folder
from basrelief.train import tiny
from basrelief.train.tiny import train, training_shapes
from basrelief.train.tiny.settings import Settings
from support import REPOSITORY

SMALL = Settings(hours=1.0, text_steps=2, furniture=1, others=1, batch=4)


@pytest.fixture
def two_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "HELD_OUT", ("second pack",))
    monkeypatch.setattr(tiny, "CATEGORIES", ("chair", "mug"))


@pytest.mark.usefixtures("two_packs")
def test_training_shapes_are_files_and_generated_ones(folder: Path) -> None:
    found = training_shapes(folder, replace(SMALL, furniture=3, others=2), points=64)
    assert found.names == ("chair", "mug", "street light")
    assert torch.bincount(found.label).tolist() == [5, 2, 2]


@pytest.mark.usefixtures("two_packs")
def test_training_writes_weights_and_resumes(folder: Path, clip_text: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, hours=1e-9)
    train(folder, clip_text, out=tmp_path, settings=settings)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["stage"] for r in records] == ["data", "text", "text", "vision", "held out"]
    assert load_encoder_folder(tmp_path).encode_text(["a chair"]).shape == (1, 512)
    first = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    again = train(folder, clip_text, out=tmp_path, settings=replace(settings, hours=(first["elapsed"] + 1e-3) / 3600))
    later = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()][len(records) :]
    assert later[0]["stage"] == "data"
    assert "text" not in {r["stage"] for r in later}
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] > first["step"]
    assert again.name == "tiny"


def test_the_command_explains_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "basrelief.train.tiny", "--help"], capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=120
    )
    for option in ("--shapes", "--clip-text", "--out", "--hours", "--seed", "--device"):
        assert option in done.stdout


def test_the_script_runs_that_command() -> None:
    script = (REPOSITORY / "runs" / "tiny.sh").read_text(encoding="utf-8")
    assert "-m basrelief.train.tiny --shapes" in script
    done = subprocess.run(["sh", str(REPOSITORY / "runs" / "tiny.sh")], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "Usage: runs/tiny.sh SHAPES CLIP_TEXT OUT" in done.stdout


@pytest.mark.slow
def test_two_processes_train_one_model(folder: Path, clip_text: Path, tmp_path: Path) -> None:
    program = f"""
import basrelief.train.tiny as tiny, torch.distributed as dist
from pathlib import Path
from basrelief.train.tiny.settings import Settings
tiny.HELD_OUT, tiny.CATEGORIES = ("second pack",), ("chair", "mug")
dist.init_process_group("gloo")
settings = Settings(hours=1e-9, text_steps=1, furniture=1, others=1, batch=2)
trained = tiny.train(Path({str(folder)!r}), Path({str(clip_text)!r}), out=Path({str(tmp_path)!r}), settings=settings)
Path({str(tmp_path)!r}, f"rank{{tiny.rank()}}").write_text(trained.fingerprint)
"""
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(tmp_path / "program.py")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rank0").read_text() == (tmp_path / "rank1").read_text()
