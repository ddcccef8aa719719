"""CLIP2Point's pre-training of a depth tower."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from basrelief.encoders import ClipEncoder
from basrelief.evaluate import DataSource, ModelSource
from basrelief.geometry import normalise_unit_sphere
from basrelief.output import replace_file
from basrelief.render.base import PointBatch
from basrelief.render.clip2point import DiscProjection, jitter_distance
from basrelief.render.rigs import CLIP2POINT10_ANGLES
from basrelief.train.clip2point.lamb import Lamb
from basrelief.train.clip2point.objective import PairLosses, pair_losses
from basrelief.train.clip2point.settings import Clip2PointSettings
from basrelief.train.lock import lock_run
from basrelief.train.pairs.read import VIEWS, PairSet, open_pairs
from basrelief.train.run import RunContext, TrainingRun, check_batch_size, derive_seed, make_accelerator
from basrelief.train.stopping import StopSignal
from basrelief.train.validation import Validate, zero_shot_accuracy

AZIMUTH, ELEVATION = CLIP2POINT10_ANGLES

_BEST = "depth_tower.safetensors"


class Pretrainer(nn.Module):
    """The depth tower, the frozen picture tower, and the learned loss weight w.

    Attributes:
        encoder: Encoder with the depth tower; trained in place.
        pictures: Encoder it was copied from; frozen.
        balance: w, learned.
    """

    def __init__(self, encoder: ClipEncoder, *, temperature: float = 0.07) -> None:
        super().__init__()
        self.pictures, self.encoder = encoder, copy.copy(encoder)
        self.towers = copy.deepcopy(encoder.towers)
        self.encoder.towers = self.towers
        self.towers.requires_grad_(False)
        for part in (self.towers.vision_model, self.towers.visual_projection):
            if part is not None:
                part.requires_grad_(True)
        self.balance = nn.Parameter(torch.ones(()))
        self.temperature = temperature
        self.projection = DiscProjection("clip2point", rig="clip2point10", size=encoder.image_size, radius=_radius(encoder.image_size))

    def forward(self, depth: Float[Tensor, "batch 2 size size"], picture: Float[Tensor, "batch 3 side side"]) -> PairLosses:
        """Compute the losses of a batch.

        Args:
            depth: Depth images of each shape from two distances, in [0, 1].
            picture: Picture of each shape from the same view, in [0, 1].
        """
        features = self.towers.image_features(self.encoder.prepare(depth.flatten(0, 1))).float().view(len(depth), 2, -1)
        with torch.no_grad():
            seen = self.pictures.towers.image_features(self.pictures.prepare(picture)).float()
        return pair_losses(features[:, 0], features[:, 1], picture=seen, balance=self.balance, temperature=self.temperature)

    def draw(self, clouds: list[np.ndarray], views: Tensor, *, generator: torch.Generator) -> Float[Tensor, "batch 2 size size"]:
        """Render depth images of clouds (world frame), each from its own view at two distances in [0.9, 1.1]."""
        device = self.balance.device
        batch = PointBatch.pack(clouds, device=device)
        azimuth, elevation = torch.tensor(AZIMUTH)[views], torch.tensor(ELEVATION)[views]
        distance = jitter_distance(torch.ones(len(clouds)), generator=generator).to(device)
        return self.projection.image(self.projection.pair(batch, azimuth, elevation, distance))


def train_clip2point(
    pairs: Path,
    *,
    out: Path,
    clouds: Path | None = None,
    model: ModelSource | None = None,
    settings: Clip2PointSettings | None = None,
    validation: DataSource | None = None,
    echo: bool = False,
) -> ClipEncoder:
    """Pre-train a model's depth tower on a folder of image-depth pairs; see `pretrain` for the files it writes and its errors.

    Args:
        pairs: Folder from `basrelief train pairs`, or the published renderings.
        out: Folder of the run; an interrupted run resumes from it.
        clouds: For the published renderings: the folder of ShapeNet55.
        model: CLIP to start from; `clip2point-untuned` when None.
        settings: Those of the published code when None.
        validation: Data set whose zero-shot accuracy chooses the tower; report another one. None keeps the last tower.
        echo: Whether to write the log to stderr, too.
    """
    content = open_pairs(pairs, clouds=clouds)
    loaded = (model or ModelSource("clip2point-untuned")).load().for_few_shot()
    validate = None if validation is None else zero_shot_accuracy(loaded, validation.open())
    return pretrain(content, cast("ClipEncoder", loaded.encoder), out=out, settings=settings, validate=validate, echo=echo)


def pretrain(
    pairs: PairSet,
    encoder: ClipEncoder,
    *,
    out: Path,
    settings: Clip2PointSettings | None = None,
    validate: Validate | None = None,
    echo: bool = False,
) -> ClipEncoder:
    """Pre-train a depth tower on image-depth pairs; an interrupted run resumes from its checkpoint.

    Writes `checkpoint.pt`, `log.jsonl`, TensorBoard events if TensorBoard is installed, and `depth_tower.safetensors`: the weights of the
    best validation, or the last ones without. `load_model("clip2point", checkpoint=...)` reads that file.

    Args:
        pairs: From `open_pairs`.
        encoder: CLIP; not changed.
        out: Folder of the run.
        settings: Those of the published code when None.
        validate: Chooses the best tower; never pass the test set. None keeps the last.
        echo: Whether to write the log to stderr, too.

    Returns:
        The encoder with the exported tower.

    Raises:
        KeyboardInterrupt: After SIGINT or SIGTERM, once the step is done and the checkpoint is written.
        ConfigError: If there are fewer pairs than a batch, or the folder holds a run with other settings or one that is still running.
        WeightsError: If the checkpoint is damaged.
        OutputError: If a file cannot be written.
        MissingExtraError: If `accelerate` is not installed.
    """
    settings = settings or Clip2PointSettings()
    accelerator = make_accelerator(settings.precision, accumulate=settings.accumulate)
    check_batch_size(settings.batch_size, len(pairs), processes=accelerator.num_processes, what="pairs")
    with lock_run(out, writes=accelerator.is_main_process), StopSignal() as stop, ThreadPoolExecutor(settings.workers) as readers:
        model, context = Pretrainer(encoder, temperature=settings.temperature), RunContext(accelerator, out, echo)
        run = _PretrainRun(pairs, model, settings=settings, context=context, readers=readers)
        run.restore()
        run.run(validate and partial(validate, model.encoder), stop)
    accelerator.wait_for_everyone()  # one process writes, all read
    model.encoder.load_visual(out / _BEST)
    return model.encoder


_Content = tuple[np.ndarray, np.ndarray, int]


class _Logged(NamedTuple):
    """Losses and loss weight of a step."""

    total: Tensor
    cross: Tensor
    intra: Tensor
    balance: Tensor


class _PretrainRun(TrainingRun[_Content]):
    """The pre-training as a run."""

    settings: Clip2PointSettings

    def __init__(
        self, pairs: PairSet, model: Pretrainer, *, settings: Clip2PointSettings, context: RunContext, readers: ThreadPoolExecutor
    ) -> None:
        super().__init__(settings, context, rows=len(pairs))
        self.pairs, self.readers = pairs, readers
        self.model = model.to(self.accelerator.device)
        self.network = model.towers
        model.pictures.towers.to(self.accelerator.device)
        self.optimiser = _optimiser([p for p in model.parameters() if p.requires_grad], settings)
        self.prepared: Any
        self.stepper: Any
        self.prepared, self.stepper = self.accelerator.prepare(model, self.optimiser)

    def train_step(self, content: list[_Content]) -> _Logged:
        """Take one step on points, pictures and views."""
        clouds, pictures, views = zip(*content, strict=True)
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, self.step, self.accelerator.process_index))
        device = self.accelerator.device
        with torch.no_grad():
            depth = self.model.draw(list(clouds), torch.tensor(views), generator=generator)
            picture = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 255
        self._set_lr()
        with self.accelerator.accumulate(self.prepared):
            losses: PairLosses = self.prepared(depth, picture)
            self.accelerator.backward(losses.total)
            self.stepper.step()
            self.stepper.zero_grad()
        return _Logged(*losses, self.model.balance)

    def prefetch(self, step: int) -> list[Future[_Content]]:
        """Read points and pictures in threads."""
        return [self.readers.submit(self._read, row, step) for row in self.batch_indices(step)]

    def state(self) -> dict[str, Any]:
        """Return the tower and the loss weight."""
        return {"tower": self.model.towers.state_dict(), "balance": self.model.balance.detach()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load both."""
        self.model.towers.load_state_dict(state["tower"])
        with torch.no_grad():
            self.model.balance.copy_(state["balance"])

    def export(self) -> None:
        """Write the depth tower."""
        save_tower(self.model.encoder, self.out / _BEST)

    def _read(self, row: int, step: int) -> tuple[np.ndarray, np.ndarray, int]:
        random = np.random.default_rng([self.settings.seed, step, row])
        cloud = self.pairs.points(row)
        if len(cloud) > self.settings.points:
            cloud = cloud[random.permutation(len(cloud))[: self.settings.points]]
        view = int(random.integers(VIEWS))
        return normalise_unit_sphere(cloud), self.pairs.picture(row, view), view

    def _set_lr(self) -> None:
        """Set the learning rate: cosine with warm restarts every `restart_epochs` (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
        how = self.settings.optimiser
        period = how.restart_epochs * self.steps_per_epoch
        share = (1 + math.cos(math.pi * (self.step % period) / period)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = how.min_lr + (how.lr - how.min_lr) * share


def save_tower(encoder: ClipEncoder, path: Path) -> None:
    """Write the image tower atomically, for `ClipEncoder.load_visual`."""
    from safetensors.torch import save_file

    state = {name: t for name, t in encoder.towers.state_dict().items() if name.startswith(("vision_model.", "visual_projection."))}
    with replace_file(path) as part:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, part)


def _radius(size: int) -> float:
    """The paper's disc of 0.02, or one that still covers a pixel of a smaller picture."""
    return max(0.02, 2.0 / size)


def _optimiser(parameters: list[nn.Parameter], settings: Clip2PointSettings) -> torch.optim.Optimizer:
    how = settings.optimiser
    kind = Lamb if how.name == "lamb" else torch.optim.AdamW
    return kind(parameters, lr=how.lr, weight_decay=how.weight_decay)
