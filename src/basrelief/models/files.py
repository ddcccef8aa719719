"""Classify many files: one bad file never stops the others, memory stays bounded, the order is kept."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from basrelief.datasets import parse_labels
from basrelief.errors import ConfigError, GeometryError, unknown_choice
from basrelief.geometry import UP_AXES
from basrelief.io.find import file_size
from basrelief.io.folder_axis import FolderAxes, FolderVote
from basrelief.io.intrinsics import Intrinsics
from basrelief.io.load import axis_evidence, check_up, load_with_vote
from basrelief.io.up_axis import AxisEvidence
from basrelief.models.early_exit import embed_decisive_views
from basrelief.models.few_shot import FewShotClassifier
from basrelief.models.model import SHAPES_PER_PASS, Model
from basrelief.models.picture import draw_evidence
from basrelief.models.pose import POSE_SEARCHES, Pose, PoseSearch, resolve_pose
from basrelief.models.shape_input import Prepared
from basrelief.processes import Failure, WorkerPool, batches
from basrelief.tasks import EarlyExit, RejectPolicy
from basrelief.types import Prediction, Shape

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False)
class FileResult:
    """Result of classifying one file: a prediction with its evidence, or an error.

    Attributes:
        path: The file as the user named it.
        prediction: The ranked labels, or None if the file failed.
        error: Why it failed, or None.
        shape: What was read.
        prepared: What the model read: depth images (V, S, S), or a cloud (N, 6); see `Model.prepare`.
        pose: How the shape was turned upright, or None if the file's own axis was kept.
        encoded_views: With early exit, how many of the views were encoded; else None.
    """

    path: Path
    prediction: Prediction | None = None
    error: str | None = None
    shape: Shape | None = None
    prepared: Prepared | None = None
    pose: Pose | None = None
    encoded_views: int | None = None

    def picture(self, model: Model | FewShotClassifier, *, top: int = 5) -> Image.Image:
        """Draw what the model saw of the file and what it concluded.

        Args:
            model: The model that made the prediction.
            top: How many ranked labels to draw.

        Raises:
            ConfigError: If the file failed, so that there is nothing to draw.
        """
        if self.prediction is None or self.shape is None or self.prepared is None:
            raise ConfigError(f"{self.path} could not be classified, so there is nothing to draw: {self.error}")
        return draw_evidence(model, self.shape, self.prediction, prepared=self.prepared, top=top)


@dataclass(frozen=True)
class ReadOptions:
    """How files become upright shapes.

    Attributes:
        up: Up axis of every file; None or `auto` to find it out, see `basrelief.load`. The files of a folder are compared for that.
        pose: `file` keeps that axis; `axes` or `any` let `resolve_pose` turn the shape.
        seed: Seed of the surface sampling.
        jobs: Worker processes that read files; 0 reads in this process, without deadline and memory limit.
        intrinsics: Camera of depth maps, see `basrelief.load`.

    Raises:
        ConfigError: If `up` is no axis, or `pose` is unknown.
    """

    up: str | None = None
    pose: Literal["file"] | PoseSearch = "file"
    seed: int = 0
    jobs: int = 0
    intrinsics: Intrinsics | None = None

    def __post_init__(self) -> None:
        """Check the options once, not for every file."""
        check_up(self.up)
        if self.pose not in ("file", *POSE_SEARCHES):
            raise ConfigError(unknown_choice("pose", self.pose, ("file", *POSE_SEARCHES)))


def classify_files(
    model: Model | FewShotClassifier,
    paths: Iterable[Path],
    *,
    labels: str | Sequence[str] | None = None,
    options: ReadOptions | None = None,
    policy: RejectPolicy | None = None,
    early_exit: EarlyExit | None = None,
) -> Iterator[FileResult]:
    """Classify files a few at a time, yielding results in the order of the paths.

    Each shape is prepared once, with the seed of the options: a result holds what the model read.

    Args:
        model: From `load_model` or `load_few_shot`.
        paths: Files that `basrelief.load` reads. In a sequence, those of a folder share an up axis; those of an iterator are on their own.
        labels: A list, a comma list or a label set's name, at least two names; `model.default_labels` when None.
        options: How files become upright shapes; the defaults when None.
        policy: Which answers to decline; its distractors compete as labels. None accepts every answer.
        early_exit: When to leave out the remaining views of a shape; None encodes all of them.

    Raises:
        ConfigError: If the labels, `up` or a bound are wrong, labels or distractors are not those a few-shot head was fitted on, or the
            calibration is another model's, or the model cannot leave out views. An error of a file is yielded, not raised.
    """
    options, policy = options or ReadOptions(), policy or RejectPolicy()
    fitted = policy.calibration.model if policy.calibration else ""
    if fitted not in ("", _recipe_name(model)):
        raise ConfigError(f"The calibration was fitted on {fitted}, not on {_recipe_name(model)}. Run basrelief evaluate with this model.")
    asked = parse_labels(model.default_labels if labels is None else labels)
    distractors = tuple(word for word in policy.distractors if word not in asked)
    policy, names = replace(policy, distractors=distractors), (*asked, *distractors)
    if isinstance(model, FewShotClassifier) and early_exit is not None:
        raise ConfigError("An adapter reads all views. Leave out early_exit.")
    if isinstance(model, FewShotClassifier) and names != model.labels:
        raise ConfigError(
            f"The adapter was fitted on {len(model.labels)} labels of its own and knows no others. Leave labels and distractors out."
        )
    axes = FolderAxes(paths if isinstance(paths, Sequence) else ())
    with WorkerPool(options.jobs) as pool:
        for batch in batches(paths, SHAPES_PER_PASS):
            votes = {} if options.up in UP_AXES else axes.votes(batch, functools.partial(_evidence, pool))
            shapes = pool.map(functools.partial(_read, options=options, votes=votes), batch, size=file_size)
            read = [_prepared(model, path, shape, asked, options) for path, shape in zip(batch, shapes, strict=True)]
            good = [result for result in read if result.error is None]
            answers = iter(_predict(model, good, names, options.seed, early_exit) if good else ())
            for result in read:
                if result.error is None:
                    prediction, encoded = next(answers)
                    result = replace(result, prediction=policy(prediction), encoded_views=encoded)  # noqa: PLW2901
                yield result


def _evidence(pool: WorkerPool, paths: Sequence[Path]) -> Iterator[AxisEvidence | None]:
    found = pool.map(axis_evidence, paths, size=file_size)
    return (None if isinstance(item, Failure) else item for item in found)


def _read(path: Path, *, options: ReadOptions, votes: Mapping[Path, FolderVote]) -> Shape:
    return load_with_vote(path, options.up, vote=votes.get(path), intrinsics=options.intrinsics)


def _recipe_name(model: Model | FewShotClassifier) -> str:
    return _zero_shot(model).recipe.name


def _zero_shot(model: Model | FewShotClassifier) -> Model:
    """The model itself, or that of a few-shot head's first path."""
    return model.models[0] if isinstance(model, FewShotClassifier) else model


def _predict(
    model: Model | FewShotClassifier, read: Sequence[FileResult], labels: Sequence[str], seed: int, early_exit: EarlyExit | None
) -> Iterator[tuple[Prediction, int | None]]:
    """Yield the prediction of each file, and how many of its views were encoded if some may be left out."""
    sources = [str(result.path) for result in read]
    prepared = [result.prepared for result in read if result.prepared is not None]
    if isinstance(model, Model) and early_exit is not None:
        views, encoded = embed_decisive_views(model, prepared, model.encode_labels(labels), early_exit)
        yield from zip(model.classify_views(views, labels, sources=sources), encoded.tolist(), strict=True)
    elif isinstance(model, Model):
        yield from ((prediction, None) for prediction in model.classify_views(model.embed_prepared(prepared), labels, sources=sources))
    else:
        found = model.predict([result.shape for result in read if result.shape is not None], seed=seed, prepared=prepared)
        yield from ((replace(prediction, source=source), None) for prediction, source in zip(found, sources, strict=True))


def _prepared(
    model: Model | FewShotClassifier, path: Path, shape: Shape | Failure, labels: Sequence[str], options: ReadOptions
) -> FileResult:
    """Turn a shape upright and prepare it; the result holds the error if that fails."""
    if isinstance(shape, Failure):
        return FileResult(path, error=shape.reason)
    try:
        pose = None
        if options.pose != "file":
            pose = resolve_pose([shape], model=_zero_shot(model), labels=labels, search=options.pose, seed=options.seed)[0]
            shape = pose.apply(shape)
        return FileResult(path, shape=shape, prepared=model.prepare([shape], seed=options.seed)[0], pose=pose)
    except GeometryError as error:
        return FileResult(path, error=str(error))
