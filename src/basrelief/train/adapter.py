"""Few-shot heads: fit one to view features of a labelled split and measure it on the test split.

Heads are fitted outside the training loop of `basrelief.train.run`: most have a closed form or use scikit-learn, and the adapters of the
papers take seconds of gradient steps on features in memory (`basrelief.tasks.heads.gradient`), so there is nothing to resume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from basrelief.datasets import Benchmark
from basrelief.encoders import VectorCache
from basrelief.errors import ConfigError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.models import Embedder, FewShotClassifier, embed_paths
from basrelief.tasks import FitOptions, sample_shots
from basrelief.types import Progress


@dataclass(frozen=True, eq=False)
class AdapterResult:
    """A fitted head and its accuracy.

    Attributes:
        classifier: Ready to classify shapes.
        support: Number of shapes it was fitted to.
        right: For each shape of the query split, whether its label was predicted; None without a query. Unreadable shapes count as wrong.
        failures: Name of each shape that could not be read, and the reason.
    """

    classifier: FewShotClassifier
    support: int
    right: np.ndarray | None
    failures: tuple[tuple[str, str], ...]


def train_adapter(
    model: ModelSource,
    data: DataSource,
    *,
    head: str | None = None,
    shots: int | None = None,
    fit: FitOptions | None = None,
    cache: VectorCache | None = None,
    progress: Progress | None = None,
) -> AdapterResult:
    """Fit a head to the training split of a data set and measure it on the test split, if the files have splits.

    Args:
        model: Model whose features the head classifies.
        data: Data set; both splits are opened, whatever its `split` is.
        head: Key of `basrelief.tasks.HEADS`; that of the model's paper when None.
        shots: See `fit_adapter`.
        fit: See `fit_adapter`; its seed is that of the surface samples, too.
        cache: Cache of view features, or None.
        progress: Called while shapes are embedded.

    Raises:
        ConfigError: If a name or option is wrong, or the data set does not match its card.
        WeightsNotFoundError: If weights are missing and cannot be fetched.
    """
    fit, loaded = fit or FitOptions(), model.load().for_few_shot()
    kind = head or loaded.recipe.default_head
    support = replace(data, split="train").open(model.name)
    query = None if support.split == "all" else replace(data, split="test").open(model.name)
    second = model.load_second_path(kind, cache=cache, seed=fit.seed)
    paths = [Embedder(loaded, cache, fit.seed, progress), *([second] if second else [])]
    return fit_adapter(paths, support, query=query, head=kind, shots=shots, fit=fit)


def fit_adapter(
    paths: Sequence[Embedder],
    support: Benchmark,
    *,
    query: Benchmark | None = None,
    head: str = "probe",
    shots: int | None = None,
    fit: FitOptions | None = None,
) -> AdapterResult:
    """Fit a head to shapes of a labelled split.

    The embedders cache view features, so another head or another number of shots takes seconds.

    Args:
        paths: One embedder for each path of the head; their models have few-shot settings.
        support: Split that the shapes are sampled from.
        query: Split to measure the head on, with the same labels; None for no measurement.
        head: Key of `basrelief.tasks.HEADS`.
        shots: Shapes per class, or all of a class that has fewer; None takes all, the supervised row of the papers.
        fit: Settings of the fit; its seed samples the shots, too.

    Raises:
        ConfigError: If the labels differ, or a path cannot read the same shapes as the first.
    """
    fit = fit or FitOptions()
    if query is not None and query.labels != support.labels:
        raise ConfigError("Support and query have different labels. Open both splits from the same data set.")
    first = embed_paths(paths, support)
    features = torch.from_numpy(first.features)
    chosen = np.arange(len(first.items)) if shots is None else sample_shots(first.truth, shots, seed=fit.seed, allow_fewer=True)
    models = [path.model for path in paths]
    truth = first.truth[chosen].tolist()
    classifier = FewShotClassifier.fit_features(models, features[chosen], truth=truth, labels=support.labels, head=head, fit=fit)
    failures = list(first.failures.items())
    right = None
    if query is not None:
        embedded = embed_paths(paths, query)
        found = classifier.predict_features(torch.from_numpy(embedded.features)) if len(embedded.items) else []
        hits = [prediction.label == query.labels[item.label] for prediction, item in zip(found, embedded.items, strict=True)]
        right = np.array(hits + [False] * len(embedded.failures), dtype=bool)
        failures += embedded.failures.items()
    return AdapterResult(classifier, len(chosen), right, tuple(failures))
