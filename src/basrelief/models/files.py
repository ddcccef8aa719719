"""Classify many files: one bad file never stops the others, memory stays bounded, the order is kept."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.datasets import check_labels
from basrelief.errors import ConfigError, GeometryError, unknown_choice
from basrelief.geometry import UP_AXES
from basrelief.io import load
from basrelief.io.load import AUTO
from basrelief.models.few_shot import FewShotClassifier
from basrelief.models.model import SHAPES_PER_PASS, Model
from basrelief.models.pose import Pose, PoseSearch, resolve_pose
from basrelief.processes import Failure, WorkerPool, batches
from basrelief.tasks import RejectPolicy
from basrelief.types import Prediction, Shape


@dataclass(frozen=True, eq=False)
class FileResult:
    """What became of one file: a prediction with its evidence, or an error.

    Attributes:
        path: The file as the user named it.
        prediction: The ranked labels, or None if the file failed.
        error: Why it failed, or None.
        shape: What was read.
        images: (V, S, S) depth images the answer rests on, in [0, 1] for most projections.
        pose: How the shape was turned upright, or None where the file's own axis was kept.
    """

    path: Path
    prediction: Prediction | None = None
    error: str | None = None
    shape: Shape | None = None
    images: Float[Tensor, "views side side"] | None = None
    pose: Pose | None = None


@dataclass(frozen=True)
class ReadOptions:
    """How files become upright shapes.

    Attributes:
        up: Up axis of every file, `auto`, or None for each format's own rule; see `basrelief.load`.
        pose: None keeps that axis; `axes` or `any` let `resolve_pose` turn the shape.
        seed: Of the surface sampling.
        jobs: Worker processes that read; with 0 files are read in this process, without deadline and memory limit.

    Raises:
        ConfigError: If `up` is no axis.
    """

    up: str | None = None
    pose: PoseSearch | None = None
    seed: int = 0
    jobs: int = 0

    def __post_init__(self) -> None:
        """Check the axis, so that a wrong one is not each file's own error."""
        if self.up not in (None, *UP_AXES, AUTO):
            raise ConfigError(unknown_choice("up", self.up, (*UP_AXES, AUTO)))


def classify_files(
    model: Model,
    paths: Iterable[Path],
    *,
    labels: Sequence[str],
    options: ReadOptions | None = None,
    policy: RejectPolicy | None = None,
    classifier: FewShotClassifier | None = None,
) -> Iterator[FileResult]:
    """Classify files one pass of a few shapes after another, yielding answers in the order of the paths.

    Args:
        model: From `load_model`.
        paths: Files that `basrelief.load` reads.
        labels: At least two different names.
        options: How files become upright shapes; each format's own rule when None.
        policy: When an answer is believed; its distractors are compared, too. Every answer is when None.
        classifier: Names the shapes in place of the words alone; `model` is then its first path, and `labels` are its own.

    Raises:
        ConfigError: If the labels, `up` or a bound are wrong, labels or distractors are not those of `classifier`, or the calibration is
            another model's; a file's own error is yielded, not raised.
    """
    options, policy = options or ReadOptions(), policy or RejectPolicy()
    fitted = policy.calibration.model if policy.calibration else ""
    if fitted not in ("", model.recipe.name):
        raise ConfigError(f"calibration must be that of {model.recipe.name}, but got one fitted on {fitted}. Run evaluate with this model.")
    asked = check_labels(labels)
    names = (*asked, *(word for word in policy.distractors if word not in asked))
    policy = replace(policy, distractors=tuple(word for word in policy.distractors if word not in asked))
    if classifier is not None and (names != classifier.labels):
        raise ConfigError(
            f"labels must be those the classifier was trained with, but got {len(names)} with others among them. Leave labels out."
        )
    with WorkerPool(options.jobs) as pool:
        for batch in batches(paths, SHAPES_PER_PASS):
            shapes = pool.map(functools.partial(load, up=options.up), batch, size=_size)
            read = [_drawn(model, path, shape, asked, options) for path, shape in zip(batch, shapes, strict=True)]
            good = [a for a in read if a.images is not None]
            if good:
                answers = iter(_answers(model, good, names, classifier))
            for answer in read:
                yield answer if answer.error else replace(answer, prediction=policy(next(answers)))


def _answers(model: Model, read: Sequence[FileResult], labels: Sequence[str], classifier: FewShotClassifier | None) -> list[Prediction]:
    sources = [str(a.path) for a in read]
    if classifier is not None:
        found = classifier.predict([a.shape for a in read if a.shape is not None])
        return [replace(p, source=source) for p, source in zip(found, sources, strict=True)]
    views = model.embed_depth_images(torch.stack([a.images for a in read if a.images is not None]))
    return model.classify_views(views, labels, sources=sources)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def _drawn(model: Model, path: Path, shape: Shape | Failure, labels: Sequence[str], options: ReadOptions) -> FileResult:
    """Turn a shape upright and draw it, or say why it cannot be."""
    if isinstance(shape, Failure):
        return FileResult(path, error=shape.reason)
    try:
        pose = None
        if options.pose is not None:
            pose = resolve_pose([shape], model=model, labels=labels, search=options.pose, seed=options.seed)[0]
            shape = pose.apply(shape)
        return FileResult(path, shape=shape, images=model.depth_images([shape], seed=options.seed)[0], pose=pose)
    except GeometryError as error:
        return FileResult(path, error=str(error))
