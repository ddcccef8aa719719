"""The training loop: resumable steps, a log, checkpoints, validation, and a clean stop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from basrelief.errors import ConfigError, MissingExtraError
from basrelief.output import make_folder, output_errors, remove_temporary_files
from basrelief.train.checkpoint import check_matches, damaged_checkpoint, load_optimiser, read_checkpoint, write_checkpoint
from basrelief.train.config import PRECISIONS, TrainingSettings, settings_record
from basrelief.train.log import Log
from basrelief.train.stopping import StopSignal
from basrelief.train.validation import evaluation_mode

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
_CHECKPOINT, _TENSORBOARD = "checkpoint.pt", "tensorboard"


@dataclass(frozen=True)
class RunContext:
    """Where a run computes and writes.

    Attributes:
        accelerator: From `make_accelerator`.
        out: Folder of the run.
        echo: Whether to write the log to stderr, too.
    """

    accelerator: Accelerator
    out: Path
    echo: bool = False


class TrainingRun(ABC, Generic[T]):
    """A training run in a folder: `checkpoint.pt`, `log.jsonl`, and TensorBoard events if TensorBoard is installed.

    A subclass prepares network and optimiser, takes single steps, and says what a checkpoint holds. What a step reads depends on the seed
    and the step alone, so an interrupted run resumes on the same curve.

    Attributes:
        network: Module that is trained; in evaluation mode before and after `run`.
        optimiser: Its optimiser.
        settings: Settings of the run.
        step: Steps taken so far.
        best: Best validation accuracy so far; -1 without one.
        steps_per_epoch: Steps of an epoch.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    settings: TrainingSettings
    export_best = True
    """Whether to export the weights of the best validation; otherwise the last ones, and validation is only logged."""

    def __init__(self, settings: TrainingSettings, context: RunContext, *, rows: int) -> None:
        make_folder(context.out)
        self.settings, self.accelerator, self.out, self.total_rows = settings, context.accelerator, context.out, rows
        self.log = Log(self.out / "log.jsonl", echo=context.echo) if self.accelerator.is_main_process else None
        self._tensorboard: Any = None
        self.step, self.best = 0, -1.0
        self.steps_per_epoch = rows // settings.batch_size

    def prefetch(self, step: int) -> list[Future[T]]:
        """Start reading this process's part of a batch in the background; the default reads nothing ahead."""
        return []

    @abstractmethod
    def train_step(self, content: list[T]) -> Any:  # noqa: ANN401 - a named tuple of losses
        """Take one step on what `prefetch` read and return its losses, a named tuple."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside step, best accuracy, settings and optimisers."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load what `state` returned."""

    @abstractmethod
    def export(self) -> None:
        """Write the trained weights."""

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.settings.epochs

    def batch_indices(self, step: int) -> list[int]:
        """Return this process's rows of a step's batch; every epoch shuffles all rows, by seed and epoch."""
        epoch, inside = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(self.total_rows)
        rows = order[inside * self.settings.batch_size : (inside + 1) * self.settings.batch_size]
        own: list[int] = rows[self.accelerator.process_index :: self.accelerator.num_processes].tolist()
        return own

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Every optimiser, by its name in a checkpoint."""
        return {"optimiser": self.optimiser}

    def train_mode(self) -> None:
        """Set the mode of every part for training.

        The default is evaluation mode: fine-tuned towers keep their batch norm statistics, so that training and inference agree and the
        result does not depend on how a batch is divided among steps and processes. CLIP's transformers are the same in both modes.
        """
        self.network.eval()

    def run(self, validate: Callable[[], float] | None, stop: StopSignal) -> None:
        """Train to the end, or until `stop` is requested; then save first.

        Args:
            validate: Returns an accuracy in [0, 1]; called every `validate_every` epochs, in evaluation mode.
            stop: Checked after every step.

        Raises:
            KeyboardInterrupt: When stopped, after the checkpoint is written.
            OutputError: If a file cannot be written.
        """
        self.train_mode()
        try:
            self._train(validate, stop)
        finally:
            self.network.eval()
            if self._tensorboard is not None:
                self._tensorboard.close()

    def _train(self, validate: Callable[[], float] | None, stop: StopSignal) -> None:
        """Take the remaining steps, reading one batch ahead.

        Checkpoints are written only between optimiser steps: accumulated gradients would be lost.
        """
        total, saved = self.total_steps, self.step
        ahead = self.prefetch(self.step) if self.step < total else []
        while self.step < total:
            batch, ahead = ahead, self.prefetch(self.step + 1) if self.step + 1 < total else []
            losses = self.train_step([job.result() for job in batch])
            self.step += 1
            self.write("train", **losses._asdict())
            epoch, inside = divmod(self.step, self.steps_per_epoch)
            if inside == 0 and (epoch % self.settings.validate_every == 0 or self.step == total):
                self._validate(validate, last=self.step == total)
            stopped = self._any_process(stop.requested)
            between = self.step % self.settings.accumulate == 0 or self.step == total
            if between and (stopped or self.step - saved >= self.settings.save_every or self.step == total):
                self.save()
                saved = self.step
            if between and stopped:
                raise KeyboardInterrupt

    def save(self) -> None:
        """Write the checkpoint atomically."""
        if not self.accelerator.is_main_process:
            return
        own = {"step": self.step, "best": self.best, "settings": settings_record(self.settings), "rows": self.total_rows}
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        write_checkpoint(self.out / _CHECKPOINT, {**self.state(), **optimisers, **self._scaler(), **own})

    def restore(self) -> None:
        """Resume from the checkpoint, if there is one; later records of the log are dropped, as their steps are repeated.

        Raises:
            ConfigError: If it belongs to other settings or data.
            WeightsError: If it is damaged.
        """
        path = self.out / _CHECKPOINT
        if path.is_file():
            self._load_checkpoint(path)
        if self.log is not None:
            self.log.rewind(self.step)
            remove_temporary_files(path)

    def _load_checkpoint(self, path: Path) -> None:
        state = read_checkpoint(path, device=self.accelerator.device)
        if state.get("settings") != settings_record(self.settings) or state.get("rows") != self.total_rows:
            raise ConfigError(f"Folder {self.out.name!r} holds a run with other settings or data. Name another folder with --out.")
        own = {**self.state(), **self._scaler()}
        check_matches(
            {**own, "step": 0, "best": 0.0}, {name: state.get(name) for name in (*own, "step", "best")}, path=path, where="checkpoint"
        )
        step = state["step"]
        if not isinstance(step, int) or not 0 <= step <= self.total_steps or (step % self.settings.accumulate and step != self.total_steps):
            raise damaged_checkpoint(path, f"step {step} is not a step of this run")
        for name, optimiser in self.optimisers.items():
            load_optimiser(optimiser, state.get(name), path=path, where=name)
        self.load_state(state)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.best = step, float(state["best"])

    def _scaler(self) -> dict[str, Any]:
        """State of the gradient scaler of float16."""
        return {} if self.accelerator.scaler is None else {"scaler": self.accelerator.scaler.state_dict()}

    def write(self, stage: str, **values: Tensor | float) -> None:
        """Write a record to the log."""
        if self.log is None:
            return
        numbers = {name: value.item() if isinstance(value, Tensor) else value for name, value in values.items()}
        self.log.write(stage=stage, step=self.step, lr=self.optimiser.param_groups[0]["lr"], **numbers)
        with output_errors(self.out / _TENSORBOARD):
            self._tensorboard = self._tensorboard or _open_tensorboard(self.out / _TENSORBOARD, step=self.step)
            for name, number in numbers.items() if self._tensorboard else ():
                self._tensorboard.add_scalar(f"{stage}/{name}", number, self.step)

    def _any_process(self, flag: bool) -> bool:
        """Whether the flag is set in any process, so that all stop after the same step; a process left alone would wait forever."""
        if self.accelerator.num_processes == 1:
            return flag
        total = torch.tensor(float(flag), device=self.accelerator.device)
        return bool(self.accelerator.reduce(total) > 0)

    def _validate(self, validate: Callable[[], float] | None, *, last: bool) -> None:
        """Validate, and export the weights if they are the best so far, or the last where validation does not choose."""
        if not self.accelerator.is_main_process:
            return
        if validate is not None:
            with evaluation_mode(self.network, device=self.accelerator.device):
                accuracy = validate()
            self.write("validation", accuracy=accuracy)
            chosen = accuracy > self.best
            self.best = max(self.best, accuracy)
            if not chosen and self.export_best:
                return
        if not last and (validate is None or not self.export_best):
            return
        self.export()


def derive_seed(*parts: int) -> int:
    """Return a seed that depends on several numbers."""
    return int(np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of weights and dropout, which take none of their own; afterwards their state is as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def make_accelerator(precision: str, *, accumulate: int = 1, cpu: bool = False) -> Accelerator:
    """Return an `accelerate.Accelerator` for one run.

    Args:
        precision: `float32`, `bfloat16` or `float16`.
        accumulate: Steps whose gradients are accumulated.
        cpu: Whether to ignore a GPU.

    Raises:
        MissingExtraError: If accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training needs accelerate. Run: pip install basrelief[train]") from error
    AcceleratorState._reset_state()  # shared by the process; an earlier run may have had another precision
    return Accelerator(mixed_precision=PRECISIONS[precision], gradient_accumulation_steps=accumulate, cpu=cpu)


def check_batch_size(batch_size: int, rows: int, *, processes: int, what: str) -> None:
    """Check that there are enough rows for a batch, and that every process gets at least two.

    Raises:
        ConfigError: If not.
    """
    if rows < batch_size:
        raise ConfigError(f"batch_size is {batch_size}, but there are only {rows} {what}. Lower batch_size.")
    if batch_size % processes or batch_size // processes < 2:
        rule = f"a multiple of the number of processes, {processes}, with at least 2 rows for each"
        raise ConfigError(f"batch_size is {batch_size}; it must be {rule}. Change batch_size.")


def _open_tensorboard(folder: Path, *, step: int) -> Any:  # noqa: ANN401 - optional
    """Open TensorBoard's writer if TensorBoard is installed; events of an interrupted run from this step on are hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)
