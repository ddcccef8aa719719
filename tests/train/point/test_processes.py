"""Two processes contrast all shapes of a step: equal networks, and the gradients of one process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from basrelief.train.contrast import symmetric_cross_entropy

GRADIENTS = """
import sys
import torch
from torch import distributed
from torch.nn import functional as F

from basrelief.train.contrast import gather_rows, symmetric_cross_entropy

distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(0)
weight, rows, goal = torch.randn(5, 3, requires_grad=True), torch.randn(8, 5), torch.randn(8, 3)
mask = torch.arange(8) % 3 > 0
own = slice(4 * rank, 4 * rank + 4)
features, texts, kept = gather_rows(rows[own] @ weight), gather_rows(goal[own]), gather_rows(mask[own])
assert kept.dtype == torch.bool
logits = 10 * F.normalize(features[kept], dim=1) @ F.normalize(texts[kept], dim=1).T
symmetric_cross_entropy(logits).backward()
distributed.all_reduce(weight.grad)
torch.save(weight.grad / 2, f"{sys.argv[1]}/{rank}.pt")
distributed.destroy_process_group()
"""

RUN = """
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path[:0] = [sys.argv[2]]
from support.small_points import register, small_spec
from train.point.conftest import SMALL, made_triplets
from basrelief.train.point.fit import Space, fit_point
from basrelief.train.run import RunContext, make_accelerator

torch.set_num_threads(1)
register(pytest.MonkeyPatch())
context = RunContext(make_accelerator("float32", cpu=True), Path(sys.argv[1]))
trained = fit_point(made_triplets(), settings=replace(SMALL, epochs=2), context=context, space=Space("none"), spec=small_spec())
torch.save(trained.state_dict(), f"{sys.argv[1]}/{context.accelerator.process_index}.pt")
torch.distributed.destroy_process_group()
"""


def run_two(script: str, out: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", script, str(out), str(Path(__file__).resolve().parents[2])]
    started = [
        subprocess.Popen(command, env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=170)
        assert process.returncode == 0, errors.decode()[-2000:]


@pytest.mark.slow
def test_gathered_rows_have_the_gradients_of_one_process(tmp_path: Path) -> None:
    run_two(GRADIENTS, tmp_path)
    torch.manual_seed(0)
    weight, rows, goal = torch.randn(5, 3, requires_grad=True), torch.randn(8, 5), torch.randn(8, 3)
    kept = torch.arange(8) % 3 > 0
    logits = 10 * F.normalize((rows @ weight)[kept], dim=1) @ F.normalize(goal[kept], dim=1).T
    symmetric_cross_entropy(logits).backward()
    assert weight.grad is not None
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt", weights_only=True), weight.grad)


@pytest.mark.slow
def test_two_processes_end_with_equal_networks(tmp_path: Path) -> None:
    run_two(RUN, tmp_path)
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], atol=0, rtol=0)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4], "one process writes"
