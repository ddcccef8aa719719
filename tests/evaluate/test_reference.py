"""Figures of the tasks, compared with plain loops over answers."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from basrelief.datasets import Benchmark
from basrelief.evaluate.result import Metric
from basrelief.evaluate.retrieval import retrieval
from basrelief.evaluate.zero_shot import score_benchmark, zero_shot
from basrelief.models import Embedder


def by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


@pytest.fixture
def hard(benchmark: Benchmark) -> Benchmark:
    """The same shapes under labels that do not fit all of them, so that there is something to count."""
    return replace(benchmark, labels=("airplane", "stool", "cup", "desk"))


def answers(embedder: Embedder, benchmark: Benchmark) -> list[tuple[str, list[str]]]:
    """Right label and ranked labels of every shape, one shape at a time."""
    found = []
    for item in benchmark.items:
        (prediction,) = embedder.model.classify([benchmark.load(item)], benchmark.labels)
        found.append((benchmark.labels[item.label], list(prediction.labels)))
    return found


@pytest.mark.parametrize("k", [1, 3])
def test_top_k_counts_the_answers(k: int, embedder: Embedder, hard: Benchmark) -> None:
    counted = [right in ranked[:k] for right, ranked in answers(embedder, hard)]
    assert by_name(zero_shot(embedder, hard).metrics)[f"top{k}"].value == pytest.approx(100 * sum(counted) / len(counted), abs=1e-3)


def test_class_mean_and_f1_by_counting(embedder: Embedder, hard: Benchmark) -> None:
    hits, shapes, said = Counter[str](), Counter[str](), Counter[str]()
    for right, ranked in answers(embedder, hard):
        shapes[right] += 1
        said[ranked[0]] += 1
        hits[right] += ranked[0] == right
    recall = [hits[name] / shapes[name] for name in shapes]
    f1 = [2 * hits[name] / (shapes[name] + said[name]) for name in shapes]
    metrics = by_name(zero_shot(embedder, hard).metrics)
    assert metrics["class_mean"].value == pytest.approx(100 * sum(recall) / len(recall), abs=1e-3)
    assert metrics["macro_f1"].value == pytest.approx(100 * sum(f1) / len(f1), abs=1e-3)


def test_the_confusion_has_every_answer_once(embedder: Embedder, hard: Benchmark) -> None:
    counted: dict[tuple[str, str], int] = defaultdict(int)
    for right, ranked in answers(embedder, hard):
        counted[right, ranked[0]] += 1
    confusion = zero_shot(embedder, hard).confusion
    assert confusion is not None
    for r, right in enumerate(hard.labels):
        for c, called in enumerate(hard.labels):
            assert confusion[r, c] == counted[right, called]


def test_calibration_error_by_binning(embedder: Embedder, hard: Benchmark) -> None:
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for item in hard.items:
        (prediction,) = embedder.model.classify([hard.load(item)], hard.labels)
        assert prediction.probabilities is not None
        sure = float(prediction.probabilities[0])
        bins[math.ceil(sure * 15)].append((sure, prediction.label == hard.labels[item.label]))
    gap = sum(abs(sum(s for s, _ in rows) - sum(hit for _, hit in rows)) for rows in bins.values()) / len(hard)
    assert by_name(zero_shot(embedder, hard).metrics)["ece"].value == pytest.approx(100 * gap, abs=0.02)


def test_scores_are_the_pooled_similarities_view_by_view(embedder: Embedder, hard: Benchmark) -> None:
    """`tiny` pools by the mean over views, times its learned scale."""
    found = score_benchmark(embedder, hard)
    model = embedder.model
    texts = model.embed_text(hard.labels).numpy()
    for row, item in enumerate(hard.items[:4]):
        views = model.embed_views([hard.load(item)]).numpy()[0]
        for label in range(len(hard.labels)):
            cosines = [float(view @ texts[label]) for view in views]
            assert found.scores[row, label] == pytest.approx(model.encoder.logit_scale * sum(cosines) / len(cosines), abs=2e-3)


def slow_ranks(scores: list[float], right: list[bool]) -> tuple[int, float]:
    """Place of the first right item and average precision, from one; equal scores count against the query."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], right[i]))
    first, seen, precision = 0, 0, 0.0
    for place, i in enumerate(order, start=1):
        if right[i]:
            seen += 1
            first = first or place
            precision += seen / place
    return first, precision / seen


@pytest.mark.parametrize("direction", ["text", "shape"])
def test_retrieval_by_sorting_every_query(direction: str, embedder: Embedder, benchmark: Benchmark) -> None:
    found = embedder.embed(benchmark)
    pooled = [np.mean(views, axis=0) / np.linalg.norm(np.mean(views, axis=0)) for views in found.views]
    if direction == "text":
        queries = [(vector, label, -1) for label, vector in enumerate(embedder.model.embed_text(benchmark.labels).numpy())]
    else:
        queries = [(vector, item.label, i) for i, (vector, item) in enumerate(zip(pooled, found.items, strict=True))]
    firsts, precisions = [], []
    for vector, label, own in queries:
        others = [i for i in range(len(pooled)) if i != own]
        first, precision = slow_ranks([float(vector @ pooled[i]) for i in others], [found.items[i].label == label for i in others])
        firsts.append(first)
        precisions.append(precision)
    metrics = by_name(retrieval(embedder, benchmark, directions=(direction,)).metrics)
    assert metrics[f"{direction}_r1"].value == pytest.approx(100 * sum(f == 1 for f in firsts) / len(firsts), abs=1e-2)
    assert metrics[f"{direction}_r5"].value == pytest.approx(100 * sum(f <= 5 for f in firsts) / len(firsts), abs=1e-2)
    assert metrics[f"{direction}_map"].value == pytest.approx(100 * sum(precisions) / len(precisions), abs=1e-2)


def test_every_figure_lies_in_its_interval(embedder: Embedder, hard: Benchmark) -> None:
    for metric in zero_shot(embedder, hard).metrics:
        if metric.name.startswith("top"):
            assert metric.low <= metric.value <= metric.high
        assert 0 <= metric.low <= metric.high <= 100
