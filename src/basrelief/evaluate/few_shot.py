"""The task `few-shot`: fit a head on K shapes per class and classify the others, over several draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError, unknown_choice
from basrelief.evaluate.result import Metric, Result, Table, mean_metric, percent
from basrelief.models import Embedder, ViewFeatures, embed_paths
from basrelief.tasks import HEADS, FitOptions, fit_head, head_scores, sample_shots


@dataclass(frozen=True)
class FewShotOptions:
    """Options of few-shot classification.

    Attributes:
        counts: Shots, the numbers K of shapes per class; one metric each.
        draws: Number of random support sets per K; the papers use 10.
        seed: Seed of the first draw; the next draws count up from it.
        head: Head that is fitted on the support, a key of `basrelief.tasks.HEADS`.
    """

    counts: tuple[int, ...] = (1, 2, 4, 8, 16)
    draws: int = 10
    seed: int = 0
    head: str = "probe"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.head not in HEADS:
            raise ConfigError(unknown_choice("head", self.head, HEADS))
        if not self.counts or min(self.counts) < 1 or self.draws < 1:
            raise ConfigError(
                f"Few-shot needs at least one shot and one draw, got shots {self.counts} and {self.draws} draws. Try 1,2,4 and 10."
            )


def few_shot(
    embedder: Embedder,
    benchmark: Benchmark,
    *,
    support: Benchmark | None = None,
    options: FewShotOptions | None = None,
    second: Embedder | None = None,
) -> Result:
    """Fit a head to view features of K shapes per class and measure top-1 on the queries.

    Args:
        embedder: Embeds with the model.
        benchmark: The query split.
        support: The split that shots are drawn from, with the same labels. None draws them from `benchmark` and uses its other shapes as
            queries, over the classes with more shapes than the largest K.
        options: Shots, draws and head.
        second: Embedder of the second path, for heads with two.

    Raises:
        ConfigError: If the labels of both splits differ, or fewer than two classes have enough shapes.
    """
    options = options or FewShotOptions()
    if support is not None and support.labels != benchmark.labels:
        raise ConfigError("The support split has other labels than the query split. Open both splits from one data set.")
    paths = [embedder] if second is None else [embedder, second]
    query = embed_paths(paths, benchmark)
    pool = query if support is None else embed_paths(paths, support)
    classes = _enough(pool, max(options.counts) + (support is None))
    if len(classes) < 2:
        raise ConfigError(
            f"Only {len(classes)} classes have enough shapes for {max(options.counts)} shots; few-shot needs two. Use fewer shots."
        )
    pool, query = _only(pool, classes), _only(query, classes)
    queries = None if support is None else query
    texts, scale = embedder.model.embed_text(benchmark.labels).cpu(), embedder.model.logit_scale
    runs = {count: _draws(pool, queries, replace(options, counts=(count,)), texts=texts, logit_scale=scale) for count in options.counts}
    failures = (*query.failures.items(), *(pool.failures.items() if support is not None else ()))
    return Result(
        metrics=tuple(_metric(count, values) for count, values in runs.items()),
        tables=(_table(runs),),
        failures=failures,
        notes=(f"{len(classes)} of {len(benchmark.labels)} classes have enough shapes; {len(query.items)} shapes are queries or support.",),
    )


def _draws(pool: ViewFeatures, query: ViewFeatures | None, options: FewShotOptions, *, texts: Tensor, logit_scale: float) -> np.ndarray:
    """Accuracy of each draw, in [0, 1]; without a query split the shapes outside the support are the queries."""
    truth, features, found = pool.truth, torch.from_numpy(pool.features), []
    for seed in range(options.seed, options.seed + options.draws):
        chosen = sample_shots(truth, options.counts[0], seed=seed)
        rest = np.setdiff1d(np.arange(len(truth)), chosen)
        queries, labels = (features[rest], truth[rest]) if query is None else (torch.from_numpy(query.features), query.truth)
        labelled = torch.from_numpy(truth[chosen])
        head = fit_head(options.head, features[chosen], truth=labelled, texts=texts, fit=FitOptions(seed=seed), logit_scale=logit_scale)
        among = np.unique(truth)  # classes without enough shapes are not predicted
        found.append((among[head_scores(head, queries)[:, among].argmax(dim=1).numpy()] == labels).mean())
    return np.array(found)


def _enough(pool: ViewFeatures, least: int) -> np.ndarray:
    classes, counts = np.unique(pool.truth, return_counts=True)
    return classes[counts >= least]


def _only(shapes: ViewFeatures, classes: Sequence[int] | np.ndarray) -> ViewFeatures:
    keep = np.flatnonzero(np.isin(shapes.truth, classes))
    return ViewFeatures(tuple(shapes.items[i] for i in keep), shapes.features[keep], shapes.failures)


def _metric(count: int, values: np.ndarray) -> Metric:
    return mean_metric(f"top1_{count}shot", f"top-1, {count} shot{'s' if count > 1 else ''}", values)


def _table(runs: dict[int, np.ndarray]) -> Table:
    rows = tuple(
        (count, round(percent(values.mean()), 2), round(percent(values.std()), 2), len(values), " ".join(f"{100 * v:.1f}" for v in values))
        for count, values in runs.items()
    )
    return Table("shots", ("shots", "top-1 %", "deviation", "draws", "each draw"), rows)
