"""The loop of the alignment: the tuned block alone is worked out in a step, everything before it was once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from basrelief.encoders import ClipEncoder, load_tuned, save_tuned
from basrelief.errors import ConfigError
from basrelief.models import Model, with_projection, with_tuned_views
from basrelief.models.recipe import NORMALISATIONS
from basrelief.train.config import settings_record
from basrelief.train.depth_aligned import AlignedSet
from basrelief.train.lock import lock_run
from basrelief.train.opendlign.features import FeatureStore, Row
from basrelief.train.opendlign.objective import AlignmentLosses, alignment_losses, alignment_optimiser
from basrelief.train.opendlign.settings import OpenDlignSettings
from basrelief.train.records import Progress
from basrelief.train.run import TrainingRun, Validate, check_batch, make_accelerator
from basrelief.train.stopping import StopSignal

if TYPE_CHECKING:
    from accelerate import Accelerator

TUNED_FILE = "tuned_block.safetensors"
"""Name of what a run leaves."""


@dataclass(frozen=True)
class TrainOptions:
    """What is beside the training itself.

    Attributes:
        cache: Folder of the features; `features` in that of the run when None. Runs on the same tower and set may share one.
        notes: What the file of the tuned block says of itself beside the settings: recipe, data.
        progress: Told while features are worked out.
        echo: Whether the log goes to stderr, too.
        cpu: Whether a GPU is left alone.
    """

    cache: Path | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress | None = None
    echo: bool = False
    cpu: bool = False


class Aligner(nn.Module):
    """The tuned branch from the trunk's tokens to losses.

    Attributes:
        encoder: With tuned blocks, whose attention is trained in place; all else is frozen.
    """

    def __init__(self, encoder: ClipEncoder, *, blocks: int = 1, residual: bool = True, distance: float = 1.0) -> None:
        super().__init__()
        self.encoder = copy.copy(encoder)
        self.encoder.towers = self.towers = copy.deepcopy(encoder.towers)
        self.towers.add_tuned_blocks(blocks, residual=residual)
        self.towers.requires_grad_(False)
        self.distance = distance
        for parameter in self.towers.tuned_parameters():
            parameter.requires_grad_(True)

    def forward(
        self,
        tokens: Float[Tensor, "batch views tokens width"],
        frozen: Float[Tensor, "batch views width"],
        *,
        pictures: Float[Tensor, "batch views dim"],
        kept: Bool[Tensor, "batch views"] | None = None,
    ) -> AlignmentLosses:
        """Losses of a batch.

        Args:
            tokens: Of the depth maps, from `ClipTowers.trunk`.
            frozen: Their class tokens, from `ClipTowers.frozen_token`.
            pictures: Frozen features of the images.
            kept: Which views count; all when None.
        """
        own = self.towers.tuned_token(tokens.flatten(0, 1).to(self.towers.dtype), frozen.flatten(0, 1).to(self.towers.dtype))
        depth = self.towers.project(own).float().view(*tokens.shape[:2], -1)
        return alignment_losses(depth, pictures, logit_scale=self.towers.logit_scale.exp(), kept=kept, weight=self.distance)


def align(
    aligned: AlignedSet,
    encoder: ClipEncoder,
    *,
    out: Path,
    settings: OpenDlignSettings | None = None,
    validate: Validate | None = None,
    options: TrainOptions | None = None,
) -> ClipEncoder:
    """Align a tuned block with depth-aligned images; a run that was stopped goes on where its checkpoint stands.

    Writes `checkpoint.pt`, `log.jsonl`, TensorBoard's events where it is installed, the arrays of `FeatureStore`, and
    `tuned_block.safetensors`: of the best validation, or the last where there is none. The file is what `--checkpoint` reads.

    Args:
        aligned: From `open_aligned`.
        encoder: CLIP behind the preprocessing of the recipe (ImageNet's mean and deviation in the paper); it stays as it is.
        out: Folder of the run.
        settings: How; the published code's way when None.
        validate: Chooses the best block; never give it the test set. None keeps the last.
        options: Where features are kept, what is noted in the file, and who is told.

    Returns:
        The encoder with the block that was written.

    Raises:
        KeyboardInterrupt: After SIGINT or SIGTERM, when the step is done and the checkpoint written.
        ConfigError: If there are fewer shapes than a batch, the disk is too small, a folder holds something else, or another training is
            at work in it.
        WeightsError: If the checkpoint is damaged.
        OutputError: If something cannot be written.
        MissingExtraError: If `accelerate` is not installed.
    """
    settings, options = settings or OpenDlignSettings(), options or TrainOptions()
    accelerator = make_accelerator(settings.precision, accumulate=settings.accumulate, cpu=options.cpu)
    usable = [row for row in range(len(aligned)) if aligned.kept(row).any()]
    check_batch(settings.batch, len(usable), processes=accelerator.num_processes, what="shapes with images")
    made = Aligner(encoder, blocks=settings.blocks, residual=settings.residual, distance=settings.distance).to(accelerator.device).eval()
    with lock_run(out, writes=accelerator.is_main_process):
        with accelerator.main_process_first():
            store = FeatureStore(aligned, made.encoder, settings=settings, folder=options.cache or out / "features")
        store.fill(rank=accelerator.process_index, world_size=accelerator.num_processes, progress=options.progress)
        accelerator.wait_for_everyone()
        with StopSignal() as stop, ThreadPoolExecutor(settings.workers) as readers:
            run = _AlignRun(store, made, (settings, accelerator, out), usable=usable, readers=readers, options=options)
            run.restore()
            run.run(validate, stop)
    accelerator.wait_for_everyone()  # one process writes, all read
    if (out / TUNED_FILE).is_file():
        load_tuned(run.encoder, out / TUNED_FILE)
    return run.encoder


def tuning_model(model: Model, aligned: AlignedSet) -> Model:
    """A model as it will be asked once its block is tuned: drawn as the images' maps are, with tuned views, behind its preprocessing."""
    recipe = with_tuned_views(with_projection(model.recipe, {"name": "opendlign", **aligned.projection}))
    return Model(recipe, tuning_encoder(model), prompter=model.prompter)


def tuning_encoder(model: Model) -> ClipEncoder:
    """The towers of a model behind the preprocessing of its recipe, as `align` takes them.

    Raises:
        ConfigError: If the model has no CLIP towers.
    """
    encoder, shown = model.encoder, NORMALISATIONS[model.recipe.normalisation]
    if not isinstance(encoder, ClipEncoder):
        raise ConfigError(f"model must have CLIP towers, but got {type(encoder).__name__}. Load one with load_untuned.")
    return encoder if shown is None else encoder.with_preprocessing(*shown)


class _AlignRun(TrainingRun[Row]):
    """The alignment as a run."""

    def __init__(
        self,
        store: FeatureStore,
        model: Aligner,
        how: tuple[OpenDlignSettings, Accelerator, Path],
        *,
        usable: list[int],
        readers: ThreadPoolExecutor,
        options: TrainOptions,
    ) -> None:
        settings, accelerator, out = how
        super().__init__(settings, accelerator, out, rows=len(usable), echo=options.echo)
        self.store, self.usable, self.readers, self.options = store, usable, readers, options
        self.model, self.encoder = model, model.encoder
        steps = max(1, self.steps // settings.accumulate)
        parameters = model.towers.tuned_parameters()
        self.optimiser, self.schedule = alignment_optimiser(parameters, steps=steps, rate=settings.rate, decay=settings.decay)
        self.prepared: Any
        self.stepper: Any
        self.prepared, self.stepper = accelerator.prepare(model, self.optimiser)

    def prefetch(self, step: int) -> list[Future[Row]]:
        """Which shapes depends on seed and step alone."""
        return [self.readers.submit(self.store.row, self.usable[row]) for row in self.batch_indices(step)]

    def train_step(self, content: list[Row]) -> AlignmentLosses:
        """One step on tokens and features."""
        tokens, frozen, pictures, kept = (
            torch.from_numpy(np.stack(part)).to(self.accelerator.device) for part in zip(*content, strict=True)
        )
        with self.accelerator.accumulate(self.prepared):
            losses: AlignmentLosses = self.prepared(tokens.float(), frozen, pictures=pictures, kept=kept)
            self.accelerator.backward(losses.total)
            self.stepper.step()
            self.stepper.zero_grad()
            if self.accelerator.sync_gradients and self.schedule.last_epoch < self.schedule.total_steps - 1:
                self.schedule.step()
        return losses

    def state(self) -> dict[str, Any]:
        """The tuned blocks and the schedule; the rest of CLIP is not in a checkpoint."""
        return {"tuned": (self.model.towers.tuned_blocks or self.model).state_dict(), "schedule": self.schedule.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take both."""
        (self.model.towers.tuned_blocks or self.model).load_state_dict(state["tuned"])
        self.schedule.load_state_dict(state["schedule"])

    def export(self) -> None:
        """Write the tuned blocks with what they were trained with."""
        drawn = {"name": "opendlign", **self.store.aligned.projection}
        run = {"settings": settings_record(self.settings), "shapes": self.total_rows, "step": self.step}
        notes = {**self.options.notes, "projection": drawn, **run}
        save_tuned(self.encoder, self.out / TUNED_FILE, notes=notes | ({"validation": self.best} if self.best >= 0 else {}))
