"""Zero-shot classification of a benchmark: accuracy, per-class figures, confusion and calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64

from basrelief.datasets import Benchmark
from basrelief.evaluate.result import Cell, Figure, Result, Table, drawn_again, percent, share
from basrelief.metrics import (
    bootstrap,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    mean_class_accuracy,
    truth_ranks,
)
from basrelief.models import Embedder, Failure, Model

LAST = 1 << 30
"""Place of the right label of a shape that could not be read: never among the first."""

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Scores:
    """The score of every label for every shape of a benchmark.

    Attributes:
        ids: N names.
        truth: (N,) number of the right label.
        scores: (N, C) pooled scores; larger is better.
        chances: (N, C) probabilities, or None where the pooling rule defines none.
        failures: Shapes that have no scores.
    """

    ids: tuple[str, ...]
    truth: Int64[np.ndarray, " shapes"]
    scores: Float32[np.ndarray, "shapes labels"]
    chances: Float32[np.ndarray, "shapes labels"] | None
    failures: tuple[Failure, ...] = ()


def score_benchmark(embedder: Embedder, benchmark: Benchmark) -> Scores:
    """Score every label for every shape, a few shapes at a time.

    Args:
        embedder: With the model.
        benchmark: Its labels are what is asked.
    """
    embedded = embedder.model.encode_labels(benchmark.labels)
    ids: list[str] = []
    failures: list[Failure] = []
    truth, scores, chances = [], [], []
    for part in embedder.embed_chunks(benchmark):
        failures += part.failures
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
        tuple(failures),
    )


def zero_shot(embedder: Embedder, benchmark: Benchmark) -> Result:
    """Name every shape by the benchmark's labels.

    A shape that could not be read counts as wrong: the papers' figures are over all shapes.

    Args:
        embedder: With the model.
        benchmark: What to name, and the labels.
    """
    found = score_benchmark(embedder, benchmark)
    labels = benchmark.labels
    lost = np.full(len(found.failures), LAST, dtype=np.int64)
    ranks = np.concatenate([truth_ranks(found.scores, found.truth), lost])
    answer = found.scores.argmax(axis=1)
    confusion = confusion_matrix(found.truth, answer, labels=len(labels))
    figures = [share(f"top{k}", f"top-{k} accuracy", ranks < k) for k in (1, 3, 5)]
    return Result(
        figures=(*figures, *_class_figures(found, answer, len(labels)), *_calibration(found)),
        tables=(per_class(confusion, labels),),
        confusion=confusion,
        answers=_answers(found, labels),
        failures=tuple((failure.id, failure.error) for failure in found.failures),
        notes=_unknown(embedder.model, labels),
    )


def _unknown(model: Model, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels that the model has never read."""
    found = list(model.unknown_words(labels))
    shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
    return (f"{model.name} does not know {len(found)} of {len(labels)} labels: {shown}.",) if found else ()


def per_class(confusion: Int64[np.ndarray, "labels labels"], labels: tuple[str, ...]) -> Table:
    """Accuracy, precision and F1 of each class that has shapes or answers, and what it is taken for most."""
    scores = class_scores(confusion)
    rows = []
    for i in np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1)):
        wrong = confusion[i].copy()
        wrong[i] = 0
        most = labels[int(wrong.argmax())] if wrong.any() else ""
        cells: tuple[Cell, ...] = (_cell(scores.recall[i]), _cell(scores.precision[i]), _cell(scores.f1[i]))
        rows.append((labels[i], int(scores.support[i]), *cells, most))
    return Table("classes", ("class", "shapes", "top-1 %", "precision %", "F1 %", "most often taken for"), tuple(rows))


def _class_figures(found: Scores, answer: Int64[np.ndarray, " shapes"], labels: int) -> tuple[Figure, ...]:
    """Class mean and macro F1, with intervals by drawing shapes again."""

    def matrix(rows: np.ndarray) -> np.ndarray:
        return confusion_matrix(found.truth[rows], answer[rows], labels=labels)

    everything, count = np.arange(len(answer)), len(answer)
    statistics: dict[tuple[str, str], Callable[[np.ndarray], float]] = {
        ("class_mean", "mean of the classes' top-1"): lambda rows: mean_class_accuracy(matrix(rows)),
        ("macro_f1", "macro F1"): lambda rows: class_scores(matrix(rows)).macro_f1,
    }
    return tuple(
        drawn_again(name, title, statistic(everything), interval=bootstrap(statistic, count), count=count)
        for (name, title), statistic in statistics.items()
    )


def _calibration(found: Scores) -> tuple[Figure, ...]:
    if found.chances is None or not len(found.truth):
        return ()
    sure, right = found.chances.max(axis=1).astype(np.float64), found.chances.argmax(axis=1) == found.truth

    def error(rows: np.ndarray) -> float:
        return expected_calibration_error(sure[rows], right[rows])

    value = error(np.arange(len(right)))
    return (drawn_again("ece", "expected calibration error", value, interval=bootstrap(error, len(right)), count=len(right)),)


def _answers(found: Scores, labels: tuple[str, ...]) -> tuple[tuple[Cell, ...], ...]:
    """One row per shape: id, right label, five answers, probability of the first."""
    order = np.argsort(-found.scores, axis=1, kind="stable")[:, :_SHOWN]
    sure = [None] * len(order) if found.chances is None else [round(float(c.max()), 4) for c in found.chances]
    return tuple(
        (name, labels[right], " | ".join(labels[i] for i in best), chance)
        for name, right, best, chance in zip(found.ids, found.truth, order, sure, strict=True)
    )


def _cell(value: float) -> float | None:
    return None if np.isnan(value) else round(percent(value), 2)
