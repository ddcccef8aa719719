"""Fit the weight of colour views beside depth images on labelled validation shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from basrelief.datasets import Benchmark
from basrelief.encoders import VectorCache
from basrelief.errors import ConfigError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.models import Embedder, Model
from basrelief.models.shape_input import KINDS, ViewInput
from basrelief.tasks.scales import fit_scales
from basrelief.types import Progress


@dataclass(frozen=True)
class ViewWeightFit:
    """A fitted weight of colour. Its accuracies are those on the shapes that chose it: report others.

    Attributes:
        name: Name of the model with that weight, `NAME@WEIGHT`.
        weight: Of the mean embedding of the colour views; that of the depth images is 1 minus it.
        shapes: Number of shapes it was fitted on.
        loss: Mean negative log-likelihood of the right labels, nats.
        accuracy: Share of right answers of `depth`, `colour` and `both`.
        data: Data set and split.
        failures: Name of each shape that could not be read, and the reason.
    """

    name: str
    weight: float
    shapes: int
    loss: float
    accuracy: Mapping[str, float]
    data: str
    failures: tuple[tuple[str, str], ...]


def train_view_weight(
    model: ModelSource, data: DataSource, *, cache: VectorCache | None = None, seed: int = 0, progress: Progress | None = None
) -> ViewWeightFit:
    """Fit the weight of colour of a model that reads both kinds of views; see `basrelief.tasks.scales.fit_scales`.

    Args:
        model: A model that reads depth images and colour views, e.g. `views-depth-pe-core-b16`.
        data: Labelled shapes that no figure is reported on: split `train` or `val`, or a folder without splits.
        cache: Cache of view features, or None.
        seed: Seed of the surface sampling.
        progress: Called while shapes are embedded.

    Raises:
        ConfigError: If the model does not read both, or the split is `test`.
    """
    if data.split == "test":
        raise ConfigError("The test split reports figures, so it cannot choose a weight. Pass --split train or --split val.")
    return fit_view_weight(model.load(), data.open(), cache=cache, seed=seed, progress=progress)


def fit_view_weight(
    model: Model, benchmark: Benchmark, *, cache: VectorCache | None = None, seed: int = 0, progress: Progress | None = None
) -> ViewWeightFit:
    """Fit the weight of colour of a loaded model; arguments as for `train_view_weight`.

    Raises:
        ConfigError: If the model does not read both kinds of views, or no shape can be read.
    """
    model.recipe.with_color_weight(0.5)  # refuses models of one kind of views
    ready = model.for_dataset(benchmark.name)
    found = Embedder(ready, cache, seed, progress).embed(benchmark)
    if not len(found.items):
        raise ConfigError(f"None of the {len(benchmark)} shapes of {benchmark.name!r} can be read. Run basrelief doctor on it.")
    views = ready.encode_labels(benchmark.labels).similarity(torch.from_numpy(found.views))
    depth = ready.input.depth_views if isinstance(ready.input, ViewInput) else 0
    cosines = torch.stack([views[:, :depth].mean(dim=1), views[:, depth:].mean(dim=1)]).cpu().numpy()
    scales, loss = fit_scales(cosines, found.truth)
    chosen = model.recipe.with_color_weight(scales[1] / sum(scales))
    weights = (1 - chosen.color_weight, chosen.color_weight)
    answers = {**dict(zip(KINDS, cosines, strict=True)), "both": np.tensordot(weights, cosines, axes=1)}
    accuracy = {name: float((each.argmax(axis=1) == found.truth).mean()) for name, each in answers.items()}
    place = f"{benchmark.name} {benchmark.variant} {benchmark.split}".replace("  ", " ")
    return ViewWeightFit(chosen.name, chosen.color_weight, len(found.items), loss, accuracy, place, tuple(found.failures.items()))
