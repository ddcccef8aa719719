"""Training of the upright network: which of ten candidates for up is the right one.

Each step turns a batch of upright shapes by `candidate_rotations`; the loss is the cross entropy of the right candidate.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from basrelief.models.upright import UprightNet, face_images
from basrelief.output import replace_file
from basrelief.train.data import ShapeSet, load_shapes, save_shapes
from basrelief.train.lock import lock_run
from basrelief.train.resources import Resources
from basrelief.train.run import RunContext, TrainingRun, derive_seed, make_accelerator, seeded
from basrelief.train.stopping import StopSignal
from basrelief.train.upright.data import augmented_clouds, candidate_rotations, sampling_weights, upright_shapes
from basrelief.train.upright.settings import UprightSettings

UPRIGHT_FILE = "upright.safetensors"
"""File name of the trained weights in the folder of a run."""

_VALIDATION_BATCH = 16


def train_upright(
    folder: Path | None, *, out: Path, settings: UprightSettings | None = None, resources: Resources | None = None
) -> UprightNet:
    """Train the upright network on generated shapes and a folder of labelled ones; an interrupted run resumes.

    Args:
        folder: Folder of labelled upright shapes, its table beside it, see `read_shapes`, split by `basrelief.datasets.maker_split`. None
            uses generated shapes alone.
        out: Folder of the run; receives what `fit_upright` writes, and the sampled shapes.
        settings: The defaults when None.
        resources: Device and logging.

    Raises:
        FileFormatError: If the table is missing.
    """
    settings, resources = settings or UprightSettings(), resources or Resources()
    accelerator = make_accelerator(settings.precision, accumulate=settings.accumulate, cpu=resources.cpu)
    with lock_run(out, writes=accelerator.is_main_process):
        with accelerator.main_process_first():
            shapes, validation = _sampled(folder, out, settings)
        net = fit_upright(shapes, validation, settings=settings, context=RunContext(accelerator, out, resources.echo))
    accelerator.wait_for_everyone()
    return net


def fit_upright(shapes: ShapeSet, validation: ShapeSet | None = None, *, settings: UprightSettings, context: RunContext) -> UprightNet:
    """Train the upright network on a shape set; an interrupted run resumes from its checkpoint.

    Writes `checkpoint.pt`, `log.jsonl`, TensorBoard events if TensorBoard is installed, and the weights as `upright.safetensors` (float16).

    Args:
        shapes: Upright shapes, +Z up.
        validation: Shapes whose accuracy is logged; it does not choose the weights.
        settings: Settings of the training.
        context: Device and folder.

    Returns:
        The trained network, on the CPU.

    Raises:
        KeyboardInterrupt: After SIGINT or SIGTERM, once the step is done and the checkpoint is written.
        ConfigError: If the folder holds a run with other settings.
        WeightsError: If the checkpoint is damaged.
    """
    run = _UprightRun(shapes, settings=settings, context=context)
    run.restore()
    with StopSignal() as stop:
        run.run(None if validation is None else lambda: run.accuracy(validation), stop)
    return run.net.cpu()


def _sampled(folder: Path | None, out: Path, settings: UprightSettings) -> tuple[ShapeSet, ShapeSet | None]:
    """Sample the shapes, once."""
    train, validation = out / "shapes.pt", out / "validation.pt"
    if not train.is_file():
        sampled, held_out = upright_shapes(folder, per_category=settings.per_category)
        if held_out is not None:
            save_shapes(held_out, validation)
        save_shapes(sampled, train)  # last: it marks both as written
    return load_shapes(train), load_shapes(validation) if validation.is_file() else None


class _Losses(NamedTuple):
    """Loss of a step, and the share of shapes whose upright candidate scores best."""

    total: Tensor
    right: Tensor


class _UprightRun(TrainingRun[None]):
    """The training as a run."""

    settings: UprightSettings
    export_best = False

    def __init__(self, shapes: ShapeSet, *, settings: UprightSettings, context: RunContext) -> None:
        super().__init__(settings, context, rows=settings.batch_size * settings.epoch_steps)
        device = self.accelerator.device
        with seeded(settings.seed, device):
            self.net = UprightNet().to(device)
        self.network = self.net
        self.points, self.weights = shapes.points.to(device), sampling_weights(shapes, settings.file_fraction).to(device)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        steps = max(1, self.total_steps // settings.accumulate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, settings.lr, total_steps=steps, pct_start=0.1)
        self.prepared: Any
        self.stepper: Any
        self.prepared, self.stepper = self.accelerator.prepare(self.net, self.optimiser)

    def train_mode(self) -> None:
        """Use dropout."""
        self.net.train()

    def train_step(self, content: list[None]) -> _Losses:
        """Take one step on newly sampled shapes."""
        device, seed = self.accelerator.device, derive_seed(self.settings.seed, self.step, self.accelerator.process_index)
        images = self._images(Generator(device).manual_seed(seed))
        with self.accelerator.accumulate(self.prepared):
            with seeded(seed, device):
                scores: Tensor = self.prepared(images.flatten(0, 1)).float().view(images.shape[:2])
            target = torch.zeros(len(scores), dtype=torch.int64, device=device)
            loss = F.cross_entropy(scores, target, label_smoothing=self.settings.smoothing)
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.net.parameters(), 1.0)
            self.stepper.step()
            self.stepper.zero_grad()
            if self.accelerator.sync_gradients and self.schedule.last_epoch < self.schedule.total_steps - 1:
                self.schedule.step()
        return _Losses(loss.detach(), (scores.detach().argmax(dim=1) == 0).float().mean())

    def state(self) -> dict[str, Any]:
        """Return weights and schedule."""
        return {"net": self.net.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load both."""
        self.net.load_state_dict(state["net"])
        self.schedule.load_state_dict(state["schedule"])

    def export(self) -> None:
        """Write the weights."""
        save_upright(self.net, self.out / UPRIGHT_FILE)

    @torch.no_grad()
    def accuracy(self, shapes: ShapeSet) -> float:
        """Share of shapes whose upright candidate scores best, on the same clouds and candidates every time."""
        device, right = self.accelerator.device, 0
        generator = Generator(device).manual_seed(derive_seed(self.settings.seed))
        for points in shapes.points.split(_VALIDATION_BATCH):
            images = _candidate_images(points.to(device), self.settings, generator)
            scores = self.net(images.flatten(0, 1)).view(images.shape[:2])
            right += int((scores.argmax(dim=1) == 0).sum())
        return right / len(shapes)

    @torch.no_grad()
    def _images(self, generator: Generator) -> Float[Tensor, "batch 10 6 side side"]:
        """Sample this process's shapes and render their candidates."""
        count = max(1, self.settings.batch_size // self.accelerator.num_processes)
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return _candidate_images(self.points[chosen], self.settings, generator)


def save_upright(net: UprightNet, path: Path) -> None:
    """Write the weights as float16."""
    from safetensors.torch import save_file

    with replace_file(path) as part:
        save_file({name: tensor.detach().half().cpu().contiguous() for name, tensor in net.state_dict().items()}, part)


def _candidate_images(
    points: Float[Tensor, "batch points 3"], settings: UprightSettings, generator: Generator
) -> Float[Tensor, "batch 10 6 side side"]:
    """Augment clouds and render every candidate from six sides."""
    clouds = augmented_clouds(points, settings.augmentation, generator)
    turns = candidate_rotations(len(clouds), generator)
    images: Tensor = face_images(torch.einsum("nkij,npj->nkpi", turns, clouds).flatten(0, 1)).unflatten(0, turns.shape[:2])
    return images
