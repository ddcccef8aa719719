"""Temperature, calibrated probabilities, and answers that are declined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basrelief.errors import ConfigError, FileFormatError
from basrelief.metrics import reliability
from basrelief.tasks import Calibration
from basrelief.tasks.calibration import calibrate, decline, fit_temperature
from basrelief.types import Prediction


def prediction(*chances: float, known: bool = True) -> Prediction:
    scores = np.log(np.array(chances, dtype=np.float32))
    labels = ("chair", "table", "lamp", "sofa")[: len(chances)]
    return Prediction(labels, scores, scores[None], np.array(chances, dtype=np.float32) if known else None)


def drawn(temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose right labels are drawn from softmax(scores / temperature)."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 5, size=(4000, 6))
    chances = Calibration(temperature).probabilities(scores)
    truth = np.array([random.choice(6, p=row / row.sum()) for row in chances.astype(np.float64)])
    return scores, truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.1)


@given(st.floats(1e-3, 1e3))
def test_scaled_scores_have_a_scaled_temperature(scale: float) -> None:
    scores, truth = drawn(2.0)
    assert fit_temperature(scores[:500] * scale, truth[:500]) == pytest.approx(scale * fit_temperature(scores[:500], truth[:500]), rel=1e-2)


def test_a_fitted_temperature_lowers_the_calibration_error_on_other_shapes() -> None:
    scores, truth = drawn(4.0)
    fitted = Calibration(fit_temperature(scores[:2000], truth[:2000]))
    right = scores[2000:].argmax(axis=1) == truth[2000:]
    before = reliability(Calibration(1.0).probabilities(scores[2000:]).max(axis=1), right).expected_calibration_error
    after = reliability(fitted.probabilities(scores[2000:]).max(axis=1), right).expected_calibration_error
    assert after < 0.05 < before


def test_scores_that_are_always_right_do_not_break_the_fit() -> None:
    scores = np.eye(4) * 10
    assert 0 < fit_temperature(scores, np.arange(4)) < 1


def test_no_shape_cannot_be_fitted() -> None:
    with pytest.raises(ConfigError, match="scores is empty. Pass labelled shapes"):
        fit_temperature(np.empty((0, 3)), np.empty(0, dtype=np.int64))


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_positive(wrong: float) -> None:
    with pytest.raises(ConfigError, match="temperature is .*; it must be finite and positive"):
        Calibration(wrong)


def test_probabilities_sum_to_one_and_survive_huge_scores() -> None:
    found = Calibration(1e-3).probabilities(np.array([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert found[0, 0] == 1.0


def test_calibrating_keeps_the_ranking() -> None:
    before = prediction(0.7, 0.2, 0.1)
    after = calibrate([before], Calibration(10.0))[0]
    assert after.labels == before.labels
    assert after.probabilities is not None
    assert before.probabilities is not None
    assert after.probabilities[0] < before.probabilities[0]
    assert (np.diff(after.probabilities) <= 0).all()


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    before = Calibration(0.37, "tiny", "mean", "generated shapes", 200, 40)
    before.save(tmp_path / "c.json")
    assert Calibration.read(tmp_path / "c.json") == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"temperature": "hot"}', "{" * 50_000, '{"temperature": 1, "extra": 2}'])
def test_a_file_of_another_form_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(FileFormatError, match="Cannot read the calibration .* Fit it again with basrelief evaluate"):
        Calibration.read(tmp_path / "c.json")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="Cannot read the calibration"):
        Calibration.read(tmp_path / "none.json")


def test_without_bounds_every_answer_is_accepted() -> None:
    assert decline(prediction(0.4, 0.35, 0.25)).declined == ""
    assert decline(prediction(0.4, 0.35, 0.25, known=False)).declined == ""


def test_a_small_probability_is_declined() -> None:
    assert decline(prediction(0.4, 0.35, 0.25), min_confidence=0.5).declined == "the best probability 0.400 is below 0.5"
    assert decline(prediction(0.6, 0.3, 0.1), min_confidence=0.5).declined == ""


def test_a_small_lead_is_declined() -> None:
    assert decline(prediction(0.5, 0.45, 0.05), min_margin=0.1).declined == "the lead 0.050 over 'table' is below 0.1"
    assert decline(prediction(0.5, 0.3, 0.2), min_margin=0.1).declined == ""


def test_a_distractor_in_first_place_is_declined() -> None:
    found = decline(prediction(0.9, 0.1), distractors={"chair"})
    assert found.declined == "nearest is 'chair', which is not among the labels"
    assert decline(prediction(0.9, 0.1), distractors={"table"}).declined == ""


@pytest.mark.parametrize("bound", ["min_confidence", "min_margin"])
def test_bounds_lie_in_the_unit_range(bound: str) -> None:
    with pytest.raises(ConfigError, match=rf"{bound} is 1.5; it must lie in \[0, 1\]. 0 accepts every answer."):
        decline(prediction(0.9, 0.1), **{bound: 1.5})


def test_a_bound_needs_probabilities() -> None:
    with pytest.raises(ConfigError, match="min_confidence needs probabilities"):
        decline(prediction(0.9, 0.1, known=False), min_confidence=0.5)
