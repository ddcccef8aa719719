"""Calibrated probabilities, and rejection of uncertain answers.

A temperature T, fitted on labelled shapes that are in no reported figure, turns pooled scores into probabilities softmax(scores / T)
(Guo et al. 2017, arXiv:1706.04599). It changes no ranking. An answer is declined when its probability or its lead is too small, or when
a distractor, a label that competes but is no answer, fits better.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from basrelief.checks import check_positive, check_range
from basrelief.errors import ConfigError, FileFormatError
from basrelief.output import to_json, write_text
from basrelief.types import Prediction

_MAX_FILE_BYTES = 100_000
_COLDEST, _HOTTEST = -14.0, 8.0


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature and what it was fitted on.

    Attributes:
        temperature: T > 0; scores are divided by it.
        model: Name of the model whose scores it is for.
        pooling: Name of the pooling rule those scores came from.
        data: What it was fitted on, in words.
        shapes: How many shapes that were.
        labels: How many labels they were named with.

    Raises:
        ConfigError: If the temperature is not positive and finite.
    """

    temperature: float
    model: str = ""
    pooling: str = ""
    data: str = ""
    shapes: int = 0
    labels: int = 0

    def __post_init__(self) -> None:
        """Check the temperature."""
        check_positive("temperature", self.temperature, "Fit it again.")

    @classmethod
    def fit(
        cls,
        scores: Float[np.ndarray, "shapes labels"],
        truth: Int[np.ndarray, " shapes"],
        *,
        model: str = "",
        pooling: str = "",
        data: str = "",
    ) -> Calibration:
        """Fit the temperature on labelled shapes, see `fit_temperature`; it is rounded to six digits.

        Args:
            scores: Pooled scores of the shapes.
            truth: Number of the right label of each.
            model: Name of the model whose scores they are.
            pooling: Name of the pooling rule they come from.
            data: What the shapes are, in words.

        Raises:
            ConfigError: If there is no shape.
        """
        return cls(float(f"{fit_temperature(scores, truth):.6g}"), model, pooling, data, len(scores), scores.shape[1])

    def probabilities(self, scores: Float[np.ndarray, "shapes labels"]) -> Float[np.ndarray, "shapes labels"]:
        """Turn pooled scores into probabilities; rows sum to 1."""
        chances: np.ndarray = np.exp(_log_softmax(scores, self.temperature)).astype(np.float32)
        return chances

    def save(self, path: Path | str) -> None:
        """Write it as JSON.

        Raises:
            OutputError: If it cannot be written.
        """
        write_text(path, to_json(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path | str) -> Calibration:
        """Read a calibration that `save` wrote.

        Raises:
            FileFormatError: If the file is absent, too large or not of this form.
        """
        try:
            with Path(path).open("rb") as file:
                record = json.loads(file.read(_MAX_FILE_BYTES))
            return cls(**_typed(record))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise FileFormatError(f"Cannot read the calibration {str(path)!r}: {error}. Fit it again with basrelief evaluate.") from error


@dataclass(frozen=True)
class RejectPolicy:
    """When to accept an answer.

    Attributes:
        calibration: Turns scores into probabilities; None keeps the pooling rule's own.
        min_confidence: Least probability of the best label, in [0, 1].
        min_margin: Least lead of its probability over the next, in [0, 1].
        distractors: Labels that are compared too but are no answer: `none of these` when one is best.
    """

    calibration: Calibration | None = None
    min_confidence: float = 0.0
    min_margin: float = 0.0
    distractors: tuple[str, ...] = ()

    def __call__(self, prediction: Prediction) -> Prediction:
        """Calibrate a prediction and decline it where it does not hold, see `decline`."""
        if self.calibration is not None:
            prediction = calibrate([prediction], self.calibration)[0]
        return decline(prediction, min_confidence=self.min_confidence, min_margin=self.min_margin, distractors=self.distractors)


def fit_temperature(scores: Float[np.ndarray, "shapes labels"], truth: Int[np.ndarray, " shapes"]) -> float:
    """Find the temperature under which the right labels are likeliest: the mean of -log softmax(scores / T)[truth] is least.

    Args:
        scores: Pooled scores of labelled shapes; larger is better.
        truth: Number of the right label of each.

    Returns:
        T > 0. The loss is convex in 1 / T, so there is one.

    Raises:
        ConfigError: If there is no shape.
    """
    from scipy.optimize import minimize_scalar

    if len(scores) == 0:
        raise ConfigError("scores is empty. Pass labelled shapes to fit the temperature on.")
    rows = np.arange(len(scores))

    def loss(log_temperature: float) -> float:
        return float(-_log_softmax(scores, float(np.exp(log_temperature)))[rows, truth].mean())

    found = minimize_scalar(loss, bounds=(_COLDEST, _HOTTEST), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def calibrate(predictions: Sequence[Prediction], calibration: Calibration) -> list[Prediction]:
    """Give predictions the probabilities of a calibration; labels, scores and their order stay."""
    return [replace(p, probabilities=calibration.probabilities(p.scores[None])[0]) for p in predictions]


def decline(
    prediction: Prediction, *, min_confidence: float = 0.0, min_margin: float = 0.0, distractors: Collection[str] = ()
) -> Prediction:
    """Decline an answer that is not sure enough; `Prediction.declined` says why.

    Args:
        prediction: With probabilities where a bound is given.
        min_confidence: Least probability of the best label, in [0, 1].
        min_margin: Least lead of its probability over the next, in [0, 1].
        distractors: Labels of the prediction that are no answer; one of them in first place declines.

    Returns:
        The prediction, with `declined` set where it does not hold.

    Raises:
        ConfigError: If a bound lies outside [0, 1], or one is given and the pooling rule defines no probability.
    """
    for name, bound in (("min_confidence", min_confidence), ("min_margin", min_margin)):
        check_range(name, bound, 0, 1, "0 accepts every answer.")
    if prediction.label in distractors:
        return replace(prediction, declined=f"nearest is {prediction.label!r}, which is not among the labels")
    if not (min_confidence or min_margin):
        return prediction
    if prediction.probabilities is None:
        raise ConfigError("min_confidence needs probabilities, which this pooling rule does not give. Pass a calibration.")
    best, second = float(prediction.probabilities[0]), float(prediction.probabilities[1])
    if best < min_confidence:
        return replace(prediction, declined=f"the best probability {best:.3f} is below {min_confidence:g}")
    if best - second < min_margin:
        return replace(prediction, declined=f"the lead {best - second:.3f} over {prediction.labels[1]!r} is below {min_margin:g}")
    return prediction


def _log_softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    logits = (scores - scores.max(axis=-1, keepdims=True)).astype(np.float64) / temperature
    logs: np.ndarray = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logs


def _typed(record: Any) -> dict[str, Any]:  # noqa: ANN401 - anything may stand in a file
    kinds: dict[str, Any] = {"temperature": (int, float), "model": str, "pooling": str, "data": str, "shapes": int, "labels": int}
    if not isinstance(record, dict) or not all(isinstance(record.get(key), kind) for key, kind in kinds.items()):
        raise ValueError("keys or values of another kind")
    return record
