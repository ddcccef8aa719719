"""How zero-shot accuracy falls when shapes are spoilt, and with fewer views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError
from basrelief.evaluate.corruptions import Corruption, corruptions
from basrelief.evaluate.result import Figure, Result, Table, share
from basrelief.evaluate.zero_shot import LAST
from basrelief.metrics import truth_ranks
from basrelief.models import Embedder, Model, ViewFeatures
from basrelief.tasks import LabelEmbeddings

_VIEWS = (1, 2, 4, 6, 8)


def robustness(embedder: Embedder, benchmark: Benchmark, *, sweep: Sequence[Corruption] | None = None) -> Result:
    """Name all shapes as they are, then under every change of the sweep, then with the first few views only.

    Changes to more points than the recipe draws are left out.

    Args:
        embedder: With the model; its seed draws the changes, the same for every shape of that name.
        benchmark: What to name, and the labels.
        sweep: The changes; None for `corruptions()`.

    Raises:
        ConfigError: If the benchmark holds drawn depth maps.
    """
    if benchmark.kind != "shapes":
        raise ConfigError("benchmark must hold shapes for the robustness sweep, but got drawn depth maps. Take the clouds or meshes.")
    model = embedder.model
    changes = [c for c in (corruptions() if sweep is None else sweep) if c.family != "points" or c.level < model.recipe.points]
    labels = model.encode_labels(benchmark.labels)
    clean = embedder.embed(benchmark)
    rows = [("as they are", _figure(model, clean, labels, "clean"))]
    rows += [(change.name, _figure(model, embedder.embed(benchmark, change), labels, change.name)) for change in changes]
    views = clean.views.shape[1]
    rows += [(f"{n} of {views} views", _figure(model, clean, labels, f"views {n}", spread(views, n))) for n in _VIEWS if n < views]
    best = rows[0][1].value
    table = Table(
        "robustness",
        ("change", "top-1 %", "low", "high", "lost"),
        tuple((name, round(f.value, 2), round(f.low, 2), round(f.high, 2), round(best - f.value, 2)) for name, f in rows),
    )
    worst = min(rows[1:], key=lambda row: row[1].value, default=rows[0])[1]
    mean = Figure("mean_top1", "mean top-1 over all changes", *_means([f for _, f in rows[1:]]), len(clean.items))
    return Result(
        figures=(rows[0][1], mean, replace(worst, name="worst_top1", title=f"worst: {worst.title}")),
        tables=(table,),
        failures=tuple((failure.id, failure.error) for failure in clean.failures),
    )


def spread(views: int, count: int) -> list[int]:
    """Numbers of `count` views spread evenly over a rig of `views`."""
    return [int(v) for v in np.linspace(0, views, count, endpoint=False).round()]


def _figure(model: Model, found: ViewFeatures, labels: LabelEmbeddings, name: str, only: Sequence[int] | None = None) -> Figure:
    pooling = model.recipe.pooling
    kept = list(range(found.views.shape[1])) if only is None else list(only)
    if pooling.weights is not None:
        pooling = replace(pooling, weights=tuple(pooling.weights[v] for v in kept))
    scores = model.score_views(torch.from_numpy(found.views[:, kept]), labels, pooling=pooling).scores.cpu().numpy()
    lost = np.full(len(found.failures), LAST, dtype=np.int64)
    ranks = np.concatenate([truth_ranks(scores, found.truth), lost])
    return share("top1" if name == "clean" else name.replace(" ", "_"), f"top-1, {name}", ranks < 1)


def _means(figures: Sequence[Figure]) -> tuple[float, float, float]:
    values = np.array([(f.value, f.low, f.high) for f in figures]) if figures else np.full((1, 3), np.nan)
    value, low, high = values.mean(axis=0).round(4)
    return float(value), float(low), float(high)
