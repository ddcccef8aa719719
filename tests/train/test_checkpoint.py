"""Damaged and hostile checkpoints: refused with a clear message, never executed."""

from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError, OutputError, WeightsError
from basrelief.train import Clip2PointSettings
from basrelief.train.clip2point.settings import OptimiserSettings
from basrelief.train.clip2point.trainer import pretrain
from basrelief.train.lock import lock_run
from basrelief.train.log import Log
from basrelief.train.pairs.read import PairSet
from support.hostile_pickles import MakesFolder
from support.small_models import small_encoder

SETTINGS = Clip2PointSettings(batch_size=2, epochs=1, points=32, save_every=1, workers=1, optimiser=OptimiserSettings("adamw"))


class Pairs(PairSet):
    labels, keys, truth = ("a", "b"), ["0", "1", "2", "3"], [0, 1, 0, 1]

    def points(self, row: int) -> np.ndarray:
        return np.random.default_rng(row).normal(size=(32, 3)).astype(np.float32)

    def picture(self, row: int, view: int) -> np.ndarray:
        return np.full((32, 32, 3), 40 * row, dtype=np.uint8)


def train(out: Path) -> None:
    pretrain(Pairs(), small_encoder(), out=out, settings=SETTINGS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    train(out)
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello", "world")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:2000]),
        lambda path: path.write_bytes(b"just text"),
        _zip,
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"step": 1}, path),
    ],
)
def test_a_file_that_is_not_a_checkpoint_is_rejected(spoil: Callable[[Path], object], out: Path) -> None:
    spoil(out / "checkpoint.pt")
    with pytest.raises(
        (WeightsError, ConfigError),
        match=r"Cannot resume from '.*checkpoint\.pt': .*\. Remove the file|holds a run with other settings or data",
    ):
        train(out)


@pytest.mark.parametrize("by_torch", [True, False])
def test_checkpoints_never_execute_code(by_torch: bool, out: Path) -> None:
    content = torch.load(out / "checkpoint.pt", weights_only=True) | {"best": MakesFolder(out / "owned")}
    if by_torch:
        torch.save(content, out / "checkpoint.pt")
    else:
        (out / "checkpoint.pt").write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match="Cannot resume from"):
        train(out)
    assert not (out / "owned").exists()


def _tower(state: dict[str, Any]) -> dict[str, Any]:
    return state["tower"]  # type: ignore[no-any-return]


def _first(state: dict[str, Any]) -> dict[str, Any]:
    return state["optimiser"]["state"][0]  # type: ignore[no-any-return]


def _group(state: dict[str, Any]) -> dict[str, Any]:
    return state["optimiser"]["param_groups"][0]  # type: ignore[no-any-return]


NAN = float("nan")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda s: s.pop("tower"), "tower"),
        (lambda s: s.update(tower=7), "checkpoint.tower has other names"),
        (lambda s: _tower(s).update(more=torch.zeros(1)), "checkpoint.tower has other names: more"),
        (lambda s: _tower(s).update(logit_scale=torch.zeros(2)), r"logit_scale must have dimensions \(\), but has dimensions \(2,\)"),
        (lambda s: _tower(s).update(logit_scale=torch.tensor(NAN)), "checkpoint.tower.logit_scale holds NaN"),
        (lambda s: _tower(s).update(logit_scale="x"), "logit_scale must have .* is a str"),
        (lambda s: s.update(best="x"), "checkpoint.best is of type str; expected float"),
        (lambda s: s.update(best=NAN), "checkpoint.best is nan"),
        (lambda s: s.update(step=-1), "step -1 is not a step of this run"),
        (lambda s: s.update(step=10**9), "step 1000000000 is not a step of this run"),
        (lambda s: s.update(step=0.5), "step 0.5 is not a step of this run"),
        (lambda s: s.pop("optimiser"), "optimiser has no state"),
        (lambda s: s["optimiser"].update(state=[1]), "optimiser has no state"),
        (lambda s: s["optimiser"]["state"].update({999: {}}), "optimiser has a state for parameter 999"),
        (lambda s: s["optimiser"]["state"].update({"x": {}}), "optimiser has a state for parameter x"),
        (lambda s: _first(s).update(exp_avg=torch.zeros(3, 3)), "optimiser.0.exp_avg must have dimensions .* has dimensions"),
        (lambda s: _first(s)["exp_avg"].fill_(NAN), "optimiser.0.exp_avg holds NaN"),
        (lambda s: _first(s).update(exp_avg="x"), "optimiser.0.exp_avg must have dimensions .* is a str"),
        (lambda s: _first(s).pop("exp_avg"), "optimiser.1 has other names"),
        (lambda s: _group(s).update(lr="x"), "param_groups.0.lr is of type str; expected float"),
        (lambda s: _group(s).update(lr=NAN), "param_groups.0.lr is nan"),
        (lambda s: _group(s).update(params=[0]), "param_groups.0.params has other names"),
        (lambda s: _group(s)["params"].reverse(), "optimiser belongs to other parameters"),
        (lambda s: s["optimiser"].update(param_groups=[]), "optimiser.param_groups has other names"),
    ],
)
def test_mismatches_are_named(spoil: Callable[[dict[str, Any]], object], reason: str, out: Path) -> None:
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    spoil(state)
    torch.save(state, out / "checkpoint.pt")
    with pytest.raises(WeightsError, match=f"Cannot resume from '.*checkpoint.pt': .*{reason}.*Remove the file to start the run again"):
        train(out)


def test_leftovers_of_a_kill_are_removed(out: Path) -> None:
    (out / ".checkpoint.0123456789ab.pt").touch()
    train(out)
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_one_training_at_a_time_in_a_folder(out: Path) -> None:
    with lock_run(out), pytest.raises(ConfigError, match=r"Another training is running in '.*run'\. Wait for it, stop it, or name"):
        train(out)
    train(out)


def test_a_kill_releases_the_lock(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from basrelief.train.lock import lock_run\n"
    code += "with lock_run(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="Another training is running"), lock_run(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait(timeout=10)
    with lock_run(tmp_path):
        pass


def test_a_read_only_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write '.*file': .* choose another path"):
        train(tmp_path / "file")


def test_a_log_is_rewound_to_a_step(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path)
    for step in (1, 2, 3):
        log.write(step=step, loss=float("inf"))
    path.write_text(path.read_text() + '[1]\n{"step": "x"}\n{"step": 2, "sec')  # a stranger's lines, and one cut off by a kill
    Log(path).rewind(2)
    assert [line.partition(", ")[2] for line in path.read_text().splitlines()] == ['"step": 1, "loss": null}', '"step": 2, "loss": null}']
    Log(path).rewind(-1)
    assert path.read_text() == ""


def test_the_seconds_of_a_resumed_run_continue(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"seconds": 1000.0, "step": 1}\n')
    log = Log(tmp_path / "log.jsonl")
    log.rewind(1)
    log.write(step=2)
    assert '{"seconds": 1000.' in (tmp_path / "log.jsonl").read_text().splitlines()[1]
