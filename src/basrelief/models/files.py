"""Classify many files: one bad file never stops the others, memory stays bounded, the order is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.datasets import check_labels
from basrelief.errors import FileFormatError, GeometryError, MissingExtraError
from basrelief.io import load
from basrelief.models.model import SHAPES_PER_PASS, Model
from basrelief.types import Prediction, Shape


@dataclass(frozen=True, eq=False)
class FileAnswer:
    """What became of one file: a prediction with its evidence, or an error.

    Attributes:
        path: The file as the user named it.
        prediction: The ranked labels, or None if the file failed.
        error: Why it failed, or None.
        shape: What was read.
        images: (V, S, S) depth images the answer rests on, in [0, 1] for most projections.
    """

    path: Path
    prediction: Prediction | None = None
    error: str | None = None
    shape: Shape | None = None
    images: Float[Tensor, "views side side"] | None = None


def classify_files(
    model: Model, paths: Iterable[Path], *, labels: Sequence[str], up: str | None = None, seed: int = 0
) -> Iterator[FileAnswer]:
    """Classify files one pass of a few shapes after another, yielding answers in the order of the paths.

    Args:
        model: From `load_model`.
        paths: Files that `basrelief.load` reads.
        labels: At least two different names.
        up: Up axis of every file, or None for each format's own rule.
        seed: Of the surface sampling.

    Raises:
        ConfigError: If the labels or `up` are wrong; a file's own error is yielded, not raised.
    """
    names = check_labels(labels)
    remaining = iter(paths)
    while batch := list(islice(remaining, SHAPES_PER_PASS)):
        read = [_read(model, path, up, seed) for path in batch]
        good = [a for a in read if a.images is not None]
        if good:
            views = model.embed_depth_images(torch.stack([a.images for a in good if a.images is not None]))
            answers = iter(model.classify_views(views, names, sources=[str(a.path) for a in good]))
        for answer in read:
            yield answer if answer.error else FileAnswer(answer.path, next(answers), None, answer.shape, answer.images)


def _read(model: Model, path: Path, up: str | None, seed: int) -> FileAnswer:
    try:
        shape = load(path, up=up)
        return FileAnswer(path, shape=shape, images=model.depth_images([shape], seed=seed)[0])
    except (FileFormatError, GeometryError, MissingExtraError) as error:
        return FileAnswer(path, error=str(error))
