"""Results of an evaluation: metrics with confidence intervals, tables, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from basrelief.metrics import bootstrap, wilson

Cell = str | int | float | None


@dataclass(frozen=True)
class Metric:
    """One measured number with its confidence interval.

    Attributes:
        name: Short name, e.g. `top1`; the same as in `PaperNumber.metric`.
        title: Name to print.
        value: In percent, unless `unit` says otherwise.
        low: Lower end of its 95 % interval.
        high: Upper end.
        count: Number of shapes or queries behind it.
        unit: `%` or empty.
    """

    name: str
    title: str
    value: float
    low: float
    high: float
    count: int
    unit: str = "%"


@dataclass(frozen=True)
class Table:
    """Named columns and rows, as printed."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, eq=False)
class Result:
    """Result of a task.

    Attributes:
        metrics: The headline numbers.
        tables: Details.
        confusion: (C, C) number of shapes of class r predicted as class c, or None.
        answers: One row per shape: id, label, predictions best first, probability of the first; empty if the task has none.
        failures: Id and error of each shape that could not be used.
        notes: Remarks for the reader.
    """

    metrics: tuple[Metric, ...]
    tables: tuple[Table, ...] = ()
    confusion: Int64[np.ndarray, "labels labels"] | None = None
    answers: tuple[tuple[Cell, ...], ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def percent(value: float) -> float:
    """Convert a share to percent, rounded to 4 decimals so that the order of a sum does not show."""
    return round(100 * float(value), 4)


def accuracy_metric(name: str, title: str, hits: Bool[np.ndarray, " shapes"]) -> Metric:
    """Return the share of hits with Wilson's 95 % interval."""
    low, high = wilson(int(hits.sum()), len(hits))
    return Metric(name, title, percent(hits.mean()) if len(hits) else float("nan"), percent(low), percent(high), len(hits))


def bootstrap_metric(name: str, title: str, statistic: Callable[[np.ndarray], float], *, count: int) -> Metric:
    """Return a statistic in [0, 1] of `count` rows, given as row numbers, with its bootstrap interval."""
    low, high = bootstrap(statistic, count)
    return Metric(name, title, percent(statistic(np.arange(count))), percent(low), percent(high), count)


def mean_metric(name: str, title: str, values: np.ndarray, *, unit: str = "%") -> Metric:
    """Return a mean over queries or draws with its bootstrap interval; shares become percent."""
    scale = 100 if unit == "%" else 1
    interval = bootstrap(lambda rows: float(values[rows].mean()), len(values))
    value = float(values.mean()) if len(values) else float("nan")
    value, low, high = (round(scale * v, 4) for v in (value, *interval))
    return Metric(name, title, value, low, high, len(values), unit)
