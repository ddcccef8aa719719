"""Fitting a temperature on one half of a benchmark, and reporting what it does to the other."""

from __future__ import annotations

import zlib

import numpy as np

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError
from basrelief.evaluate.result import Figure, Result, Table, drawn_again, percent
from basrelief.evaluate.zero_shot import Scores, score_benchmark
from basrelief.metrics import bootstrap, expected_calibration_error, reliability
from basrelief.models import Embedder
from basrelief.tasks import Calibration, fit_temperature

_BOUNDS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


def calibrated(embedder: Embedder, benchmark: Benchmark) -> tuple[Calibration, Result]:
    """Fit a temperature on half of the shapes, chosen by a hash of their names, and measure on the rest.

    Args:
        embedder: With the model.
        benchmark: A validation split; fitting on the shapes of a reported figure flatters the confidence.

    Returns:
        The calibration, and the error before and after on the other half, with what `--min-confidence` would keep.

    Raises:
        ConfigError: If a half is empty.
    """
    found = score_benchmark(embedder, benchmark)
    fitted = np.array([zlib.crc32(name.encode(errors="replace")) % 2 == 0 for name in found.ids], dtype=bool)
    if not fitted.any() or fitted.all():
        raise ConfigError(f"benchmark must hold shapes for both halves, but got {len(fitted)} shapes. Give a larger one.")
    recipe = embedder.model.recipe
    calibration = Calibration(
        temperature=float(f"{fit_temperature(found.scores[fitted], found.truth[fitted]):.6g}"),
        model=recipe.name,
        pooling=recipe.pooling.rule,
        data=f"{benchmark.name} {benchmark.split} {benchmark.fingerprint()}",
        shapes=int(fitted.sum()),
        labels=len(benchmark.labels),
    )
    return calibration, _result(found, ~fitted, calibration)


def _result(found: Scores, rest: np.ndarray, calibration: Calibration) -> Result:
    truth = found.truth[rest]
    after = calibration.probabilities(found.scores[rest])
    figures = [_error("ece", "expected calibration error, calibrated", after, truth)]
    if found.chances is not None:
        figures.append(_error("ece_before", "expected calibration error, as the recipe says", found.chances[rest], truth))
    failures = tuple((failure.id, failure.error) for failure in found.failures)
    note = f"Fitted on {calibration.shapes} shapes, measured on {len(truth)} others; temperature {calibration.temperature:g}."
    return Result(tuple(figures), (_kept(after, truth), _bins(after, truth)), failures=failures, notes=(note,))


def _error(name: str, title: str, chances: np.ndarray, truth: np.ndarray) -> Figure:
    sure, right = chances.max(axis=1).astype(np.float64), chances.argmax(axis=1) == truth

    def error(rows: np.ndarray) -> float:
        return expected_calibration_error(sure[rows], right[rows])

    return drawn_again(name, title, error(np.arange(len(truth))), interval=bootstrap(error, len(truth)), count=len(truth))


def _kept(chances: np.ndarray, truth: np.ndarray) -> Table:
    sure, right = chances.max(axis=1), chances.argmax(axis=1) == truth
    rows = []
    for bound in _BOUNDS:
        kept = sure >= bound
        rows.append((bound, round(percent(kept.mean()), 1), round(percent(right[kept].mean()), 1) if kept.any() else None))
    return Table("min-confidence", ("bound", "answered %", "right of those %"), tuple(rows))


def _bins(chances: np.ndarray, truth: np.ndarray) -> Table:
    found = reliability(chances.max(axis=1).astype(np.float64), chances.argmax(axis=1) == truth, bins=10)
    rows = tuple(
        (f"{i / 10:.1f} to {(i + 1) / 10:.1f}", int(n), round(percent(c), 1), round(percent(a), 1))
        for i, (n, c, a) in enumerate(zip(found.count, found.confidence, found.accuracy, strict=True))
        if n
    )
    return Table("reliability", ("confidence", "shapes", "mean confidence %", "right %"), rows)
