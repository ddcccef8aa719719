"""The loop that every training shares: batches that depend on the step alone, a log, checkpoints, validation, and how it stops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from basrelief.datasets import Benchmark
from basrelief.encoders import ClipEncoder
from basrelief.errors import ConfigError, MissingExtraError
from basrelief.models import Embedder, Model
from basrelief.output import make_folder, output_errors, remove_parts
from basrelief.train.checkpoint import check_matches, damaged_checkpoint, load_optimiser, read_checkpoint, write_checkpoint
from basrelief.train.config import settings_record
from basrelief.train.log import Log
from basrelief.train.modes import evaluation
from basrelief.train.stopping import StopSignal

if TYPE_CHECKING:
    from accelerate import Accelerator

PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
"""Names of ours, and those of accelerate."""
Validate = Callable[[ClipEncoder], float]
"""Zero-shot accuracy of an encoder on validation shapes, in [0, 1]."""
T = TypeVar("T")
_CHECKPOINT, _BOARD = "checkpoint.pt", "tensorboard"


@runtime_checkable
class RunSettings(Protocol):
    """What every recipe of a training says."""

    batch: int
    accumulate: int
    epochs: int
    precision: str
    save_every: int
    validate_every: int
    seed: int


class TrainingRun(ABC, Generic[T]):
    """A run and where it is written: `checkpoint.pt`, `log.jsonl`, TensorBoard's events where it is installed.

    Attributes:
        encoder: What validation judges.
        settings: The recipe.
        step: Steps done.
        best: Accuracy of the best validation.
        per_epoch: Steps of an epoch.
    """

    encoder: ClipEncoder
    optimiser: torch.optim.Optimizer
    export_best = True
    """Whether validation chooses what is kept; otherwise it is only written down, and the last is kept."""

    def __init__(self, settings: Any, accelerator: Accelerator, out: Path, *, rows: int, echo: bool) -> None:  # noqa: ANN401 - a recipe
        make_folder(out)
        self.settings, self.accelerator, self.out, self.total_rows = settings, accelerator, out, rows
        self.log = Log(out / "log.jsonl", echo=echo) if accelerator.is_main_process else None
        self._board: Any = None
        self.step, self.best = 0, -1.0
        self.per_epoch = rows // settings.batch

    @abstractmethod
    def prefetch(self, step: int) -> list[Future[T]]:
        """Start reading this process's part of a step's batch."""

    @abstractmethod
    def train_step(self, content: list[T]) -> Any:  # noqa: ANN401 - a named tuple of losses
        """One step; its losses by name."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside step, best, settings and optimiser."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's content."""

    @abstractmethod
    def export(self) -> None:
        """Write what was trained under its name."""

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        total: int = self.per_epoch * self.settings.epochs
        return total

    def batch_indices(self, step: int) -> list[int]:
        """This process's rows of a step, in an order drawn for each epoch; they depend on seed and step alone."""
        epoch, inside = divmod(step, self.per_epoch)
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(self.total_rows)
        rows = order[inside * self.settings.batch : (inside + 1) * self.settings.batch]
        own: list[int] = rows[self.accelerator.process_index :: self.accelerator.num_processes].tolist()
        return own

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Every optimiser by its name in a checkpoint."""
        return {"optimiser": self.optimiser}

    def train_mode(self) -> None:
        """Put every part in the mode it is trained in.

        Here that is evaluation mode: towers that are fine-tuned keep the statistics of their batch norms, so that what is trained is what
        is used later, and does not depend on how a batch is divided among steps and processes. CLIP's transformers are the same in both.
        """
        self.encoder.towers.eval()

    def run(self, validate: Validate | None, stop: StopSignal) -> None:
        """Train to the end; when asked to stop, save and do. The encoder is in evaluation mode afterwards.

        Raises:
            KeyboardInterrupt: When asked to stop and everything is saved.
            OutputError: If something cannot be written.
        """
        self.train_mode()
        try:
            self._train(validate, stop)
        finally:
            self.encoder.towers.eval()
            if self._board is not None:
                self._board.close()

    def _train(self, validate: Validate | None, stop: StopSignal) -> None:
        """Take the steps that are left, reading one batch ahead.

        A checkpoint is written only where no gradient waits for others to be added: what waits would be lost.
        """
        total, saved = self.steps, self.step
        ahead = self.prefetch(self.step) if self.step < total else []
        while self.step < total:
            batch, ahead = ahead, self.prefetch(self.step + 1) if self.step + 1 < total else []
            losses = self.train_step([job.result() for job in batch])
            self.step += 1
            self.write("train", **losses._asdict())
            epoch, inside = divmod(self.step, self.per_epoch)
            if inside == 0 and (epoch % self.settings.validate_every == 0 or self.step == total):
                self._validate(validate, last=self.step == total)
            stopped = self._any_process(stop.requested)
            settled = self.step % self.settings.accumulate == 0 or self.step == total
            if settled and (stopped or self.step - saved >= self.settings.save_every or self.step == total):
                self.save()
                saved = self.step
            if settled and stopped:
                raise KeyboardInterrupt

    def save(self) -> None:
        """Write the checkpoint whole, or not at all."""
        if not self.accelerator.is_main_process:
            return
        own = {"step": self.step, "best": self.best, "settings": settings_record(self.settings), "rows": self.total_rows}
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        write_checkpoint(self.out / _CHECKPOINT, {**self.state(), **optimisers, **self._scaler(), **own})

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one; records of the log after it are dropped, as its steps are taken again.

        Raises:
            ConfigError: If it is of other settings or data.
            WeightsError: If it is damaged.
        """
        path = self.out / _CHECKPOINT
        if path.is_file():
            self._load_checkpoint(path)
        if self.log is not None:
            self.log.rewind(self.step)
            remove_parts(path)

    def _load_checkpoint(self, path: Path) -> None:
        state = read_checkpoint(path, device=self.accelerator.device)
        if state.get("settings") != settings_record(self.settings) or state.get("rows") != self.total_rows:
            raise ConfigError(
                f"out must hold a run with these settings and data, but got others in {self.out.name!r}. Name another folder."
            )
        own = {**self.state(), **self._scaler()}
        check_matches(
            {**own, "step": 0, "best": 0.0}, {name: state.get(name) for name in (*own, "step", "best")}, path=path, where="checkpoint"
        )
        step = state["step"]
        if not isinstance(step, int) or not 0 <= step <= self.steps or (step % self.settings.accumulate and step != self.steps):
            raise damaged_checkpoint(path, f"step {step} is none of this run")
        for name, optimiser in self.optimisers.items():
            load_optimiser(optimiser, state.get(name), path=path, where=name)
        self.load_state(state)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.best = step, float(state["best"])

    def _scaler(self) -> dict[str, Any]:
        """What float16 multiplies losses with, where it does."""
        return {} if self.accelerator.scaler is None else {"scaler": self.accelerator.scaler.state_dict()}

    def write(self, stage: str, **values: Tensor | float) -> None:
        """One line of the log."""
        if self.log is None:
            return
        numbers = {name: value.item() if isinstance(value, Tensor) else value for name, value in values.items()}
        self.log.write(stage=stage, step=self.step, rate=self.optimiser.param_groups[0]["lr"], **numbers)
        with output_errors(self.out / _BOARD):
            self._board = self._board or _open_board(self.out / _BOARD, step=self.step)
            for name, number in numbers.items() if self._board else ():
                self._board.add_scalar(f"{stage}/{name}", number, self.step)

    def _any_process(self, asked: bool) -> bool:
        """Whether any process was asked to stop: all leave after the same step, or those left behind would wait for ever."""
        if self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag) > 0)

    def _validate(self, validate: Validate | None, *, last: bool) -> None:
        """Keep what was trained where it is the best so far, or the last where nothing chooses."""
        if not self.accelerator.is_main_process:
            return
        if validate is not None:
            with evaluation(self.encoder.towers, device=self.accelerator.device):
                found = validate(self.encoder)
            self.write("validation", accuracy=found)
            chosen = found > self.best
            self.best = max(self.best, found)
            if not chosen and self.export_best:
                return
        if not last and (validate is None or not self.export_best):
            return
        self.export()


def zero_shot_accuracy(model: Model, benchmark: Benchmark) -> Validate:
    """A validation: the share of a benchmark's shapes that an encoder names rightly, zero-shot as the model does it.

    Shapes that cannot be read are left out. They are read and drawn each time, a few at once, so that memory does not grow.

    Args:
        model: Its recipe draws, prompts and pools; the encoder is put in place of its own.
        benchmark: Validation shapes, e.g. the test names of ShapeNet-55.
    """
    labels = model.encode_labels(benchmark.labels)

    def validate(encoder: ClipEncoder) -> float:
        hits = []
        current = Model(model.recipe, encoder, prompter=model.prompter)
        for part in Embedder(current).embed_chunks(benchmark):
            scores = current.score_views(torch.from_numpy(part.views), labels).scores
            hits += (scores.argmax(dim=1).cpu().numpy() == part.truth).tolist()
        if not hits:
            raise ConfigError(
                f"benchmark must hold a shape that can be read, but got none of {len(benchmark)}. Run basrelief doctor on it."
            )
        return sum(hits) / len(hits)

    return validate


def derive_seed(*parts: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)[0] >> 1)


def make_accelerator(precision: str, *, accumulate: int = 1, cpu: bool = False) -> Accelerator:
    """accelerate's, for this run alone.

    Args:
        precision: One of `PRECISIONS`.
        accumulate: Steps whose gradients are added.
        cpu: Whether a GPU is left alone.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ModuleNotFoundError as error:
        raise MissingExtraError("training must run with accelerate, but it is not installed. Install basrelief[train].") from error
    AcceleratorState._reset_state()  # it is one for the process, and a run before this one may have had another precision
    return Accelerator(mixed_precision=PRECISIONS[precision], gradient_accumulation_steps=accumulate, cpu=cpu)


def check_batch(batch: int, rows: int, *, processes: int, what: str) -> None:
    """Check that a batch can be drawn and contrasted.

    Raises:
        ConfigError: If there are fewer rows than a batch, or a process would get fewer than two.
    """
    if rows < batch or batch % processes or batch // processes < 2:
        got = f"{batch} for {rows} {what} and {processes} process(es)"
        raise ConfigError(f"batch must be at most the number of {what}, and 2 or more for each process, but got {got}. Set batch=N.")


def _open_board(folder: Path, *, step: int) -> Any:  # noqa: ANN401 - optional
    """TensorBoard's writer, where it is installed; what an interrupted run wrote of this step and later ones is hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)
