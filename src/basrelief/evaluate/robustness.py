"""The task `robustness`: zero-shot accuracy on corrupted shapes and with fewer views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError
from basrelief.evaluate.corruptions import Corruption, corruptions
from basrelief.evaluate.result import Metric, Result, Table, accuracy_metric
from basrelief.evaluate.zero_shot import UNREAD_RANK
from basrelief.metrics import truth_ranks
from basrelief.models import Embedder, Model, ViewFeatures
from basrelief.render.rigs import evenly_spaced_views
from basrelief.tasks import LabelEmbeddings

_VIEWS = (1, 2, 4, 6, 8)


def robustness(embedder: Embedder, benchmark: Benchmark, *, sweep: Sequence[Corruption] | None = None) -> Result:
    """Classify all shapes unchanged, then under every corruption of the sweep, then with a few evenly spaced views.

    Corruptions to at least as many points as the recipe samples are left out.

    Args:
        embedder: Embeds with the model; its seed, with the id of a shape, seeds the corruptions.
        benchmark: The shapes and their labels.
        sweep: The corruptions; None for `corruptions()`.

    Raises:
        ConfigError: If the benchmark holds depth maps instead of shapes.
    """
    if benchmark.kind != "shapes":
        raise ConfigError(
            "Depth maps cannot be corrupted; robustness needs point clouds or meshes. Use the data set they were rendered from."
        )
    model = embedder.model
    changes = [c for c in (corruptions() if sweep is None else sweep) if c.family != "points" or c.level < model.recipe.points]
    labels = model.encode_labels(benchmark.labels)
    clean = embedder.embed(benchmark)
    rows = [("unchanged", _accuracy(model, clean, labels, "clean"))]
    rows += [(change.name, _accuracy(model, embedder.embed(benchmark, change), labels, change.name)) for change in changes]
    views = clean.views.shape[1]
    counts = [count for count in _VIEWS if count < views]
    rows += [(f"{n} of {views} views", _accuracy(model, clean, labels, f"views {n}", evenly_spaced_views(n, views))) for n in counts]
    best = rows[0][1].value
    table = Table(
        "robustness",
        ("corruption", "top-1 %", "low", "high", "lost"),
        tuple((name, round(f.value, 2), round(f.low, 2), round(f.high, 2), round(best - f.value, 2)) for name, f in rows),
    )
    worst = min(rows[1:], key=lambda row: row[1].value, default=rows[0])[1]
    mean = Metric("mean_top1", "mean top-1 over all corruptions", *_means([f for _, f in rows[1:]]), len(clean.items))
    return Result(
        metrics=(rows[0][1], mean, replace(worst, name="worst_top1", title=f"worst: {worst.title}")),
        tables=(table,),
        failures=tuple(clean.failures.items()),
    )


def _accuracy(model: Model, found: ViewFeatures, labels: LabelEmbeddings, name: str, only: Sequence[int] | None = None) -> Metric:
    kept = list(range(found.views.shape[1])) if only is None else list(only)
    pooling = model.recipe.pooling.of_views(kept)
    scores = model.score_views(torch.from_numpy(found.views[:, kept]), labels, pooling=pooling).scores.cpu().numpy()
    lost = np.full(len(found.failures), UNREAD_RANK, dtype=np.int64)
    ranks = np.concatenate([truth_ranks(scores, found.truth), lost])
    return accuracy_metric("top1" if name == "clean" else name.replace(" ", "_"), f"top-1, {name}", ranks < 1)


def _means(metrics: Sequence[Metric]) -> tuple[float, float, float]:
    values = np.array([(f.value, f.low, f.high) for f in metrics]) if metrics else np.full((1, 3), np.nan)
    value, low, high = values.mean(axis=0).round(4)
    return float(value), float(low), float(high)
