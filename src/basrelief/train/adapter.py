"""Teaching a head from a labelled split, and asking it another: few shots, or all of them, which is the papers' supervised row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError
from basrelief.models import Embedder, FewShotClassifier, embed_paths
from basrelief.tasks import FitOptions, sample_shots


@dataclass(frozen=True, eq=False)
class AdapterResult:
    """A head and how well it does.

    Attributes:
        classifier: Ready to name shapes.
        support: Shapes it was taught.
        right: For each shape of the query split, whether it was named rightly; None without one. A shape that failed is wrong.
        failures: Name of each shape that could not be read, and why.
    """

    classifier: FewShotClassifier
    support: int
    right: np.ndarray | None
    failures: tuple[tuple[str, str], ...]


def train_adapter(
    paths: Sequence[Embedder],
    support: Benchmark,
    *,
    query: Benchmark | None = None,
    head: str = "probe",
    shots: int | None = None,
    fit: FitOptions | None = None,
) -> AdapterResult:
    """Teach a head from shapes of a labelled split.

    View features are computed once and kept by the embedders' cache, so that another head or another number of shots costs seconds.

    Args:
        paths: One embedder for each path of the head, with models under their few-shot settings.
        support: What the shapes are drawn from.
        query: What is asked afterwards, under the same labels; None asks nothing.
        head: Key of `basrelief.tasks.HEADS`.
        shots: Shapes per class, all of a class that has fewer; None takes all, the supervised row of the papers.
        fit: How the head is fitted; its seed draws the shots, too.

    Raises:
        ConfigError: If the labels differ, or a path reads other shapes than the first.
    """
    fit = fit or FitOptions()
    if query is not None and query.labels != support.labels:
        raise ConfigError("query must have the labels of the support in the same order, but got others. Open both from one data set.")
    first = embed_paths(paths, support)
    features = torch.from_numpy(first.features)
    chosen = np.arange(len(first.items)) if shots is None else sample_shots(first.truth, shots, seed=fit.seed, allow_fewer=True)
    models = [path.model for path in paths]
    truth = first.truth[chosen].tolist()
    classifier = FewShotClassifier.fit_features(models, features[chosen], truth=truth, labels=support.labels, head=head, fit=fit)
    failures = [(failure.id, failure.error) for failure in first.failures]
    right = None
    if query is not None:
        asked = embed_paths(paths, query)
        answers = classifier.predict_features(torch.from_numpy(asked.features)) if len(asked.items) else []
        hits = [answer.label == query.labels[item.label] for answer, item in zip(answers, asked.items, strict=True)]
        right = np.array(hits + [False] * len(asked.failures), dtype=bool)
        failures += [(failure.id, failure.error) for failure in asked.failures]
    return AdapterResult(classifier, len(chosen), right, tuple(failures))
