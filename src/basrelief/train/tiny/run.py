"""`tiny` from nothing: shapes and pictures, the text tower, the image tower, the last block; each stage is kept and not done twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64

from basrelief.datasets import maker_split
from basrelief.encoders import ClipEncoder, Tokenizer, load_encoder_folder, save_encoder
from basrelief.encoders.vocabulary import Vocabulary, write_vocabulary
from basrelief.errors import ConfigError
from basrelief.models import Model, get_recipe, with_projection, with_tuned_views
from basrelief.output import make_folder, write_text
from basrelief.render import get_projection
from basrelief.train.data import ShapeSet, load_shapes, save_shapes
from basrelief.train.depth_aligned import AlignedSet
from basrelief.train.lock import lock_run
from basrelief.train.log import Log
from basrelief.train.opendlign import TrainOptions, align
from basrelief.train.records import Progress
from basrelief.train.run import make_accelerator
from basrelief.train.stopping import StopSignal
from basrelief.train.tiny.features import rank_labels, top_k_accuracy
from basrelief.train.tiny.library import choose_unseen_classes, draw_library, load_pictures, split, training_shapes, write_library_shapes
from basrelief.train.tiny.settings import TinySettings
from basrelief.train.tiny.text import TEMPLATES, fit_text, recorded_features
from basrelief.train.tiny.towers import EMBEDDING, PROJECTION, new_encoder
from basrelief.train.tiny.vision import VisionModel, VisionRun, label_targets
from basrelief.types import PointCloud

if TYPE_CHECKING:
    from accelerate import Accelerator

_START = "start.txt"
"""Holds the fingerprint of the model that a run went on from."""

WORDS_SOURCE = (
    "text_only: category names of LVIS, Open Images, Objects365 and COCO that only the text tower was trained on; "
    "seen: names of the training shapes"
)


@dataclass(frozen=True)
class Sources:
    """What the training is given.

    Attributes:
        shapes: Folder of labelled shapes, its table beside it, see `read_shapes`.
        clip_text: Folder of recorded text features, see `recorded_features`.
        held_out: Packs and creators for validation. Those for test (`basrelief.datasets.maker_split`) are left out as well.
        start: Folder of an encoder for `tiny`'s pictures to go on from, its words and all; a new one when None.
    """

    shapes: Path
    clip_text: Path
    held_out: tuple[str, ...] = field(default_factory=lambda: maker_split().validation)
    start: Path | None = None


@dataclass(frozen=True)
class Resources:
    """What the machine gives.

    Attributes:
        jobs: Worker processes that draw pictures; with 0 they are drawn in this process.
        cpu: Whether a GPU is left alone.
        progress: Told while pictures are drawn.
        echo: Whether the log goes to stderr, too.
    """

    jobs: int = 0
    cpu: bool = False
    progress: Progress | None = None
    echo: bool = False


@dataclass(frozen=True, eq=False)
class TinyResult:
    """What a training gave.

    Attributes:
        encoder: The towers.
        figures: Shares in [0, 1] by name, and counts.
        confusion: (C, C) held-out shapes of class r that were called c.
        names: The C class names.
    """

    encoder: ClipEncoder
    figures: Mapping[str, float]
    confusion: Int64[np.ndarray, "labels labels"]
    names: tuple[str, ...]


def train_tiny(sources: Sources, *, out: Path, settings: TinySettings | None = None, resources: Resources | None = None) -> TinyResult:
    """Train `tiny`; a run that was stopped goes on where it stood.

    CLIP2Point's losses (Huang et al. 2023, arXiv:2210.01055) teach the image tower depth views and pictures together with the words of a
    text tower in the space of CLIP ViT-B/32; then a twin of its last block is aligned with the pictures as OpenDlign's (Mao et al. 2024,
    arXiv:2404.16538).

    Args:
        sources: Shapes and words.
        out: Gets `encoder.safetensors`, `tokenizer.json` and `words.json`, which are `tiny`; the stages lie in folders beside them, the
            tuned block in `block`.
        settings: How.
        resources: What the machine gives.

    Raises:
        KeyboardInterrupt: After SIGINT or SIGTERM, when the step is done and the checkpoint written.
        ConfigError: If the folder holds a run with other settings, or one that is at work.
        WeightsError: If a checkpoint is damaged.
        OutputError: If something cannot be written.
        FileFormatError: If sources are missing or broken.
        MissingExtraError: If `accelerate` is not installed.
    """
    settings, resources = settings or TinySettings(), resources or Resources()
    accelerator = make_accelerator(settings.precision, accumulate=settings.accumulate, cpu=resources.cpu)
    with lock_run(out, writes=accelerator.is_main_process):
        return _train(sources, out, settings, accelerator, resources)


def _train(sources: Sources, out: Path, settings: TinySettings, accelerator: Accelerator, resources: Resources) -> TinyResult:
    """All stages."""
    with accelerator.main_process_first():
        shapes, text = _shapes(sources, out, settings), _text(sources, out, settings, accelerator, resources)
    keep, held, unseen = split(shapes, sources.held_out, settings=settings)
    kept, missing = shapes.select(keep), choose_unseen_classes(shapes, sources.held_out, settings=settings)
    if seen := set(missing).intersection(text.vocabulary.seen if text.vocabulary else ()):
        got = f"{sources.start}, which was shown {', '.join(sorted(seen))}"
        raise ConfigError(
            f"start must not have seen the classes to leave out, but got {got}. Start from a run with the same unseen_classes and seed."
        )
    with accelerator.main_process_first():
        library = write_library_shapes(sources.shapes, shapes, keep, out / "library", settings=settings)
        aligned = draw_library(library, out / "pictures", settings=settings, jobs=resources.jobs, progress=resources.progress)
    others = sorted(recorded_features(sources.clip_text))
    targets, texts = label_targets(text, kept, others, settings=settings)
    model = VisionModel(text, targets, texts, settings)
    with StopSignal() as stop:
        run = VisionRun(model, kept, load_pictures(aligned, keep), how=(settings, accelerator, out / "vision"), echo=resources.echo)
        run.restore()
        run.run(lambda encoder: top_k_accuracy(rank_labels(encoder, held))["top1"], stop)
    accelerator.wait_for_everyone()
    encoder = _loaded(out / "vision", accelerator)
    shown = {name for name, n in zip(kept.names, torch.bincount(kept.label, minlength=len(kept.names)).tolist(), strict=True) if n}
    save_encoder(encoder, out)
    before = text.vocabulary or Vocabulary((), ())
    words = Vocabulary(tuple(sorted(shown.union(before.seen))), tuple(sorted({*others, *before.text_only})), settings.seen_class_penalty)
    write_vocabulary(out, words, source=WORDS_SOURCE)
    encoder.vocabulary = words
    found = rank_labels(encoder, held)
    figures = {"held_out": len(held), **{f"held_out_{name}": share for name, share in top_k_accuracy(found).items()}}
    figures |= _unseen_figures(encoder, unseen, missing)
    if settings.tune_block:
        figures |= _block_figures(encoder, aligned, held, out=out / "block", settings=settings, resources=resources)
    confusion = np.zeros((len(held.names), len(held.names)), dtype=np.int64)
    np.add.at(confusion, (held.label.numpy(), found.first), 1)
    return TinyResult(encoder, figures, confusion, held.names)


def _shapes(sources: Sources, out: Path, settings: TinySettings) -> ShapeSet:
    """Sample the shapes, once."""
    path = out / "shapes.pt"
    if not path.is_file():
        save_shapes(training_shapes(sources.shapes, settings), path)
    return load_shapes(path)


def _text(sources: Sources, out: Path, settings: TinySettings, accelerator: Accelerator, resources: Resources) -> ClipEncoder:
    """The encoder with a text tower that knows the recorded names, and a new image tower, trained once; or the one to go on from."""
    home = out / "text"
    make_folder(home)
    if (home / "encoder.safetensors").is_file():
        return _resume_text_stage(home, sources.start, accelerator)
    if sources.start is not None:
        encoder = load_encoder_folder(sources.start)
        if encoder.config.vision.kind != "vit" or (encoder.embedding_dim, encoder.image_size) != (EMBEDDING, PROJECTION.size):
            got = f"another in {sources.start}"
            rule = f"start must hold a vision transformer for pictures of {PROJECTION.size} px and {EMBEDDING} dimensions"
            raise ConfigError(f"{rule}, but got {got}. Give the folder of a run of train tiny, or tiny.")
    else:
        recorded = recorded_features(sources.clip_text)
        names = load_shapes(out / "shapes.pt").names
        words = [*recorded, *names, *(template.format("") for template in TEMPLATES)]
        encoder = new_encoder(Tokenizer.train(words, vocab_size=2560), seed=settings.seed)
        encoder.towers.to(accelerator.device)
        log = Log(home / "log.jsonl", echo=resources.echo)
        log.rewind(-1)  # this stage begins anew after a stop
        fit_text(
            encoder, recorded, steps=settings.text_steps, seed=settings.seed, progress=lambda record: log.write(stage="text", **record)
        )
        with torch.no_grad():
            encoder.towers.logit_scale.fill_(4.0)
    if encoder.vocabulary:
        write_vocabulary(home, encoder.vocabulary, source=WORDS_SOURCE)
    write_text(home / _START, _fingerprint(sources.start))
    save_encoder(encoder, home, dtype=torch.float32)  # last: where it lies, all of this stage does
    return _loaded(home, accelerator)


def _resume_text_stage(home: Path, start: Path | None, accelerator: Accelerator) -> ClipEncoder:
    """The encoder that a run began with, if it went on from the same."""
    was = (home / _START).read_text(encoding="utf-8") if (home / _START).is_file() else ""
    if was != _fingerprint(start):
        raise ConfigError(f"out must hold a run from the same start, but got another in {home.parent.name!r}. Name another folder.")
    return _loaded(home, accelerator)


def _fingerprint(start: Path | None) -> str:
    return load_encoder_folder(start).fingerprint if start is not None else ""


def _loaded(home: Path, accelerator: Accelerator) -> ClipEncoder:
    encoder = load_encoder_folder(home)
    encoder.towers.to(accelerator.device)
    return encoder


def _unseen_figures(encoder: ClipEncoder, unseen: ShapeSet, names: Sequence[str]) -> dict[str, float]:
    """How the classes that were left out are named, over all names and over their own."""
    if not len(unseen):
        return {}
    place = torch.tensor([names.index(name) if name in names else -1 for name in unseen.names])
    own = replace(unseen, label=place[unseen.label], names=tuple(names))
    figures = {
        "unseen": float(len(unseen)),
        **{f"unseen_{name}": share for name, share in top_k_accuracy(rank_labels(encoder, unseen)).items()},
    }
    return figures | {f"unseen_own_{name}": share for name, share in top_k_accuracy(rank_labels(encoder, own)).items()}


def _block_figures(
    encoder: ClipEncoder, aligned: AlignedSet, held: ShapeSet, *, out: Path, settings: TinySettings, resources: Resources
) -> dict[str, float]:
    """Align the last block, and name the held-out shapes by contour-aware maps without and with it."""
    recipe = with_projection(get_recipe("tiny"), {"name": "opendlign", **aligned.projection})
    figures = {"contour_aware_top1": _top1(Model(recipe, encoder), held)}
    tuned = align(aligned, encoder, out=out, settings=settings.block, options=TrainOptions(echo=resources.echo, cpu=resources.cpu))
    views = len(get_projection(recipe.projection, **recipe.projection_options).cameras)
    figures["block_split_top1"] = _top1(Model(with_tuned_views(recipe), tuned), held)
    figures["block_tuned_top1"] = _top1(Model(replace(recipe, tuned_views=tuple(range(views))), tuned), held)
    return figures


def _top1(model: Model, shapes: ShapeSet) -> float:
    clouds = [PointCloud(points) for points in shapes.points.float().numpy()]
    found = model.classify(clouds, shapes.names)
    return float(np.mean([p.label == shapes.names[i] for p, i in zip(found, shapes.label.tolist(), strict=True)]))
