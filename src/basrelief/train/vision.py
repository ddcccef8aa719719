"""The training of the vision tower: batches, steps, and the state that a checkpoint holds."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder
from basrelief.train.augment import augment
from basrelief.train.data import ShapeSet, class_weights
from basrelief.train.features import image_features
from basrelief.train.losses import alignment_loss, invariance_loss
from basrelief.train.settings import Settings
from basrelief.train.text import class_embeddings
from basrelief.train.towers import PROJECTION
from basrelief.train.views import draw_views, random_elevations

RANK_STRIDE = 1_000_003
"""Between the seeds of two processes of one run."""


class VisionTrainer:
    """State of the vision tower's training: everything that a checkpoint holds.

    Attributes:
        encoder: Trained in place.
        step: Steps done.
        elapsed: Seconds of training done, over all runs.
    """

    def __init__(self, encoder: ClipEncoder, shapes: ShapeSet, settings: Settings) -> None:
        self.encoder, self.shapes, self.settings = encoder, shapes, settings
        self.step, self.elapsed = 0, 0.0
        self.generator = Generator(settings.device).manual_seed(settings.seed + RANK_STRIDE * rank())
        self.texts = class_embeddings(encoder, shapes.names)
        self._weights = class_weights(shapes, power=settings.power, found=settings.found)
        self._draw = Generator().manual_seed(settings.seed + RANK_STRIDE * rank())
        self.optimisers = _optimisers(encoder, settings)
        encoder.towers.requires_grad_(False)
        self.parameters = [p.requires_grad_() for o in self.optimisers for g in o.param_groups for p in g["params"]]

    def train_step(self) -> dict[str, float]:
        """One step on fresh views; returns its losses."""
        self._set_rate()
        images, label = self.batch()
        full = self.elapsed >= 0.75 * 3600 * self.settings.hours
        features = image_features(self.encoder, images.flatten(0, 1), patches=None if full else self.settings.patches)
        first, second = features.chunk(2)
        scale = self.encoder.towers.logit_scale.exp().clamp(max=100)
        align = alignment_loss(features, self.texts, label.repeat(2), logit_scale=scale, smoothing=self.settings.smoothing)
        pooled = F.normalize(first, dim=-1) + F.normalize(second, dim=-1)
        mean = alignment_loss(pooled, self.texts, label, logit_scale=scale, smoothing=self.settings.smoothing)
        agree = invariance_loss(first, second, label)
        (align + 0.5 * mean + self.settings.invariance * agree).backward()
        self._share_gradients()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.step += 1
        return {"align": align.item(), "mean": mean.item(), "agree": agree.item(), "scale": scale.item()}

    def batch(self) -> tuple[Float[Tensor, "2 batch size size"], Int[Tensor, " batch"]]:
        """Two views of each drawn shape, each with its own points, changes and camera; between 256 and 4096 points."""
        device = self.settings.device
        rows = torch.multinomial(self._weights, self.settings.batch, replacement=True, generator=self._draw)
        count = int(2 ** (8 + 4 * float(torch.rand((), generator=self._draw))))
        total = self.shapes.points.shape[1]
        chosen = [torch.randperm(total, generator=self._draw)[:count] for _ in range(2)]
        drawn = self.shapes.points[rows]
        points = torch.cat([drawn[:, part] for part in chosen]).float().to(device)
        points = augment(points, self.settings.augmentation, generator=self.generator)
        elevation = random_elevations(len(points), generator=self.generator, device=torch.device(device))
        return draw_views(points, elevation, PROJECTION).view(2, -1, PROJECTION.size, PROJECTION.size), self.shapes.label[rows].to(device)

    def state(self) -> dict[str, object]:
        """What a resumed run needs."""
        return {
            "towers": self.encoder.towers.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "generators": [self.generator.get_state(), self._draw.get_state()],
            "step": self.step,
            "elapsed": self.elapsed,
        }

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint that `state` made."""
        state = torch.load(path, weights_only=True, map_location=self.settings.device)
        self.encoder.towers.load_state_dict(state["towers"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        for generator, saved in zip((self.generator, self._draw), state["generators"], strict=True):
            if rank() == 0:
                generator.set_state(saved.cpu())
            else:
                generator.manual_seed(generator.initial_seed() + int(state["step"]))
        self.step, self.elapsed = int(state["step"]), float(state["elapsed"])

    def _set_rate(self) -> None:
        """Warm up for 100 steps, then fall along a straight line to zero at the end of the hours."""
        share = min(1.0, (self.step + 1) / 100) * max(0.0, 1 - self.elapsed / 3600 / self.settings.hours)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.settings.rate * share

    def _share_gradients(self) -> None:
        """Average the gradients over the processes that `torchrun` started; alone, nothing."""
        if not dist.is_initialized():
            return
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        flat = agreed(torch.cat([g.flatten() for g in gradients]))
        for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def agreed(values: Float[Tensor, " numbers"]) -> Float[Tensor, " numbers"]:
    """The mean over all processes of one run; the values themselves when alone."""
    if dist.is_initialized():
        dist.all_reduce(values)
        values = values / dist.get_world_size()
    return values


def rank() -> int:
    """Number of this process among those that `torchrun` started; 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def _optimisers(encoder: ClipEncoder, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for everything else; needs torch 2.9."""
    towers = encoder.towers
    blocks = towers.vision_model.get_submodule("encoder")
    matrices = [p for p in blocks.parameters() if p.ndim == 2]
    known = {id(p) for p in matrices}
    others = [p for part in (towers.vision_model, towers.visual_projection) if part for p in part.parameters() if id(p) not in known]
    return [
        torch.optim.Muon(matrices, lr=settings.rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([*others, towers.logit_scale], lr=settings.rate, weight_decay=0.05, betas=(0.9, 0.98)),
    ]
