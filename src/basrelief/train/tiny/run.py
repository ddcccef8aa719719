"""Train `tiny` from scratch: data, text tower, image tower, tuned block. Finished stages are kept, so an interrupted run resumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from basrelief.datasets import maker_split
from basrelief.encoders import ClipEncoder, Tokenizer, load_encoder_folder, save_encoder
from basrelief.encoders.vocabulary import Vocabulary, write_vocabulary
from basrelief.errors import ConfigError
from basrelief.models import Model, get_recipe
from basrelief.output import make_folder, write_text
from basrelief.render import get_projection
from basrelief.train.data import ShapeSet, load_shapes, save_shapes
from basrelief.train.depth_aligned.read import AlignedSet
from basrelief.train.lock import lock_run
from basrelief.train.opendlign.trainer import TrainOptions, align
from basrelief.train.resources import Resources
from basrelief.train.run import RunContext, make_accelerator
from basrelief.train.stopping import StopSignal
from basrelief.train.tiny.features import rank_labels, top_k_accuracy
from basrelief.train.tiny.library import choose_unseen_classes, draw_library, load_pictures, split, training_shapes, write_library_shapes
from basrelief.train.tiny.report import TinyResult, write_report
from basrelief.train.tiny.settings import TinySettings
from basrelief.train.tiny.text import TEMPLATES, TextRun, TextSettings, recorded_features
from basrelief.train.tiny.towers import EMBEDDING, PROJECTION, new_encoder
from basrelief.train.tiny.vision import VisionModel, VisionRun, label_targets
from basrelief.types import PointCloud

if TYPE_CHECKING:
    from accelerate import Accelerator

_INITIAL = "start.txt"
"""File with the fingerprint of the encoder that a run was initialised from."""

WORDS_SOURCE = (
    "text_only: category names of LVIS, Open Images, Objects365 and COCO that only the text tower was trained on; "
    "seen: names of the training shapes"
)


@dataclass(frozen=True)
class Sources:
    """Input of the training.

    Attributes:
        shapes: Folder of labelled shapes, its table beside it, see `read_shapes`.
        clip_text: Folder of recorded text embeddings, see `recorded_features`.
        held_out: Packs and creators for validation. Those for test (`basrelief.datasets.maker_split`) are left out, too.
        init_from: Folder of an encoder to initialise both towers from, tokenizer and known words included; random weights when None.
    """

    shapes: Path
    clip_text: Path
    held_out: tuple[str, ...] = field(default_factory=lambda: maker_split().validation)
    init_from: Path | None = None


def train_tiny(sources: Sources, *, out: Path, settings: TinySettings | None = None, resources: Resources | None = None) -> TinyResult:
    """Train `tiny`; an interrupted run resumes.

    The text tower learns the space of CLIP ViT-B/32. CLIP2Point's losses (Huang et al. 2023, arXiv:2210.01055) then train the image tower
    on depth views and pictures, together with a classification loss against label texts. Last, a tuned copy of its final block is aligned
    with the pictures as in OpenDlign (Mao et al. 2024, arXiv:2404.16538).

    Args:
        sources: Shapes and text embeddings.
        out: Receives the model (`encoder.safetensors`, `tokenizer.json`, `words.json`), `result.json`, `curves.png` and `confusion.png`;
            the stages are in folders beside them, the tuned block in `block`.
        settings: The defaults when None.
        resources: Processes, device and progress.

    Raises:
        KeyboardInterrupt: After SIGINT or SIGTERM, once the step is done and the checkpoint is written.
        ConfigError: If the folder holds a run with other settings, or one that is still running.
        WeightsError: If a checkpoint is damaged.
        OutputError: If a file cannot be written.
        FileFormatError: If sources are missing or broken.
        MissingExtraError: If `accelerate` is not installed.
    """
    settings, resources = settings or TinySettings(), resources or Resources()
    accelerator = make_accelerator(settings.precision, accumulate=settings.accumulate, cpu=resources.cpu)
    with lock_run(out, writes=accelerator.is_main_process):
        result = _train(sources, RunContext(accelerator, out, resources.echo), settings, resources)
        if accelerator.is_main_process:
            write_report(result, out, settings=settings)
    return result


def _train(sources: Sources, context: RunContext, settings: TinySettings, resources: Resources) -> TinyResult:
    """Run all stages."""
    accelerator, out = context.accelerator, context.out
    with accelerator.main_process_first():
        shapes = _shapes(sources, out, settings)
    text = _text_stage(sources, context, settings, shapes.names)
    keep, held, unseen = split(shapes, sources.held_out, settings=settings)
    kept, missing = shapes.select(keep), choose_unseen_classes(shapes, sources.held_out, settings=settings)
    if seen := set(missing).intersection(text.vocabulary.seen if text.vocabulary else ()):
        raise ConfigError(
            f"The encoder in {str(sources.init_from)!r} was trained on unseen classes: {', '.join(sorted(seen))}. "
            "Initialise from a run with the same unseen_classes and seed."
        )
    with accelerator.main_process_first():
        library = write_library_shapes(sources.shapes, shapes, keep, out / "library", settings=settings)
        aligned = draw_library(library, out / "pictures", settings=settings, jobs=resources.jobs, progress=resources.progress)
    others = sorted(recorded_features(sources.clip_text))
    targets, texts = label_targets(text, kept, others, settings=settings)
    model = VisionModel(text, targets, texts, settings)
    with StopSignal() as stop:
        run = VisionRun(model, kept, load_pictures(aligned, keep), settings=settings, context=replace(context, out=out / "vision"))
        run.restore()
        run.run(lambda: top_k_accuracy(rank_labels(model.encoder, held))["top1"], stop)
    accelerator.wait_for_everyone()
    encoder = _load(out / "vision", accelerator)
    save_encoder(encoder, out)
    encoder.vocabulary = _write_words(out, kept, others, before=text.vocabulary, penalty=settings.seen_class_penalty)
    ranking = rank_labels(encoder, held)
    figures = {"held_out": len(held), **{f"held_out_{name}": share for name, share in top_k_accuracy(ranking).items()}}
    figures |= _unseen_figures(encoder, unseen, missing)
    if settings.tune_block:
        figures |= _block_figures(encoder, aligned, held, out=out / "block", settings=settings, resources=resources)
    confusion = np.zeros((len(held.names), len(held.names)), dtype=np.int64)
    np.add.at(confusion, (held.label.numpy(), ranking.first), 1)
    return TinyResult(encoder, figures, confusion, held.names)


def _shapes(sources: Sources, out: Path, settings: TinySettings) -> ShapeSet:
    """Sample the shapes, once."""
    path = out / "shapes.pt"
    if not path.is_file():
        save_shapes(training_shapes(sources.shapes, settings), path)
    return load_shapes(path)


def _text_stage(sources: Sources, context: RunContext, settings: TinySettings, names: Sequence[str]) -> ClipEncoder:
    """Return the encoder that the image tower's training starts from: the initial one, or a new one with a trained text tower."""
    home, accelerator = context.out / "text", context.accelerator
    make_folder(home)
    finished = (home / "encoder.safetensors").is_file()
    accelerator.wait_for_everyone()
    if finished:
        return _resume_text_stage(home, sources.init_from, accelerator)
    if sources.init_from is not None:
        encoder = _load_initial(sources.init_from)
    else:
        encoder = _train_text(sources, replace(context, out=home), settings, names)
    if accelerator.is_main_process:
        if encoder.vocabulary:
            write_vocabulary(home, encoder.vocabulary, source=WORDS_SOURCE)
        write_text(home / _INITIAL, _fingerprint(sources.init_from))
        save_encoder(encoder, home, dtype=torch.float32)  # last: it marks the stage as finished
    accelerator.wait_for_everyone()
    return _load(home, accelerator)


def _load_initial(folder: Path) -> ClipEncoder:
    encoder = load_encoder_folder(folder)
    if encoder.config.image_tower.kind != "vit" or (encoder.embedding_dim, encoder.image_size) != (EMBEDDING, PROJECTION.size):
        raise ConfigError(
            f"The encoder in {str(folder)!r} is not a vision transformer for {PROJECTION.size} px images and {EMBEDDING} dimensions. "
            "Pass the folder of a train tiny run, or tiny."
        )
    return encoder


def _train_text(sources: Sources, context: RunContext, settings: TinySettings, names: Sequence[str]) -> ClipEncoder:
    """Train the text tower of a new encoder."""
    recorded = recorded_features(sources.clip_text)
    words = [*recorded, *names, *(template.format("") for template in TEMPLATES)]
    encoder = new_encoder(Tokenizer.train(words, vocab_size=2560), seed=settings.seed)
    encoder.towers.to(context.accelerator.device)
    how = TextSettings(epoch_steps=settings.text_steps, save_every=settings.save_every, seed=settings.seed)
    with StopSignal() as stop:
        run = TextRun(encoder, recorded, settings=how, context=context)
        run.restore()
        run.run(None, stop)
    with torch.no_grad():
        encoder.towers.logit_scale.fill_(4.0)
    return encoder


def _resume_text_stage(home: Path, init_from: Path | None, accelerator: Accelerator) -> ClipEncoder:
    """Load the encoder of a finished text stage."""
    before = (home / _INITIAL).read_text(encoding="utf-8") if (home / _INITIAL).is_file() else ""
    if before != _fingerprint(init_from):
        raise ConfigError(f"Folder {home.parent.name!r} holds a run with other initial weights. Name another folder with --out.")
    return _load(home, accelerator)


def _fingerprint(folder: Path | None) -> str:
    return load_encoder_folder(folder).fingerprint if folder is not None else ""


def _load(home: Path, accelerator: Accelerator) -> ClipEncoder:
    encoder = load_encoder_folder(home)
    encoder.towers.to(accelerator.device)
    return encoder


def _write_words(out: Path, shapes: ShapeSet, read: Sequence[str], *, before: Vocabulary | None, penalty: float) -> Vocabulary:
    """Write `words.json`: names seen in 3D, and names the text tower knows."""
    count = torch.bincount(shapes.label, minlength=len(shapes.names)).tolist()
    shown = {name for name, n in zip(shapes.names, count, strict=True) if n}
    before = before or Vocabulary((), ())
    words = Vocabulary(tuple(sorted(shown.union(before.seen))), tuple(sorted({*read, *before.text_only})), penalty)
    write_vocabulary(out, words, source=WORDS_SOURCE)
    return words


def _unseen_figures(encoder: ClipEncoder, unseen: ShapeSet, names: Sequence[str]) -> dict[str, float]:
    """Accuracy on the unseen classes, over all names and over their own."""
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
    """Align the last block, and classify the held-out shapes by contour-aware depth maps without and with it."""
    recipe = get_recipe("tiny").with_projection(aligned.projection)
    figures = {"contour_aware_top1": _top1(Model(recipe, encoder), held)}
    tuned = align(aligned, encoder, out=out, settings=settings.block, options=TrainOptions(echo=resources.echo, cpu=resources.cpu))
    views = len(get_projection(recipe.projection, **recipe.projection_options).cameras)
    figures["block_split_top1"] = _top1(Model(recipe.with_tuned_views(), tuned), held)
    figures["block_tuned_top1"] = _top1(Model(replace(recipe, tuned_views=tuple(range(views))), tuned), held)
    return figures


def _top1(model: Model, shapes: ShapeSet) -> float:
    clouds = [PointCloud(points) for points in shapes.points.float().numpy()]
    found = model.classify(clouds, shapes.names)
    return float(np.mean([p.label == shapes.names[i] for p, i in zip(found, shapes.label.tolist(), strict=True)]))
