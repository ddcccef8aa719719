"""Training of `tiny`'s image tower: CLIP2Point's losses on depth views and pictures, and a classification loss against label texts."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder, save_encoder
from basrelief.train.augment import augment
from basrelief.train.clip2point.objective import pair_losses
from basrelief.train.data import ShapeSet, sampling_weights
from basrelief.train.run import RunContext, TrainingRun, derive_seed
from basrelief.train.tiny.features import image_features
from basrelief.train.tiny.muon import Muon
from basrelief.train.tiny.settings import TinySettings
from basrelief.train.tiny.text import class_embeddings
from basrelief.train.tiny.towers import PROJECTION
from basrelief.train.tiny.views import draw_views, random_elevations

_MASKED = 0.9
"""Share of the steps that read only some patches."""

_SIMILARITY_SCALE = 20.0
"""Logit scale of the similarity of two names (centred embeddings) in the softmax of `semantic_smoothing`."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures and contour-aware depth maps of some of the training shapes, from the same views.

    Attributes:
        colour: (S, V, H, W, 3).
        depth: (S, V, H, W), near dark, background 255.
        row: (S,) index of each shape in the shape set.
    """

    colour: UInt8[Tensor, "shapes views side side 3"]
    depth: UInt8[Tensor, "shapes views side side"]
    row: Int[Tensor, " shapes"]


class Batch(NamedTuple):
    """Input of a step: two depth views of every shape; a picture and its depth map of the first ones."""

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
    """The image tower, the texts and targets of its classification loss, and the learned weight w of CLIP2Point's losses.

    Attributes:
        encoder: Its image tower is trained in place.
        balance: w, learned.
        full: Whether the tower reads all patches.
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
        """Compute the losses of a batch: `words` of every image and `pooled` of the two views against the label texts, and CLIP2Point's."""
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
    """Return the target of each class, a distribution over names, and the names' embeddings, those of the classes first.

    Names of classes without shapes, such as unseen ones, are left out unless `semantic_smoothing` includes all names.

    Args:
        encoder: Encoder with a trained text tower.
        shapes: Training shapes.
        others: Other names that the text tower knows.
        settings: Label smoothing.
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
    """The image tower's training as a run."""

    settings: TinySettings
    export_best = False

    def __init__(self, model: VisionModel, shapes: ShapeSet, pictures: Pictures, *, settings: TinySettings, context: RunContext) -> None:
        super().__init__(settings, context, rows=settings.batch_size * settings.epoch_steps)
        device = self.accelerator.device
        self.model, self.network, self.shapes = model.to(device), model.towers, shapes
        self.points, self.label = shapes.points.to(device), shapes.label.to(device)
        self.pictures = Pictures(pictures.colour.to(device), pictures.depth.to(device), pictures.row)
        self.weights = sampling_weights(shapes, sampling_power=settings.sampling_power, file_weight=settings.file_weight)
        self.muon, self.optimiser = optimisers(model, settings)
        self.prepared: Any = self.accelerator.prepare(model)

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Both optimisers, by name."""
        return {"optimiser": self.optimiser, "muon": self.muon}

    def train_mode(self) -> None:
        """Train the image tower's batch norm, too, as it starts from random weights; the text tower is frozen."""
        self.network.eval()
        self.model.towers.vision_model.train()

    def train_step(self, content: list[Batch]) -> TinyLosses:
        """Take one step on fresh views."""
        self._set_lr()
        self.model.full = self.step >= _MASKED * self.total_steps
        losses: TinyLosses = self.prepared(self.batch())
        self.accelerator.backward(losses.total / self.settings.accumulate)
        if (self.step + 1) % self.settings.accumulate == 0 or self.step + 1 == self.total_steps:
            nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
            for optimiser in (self.muon, self.optimiser):
                optimiser.step()
                optimiser.zero_grad()
        return losses._replace(total=losses.total.detach())

    @torch.no_grad()
    def batch(self) -> Batch:
        """Sample shapes and render two views of each, each with its own points (256 to 4,096), augmentation and camera."""
        settings, device = self.settings, self.accelerator.device
        seed = derive_seed(settings.seed, self.step, self.accelerator.process_index)
        draw, generator = Generator().manual_seed(seed), Generator(device).manual_seed(seed)
        share = self.accelerator.num_processes
        count, with_images = settings.batch_size // share, settings.with_images // share
        shown = torch.multinomial(self.weights[self.pictures.row], with_images, replacement=True, generator=draw)
        view = torch.randint(self.pictures.depth.shape[1], (with_images,), generator=draw)
        drawn = torch.multinomial(self.weights, count, replacement=True, generator=draw)
        rows = torch.cat([self.pictures.row[shown], drawn[with_images:]]).to(device)
        points = int(2 ** (8 + 4 * float(torch.rand((), generator=draw))))
        total = self.points.shape[1]
        chosen = [torch.randperm(total, generator=draw)[:points].to(device) for _ in range(2)]
        clouds = torch.cat([self.points[rows][:, part] for part in chosen]).float()
        clouds = augment(clouds, settings.augmentation_at(self.step / self.total_steps), generator=generator)
        elevation = random_elevations(len(clouds), generator=generator, device=device)
        views = draw_views(clouds, elevation, PROJECTION).unflatten(0, (2, count))
        shown, view = shown.to(device), view.to(device)
        maps = self.pictures.depth[shown, view].float() / 255
        return Batch(views, maps, self.pictures.colour[shown, view].permute(0, 3, 1, 2).float() / 255, self.label[rows])

    def state(self) -> dict[str, Any]:
        """Return towers and loss weight."""
        return {"model": self.model.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load both."""
        self.model.load_state_dict(state["model"])

    def export(self) -> None:
        """Write the encoder."""
        save_encoder(copy.copy(self.model.encoder), self.out)

    def _set_lr(self) -> None:
        """Set the learning rate: linear warm-up, then linear decay to zero."""
        warm = min(1.0, (self.step + 1) / max(1, self.settings.warm_up))
        for optimiser in (self.muon, self.optimiser):
            for group in optimiser.param_groups:
                group["lr"] = self.settings.lr * warm * (1 - self.step / self.total_steps)


def optimisers(model: VisionModel, settings: TinySettings) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Return Muon for the matrices of the blocks and the kernels of the stem, and AdamW for all other parameters.

    Args:
        model: Only its trainable parameters are used.
        settings: Learning rate and weight decay.
    """
    vision = model.towers.vision_model
    parts = (vision.get_submodule("encoder"), vision.get_submodule("embeddings.stem"))
    matrices = [p for part in parts for p in part.parameters() if p.ndim > 1]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    return (
        Muon(matrices, lr=settings.lr, weight_decay=settings.weight_decay),
        torch.optim.AdamW(others, lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.98)),
    )
