"""The loop of the pre-training: batches that depend on the step alone, so that a run that was killed goes on along the same curve."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from basrelief.datasets import Benchmark
from basrelief.encoders import ClipEncoder
from basrelief.errors import ConfigError, MissingExtraError
from basrelief.geometry import normalise_unit_sphere
from basrelief.models import Embedder, Model
from basrelief.render import PointBatch
from basrelief.render.clip2point import DiscProjection, jitter_distance
from basrelief.render.rigs import CLIP2POINT10_ANGLES
from basrelief.train.clip2point.objective import PairLosses, pair_losses
from basrelief.train.clip2point.settings import PRECISIONS, Clip2PointSettings
from basrelief.train.config import settings_record
from basrelief.train.lamb import Lamb
from basrelief.train.log import Log
from basrelief.train.pairs.read import VIEWS, PairSet
from basrelief.train.stopping import Stop

if TYPE_CHECKING:
    from accelerate import Accelerator

Validate = Callable[[ClipEncoder], float]
"""Zero-shot accuracy of a depth tower on validation shapes, in [0, 1]."""

AZIMUTH, ELEVATION = CLIP2POINT10_ANGLES

_BEST, _CHECKPOINT = "depth_tower.safetensors", "checkpoint.pt"


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
        ConfigError: If there are fewer pairs than a batch, or the folder holds a run with other settings.
        MissingExtraError: If `accelerate` is not installed.
    """
    settings = settings or Clip2PointSettings()
    accelerator = _accelerator(settings)
    world = accelerator.num_processes
    if len(pairs) < settings.batch or settings.batch % world or settings.batch // world < 2:
        got = f"{settings.batch} for {len(pairs)} pairs and {world} process(es)"
        raise ConfigError(f"batch must be at most the number of pairs, and 2 or more for each process, but got {got}. Set batch=N.")
    run = _Run(pairs, Pretrainer(encoder, temperature=settings.temperature), settings, accelerator, out, echo=echo)
    run.restore()
    with Stop() as stop, ThreadPoolExecutor(settings.workers) as readers:
        run.finish(readers, validate, stop)
    accelerator.wait_for_everyone()  # one process writes, all read
    run.model.encoder.load_visual(out / _BEST)
    return run.model.encoder


class _Run:
    """Everything that moves, and where it is written."""

    def __init__(
        self, pairs: PairSet, model: Pretrainer, settings: Clip2PointSettings, accelerator: Accelerator, out: Path, *, echo: bool
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.pairs, self.settings, self.accelerator, self.out = pairs, settings, accelerator, out
        self.model = model.to(accelerator.device)
        model.pictures.towers.to(accelerator.device)
        self.optimiser = _optimiser([p for p in model.parameters() if p.requires_grad], settings)
        self.prepared: Any
        self.stepper: Any
        self.prepared, self.stepper = accelerator.prepare(model, self.optimiser)
        self.log = Log(out / "log.jsonl", echo=echo) if accelerator.is_main_process else None
        self.board = _board(out) if accelerator.is_main_process else None
        self.step, self.best = 0, -1.0
        self.per_epoch = len(pairs) // settings.batch

    def finish(self, readers: ThreadPoolExecutor, validate: Validate | None, stop: Stop) -> None:
        """Train to the end, reading one batch ahead; when asked to stop, save and do."""
        total, saved = self.per_epoch * self.settings.epochs, self.step
        ahead = self._ask(readers, self.step) if self.step < total else []
        while self.step < total:
            batch, ahead = ahead, self._ask(readers, self.step + 1) if self.step + 1 < total else []
            losses = self.train_step([job.result() for job in batch])
            self.step += 1
            self.write("train", total=losses.total, cross=losses.cross, intra=losses.intra, balance=self.model.balance)
            epoch, inside = divmod(self.step, self.per_epoch)
            if inside == 0 and (epoch % self.settings.validate_every == 0 or self.step == total):
                self._validate(validate, last=self.step == total)
            stopped = self._agreed(stop.asked)
            settled = self.step % self.settings.accumulate == 0 or self.step == total  # gradients that wait are in no checkpoint
            if settled and (stopped or self.step - saved >= self.settings.save_every or self.step == total):
                self.save()
                saved = self.step
            if settled and stopped:
                raise KeyboardInterrupt

    def train_step(self, content: list[tuple[np.ndarray, np.ndarray, int]]) -> PairLosses:
        """One step on points, pictures and views."""
        clouds, pictures, views = zip(*content, strict=True)
        generator = torch.Generator().manual_seed(_seed(self.settings.seed, self.step, self.accelerator.process_index))
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
        return losses

    def _agreed(self, asked: bool) -> bool:
        """Whether any process was asked to stop: all leave after the same step, or those left behind would wait for ever."""
        if self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag) > 0)

    def save(self) -> None:
        """Write the checkpoint whole, or not at all."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "tower": self.model.towers.state_dict(),
            "balance": self.model.balance.detach(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
            "settings": settings_record(self.settings),
            "pairs": len(self.pairs),
        }
        torch.save(state, self.out / f".{_CHECKPOINT}.part")
        (self.out / f".{_CHECKPOINT}.part").replace(self.out / _CHECKPOINT)

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one."""
        path = self.out / _CHECKPOINT
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True, map_location=self.accelerator.device)
        if state["settings"] != settings_record(self.settings) or state["pairs"] != len(self.pairs):
            raise ConfigError(
                f"out must hold a run with these settings and pairs, but got others in {self.out.name!r}. Name another folder."
            )
        self.model.towers.load_state_dict(state["tower"])
        with torch.no_grad():
            self.model.balance.copy_(state["balance"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best = int(state["step"]), float(state["best"])

    def write(self, stage: str, **values: Tensor | float) -> None:
        """One line of the log."""
        if self.log is None:
            return
        numbers = {name: value.item() if isinstance(value, Tensor) else value for name, value in values.items()}
        self.log.write(stage=stage, step=self.step, rate=self.optimiser.param_groups[0]["lr"], **numbers)
        if self.board is not None:
            for name, number in numbers.items():
                self.board.add_scalar(f"{stage}/{name}", number, self.step)

    def _validate(self, validate: Validate | None, *, last: bool) -> None:
        """Keep the tower where it is the best so far, or the last where nothing chooses."""
        if not self.accelerator.is_main_process:
            return
        if validate is not None:
            self.model.eval()
            found = validate(self.model.encoder)
            self.model.train()
            self.write("validation", accuracy=found)
            if found <= self.best:
                return
            self.best = found
        elif not last:
            return
        save_tower(self.model.encoder, self.out / _BEST)

    def _ask(self, readers: ThreadPoolExecutor, step: int) -> list[Future[tuple[np.ndarray, np.ndarray, int]]]:
        """Start reading this process's part of a step's batch; which shapes and views depends on seed and step alone."""
        epoch, inside = divmod(step, self.per_epoch)
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.pairs))
        rows = order[inside * self.settings.batch : (inside + 1) * self.settings.batch]
        rows = rows[self.accelerator.process_index :: self.accelerator.num_processes]
        return [readers.submit(self._read, int(row), step) for row in rows]

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


def zero_shot_accuracy(model: Model, benchmark: Benchmark) -> Validate:
    """A validation: the share of a benchmark's shapes that a depth tower names rightly, by the sum of cosines over the views.

    Shapes that cannot be read are left out. They are read and drawn each time, a few at once, so that memory does not grow.

    Args:
        model: Its recipe draws and prompts; the tower is put in place of its own.
        benchmark: Validation shapes, e.g. the test names of ShapeNet-55.
    """
    texts = model.embed_text(benchmark.labels).cpu().numpy()

    def validate(encoder: ClipEncoder) -> float:
        hits = []
        for part in Embedder(Model(model.recipe, encoder, prompter=model.prompter)).parts(benchmark):
            hits += ((part.views @ texts.T).sum(axis=1).argmax(axis=1) == part.truth).tolist()
        if not hits:
            raise ConfigError(
                f"benchmark must hold a shape that can be read, but got none of {len(benchmark)}. Run basrelief doctor on it."
            )
        return sum(hits) / len(hits)

    return validate


def save_tower(encoder: ClipEncoder, path: Path) -> None:
    """Write the image tower alone, whole or not at all; `ClipEncoder.load_visual` reads it."""
    from safetensors.torch import save_file

    state = {name: t for name, t in encoder.towers.state_dict().items() if name.startswith(("vision_model.", "visual_projection."))}
    part = path.with_name(f".{path.name}.part")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, part)
    part.replace(path)


def _radius(size: int) -> float:
    """The paper's disc of 0.02, or one that still covers a pixel of a smaller picture."""
    return max(0.02, 2.0 / size)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)[0] >> 1)


def _optimiser(parameters: list[nn.Parameter], settings: Clip2PointSettings) -> torch.optim.Optimizer:
    how = settings.optimiser
    kind = Lamb if how.name == "lamb" else torch.optim.AdamW
    return kind(parameters, lr=how.rate, weight_decay=how.decay)


def _accelerator(settings: Clip2PointSettings) -> Accelerator:
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ModuleNotFoundError as error:
        raise MissingExtraError("training must run with accelerate, but it is not installed. Install basrelief[train].") from error
    AcceleratorState._reset_state()  # it is one for the process, and a run before this one may have had another precision
    return Accelerator(mixed_precision=PRECISIONS[settings.precision], gradient_accumulation_steps=settings.accumulate)


def _board(out: Path) -> Any:  # noqa: ANN401 - optional
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out / "tensorboard"))
