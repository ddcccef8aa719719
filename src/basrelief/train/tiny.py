"""Train `tiny`: first the text tower, then the vision tower towards it. `python -m basrelief.train.tiny --help`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder, Tokenizer, load_encoder_folder, save_encoder
from basrelief.testing import CATEGORIES
from basrelief.testing.furniture_seats import SEATS
from basrelief.testing.furniture_tables import TABLES
from basrelief.train.augment import Augmentation, augment
from basrelief.train.data import ShapeSet, class_weights, generated_shapes, merge, read_shapes, split_groups
from basrelief.train.losses import alignment_loss, invariance_loss
from basrelief.train.text import TEMPLATES, class_embeddings, fit_text, recorded_features
from basrelief.train.towers import PROJECTION, new_encoder
from basrelief.train.views import draw_views, random_elevations

HELD_OUT = (
    "Quaternius Furniture Pack",
    "Kenney Furniture Pack",
    "Realistic Car Pack",
    "Public Transport Pack",
    "Farm Animals Animated",
    "Junk Food Pack",
    "street pack",
    "Sara Vieira",
    "CreativeTrio",
)
"""Packs and creators kept for validation."""


@dataclass(frozen=True)
class Settings:
    """How `tiny` is trained.

    Attributes:
        hours: Time for the vision tower; the learning rate falls to zero at its end.
        patches: Patches of each image that are read, those with a background only last; all of them in the last quarter of the hours.
        text_steps: Steps for the text tower.
        furniture: Generated shapes of each seat, table and storage category.
        others: Generated shapes of each other category.
        batch: Shapes of a step, two views each.
        rate: Peak learning rate.
        invariance: Weight of the loss between two views of a shape.
        smoothing: Label smoothing of the alignment.
        power: Class balance, see `class_weights`.
        found: What a shape from a file counts among the generated ones of its class.
        seed: Of everything.
        device: Where to train.
        augmentation: What clouds suffer.
    """

    hours: float = 1.0
    patches: int = 28
    text_steps: int = 1000
    furniture: int = 300
    others: int = 100
    batch: int = 64
    rate: float = 1e-3
    invariance: float = 0.1
    smoothing: float = 0.05
    power: float = 0.4
    found: float = 5.0
    seed: int = 0
    device: str = "cpu"
    augmentation: Augmentation = field(default_factory=Augmentation)


def training_shapes(folder: Path, settings: Settings, *, points: int = 4096) -> tuple[ShapeSet, ShapeSet]:
    """Shapes to train on (files and generated ones) and the held-out packs, under the same class names."""
    some = [name for name in CATEGORIES if name in SEATS or name in TABLES]
    rest = [name for name in CATEGORIES if name not in some]
    files = read_shapes(folder, count=points, seed=settings.seed)
    generated = [generated_shapes(some, settings.furniture, count=points), generated_shapes(rest, settings.others, count=points)]
    return split_groups(merge([files, *generated]), HELD_OUT)


def text_stage(clip_text: Path, names: Iterable[str], log: Log, *, settings: Settings) -> ClipEncoder:
    """A new encoder whose text tower knows the recorded names."""
    recorded = recorded_features(clip_text)
    words = [*recorded, *names, *(template.format("") for template in TEMPLATES)]
    encoder = _ready(new_encoder(Tokenizer.train(words, vocab_size=2560), seed=settings.seed), settings)
    fit_text(encoder, recorded, steps=settings.text_steps, seed=settings.seed, progress=lambda record: log.write(stage="text", **record))
    return encoder


class Log:
    """JSON lines in a file, also on the screen when asked."""

    def __init__(self, path: Path, *, echo: bool = False) -> None:
        self._path, self._echo, self._start = path, echo, time.monotonic()

    def write(self, **record: float | str) -> None:
        """Add one record, with the seconds since the start."""
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in record.items()}
        line = json.dumps({"seconds": round(time.monotonic() - self._start, 1), **rounded})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._echo:
            import sys

            sys.stderr.write(line + "\n")


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
        self.generator = Generator(settings.device).manual_seed(settings.seed)
        self.texts = class_embeddings(encoder, shapes.names)
        self._weights = class_weights(shapes, power=settings.power, found=settings.found)
        self._draw = Generator().manual_seed(settings.seed)
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
            generator.set_state(saved.cpu())
        self.step, self.elapsed = int(state["step"]), float(state["elapsed"])

    def _set_rate(self) -> None:
        """Warm up for 100 steps, then fall along a straight line to zero at the end of the hours."""
        share = min(1.0, (self.step + 1) / 100) * max(0.0, 1 - self.elapsed / 3600 / self.settings.hours)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.settings.rate * share


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


def image_features(
    encoder: ClipEncoder, images: Float[Tensor, "batch size size"], *, patches: int | None = None
) -> Float[Tensor, "batch dim"]:
    """Differentiable features of depth images in bfloat16 arithmetic, returned as float32.

    Args:
        encoder: A vision transformer.
        images: Depth images, background 1.
        patches: Read only so many patches of each image, those that show something first (after Li et al. 2023, arXiv:2212.00794).
    """
    pixels = ((images - encoder.mean[0]) / encoder.std[0])[:, None].expand(-1, 3, -1, -1)
    with torch.autocast(images.device.type, dtype=torch.bfloat16):
        if patches is None:
            return encoder.towers.image_features(pixels).float()
        vision = encoder.towers.vision_model
        tokens: Tensor = vision.get_submodule("embeddings")(pixels)
        rows = torch.arange(len(tokens), device=tokens.device)[:, None]
        tokens = vision.get_submodule("pre_layrnorm")(tokens[rows, _shown(images, patches, encoder.config.vision.patch_size or 1)])
        blocks: nn.Module = vision.get_submodule("encoder.layers")
        for block in blocks.children():
            tokens = block(tokens, attention_mask=None)
        features: Tensor = encoder.towers.get_submodule("visual_projection")(vision.get_submodule("post_layernorm")(tokens[:, 0]))
        return features.float()


def _shown(images: Float[Tensor, "batch size size"], patches: int, side: int) -> Int[Tensor, "batch kept"]:
    """Numbers of the class token and of the patches that hold the most points, spread evenly from image to image."""
    filled = F.avg_pool2d((images < 1).float()[:, None], side).flatten(1).clamp(max=0.1)
    spread = torch.linspace(0, 1, filled.numel(), device=images.device).mul(7919).frac().view_as(filled) * 0.05
    best = (filled + spread).topk(patches, dim=1).indices + 1
    return F.pad(best, (1, 0))


def _ready(encoder: ClipEncoder, settings: Settings) -> ClipEncoder:
    """Move to the device and use plain attention: on a CPU its backward pass is quicker than the fused one for 50 tokens."""
    encoder.towers.to(settings.device)
    for module in encoder.towers.modules():
        if hasattr(module, "config") and hasattr(module.config, "_attn_implementation"):
            module.config._attn_implementation = "eager"
    return encoder


def accuracy(encoder: ClipEncoder, shapes: ShapeSet, *, points: int = 2048) -> dict[str, float]:
    """Top-1 and top-5 of zero-shot classification over all class names, with the views and pooling of the recipe."""
    from basrelief.render import render_batch

    texts = class_embeddings(encoder, shapes.names)
    hits = torch.zeros(2)
    for part in torch.split(torch.arange(len(shapes)), 16):
        images = render_batch(list(shapes.points[part, :points].float().numpy()), PROJECTION, device=encoder.device)
        with torch.no_grad():
            views = F.normalize(image_features(encoder, images.flatten(0, 1)), dim=-1).view(*images.shape[:2], -1)
        score = views.mean(dim=1) @ texts.T
        rank = (score > score.gather(1, shapes.label[part, None].to(score.device))).sum(dim=1)
        hits += torch.stack([(rank < 1).sum(), (rank < 5).sum()]).cpu()
    top1, top5 = (hits / len(shapes)).tolist()
    return {"top1": top1, "top5": top5}


def train(shapes: Path, clip_text: Path, out: Path, *, settings: Settings, minutes: float = 4.0) -> ClipEncoder:
    """Train `tiny`, resuming what lies in `out`.

    Args:
        shapes: Folder of labelled shapes, see `read_shapes`.
        clip_text: Folder of recorded text features, see `recorded_features`.
        out: Gets `encoder.safetensors`, `tokenizer.json`, `checkpoint.pt` and `log.jsonl`.
        settings: How.
        minutes: Between checkpoints.
    """
    out.mkdir(parents=True, exist_ok=True)
    log = Log(out / "log.jsonl", echo=True)
    kept, held = training_shapes(shapes, settings)
    log.write(stage="data", train=len(kept), held=len(held), names=len(kept.names))
    if (out / "text" / "encoder.safetensors").is_file():
        encoder = _ready(load_encoder_folder(out / "text"), settings)
    else:
        encoder = text_stage(clip_text, kept.names, log, settings=settings)
        save_encoder(encoder, out / "text", dtype=torch.float32)
    with torch.no_grad():
        encoder.towers.logit_scale.fill_(4.0)
    trainer = VisionTrainer(encoder, kept, settings)
    if (out / "checkpoint.pt").is_file():
        trainer.restore(out / "checkpoint.pt")
    _run(trainer, held, out, log, minutes)
    return encoder


def _run(trainer: VisionTrainer, held: ShapeSet, out: Path, log: Log, minutes: float) -> None:
    budget, saved = trainer.settings.hours * 3600, trainer.elapsed
    while trainer.elapsed < budget:
        start = time.monotonic()
        losses = trainer.train_step()
        trainer.elapsed += time.monotonic() - start
        done = trainer.elapsed >= budget
        if trainer.step % 50 == 0 or done:
            log.write(stage="vision", step=trainer.step, elapsed=trainer.elapsed, **losses)
        if done or trainer.elapsed - saved > minutes * 60:
            saved = trainer.elapsed
            torch.save(trainer.state(), out / "checkpoint.tmp")
            (out / "checkpoint.tmp").replace(out / "checkpoint.pt")
            save_encoder(trainer.encoder, out)
            log.write(stage="held out", step=trainer.step, **accuracy(trainer.encoder, held))


def main() -> None:
    """Command line."""
    import argparse

    parser = argparse.ArgumentParser(description="Train the embedded model `tiny`.")
    parser.add_argument("--shapes", type=Path, required=True, help="folder of labelled shapes, its table beside it")
    parser.add_argument("--clip-text", type=Path, required=True, help="folder of recorded CLIP text features")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for weights, checkpoint and log; resumed when it holds a checkpoint"
    )
    parser.add_argument("--hours", type=float, default=1.0, help="time for the vision tower")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    settings = Settings(hours=given.hours, seed=given.seed, device=given.device)
    train(given.shapes, given.clip_text, given.out, settings=settings)


if __name__ == "__main__":
    main()
