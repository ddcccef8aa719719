"""The loop of the pre-training: batches that depend on the step alone, so that a run that was killed goes on along the same curve."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from basrelief.encoders import ClipEncoder
from basrelief.geometry import normalise_unit_sphere
from basrelief.output import replace_file
from basrelief.render import PointBatch
from basrelief.render.clip2point import DiscProjection, jitter_distance
from basrelief.render.rigs import CLIP2POINT10_ANGLES
from basrelief.train.clip2point.objective import PairLosses, pair_losses
from basrelief.train.clip2point.settings import Clip2PointSettings
from basrelief.train.lamb import Lamb
from basrelief.train.lock import lock_run
from basrelief.train.pairs.read import VIEWS, PairSet
from basrelief.train.run import TrainingRun, Validate, check_batch, derive_seed, make_accelerator
from basrelief.train.stopping import StopSignal

if TYPE_CHECKING:
    from accelerate import Accelerator

AZIMUTH, ELEVATION = CLIP2POINT10_ANGLES

_BEST = "depth_tower.safetensors"


class Pretrainer(nn.Module):
    """The depth tower in training, the picture tower beside it, and the balance w.

    Attributes:
        encoder: With the depth tower; trained in place.
        pictures: The encoder it was copied from; frozen.
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
        """Losses of a batch.

        Args:
            depth: Depth images of each shape from two distances, in [0, 1].
            picture: Its picture from the same side, in [0, 1].
        """
        features = self.towers.image_features(self.encoder.prepare(depth.flatten(0, 1))).float().view(len(depth), 2, -1)
        with torch.no_grad():
            seen = self.pictures.towers.image_features(self.pictures.prepare(picture)).float()
        return pair_losses(features[:, 0], features[:, 1], picture=seen, balance=self.balance, temperature=self.temperature)

    def draw(self, clouds: list[np.ndarray], views: Tensor, *, generator: torch.Generator) -> Float[Tensor, "batch 2 size size"]:
        """Depth images of clouds (world frame), each from its own view at two distances within a tenth of 1."""
        device = self.balance.device
        batch = PointBatch.pack(clouds, device=device)
        azimuth, elevation = torch.tensor(AZIMUTH)[views], torch.tensor(ELEVATION)[views]
        distance = jitter_distance(torch.ones(len(clouds)), generator=generator).to(device)
        return self.projection.image(self.projection.pair(batch, azimuth, elevation, distance))


def pretrain(
    pairs: PairSet,
    encoder: ClipEncoder,
    *,
    out: Path,
    settings: Clip2PointSettings | None = None,
    validate: Validate | None = None,
    echo: bool = False,
) -> ClipEncoder:
    """Pre-train a depth tower on pairs; a run that was stopped goes on where its checkpoint stands.

    Writes `checkpoint.pt`, `log.jsonl`, TensorBoard's events where it is installed, and `depth_tower.safetensors`: of the best
    validation, or the last where there is none. The file is what `--checkpoint` of `clip2point` reads.

    Args:
        pairs: From `open_pairs`.
        encoder: CLIP; it stays as it is.
        out: Folder of the run.
        settings: How; the published code's way when None.
        validate: Chooses the best tower; never give it the test set. None keeps the last.
        echo: Whether the log goes to stderr, too.

    Returns:
        The encoder with the tower that was written.

    Raises:
        KeyboardInterrupt: After SIGINT or SIGTERM, when the step is done and the checkpoint written.
        ConfigError: If there are fewer pairs than a batch, or the folder holds a run with other settings or one that is at work.
        WeightsError: If the checkpoint is damaged.
        OutputError: If something cannot be written.
        MissingExtraError: If `accelerate` is not installed.
    """
    settings = settings or Clip2PointSettings()
    accelerator = make_accelerator(settings.precision, accumulate=settings.accumulate)
    check_batch(settings.batch, len(pairs), processes=accelerator.num_processes, what="pairs")
    with lock_run(out, writes=accelerator.is_main_process), StopSignal() as stop, ThreadPoolExecutor(settings.workers) as readers:
        run = _PretrainRun(
            pairs, Pretrainer(encoder, temperature=settings.temperature), (settings, accelerator, out), readers=readers, echo=echo
        )
        run.restore()
        run.run(validate, stop)
    accelerator.wait_for_everyone()  # one process writes, all read
    run.model.encoder.load_visual(out / _BEST)
    return run.model.encoder


_Content = tuple[np.ndarray, np.ndarray, int]


class _Logged(NamedTuple):
    """Losses and balance of a step."""

    total: Tensor
    cross: Tensor
    intra: Tensor
    balance: Tensor


class _PretrainRun(TrainingRun[_Content]):
    """The pre-training as a run."""

    def __init__(
        self,
        pairs: PairSet,
        model: Pretrainer,
        how: tuple[Clip2PointSettings, Accelerator, Path],
        *,
        readers: ThreadPoolExecutor,
        echo: bool,
    ) -> None:
        settings, accelerator, out = how
        super().__init__(settings, accelerator, out, rows=len(pairs), echo=echo)
        self.pairs, self.readers = pairs, readers
        self.model = model.to(accelerator.device)
        self.encoder = model.encoder
        model.pictures.towers.to(accelerator.device)
        self.optimiser = _optimiser([p for p in model.parameters() if p.requires_grad], settings)
        self.prepared: Any
        self.stepper: Any
        self.prepared, self.stepper = accelerator.prepare(model, self.optimiser)

    def train_step(self, content: list[_Content]) -> _Logged:
        """One step on points, pictures and views."""
        clouds, pictures, views = zip(*content, strict=True)
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, self.step, self.accelerator.process_index))
        device = self.accelerator.device
        with torch.no_grad():
            depth = self.model.draw(list(clouds), torch.tensor(views), generator=generator)
            picture = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 255
        self._set_rate()
        with self.accelerator.accumulate(self.prepared):
            losses: PairLosses = self.prepared(depth, picture)
            self.accelerator.backward(losses.total)
            self.stepper.step()
            self.stepper.zero_grad()
        return _Logged(*losses, self.model.balance)

    def prefetch(self, step: int) -> list[Future[_Content]]:
        """Which shapes and views depends on seed and step alone."""
        return [self.readers.submit(self._read, row, step) for row in self.batch_indices(step)]

    def state(self) -> dict[str, Any]:
        """The tower and the balance."""
        return {"tower": self.model.towers.state_dict(), "balance": self.model.balance.detach()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take both."""
        self.model.towers.load_state_dict(state["tower"])
        with torch.no_grad():
            self.model.balance.copy_(state["balance"])

    def export(self) -> None:
        """Write the tower."""
        save_tower(self.model.encoder, self.out / _BEST)

    def _read(self, row: int, step: int) -> tuple[np.ndarray, np.ndarray, int]:
        random = np.random.default_rng([self.settings.seed, step, row])
        cloud = self.pairs.points(row)
        if len(cloud) > self.settings.points:
            cloud = cloud[random.permutation(len(cloud))[: self.settings.points]]
        view = int(random.integers(VIEWS))
        return normalise_unit_sphere(cloud), self.pairs.picture(row, view), view

    def _set_rate(self) -> None:
        """Cosine from the peak to the least rate, again every `restart_epochs` (Loshchilov and Hutter 2017, arXiv:1608.03983)."""
        how = self.settings.optimiser
        period = how.restart_epochs * self.per_epoch
        share = (1 + math.cos(math.pi * (self.step % period) / period)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = how.least_rate + (how.rate - how.least_rate) * share


def save_tower(encoder: ClipEncoder, path: Path) -> None:
    """Write the image tower alone, whole or not at all; `ClipEncoder.load_visual` reads it."""
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
    return kind(parameters, lr=how.rate, weight_decay=how.decay)
