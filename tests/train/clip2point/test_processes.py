"""Two processes of one run share every batch and end with equal weights."""

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
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, sys.argv[2])
from basrelief.train import Clip2PointSettings
from basrelief.train.clip2point.settings import OptimiserSettings
from basrelief.train.clip2point.trainer import pretrain
from basrelief.train.pairs.read import PairSet
from support.small_models import small_encoder

torch.set_num_threads(1)


class Made(PairSet):
    labels, keys, truth = ("a", "b"), [str(i) for i in range(8)], [0, 1] * 4

    def points(self, row):
        return np.random.default_rng(row).normal(size=(64, 3)).astype(np.float32)

    def picture(self, row, view):
        return np.full((32, 32, 3), (row * 23 + view * 7) % 256, dtype=np.uint8)


out = Path(sys.argv[1])
settings = Clip2PointSettings(batch_size=4, epochs=int(os.environ.get("EPOCHS", "2")), points=64, workers=1, save_every=2, optimiser=OptimiserSettings("adamw", lr=1e-3))
trained = pretrain(Made(), small_encoder(), out=out, settings=settings)
rank = int(os.environ.get("RANK", 0))
state = {n: t for n, t in trained.towers.state_dict().items()}
torch.save(state, out / f"tower{rank}.pt")
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(out: Path, processes: int, **more: str) -> list[subprocess.Popen[bytes]]:
    """What `torchrun --nproc_per_node N` starts, without its own waiting."""
    port, tests = free_port(), Path(__file__).resolve().parents[2]
    common = (
        os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)} | more
    )
    started = []
    for rank in range(processes):
        own = {} if processes == 1 else {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        started.append(subprocess.Popen([sys.executable, "-c", SCRIPT, str(out), str(tests)], env=common | own, stderr=subprocess.PIPE))
    return started


def run(out: Path, processes: int) -> None:
    """All of them, to their end."""
    for process in start(out, processes):
        _, errors = process.communicate(timeout=170)
        assert process.returncode == 0, errors.decode()[-2000:]


@pytest.mark.slow
def test_two_processes_end_with_equal_towers(tmp_path: Path) -> None:
    run(tmp_path / "two", 2)
    one, other = (torch.load(tmp_path / "two" / f"tower{rank}.pt", weights_only=True) for rank in range(2))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], atol=0, rtol=0)
    lines = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4], "one process writes"
    run(tmp_path / "one", 1)
    alone = torch.load(tmp_path / "one" / "tower0.pt", weights_only=True)
    assert any(not torch.equal(tensor, one[name]) for name, tensor in alone.items()), "one process contrasts twice as many shapes"


@pytest.mark.slow
def test_a_run_killed_at_any_time_resumes_on_the_same_curve(tmp_path: Path) -> None:
    run(tmp_path / "whole", 1)
    tests = Path(__file__).resolve().parents[2]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed"), str(tests)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until and not (tmp_path / "killed" / "checkpoint.pt").is_file():
        time.sleep(0.002)
    process.kill()
    process.communicate()
    run(tmp_path / "killed", 1)
    one, other = (torch.load(tmp_path / name / "tower0.pt", weights_only=True) for name in ("whole", "killed"))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name])


@pytest.mark.slow
def test_a_stop_request_to_one_process_stops_all(tmp_path: Path) -> None:
    started = start(tmp_path, 2, EPOCHS="2000")
    log = tmp_path / "log.jsonl"
    until = time.monotonic() + 90
    while time.monotonic() < until and not (log.is_file() and log.read_text().count("\n") > 2):
        time.sleep(0.05)
    started[1].terminate()
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode != 0
        assert b"KeyboardInterrupt" in errors
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == json.loads(log.read_text().splitlines()[-1])["step"]
    assert state["step"] < 4000
