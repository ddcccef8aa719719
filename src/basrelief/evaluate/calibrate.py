"""The task `calibration`: fit a temperature on one half of the shapes, measure calibration on the other half."""

from __future__ import annotations

import zlib

import numpy as np

from basrelief.datasets import Benchmark
from basrelief.errors import ConfigError
from basrelief.evaluate.result import Metric, Result, Table, bootstrap_metric, percent
from basrelief.evaluate.zero_shot import Scores, score_benchmark
from basrelief.metrics import reliability
from basrelief.models import Embedder
from basrelief.tasks import Calibration

_BOUNDS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


def calibration(embedder: Embedder, benchmark: Benchmark) -> tuple[Calibration, Result]:
    """Fit a temperature on half of the shapes, chosen by a hash of their names, and measure on the other half.

    Args:
        embedder: Embeds with the model.
        benchmark: A validation split. Accuracy reported on the shapes that fitted the temperature would flatter its confidence.

    Returns:
        The calibration, and a result: calibration error before and after, and what `--min-confidence` would keep, on the other half.

    Raises:
        ConfigError: If a half is empty.
    """
    found = score_benchmark(embedder, benchmark)
    fitted = np.array([zlib.crc32(name.encode(errors="replace")) % 2 == 0 for name in found.ids], dtype=bool)
    if not fitted.any() or fitted.all():
        raise ConfigError(
            f"{len(fitted)} shapes are too few to fit a temperature on one half and measure on the other. Use a larger data set."
        )
    recipe = embedder.model.recipe
    fit = Calibration.fit(
        found.scores[fitted],
        found.truth[fitted],
        model=recipe.name,
        pooling=recipe.pooling.rule,
        data=f"{benchmark.name} {benchmark.split} {benchmark.fingerprint()}",
    )
    return fit, _result(found, ~fitted, fit)


def _result(found: Scores, rest: np.ndarray, fit: Calibration) -> Result:
    truth = found.truth[rest]
    after = fit.probabilities(found.scores[rest])
    metrics = [_error("ece", "expected calibration error, calibrated", after, truth)]
    if found.probabilities is not None:
        metrics.append(_error("ece_before", "expected calibration error, uncalibrated", found.probabilities[rest], truth))
    failures = tuple(found.failures.items())
    note = f"Fitted on {fit.shapes} shapes, measured on {len(truth)} others; temperature {fit.temperature:g}."
    return Result(tuple(metrics), (_kept(after, truth), _bins(after, truth)), failures=failures, notes=(note,))


def _error(name: str, title: str, probabilities: np.ndarray, truth: np.ndarray) -> Metric:
    confidence, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == truth

    def error(rows: np.ndarray) -> float:
        return reliability(confidence[rows], right[rows]).expected_calibration_error

    return bootstrap_metric(name, title, error, count=len(truth))


def _kept(probabilities: np.ndarray, truth: np.ndarray) -> Table:
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    rows = []
    for bound in _BOUNDS:
        kept = confidence >= bound
        rows.append((bound, round(percent(kept.mean()), 1), round(percent(right[kept].mean()), 1) if kept.any() else None))
    return Table("min-confidence", ("bound", "answered %", "right of those %"), tuple(rows))


def _bins(probabilities: np.ndarray, truth: np.ndarray) -> Table:
    found = reliability(probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == truth, bins=10)
    rows = tuple(
        (f"{i / 10:.1f} to {(i + 1) / 10:.1f}", int(n), round(percent(c), 1), round(percent(a), 1))
        for i, (n, c, a) in enumerate(zip(found.count, found.confidence, found.accuracy, strict=True))
        if n
    )
    return Table("reliability", ("confidence", "shapes", "mean confidence %", "right %"), rows)
