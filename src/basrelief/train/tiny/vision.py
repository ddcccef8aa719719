"""The training of the image tower: CLIP2Point's losses on depth views and pictures, and both against words."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder, save_encoder
from basrelief.train.augment import augment
from basrelief.train.clip2point import pair_losses
from basrelief.train.data import ShapeSet, sampling_weights
from basrelief.train.muon import Muon
from basrelief.train.run import TrainingRun, derive_seed
from basrelief.train.tiny.features import image_features
from basrelief.train.tiny.settings import TinySettings
from basrelief.train.tiny.text import class_embeddings
from basrelief.train.tiny.towers import PROJECTION
from basrelief.train.views import draw_views, random_elevations

if TYPE_CHECKING:
    from accelerate import Accelerator

_MASKED = 0.9
"""Share of the steps that read only some patches."""

_SIMILARITY_SCALE = 20.0
"""Multiplies the cosine of two names, their mean taken off, before the softmax of `semantic_smoothing`."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures and contour-aware depth maps of some of the training shapes, from the same sides.

    Attributes:
        colour: (S, V, H, W, 3).
        depth: (S, V, H, W), near dark, background 255.
        row: (S,) number of each shape in the shape set.
    """

    colour: UInt8[Tensor, "shapes views side side 3"]
    depth: UInt8[Tensor, "shapes views side side"]
    row: Int[Tensor, " shapes"]


class Batch(NamedTuple):
    """What a step is shown: two depth views of every shape; a picture and its depth map of the first ones."""

    views: Float[Tensor, "two batch side side"]
    maps: Float[Tensor, "images side side"]
    pictures: Float[Tensor, "images 3 side side"]
    label: Int[Tensor, " batch"]


class TinyLosses(NamedTuple):
    """The loss and its parts."""

    total: Tensor
    words: Tensor
    pooled: Tensor
    cross: Tensor
    intra: Tensor
    right: Tensor


class VisionModel(nn.Module):
    """The image tower in training, the words it is taught, and the balance w of CLIP2Point's losses.

    Attributes:
        encoder: Trained in place.
        balance: w, learned.
        full: Whether all patches are read.
    """

    def __init__(self, encoder: ClipEncoder, targets: Float[Tensor, "labels names"], texts: Tensor, settings: TinySettings) -> None:
        super().__init__()
        self.encoder, self.towers, self.settings = encoder, encoder.towers, settings
        self.towers.requires_grad_(False)
        for part in (self.towers.vision_model, self.towers.visual_projection):
            if part is not None:
                part.requires_grad_(True)
        self.towers.logit_scale.requires_grad_(True)
        self.balance = nn.Parameter(torch.ones(()))
        self.full = False
        self.register_buffer("targets", targets)
        self.register_buffer("texts", texts)

    def forward(self, batch: Batch) -> TinyLosses:
        """Losses of a batch: `words` of every image and `pooled` of the two views against the names, and CLIP2Point's."""
        count, with_images = len(batch.label), len(batch.maps)
        seen = torch.cat([batch.views.flatten(0, 1), batch.maps])
        features = image_features(self.encoder, seen, batch.pictures, patches=None if self.full else self.settings.patches)
        first, second, _, pictures = features.split([count, count, with_images, with_images])
        label, shown = batch.label, batch.label[:with_images]
        words = self._against_words(features, torch.cat([label, label, shown, shown]))
        mean = F.normalize(first, dim=-1) + F.normalize(second, dim=-1)
        pooled = self._against_words(mean, label)
        pair = pair_losses(first, second, picture=pictures, balance=self.balance, label=label)
        with torch.no_grad():
            right = (self._logits(mean).argmax(dim=1) == self.get_buffer("targets")[label].argmax(dim=1)).float().mean()
        total = words + 0.5 * pooled + self.settings.pair_weight * pair.total
        return TinyLosses(total, words.detach(), pooled.detach(), pair.cross.detach(), pair.intra.detach(), right)

    def _logits(self, features: Float[Tensor, "images dim"]) -> Float[Tensor, "images names"]:
        scale = self.towers.logit_scale.exp().clamp(max=100)
        with torch.autocast(features.device.type, enabled=False):  # a softmax over hundreds of names needs float32
            return scale * F.normalize(features, dim=-1) @ self.get_buffer("texts").T

    def _against_words(self, features: Float[Tensor, "images dim"], label: Int[Tensor, " images"]) -> Float[Tensor, ""]:
        return F.cross_entropy(self._logits(features), self.get_buffer("targets")[label])


def label_targets(
    encoder: ClipEncoder, shapes: ShapeSet, others: Sequence[str], *, settings: TinySettings
) -> tuple[Float[Tensor, "labels names"], Float[Tensor, "names dim"]]:
    """What each class is to be called: a distribution over names, and the names' embeddings, the classes of the shapes first.

    Names of classes without a shape, as those left out, are not among them, unless `semantic_smoothing` brings them in with all others.

    Args:
        encoder: Its text tower is frozen.
        shapes: Training shapes.
        others: Names that the text tower was taught.
        settings: Shares of the target.
    """
    count = torch.bincount(shapes.label, minlength=len(shapes.names))
    own = [name for name, n in zip(shapes.names, count.tolist(), strict=True) if n]
    names = own + (sorted(set(others) - set(own)) if settings.semantic_smoothing else [])
    texts = class_embeddings(encoder, names).float()
    place = torch.tensor([own.index(name) if name in own else -1 for name in shapes.names])
    near = F.normalize(texts - texts.mean(dim=0), dim=-1)
    similar = torch.softmax(_SIMILARITY_SCALE * near[: len(own)] @ near.T, dim=1)
    even = F.pad(torch.full((len(own), len(own)), 1 / len(own), device=similar.device), (0, len(names) - len(own)))
    right = torch.eye(len(own), len(names), device=similar.device)
    targets = (
        (1 - settings.smoothing - settings.semantic_smoothing) * right + settings.smoothing * even + settings.semantic_smoothing * similar
    )
    return targets[place.to(similar.device)], texts


class VisionRun(TrainingRun[Batch]):
    """The image tower's training as a run: what a step is shown depends on seed and step alone."""

    export_best = False

    def __init__(
        self, model: VisionModel, shapes: ShapeSet, pictures: Pictures, *, how: tuple[TinySettings, Accelerator, Path], echo: bool
    ) -> None:
        settings, accelerator, out = how
        super().__init__(settings, accelerator, out, rows=settings.batch * settings.epoch_steps, echo=echo)
        device = accelerator.device
        self.model, self.encoder, self.shapes = model.to(device), model.encoder, shapes
        self.points, self.label = shapes.points.to(device), shapes.label.to(device)
        self.pictures = Pictures(pictures.colour.to(device), pictures.depth.to(device), pictures.row)
        self.weights = sampling_weights(shapes, sampling_power=settings.sampling_power, file_weight=settings.file_weight)
        self.muon, self.optimiser = optimisers(model, settings)
        self.prepared: Any = accelerator.prepare(model)

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Both by name."""
        return {"optimiser": self.optimiser, "muon": self.muon}

    def train_mode(self) -> None:
        """The image tower starts from random weights: batch norm learns its statistics. The text tower is frozen."""
        self.encoder.towers.eval()
        self.encoder.towers.vision_model.train()

    def prefetch(self, step: int) -> list[Future[Batch]]:
        """Nothing is read ahead: everything lies in memory."""
        return []

    def train_step(self, content: list[Batch]) -> TinyLosses:
        """One step on fresh views."""
        self._set_rate()
        self.model.full = self.step >= _MASKED * self.steps
        losses: TinyLosses = self.prepared(self.batch())
        self.accelerator.backward(losses.total / self.settings.accumulate)
        if (self.step + 1) % self.settings.accumulate == 0 or self.step + 1 == self.steps:
            nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
            for optimiser in (self.muon, self.optimiser):
                optimiser.step()
                optimiser.zero_grad()
        return losses._replace(total=losses.total.detach())

    @torch.no_grad()
    def batch(self) -> Batch:
        """Two views of each drawn shape, each with its own points, changes and camera; between 256 and 4096 points."""
        settings, device = self.settings, self.accelerator.device
        seed = derive_seed(settings.seed, self.step, self.accelerator.process_index)
        draw, generator = Generator().manual_seed(seed), Generator(device).manual_seed(seed)
        share = self.accelerator.num_processes
        count, with_images = settings.batch // share, settings.with_images // share
        shown = torch.multinomial(self.weights[self.pictures.row], with_images, replacement=True, generator=draw)
        view = torch.randint(self.pictures.depth.shape[1], (with_images,), generator=draw)
        drawn = torch.multinomial(self.weights, count, replacement=True, generator=draw)
        rows = torch.cat([self.pictures.row[shown], drawn[with_images:]]).to(device)
        points = int(2 ** (8 + 4 * float(torch.rand((), generator=draw))))
        total = self.points.shape[1]
        chosen = [torch.randperm(total, generator=draw)[:points].to(device) for _ in range(2)]
        clouds = torch.cat([self.points[rows][:, part] for part in chosen]).float()
        clouds = augment(clouds, settings.augmentation_at(self.step / self.steps), generator=generator)
        elevation = random_elevations(len(clouds), generator=generator, device=device)
        views = draw_views(clouds, elevation, PROJECTION).unflatten(0, (2, count))
        shown, view = shown.to(device), view.to(device)
        maps = self.pictures.depth[shown, view].float() / 255
        return Batch(views, maps, self.pictures.colour[shown, view].permute(0, 3, 1, 2).float() / 255, self.label[rows])

    def state(self) -> dict[str, Any]:
        """Towers and balance."""
        return {"model": self.model.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take both."""
        self.model.load_state_dict(state["model"])

    def export(self) -> None:
        """Write the encoder."""
        save_encoder(copy.copy(self.encoder), self.out)

    def _set_rate(self) -> None:
        """Warm up, then fall along a straight line to zero at the last step."""
        warm = min(1.0, (self.step + 1) / max(1, self.settings.warm_up))
        for optimiser in (self.muon, self.optimiser):
            for group in optimiser.param_groups:
                group["lr"] = self.settings.rate * warm * (1 - self.step / self.steps)


def optimisers(model: VisionModel, settings: TinySettings) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the matrices of the blocks and the kernels of the stem, AdamW for everything else.

    Args:
        model: Those of its numbers that are trained.
        settings: Rate and decay.
    """
    vision = model.towers.vision_model
    parts = (vision.get_submodule("encoder"), vision.get_submodule("embeddings.stem"))
    matrices = [p for part in parts for p in part.parameters() if p.ndim > 1]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    return (
        Muon(matrices, lr=settings.rate, decay=settings.decay),
        torch.optim.AdamW(others, lr=settings.rate, weight_decay=settings.decay, betas=(0.9, 0.98)),
    )
