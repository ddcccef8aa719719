"""What an evaluation gives back: figures with their intervals, tables, and who was taken for whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from basrelief.metrics import Interval, bootstrap, wilson

Cell = str | int | float | None


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        name: E.g. `top1`; the names of the papers' numbers.
        title: In words.
        value: In percent, unless `unit` says otherwise.
        low: Lower end of its 95 % interval.
        high: Upper end.
        count: Shapes or queries it rests on.
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
    """Rows under named columns, as printed."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, eq=False)
class Result:
    """What a task found.

    Attributes:
        figures: The headline.
        tables: Details.
        confusion: (C, C) shapes of label r that were called c, or None.
        answers: One row per shape: id, label, answers best first, probability; empty where there are none.
        failures: One row per shape that could not be used: id and why.
        notes: What a reader should know.
    """

    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = ()
    confusion: Int64[np.ndarray, "labels labels"] | None = None
    answers: tuple[tuple[Cell, ...], ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def percent(value: float) -> float:
    """A share as percent, rounded to 4 digits after the point, so that the last bit of a sum does not show."""
    return round(100 * float(value), 4)


def share(name: str, title: str, hits: Bool[np.ndarray, " shapes"]) -> Figure:
    """A share of shapes with Wilson's interval."""
    low, high = wilson(int(hits.sum()), len(hits))
    return Figure(name, title, percent(hits.mean()) if len(hits) else float("nan"), percent(low), percent(high), len(hits))


def drawn_again(name: str, title: str, value: float, *, interval: Interval, count: int) -> Figure:
    """A figure in [0, 1] with the interval of a bootstrap."""
    return Figure(name, title, percent(value), percent(interval.low), percent(interval.high), count)


def mean_figure(name: str, title: str, values: np.ndarray, *, unit: str = "%") -> Figure:
    """A mean over queries or seeds with its bootstrap interval; shares become percent."""
    scale = 100 if unit == "%" else 1
    interval = bootstrap(lambda rows: float(values[rows].mean()), len(values))
    value = float(values.mean()) if len(values) else float("nan")
    value, low, high = (round(scale * v, 4) for v in (value, *interval))
    return Figure(name, title, value, low, high, len(values), unit)
