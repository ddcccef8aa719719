"""Train `tiny`: first the text tower, then the vision tower towards it. `python -m basrelief.train.tiny --help`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.distributed as dist

from basrelief.encoders import ClipEncoder, Tokenizer, load_encoder_folder, save_encoder
from basrelief.encoders.known_words import KnownWords, write_known_words
from basrelief.testing import CATEGORIES
from basrelief.testing.furniture_seats import SEATS
from basrelief.testing.furniture_tables import TABLES
from basrelief.train.data import ShapeSet, generated_shapes, load_shapes, merge, read_shapes, save_shapes, split_groups
from basrelief.train.features import accuracy
from basrelief.train.log import Log
from basrelief.train.settings import Settings
from basrelief.train.text import TEMPLATES, fit_text, recorded_features
from basrelief.train.towers import new_encoder
from basrelief.train.vision import VisionTrainer, agreed, rank

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


_SOURCE = (
    "read: category names of LVIS, Open Images, Objects365 and COCO as the text tower was taught them; taught: names of the training shapes"
)


def training_shapes(folder: Path, settings: Settings, *, points: int = 4096) -> ShapeSet:
    """All shapes, from files and generated, the held-out packs included."""
    some = [name for name in CATEGORIES if name in SEATS or name in TABLES]
    rest = [name for name in CATEGORIES if name not in some]
    files = read_shapes(folder, count=points, seed=settings.seed)
    generated = [generated_shapes(some, settings.furniture, count=points), generated_shapes(rest, settings.others, count=points)]
    return merge([files, *generated])


def text_stage(clip_text: Path, names: Iterable[str], log: Log, *, settings: Settings) -> ClipEncoder:
    """A new encoder whose text tower knows the recorded names."""
    recorded = recorded_features(clip_text)
    words = [*recorded, *names, *(template.format("") for template in TEMPLATES)]
    encoder = _ready(new_encoder(Tokenizer.train(words, vocab_size=2560), seed=settings.seed), settings)
    fit_text(encoder, recorded, steps=settings.text_steps, seed=settings.seed, progress=lambda record: log.write(stage="text", **record))
    return encoder


def _ready(encoder: ClipEncoder, settings: Settings) -> ClipEncoder:
    """Move to the device and use plain attention: on a CPU its backward pass is quicker than the fused one for 50 tokens."""
    encoder.towers.to(settings.device)
    for module in encoder.towers.modules():
        if hasattr(module, "config") and hasattr(module.config, "_attn_implementation"):
            module.config._attn_implementation = "eager"
    return encoder


def train(shapes: Path, clip_text: Path, *, out: Path, settings: Settings, minutes: float = 4.0) -> ClipEncoder:
    """Train `tiny`, resuming what lies in `out`.

    Args:
        shapes: Folder of labelled shapes, see `read_shapes`.
        clip_text: Folder of recorded text features, see `recorded_features`.
        out: Gets `encoder.safetensors`, `tokenizer.json`, `checkpoint.pt`, `log.jsonl`, the samples and the text tower.
        settings: How.
        minutes: Between checkpoints.
    """
    out.mkdir(parents=True, exist_ok=True)
    log = Log(out / "log.jsonl", echo=True)
    if rank() == 0:
        _prepare(shapes, clip_text, out, settings=settings, log=log)
    if dist.is_initialized():
        dist.barrier()
    kept, held = split_groups(load_shapes(out / "shapes.pt"), HELD_OUT)
    trainer = VisionTrainer(_ready(load_encoder_folder(out / "text"), settings), kept, settings)
    if (out / "checkpoint.pt").is_file():
        trainer.restore(out / "checkpoint.pt")
    _run(trainer, held, out, log, minutes)
    return trainer.encoder


def _prepare(shapes: Path, clip_text: Path, out: Path, *, settings: Settings, log: Log) -> None:
    """Sample the shapes and train the text tower, whichever is not there yet."""
    if not (out / "shapes.pt").is_file():
        save_shapes(training_shapes(shapes, settings), out / "shapes.pt")
    found = load_shapes(out / "shapes.pt")
    log.write(stage="data", shapes=len(found), names=len(found.names))
    if not (out / "text" / "encoder.safetensors").is_file():
        encoder = text_stage(clip_text, found.names, log, settings=settings)
        with torch.no_grad():
            encoder.towers.logit_scale.fill_(4.0)
        save_encoder(encoder, out / "text", dtype=torch.float32)
    known = KnownWords(tuple(sorted(found.names)), tuple(sorted(recorded_features(clip_text))))
    write_known_words(out, known, source=_SOURCE)


def _run(trainer: VisionTrainer, held: ShapeSet, out: Path, log: Log, minutes: float) -> None:
    budget, saved = trainer.settings.hours * 3600, trainer.elapsed
    while trainer.elapsed < budget:
        start = time.monotonic()
        losses = trainer.train_step()
        trainer.elapsed = float(agreed(torch.tensor([trainer.elapsed + time.monotonic() - start], dtype=torch.float64)))
        done = trainer.elapsed >= budget
        if rank() == 0 and (trainer.step % 50 == 0 or done):
            log.write(stage="vision", step=trainer.step, elapsed=trainer.elapsed, **losses)
        if rank() == 0 and (done or trainer.elapsed - saved > minutes * 60):
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
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    settings = Settings(hours=given.hours, seed=given.seed, device=given.device)
    train(given.shapes, given.clip_text, out=given.out, settings=settings)


if __name__ == "__main__":
    main()
