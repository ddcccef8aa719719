"""Few-shot classification of a benchmark: K shapes of every class teach a head, the rest are asked; over several draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.result import Figure, Result, Table, mean_figure, percent
from basrelief.models import Embedder, ViewFeatures, embed_paths
from basrelief.tasks import HEADS, FitOptions, fit_head, head_scores, sample_shots


@dataclass(frozen=True)
class Shots:
    """How a few-shot figure is drawn.

    Attributes:
        counts: K, shapes per class, one figure each.
        draws: How often the support is drawn again; the papers use 10.
        seed: Of the first draw.
        head: What is fitted on the support, a key of `basrelief.tasks.HEADS`.
    """

    counts: tuple[int, ...] = (1, 2, 4, 8, 16)
    draws: int = 10
    seed: int = 0
    head: str = "probe"

    def __post_init__(self) -> None:
        """Check the numbers and the head."""
        if self.head not in HEADS:
            raise ConfigError(unknown_choice("head", self.head, HEADS))
        if not self.counts or min(self.counts) < 1 or self.draws < 1:
            raise ConfigError(
                f"shots must be numbers from 1 on, with 1 or more draws, but got {self.counts}, {self.draws} draws. Give 1,2,4."
            )


def few_shot(
    embedder: Embedder,
    benchmark: Benchmark,
    *,
    support: Benchmark | None = None,
    shots: Shots | None = None,
    second: Embedder | None = None,
) -> Result:
    """Teach a head on view features of K shapes per class and ask it the others.

    Args:
        embedder: With the model.
        benchmark: The query split.
        support: The split the shots are drawn from, under the same labels; None draws them from `benchmark`, whose other shapes are asked,
            over the classes with more shapes than the largest K.
        shots: How many, how often, and which head.
        second: The second path of a head of two.

    Raises:
        ConfigError: If the labels of both splits differ, or fewer than two classes have enough shapes.
    """
    shots = shots or Shots()
    if support is not None and support.labels != benchmark.labels:
        raise ConfigError("support must have the labels of the queries in the same order, but got others. Open both from one data set.")
    paths = [embedder] if second is None else [embedder, second]
    query = embed_paths(paths, benchmark)
    pool = query if support is None else embed_paths(paths, support)
    classes = _enough(pool, max(shots.counts) + (support is None))
    if len(classes) < 2:
        raise ConfigError(
            f"shots must leave 2 or more classes with enough shapes, but got {len(classes)} for {max(shots.counts)} shots. Use fewer shots."
        )
    pool, query = _only(pool, classes), _only(query, classes)
    asked = None if support is None else query
    words = embedder.model.embed_text(benchmark.labels).cpu(), embedder.model.encoder.logit_scale
    runs = {count: _draws(pool, asked, replace(shots, counts=(count,)), words) for count in shots.counts}
    failures = (*query.failures, *(pool.failures if support is not None else ()))
    return Result(
        figures=tuple(_figure(count, values) for count, values in runs.items()),
        tables=(_table(runs),),
        failures=tuple((failure.id, failure.error) for failure in failures),
        notes=(
            f"{len(classes)} of {len(benchmark.labels)} classes have enough shapes; {len(query.items)} shapes are asked or drawn from.",
        ),
    )


def _draws(pool: ViewFeatures, query: ViewFeatures | None, shots: Shots, words: tuple[Tensor, float]) -> np.ndarray:
    """Accuracy of each draw, in [0, 1]; without a query split the shapes outside the support are asked."""
    truth, features, found = pool.truth, torch.from_numpy(pool.features), []
    for seed in range(shots.seed, shots.seed + shots.draws):
        chosen = sample_shots(truth, shots.counts[0], seed=seed)
        rest = np.setdiff1d(np.arange(len(truth)), chosen)
        asked, right = (features[rest], truth[rest]) if query is None else (torch.from_numpy(query.features), query.truth)
        labelled = torch.from_numpy(truth[chosen])
        head = fit_head(shots.head, features[chosen], truth=labelled, texts=words[0], fit=FitOptions(seed=seed), logit_scale=words[1])
        among = np.unique(truth)  # classes without enough shapes are no answer
        found.append((among[head_scores(head, asked)[:, among].argmax(dim=1).numpy()] == right).mean())
    return np.array(found)


def _enough(pool: ViewFeatures, least: int) -> np.ndarray:
    classes, counts = np.unique(pool.truth, return_counts=True)
    return classes[counts >= least]


def _only(shapes: ViewFeatures, classes: Sequence[int] | np.ndarray) -> ViewFeatures:
    keep = np.flatnonzero(np.isin(shapes.truth, classes))
    return ViewFeatures(tuple(shapes.items[i] for i in keep), shapes.features[keep], shapes.failures)


def _figure(count: int, values: np.ndarray) -> Figure:
    return mean_figure(f"top1_{count}shot", f"top-1, {count} shot{'s' if count > 1 else ''}", values)


def _table(runs: dict[int, np.ndarray]) -> Table:
    rows = tuple(
        (count, round(percent(values.mean()), 2), round(percent(values.std()), 2), len(values), " ".join(f"{100 * v:.1f}" for v in values))
        for count, values in runs.items()
    )
    return Table("shots", ("shots", "top-1 %", "deviation", "draws", "each draw"), rows)
