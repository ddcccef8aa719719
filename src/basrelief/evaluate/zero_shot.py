"""The task `zero-shot`: accuracy, per-class scores, confusion matrix and calibration error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32, Int64

from basrelief.datasets import Benchmark
from basrelief.evaluate.result import Cell, Metric, Result, Table, accuracy_metric, bootstrap_metric, percent
from basrelief.metrics import class_scores, confusion_matrix, reliability, truth_ranks
from basrelief.models import Embedder, Model

UNREAD_RANK = 1 << 30
"""Rank given to the true label of a shape that could not be read, so that it counts as wrong."""

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of all labels for all shapes of a benchmark.

    Attributes:
        ids: Ids of the N shapes.
        truth: (N,) index of the true label.
        scores: (N, C) pooled scores; larger is better.
        probabilities: (N, C) probabilities, or None if the pooling rule defines none.
        failures: Error of each shape without scores, by its id.
    """

    ids: tuple[str, ...]
    truth: Int64[np.ndarray, " shapes"]
    scores: Float32[np.ndarray, "shapes labels"]
    probabilities: Float32[np.ndarray, "shapes labels"] | None
    failures: Mapping[str, str] = field(default_factory=dict)


def score_benchmark(embedder: Embedder, benchmark: Benchmark) -> Scores:
    """Score all labels of a benchmark for all its shapes, a few shapes at a time.

    Args:
        embedder: Embeds with the model.
        benchmark: The shapes and their labels.
    """
    embedded = embedder.model.encode_labels(benchmark.labels)
    ids: list[str] = []
    failures: dict[str, str] = {}
    truth, scores, chances = [], [], []
    for part in embedder.embed_chunks(benchmark):
        failures |= part.failures
        if part.items:
            ids += [item.id for item in part.items]
            truth.append(part.truth)
            scored = embedder.model.score_views(torch.from_numpy(part.views), embedded)
            scores.append(scored.scores.cpu().numpy())
            chances.append(None if scored.probabilities is None else scored.probabilities.cpu().numpy())
    wide = (0, len(benchmark.labels))
    return Scores(
        tuple(ids),
        np.concatenate(truth) if truth else np.empty(0, dtype=np.int64),
        np.concatenate(scores) if scores else np.empty(wide, dtype=np.float32),
        None if any(c is None for c in chances) or not chances else np.concatenate([c for c in chances if c is not None]),
        failures,
    )


def zero_shot(embedder: Embedder, benchmark: Benchmark) -> Result:
    """Classify every shape among the labels of the benchmark.

    A shape that could not be read counts as wrong: published accuracies are over all shapes.

    Args:
        embedder: Embeds with the model.
        benchmark: The shapes and their labels.
    """
    found = score_benchmark(embedder, benchmark)
    labels = benchmark.labels
    unread = np.full(len(found.failures), UNREAD_RANK, dtype=np.int64)
    ranks = np.concatenate([truth_ranks(found.scores, found.truth), unread])
    answer = found.scores.argmax(axis=1)
    confusion = confusion_matrix(found.truth, answer, labels=len(labels))
    metrics = [accuracy_metric(f"top{k}", f"top-{k} accuracy", ranks < k) for k in (1, 3, 5)]
    return Result(
        metrics=(*metrics, *_class_metrics(found, answer, len(labels)), *_calibration(found)),
        tables=(per_class(confusion, labels),),
        confusion=confusion,
        answers=_answers(found, labels),
        failures=tuple(found.failures.items()),
        notes=_unknown(embedder.model, labels),
    )


def _unknown(model: Model, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Note on labels with words the model does not know."""
    found = list(model.unknown_words(labels))
    shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
    return (f"{model.name} does not know {len(found)} of {len(labels)} labels: {shown}.",) if found else ()


def per_class(confusion: Int64[np.ndarray, "labels labels"], labels: tuple[str, ...]) -> Table:
    """Return accuracy, precision and F1 of each class that occurs as label or prediction, and its most frequent wrong prediction."""
    scores = class_scores(confusion)
    rows = []
    for i in np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1)):
        wrong = confusion[i].copy()
        wrong[i] = 0
        most = labels[int(wrong.argmax())] if wrong.any() else ""
        cells: tuple[Cell, ...] = (_cell(scores.recall[i]), _cell(scores.precision[i]), _cell(scores.f1[i]))
        rows.append((labels[i], int(scores.support[i]), *cells, most))
    return Table("classes", ("class", "shapes", "top-1 %", "precision %", "F1 %", "most often confused with"), tuple(rows))


def _class_metrics(found: Scores, answer: Int64[np.ndarray, " shapes"], labels: int) -> tuple[Metric, ...]:
    """Mean class accuracy and macro F1 with bootstrap intervals."""

    def matrix(rows: np.ndarray) -> np.ndarray:
        return confusion_matrix(found.truth[rows], answer[rows], labels=labels)

    statistics: dict[tuple[str, str], Callable[[np.ndarray], float]] = {
        ("class_mean", "mean of the classes' top-1"): lambda rows: class_scores(matrix(rows)).mean_accuracy,
        ("macro_f1", "macro F1"): lambda rows: class_scores(matrix(rows)).macro_f1,
    }
    return tuple(bootstrap_metric(name, title, statistic, count=len(answer)) for (name, title), statistic in statistics.items())


def _calibration(found: Scores) -> tuple[Metric, ...]:
    if found.probabilities is None or not len(found.truth):
        return ()
    confidence, right = found.probabilities.max(axis=1).astype(np.float64), found.probabilities.argmax(axis=1) == found.truth

    def error(rows: np.ndarray) -> float:
        return reliability(confidence[rows], right[rows]).expected_calibration_error

    return (bootstrap_metric("ece", "expected calibration error", error, count=len(right)),)


def _answers(found: Scores, labels: tuple[str, ...]) -> tuple[tuple[Cell, ...], ...]:
    """One row per shape: id, true label, top five predictions, probability of the first."""
    order = np.argsort(-found.scores, axis=1, kind="stable")[:, :_SHOWN]
    first = [None] * len(order) if found.probabilities is None else [round(float(c.max()), 4) for c in found.probabilities]
    return tuple(
        (name, labels[right], " | ".join(labels[i] for i in best), chance)
        for name, right, best, chance in zip(found.ids, found.truth, order, first, strict=True)
    )


def _cell(value: float) -> float | None:
    return None if np.isnan(value) else round(percent(value), 2)
