"""Zero-shot accuracy of a point network on shapes that it is not trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from basrelief.datasets import Benchmark
from basrelief.encoders.points.base import VIEW_WEIGHTS, PointNetwork
from basrelief.encoders.points.encoder import PointEncoder
from basrelief.errors import ConfigError, FileFormatError, GeometryError, MissingExtraError
from basrelief.io import split_row
from basrelief.models.shape_input import CloudInput
from basrelief.processes import batches
from basrelief.train.point.settings import PointSettings

_AT_ONCE = 8

PointAccuracy = Callable[[PointNetwork], float]
"""Returns the zero-shot accuracy of a point network on validation shapes, in [0, 1]."""


def zero_shot_accuracy(shapes: Benchmark, texts: Float[Tensor, "labels dim"], *, settings: PointSettings) -> PointAccuracy:
    """Return a function that measures the zero-shot top-1 accuracy of a point network.

    Shapes that cannot be read are left out. Each call reads the shapes again, a few at a time, so memory use does not grow.

    Args:
        shapes: Validation shapes.
        texts: Embedding of each label, unit length.
        settings: How clouds are prepared.
    """
    cloud_input = CloudInput(settings.points, settings.frame, settings.missing_color)

    def validate(network: PointNetwork) -> float:
        encoder, hits = PointEncoder(network), []
        for items in batches(iter(shapes.items), _AT_ONCE):
            clouds, truth = [], []
            for item in items:
                try:
                    clouds += cloud_input.prepare([shapes.load(item)])
                    truth.append(item.label)
                except (FileFormatError, GeometryError, MissingExtraError):
                    continue
            if clouds:
                scores = label_scores(encoder.encode_points(clouds), texts)
                hits += (scores.argmax(dim=1).cpu().numpy() == np.array(truth)).tolist()
        if not hits:
            raise ConfigError(f"None of the {len(shapes)} shapes of {shapes.name!r} can be read. Run basrelief doctor on it.")
        return sum(hits) / len(hits)

    return validate


def label_scores(features: Float[Tensor, "shapes views dim"], texts: Float[Tensor, "labels dim"]) -> Float[Tensor, "shapes labels"]:
    """Return the cosines of shapes with labels, weighted over the features of a shape by `VIEW_WEIGHTS`."""
    weights = torch.tensor(VIEW_WEIGHTS[features.shape[1]], device=features.device)
    cosines = F.normalize(features, dim=-1) @ texts.to(features.device).T
    scores: Tensor = (cosines * weights[:, None]).sum(dim=1)
    return scores


def check_disjoint(training: Benchmark, validation: Benchmark) -> None:
    """Check that no validation shape is a training shape, under the same name or as a copy.

    Raises:
        ConfigError: If one is.
    """
    known = {_resolved(item.path) for item in training.items}
    by_size: dict[int, set[Path]] = {}
    for path in {split_row(item.path)[0] for item in training.items if split_row(item.path)[1] is None}:
        by_size.setdefault(path.stat().st_size if path.is_file() else -1, set()).add(path)
    hashes: dict[int, set[str]] = {}
    for item in validation.items:
        path, row = split_row(item.path)
        shared = _resolved(item.path) in known
        if not shared and row is None and path.is_file() and (size := path.stat().st_size) in by_size:
            if size not in hashes:
                hashes[size] = {_file_digest(other) for other in by_size[size]}
            shared = _file_digest(path) in hashes[size]
        if shared:
            raise ConfigError(f"The validation shape {item.id!r} is a training shape, too. Remove it from one of them.")


def _resolved(path: str) -> str:
    file, row = split_row(path)
    return f"{file.resolve()}#{row}"


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
