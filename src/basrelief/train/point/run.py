"""The training of a point network, or of TAMM's image adapter, as a run."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from basrelief.encoders.points.base import PointNetwork, pad_clouds
from basrelief.train.contrast import gather_rows
from basrelief.train.point.adapter import ImageAdapter
from basrelief.train.point.augment import training_cloud
from basrelief.train.point.neighbours import draw_groups
from basrelief.train.point.objective import Contrast, PointLosses, Targets
from basrelief.train.point.optimiser import learning_rate, make_optimiser
from basrelief.train.point.settings import PointSettings
from basrelief.train.point.triplets import Triplet, TripletSet, in_frame
from basrelief.train.run import RunContext, TrainingRun, derive_seed, seeded

Export = Callable[["PointRun"], None]
"""Writes the result of a run."""


class Contrasted(nn.Module):
    """What is trained: a network and the multiplier of cosines.

    Attributes:
        trained: The network.
        logit_scale: Logarithm of the multiplier; learned.
        reads_clouds: Whether a step needs clouds.
    """

    reads_clouds = True

    def __init__(self, trained: nn.Module, settings: PointSettings) -> None:
        super().__init__()
        self.trained = trained
        self.contrast = Contrast(
            settings.image_weight, settings.text_weight, neighbours=settings.neighbours, margin=settings.margin, mask=settings.mask
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(settings.logit_scale)))

    def forward(self, points: Float[Tensor, "batch points 6"], sizes: Int[Tensor, " batch"], targets: Targets) -> PointLosses:
        """Compute the losses of this process's shapes among those of all processes.

        Args:
            points: Augmented clouds; see `PointNetwork.forward`.
            sizes: Number of points of each.
            targets: Features of images and text.
        """
        features, targets = self.features(points, sizes, targets)
        with torch.autocast(features.device.type, enabled=False):
            every = Targets(*(gather_rows(part) for part in targets))
            return self.contrast.losses(gather_rows(features.float()), every, logit_scale=self.logit_scale.exp())

    @abstractmethod
    def features(self, points: Tensor, sizes: Tensor, targets: Targets) -> tuple[Float[Tensor, "batch views dim"], Targets]:
        """Return the features that are contrasted, and with what."""


class ContrastedPoints(Contrasted):
    """A point network; its images may pass a frozen adapter first."""

    def __init__(self, network: PointNetwork, settings: PointSettings, *, adapter: ImageAdapter | None = None) -> None:
        super().__init__(network, settings)
        self.adapter = adapter

    def features(self, points: Tensor, sizes: Tensor, targets: Targets) -> tuple[Float[Tensor, "batch views dim"], Targets]:
        """Encode clouds, and adapt images."""
        with torch.no_grad():
            images = targets.images if self.adapter is None else self.adapter(targets.images)
        return self.trained(points, sizes), targets._replace(images=images)


class ContrastedImages(Contrasted):
    """An image adapter, contrasted with text: TAMM's first stage."""

    reads_clouds = False

    def features(self, points: Tensor, sizes: Tensor, targets: Targets) -> tuple[Float[Tensor, "batch views dim"], Targets]:
        """Adapt the first image of each shape; shapes without one are left out."""
        adapted: Tensor = self.trained(targets.images[:, :1])
        return adapted, targets._replace(has_text=targets.has_text & targets.has_images, has_images=torch.zeros_like(targets.has_images))


class _Sample(NamedTuple):
    """A cloud and what it is contrasted with; without points where no cloud is read."""

    cloud: Float32[np.ndarray, "points 6"]
    triplet: Triplet


class PointRun(TrainingRun[_Sample]):
    """The training as a run.

    Attributes:
        model: What is trained.
    """

    settings: PointSettings

    def __init__(
        self,
        triplets: TripletSet,
        model: Contrasted,
        *,
        settings: PointSettings,
        context: RunContext,
        readers: ThreadPoolExecutor,
        export: Export,
        neighbours: Int[np.ndarray, "shapes nearest"] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            triplets: Training shapes.
            model: What is trained; in place.
            settings: Settings.
            context: Device and folder.
            readers: Threads that read and augment.
            export: Writes the result.
            neighbours: Nearest shapes of each one, for batches of groups.
        """
        super().__init__(settings, context, rows=len(triplets))
        self.triplets, self.readers, self.neighbours, self._export = triplets, readers, neighbours, export
        self.model = model.to(self.accelerator.device)
        if self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda":
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.network = self.model.trained
        self.optimiser = make_optimiser(self.model.named_parameters(), settings.optimiser)
        self.prepared: Any
        self.stepper: Any
        self.prepared, self.stepper = self.accelerator.prepare(self.model, self.optimiser)

    def train_mode(self) -> None:
        """Train batch norm and dropout, too."""
        self.network.train()

    def batch_indices(self, step: int) -> list[int]:
        """Return this process's rows of a step's batch: groups of similar shapes, or all rows in turn."""
        if self.neighbours is None:
            return super().batch_indices(step)
        size, generator = self.settings.neighbours, np.random.default_rng([self.settings.seed, step])
        groups = draw_groups(self.neighbours, groups=self.settings.batch_size // size, size=size, generator=generator)
        own: list[int] = groups[self.accelerator.process_index :: self.accelerator.num_processes].ravel().tolist()
        return own

    def prefetch(self, step: int) -> list[Future[_Sample]]:
        """Read and augment in threads."""
        return [self.readers.submit(self._read, row, step) for row in self.batch_indices(step)]

    def train_step(self, content: list[_Sample]) -> PointLosses:
        """Take one step."""
        device, settings = self.accelerator.device, self.settings
        points, sizes = pad_clouds([torch.from_numpy(sample.cloud).to(device) for sample in content])
        targets = _targets([sample.triplet for sample in content], self.triplets.dim, settings.images, device)
        self._set_lr()
        seed = derive_seed(settings.seed, self.step, self.accelerator.process_index)
        with self.accelerator.accumulate(self.prepared):
            with seeded(seed, device):
                losses: PointLosses = self.prepared(points, sizes, targets)
            self.accelerator.backward(losses.total)
            if self.accelerator.sync_gradients and settings.optimiser.clip:
                self.accelerator.clip_grad_norm_(self.model.parameters(), settings.optimiser.clip)
            self.stepper.step()
            self.stepper.zero_grad()
        if settings.max_logit_scale:
            with torch.no_grad():
                self.model.logit_scale.clamp_(0, math.log(settings.max_logit_scale))
        return losses._replace(total=losses.total.detach())

    def state(self) -> dict[str, Any]:
        """Return the network and the multiplier of cosines."""
        return {"network": self.network.state_dict(), "logit_scale": self.model.logit_scale.detach()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load both."""
        self.network.load_state_dict(state["network"])
        with torch.no_grad():
            self.model.logit_scale.copy_(state["logit_scale"])

    def export(self) -> None:
        """Write the result."""
        self._export(self)

    def _read(self, row: int, step: int) -> _Sample:
        generator = np.random.default_rng([self.settings.seed, step, row])
        cloud = np.zeros((1, 6), np.float32)
        if self.model.reads_clouds:
            stored = in_frame(self.triplets.cloud(row), self.settings.frame, missing_color=self.settings.missing_color)
            cloud = training_cloud(stored, self.settings, generator)
        return _Sample(cloud, self.triplets.sample(row, generator, images=self.settings.images))

    def _set_lr(self) -> None:
        """Set the learning rate of every group."""
        how, each = self.settings, self.settings.accumulate
        rate = learning_rate(
            self.step // each,
            lr=how.optimiser.lr,
            how=how.schedule,
            total=max(1, self.total_steps // each),
            per_epoch=max(1, self.steps_per_epoch // each),
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["scale"]


def _targets(triplets: list[Triplet], dim: int, images: int, device: torch.device) -> Targets:
    """Stack features; zeros stand for those that a shape lacks."""
    nothing, blank = np.zeros((images, dim), np.float32), np.zeros(dim, np.float32)
    return Targets(
        torch.from_numpy(np.stack([nothing if one.images is None else one.images for one in triplets])).to(device),
        torch.tensor([one.images is not None for one in triplets], device=device),
        torch.from_numpy(np.stack([blank if one.text is None else one.text for one in triplets])).to(device),
        torch.tensor([one.text is not None for one in triplets], device=device),
    )
