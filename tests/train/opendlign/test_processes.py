"""The alignment on two processes, and after kills: the same curve and equal blocks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path[:0] = [sys.argv[2], sys.argv[3]]
from basrelief.train.opendlign.trainer import align
from conftest import SETTINGS, Made
from support.small_models import small_encoder

torch.set_num_threads(1)
out = Path(sys.argv[1])
trained = align(Made(out, shapes=16), small_encoder(), out=out, settings=replace(SETTINGS, epochs=int(sys.argv[4]), workers=1))
import os
torch.save(trained.towers.tuned_blocks.state_dict(), out / f"block{os.environ.get('RANK', 0)}.pt")
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
"""


def command(out: Path, epochs: int) -> list[str]:
    here = Path(__file__).resolve().parent
    return [sys.executable, "-c", SCRIPT, str(out), str(here), str(here.parents[1]), str(epochs)]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"} | more


@pytest.mark.slow
def test_a_run_killed_at_any_time_resumes_on_the_same_curve(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole, 6), env=environment(), check=True, timeout=150)
    for wanted in ("features/done.npy", "checkpoint.pt"):
        process = subprocess.Popen(command(killed, 6), env=environment(), stderr=subprocess.PIPE)
        until = time.monotonic() + 90
        while process.poll() is None and time.monotonic() < until and not (killed / wanted).is_file():
            time.sleep(0.002)
        process.kill()
        process.communicate()
    subprocess.run(command(killed, 6), env=environment(), check=True, timeout=150)
    one, other = (torch.load(folder / "block0.pt", weights_only=True) for folder in (whole, killed))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.slow
def test_two_processes_share_features_and_end_with_equal_blocks(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(command(tmp_path, 2), env=environment(**common, RANK=str(rank), LOCAL_RANK=str(rank)), stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=170)
        assert process.returncode == 0, errors.decode()[-2000:]
    one, other = (torch.load(tmp_path / f"block{rank}.pt", weights_only=True) for rank in range(2))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], atol=0, rtol=0)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 9)), "one process writes"
