"""OpenDlign's alignment of a tuned block; the frozen part of CLIP is computed once, before the first step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from basrelief.encoders import ClipEncoder, load_tuned
from basrelief.encoders.tuned import export_published, save_tuned
from basrelief.errors import ConfigError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.models import Model
from basrelief.models.recipe import NORMALISATIONS
from basrelief.train.config import settings_record
from basrelief.train.depth_aligned.read import AlignedSet, open_aligned
from basrelief.train.lock import lock_run
from basrelief.train.opendlign.features import FeatureStore, Row, TrainingCost, alignment_cost
from basrelief.train.opendlign.objective import AlignmentLosses, alignment_losses, alignment_optimiser
from basrelief.train.opendlign.settings import OpenDlignSettings
from basrelief.train.run import RunContext, TrainingRun, check_batch_size, make_accelerator
from basrelief.train.stopping import StopSignal
from basrelief.train.validation import Validate, zero_shot_accuracy
from basrelief.types import Progress

TUNED_FILE = "tuned_block.safetensors"
"""File name of the trained block in the folder of a run."""
DEFAULT_MODEL = ModelSource("opendlign-h14")


@dataclass(frozen=True)
class TrainOptions:
    """Options that do not change the result.

    Attributes:
        cache: Folder of the features; `features` in the folder of the run when None. Runs on the same encoder and images may share it.
        notes: Metadata to store with the tuned block, such as recipe and data.
        progress: Called while features are computed.
        echo: Whether to write the log to stderr, too.
        cpu: Whether to ignore a GPU.
        export: File for the whole model in the published layout, or None.
    """

    cache: Path | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress | None = None
    echo: bool = False
    cpu: bool = False
    export: Path | None = None


class Aligner(nn.Module):
    """The tuned branch, from the trunk's tokens to the losses.

    Attributes:
        encoder: Encoder with tuned blocks; their attention is trained in place, everything else is frozen.
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
        """Compute the losses of a batch.

        Args:
            tokens: Trunk output of the depth maps, from `ClipTowers.trunk`.
            frozen: Class tokens of the frozen branch, from `ClipTowers.frozen_token`.
            pictures: Features of the images, from the frozen tower.
            kept: Views to use; all when None.
        """
        own = self.towers.tuned_token(tokens.flatten(0, 1).to(self.towers.dtype), frozen.flatten(0, 1).to(self.towers.dtype))
        depth = self.towers.project(own).float().view(*tokens.shape[:2], -1)
        return alignment_losses(depth, pictures, logit_scale=self.towers.logit_scale.exp(), kept=kept, weight=self.distance)


def train_opendlign(
    images: Path,
    *,
    out: Path,
    model: ModelSource | None = None,
    settings: OpenDlignSettings | None = None,
    validation: DataSource | None = None,
    options: TrainOptions | None = None,
) -> ClipEncoder:
    """Align a model's last block with a folder of depth-aligned images; see `align` for the files it writes and its errors.

    Args:
        images: Folder from `basrelief train depth-aligned`, or in the published layout.
        out: Folder of the run; an interrupted run resumes from it.
        model: Model to tune; `opendlign-h14` when None.
        settings: Those of the published code when None.
        validation: Data set whose zero-shot accuracy chooses the block; report another one. None keeps the last block.
        options: Cache, metadata, export and logging; names of model and images are added to the metadata.
    """
    aligned, plain, options = open_aligned(images), (model or DEFAULT_MODEL).load_untuned(), options or TrainOptions()
    encoder = tuning_encoder(plain)
    validate = None if validation is None else zero_shot_accuracy(tuning_model(plain, aligned), validation.open())
    options = replace(options, notes={"recipe": plain.name, "images": aligned.home.name, **options.notes})
    return align(aligned, encoder, out=out, settings=settings, validate=validate, options=options)


def training_cost(images: Path, model: ModelSource | None = None, *, settings: OpenDlignSettings | None = None) -> TrainingCost:
    """Return the cost of `train_opendlign` with the same arguments."""
    aligned, plain = open_aligned(images), (model or DEFAULT_MODEL).load_untuned()
    return alignment_cost(tuning_encoder(plain).config, aligned, settings=settings or OpenDlignSettings())


def align(
    aligned: AlignedSet,
    encoder: ClipEncoder,
    *,
    out: Path,
    settings: OpenDlignSettings | None = None,
    validate: Validate | None = None,
    options: TrainOptions | None = None,
) -> ClipEncoder:
    """Align a tuned block with depth-aligned images; an interrupted run resumes from its checkpoint.

    Writes `checkpoint.pt`, `log.jsonl`, TensorBoard events if TensorBoard is installed, the arrays of `FeatureStore`, and
    `tuned_block.safetensors`: the weights of the best validation, or the last ones without. `load_model(NAME, checkpoint=...)` reads it.

    Args:
        aligned: From `open_aligned`.
        encoder: CLIP behind the preprocessing of the recipe (ImageNet's mean and deviation in the paper); not changed.
        out: Folder of the run.
        settings: Those of the published code when None.
        validate: Chooses the best block; never pass the test set. None keeps the last.
        options: Cache, metadata and logging.

    Returns:
        The encoder with the exported block.

    Raises:
        KeyboardInterrupt: After SIGINT or SIGTERM, once the step is done and the checkpoint is written.
        ConfigError: If there are fewer shapes than a batch, the disk is too small, or the folder holds a run with other settings or one
            that is still running.
        WeightsError: If the checkpoint is damaged.
        OutputError: If a file cannot be written.
        MissingExtraError: If `accelerate` is not installed.
    """
    settings, options = settings or OpenDlignSettings(), options or TrainOptions()
    accelerator = make_accelerator(settings.precision, accumulate=settings.accumulate, cpu=options.cpu)
    usable = sum(bool(aligned.kept(row).any()) for row in range(len(aligned)))
    check_batch_size(settings.batch_size, usable, processes=accelerator.num_processes, what="shapes with images")
    model = Aligner(encoder, blocks=settings.blocks, residual=settings.residual, distance=settings.distance).to(accelerator.device).eval()
    with lock_run(out, writes=accelerator.is_main_process):
        with accelerator.main_process_first():
            store = FeatureStore(aligned, model.encoder, settings=settings, folder=options.cache or out / "features")
        store.fill(rank=accelerator.process_index, world_size=accelerator.num_processes, progress=options.progress)
        accelerator.wait_for_everyone()
        with StopSignal() as stop, ThreadPoolExecutor(settings.workers) as readers:
            context = RunContext(accelerator, out, options.echo)
            run = _AlignRun(store, model, settings=settings, context=context, readers=readers, notes=options.notes)
            run.restore()
            run.run(validate and partial(validate, model.encoder), stop)
    accelerator.wait_for_everyone()  # one process writes, all read
    if (out / TUNED_FILE).is_file():
        load_tuned(model.encoder, out / TUNED_FILE)
    if options.export is not None and accelerator.is_main_process:
        export_published(model.encoder, options.export)
    return model.encoder


def tuning_model(model: Model, aligned: AlignedSet) -> Model:
    """Return the model as it is used after tuning: with the images' projection, tuned views and the recipe's preprocessing."""
    recipe = model.recipe.with_projection(aligned.projection).with_tuned_views()
    return Model(recipe, tuning_encoder(model), prompter=model.prompter)


def tuning_encoder(model: Model) -> ClipEncoder:
    """Return a model's encoder with the preprocessing of its recipe, as `align` expects it.

    Raises:
        ConfigError: If the model has no CLIP towers.
    """
    encoder, shown = model.encoder, NORMALISATIONS[model.recipe.normalisation]
    if not isinstance(encoder, ClipEncoder):
        raise ConfigError(f"Only CLIP encoders can be tuned, got {type(encoder).__name__}. Load a model with load_untuned.")
    return encoder if shown is None else encoder.with_preprocessing(*shown)


class _AlignRun(TrainingRun[Row]):
    """The alignment as a run."""

    settings: OpenDlignSettings

    def __init__(
        self,
        store: FeatureStore,
        model: Aligner,
        *,
        settings: OpenDlignSettings,
        context: RunContext,
        readers: ThreadPoolExecutor,
        notes: Mapping[str, Any],
    ) -> None:
        super().__init__(settings, context, rows=len(store.usable))
        self.store, self.readers, self.notes = store, readers, notes
        self.model, self.network = model, model.towers
        steps = max(1, self.total_steps // settings.accumulate)
        parameters = model.towers.tuned_parameters()
        self.optimiser, self.schedule = alignment_optimiser(parameters, steps=steps, lr=settings.lr, weight_decay=settings.weight_decay)
        self.prepared: Any
        self.stepper: Any
        self.prepared, self.stepper = self.accelerator.prepare(model, self.optimiser)

    def prefetch(self, step: int) -> list[Future[Row]]:
        """Read features in threads."""
        return [self.readers.submit(self.store.row, self.store.usable[row]) for row in self.batch_indices(step)]

    def train_step(self, content: list[Row]) -> AlignmentLosses:
        """Take one step on tokens and features."""
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
        """Return the tuned blocks and the schedule; the rest of CLIP does not change."""
        return {"tuned": (self.model.towers.tuned_blocks or self.model).state_dict(), "schedule": self.schedule.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load both."""
        (self.model.towers.tuned_blocks or self.model).load_state_dict(state["tuned"])
        self.schedule.load_state_dict(state["schedule"])

    def export(self) -> None:
        """Write the tuned blocks with the settings of the run."""
        run = {"settings": settings_record(self.settings), "shapes": self.total_rows, "step": self.step}
        notes = {**self.notes, "projection": self.store.aligned.projection, **run}
        save_tuned(self.model.encoder, self.out / TUNED_FILE, notes=notes | ({"validation": self.best} if self.best >= 0 else {}))
