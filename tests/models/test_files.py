"""Many files: order kept, a bad one skipped, the picture of an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from basrelief.encoders import ClipEncoder
from basrelief.errors import ConfigError
from basrelief.io import load
from basrelief.limits import limits, use_limits
from basrelief.models import Model, ReadOptions, classify_files, get_recipe
from basrelief.models import model as model_room
from basrelief.tasks import Calibration, RejectPolicy

LABELS = ["chair", "table", "lamp"]


@pytest.fixture
def model(encoder: ClipEncoder) -> Model:
    return Model(get_recipe("clip2point-untuned"), encoder)


def test_a_bad_file_stops_nothing(model: Model, shape_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.models.files.SHAPES_PER_PASS", 2)
    broken = shape_files[0].with_name("broken.ply")
    broken.write_bytes(b"ply\nformat ascii 1.0\n")
    missing = broken.with_name("missing.obj")
    paths = [broken, *shape_files[:2], missing, *shape_files[2:]]
    answers = list(classify_files(model, paths, labels=LABELS))
    assert [a.path for a in answers] == paths
    assert [a.prediction is None for a in answers] == [True, False, False, True, False, False]
    assert all(a.error for a in answers if a.prediction is None)
    expected = model.classify([load(p) for p in shape_files], LABELS)
    for answer, alone in zip((a for a in answers if a.prediction), expected, strict=True):
        assert answer.prediction is not None
        assert answer.prediction.labels == alone.labels
        np.testing.assert_allclose(answer.prediction.scores, alone.scores, atol=1e-5)
        assert answer.prediction.source == str(answer.path)


def test_only_bad_files(model: Model, tmp_path: Path) -> None:
    (answer,) = classify_files(model, [tmp_path / "no.glb"], labels=LABELS)
    assert answer.error
    with pytest.raises(ConfigError, match=r"no\.glb could not be classified, so there is nothing to draw: "):
        answer.picture(model)


def test_wrong_labels_are_raised_at_once(model: Model, shape_files: list[Path]) -> None:
    with pytest.raises(ConfigError, match="Need at least two labels"):
        list(classify_files(model, shape_files, labels=["chair"]))


def test_memory_stays_bounded(model: Model, shape_files: list[Path]) -> None:
    """Answers come while later files are not read yet."""
    seen: list[int] = []

    def names() -> object:
        for i in range(10 * model_room.SHAPES_PER_PASS):
            seen.append(i)
            yield shape_files[i % 4]

    next(classify_files(model, names(), labels=LABELS))  # type: ignore[arg-type]
    assert len(seen) == model_room.SHAPES_PER_PASS


def test_the_picture_shows_the_answer(model: Model, shape_files: list[Path]) -> None:
    answer = next(classify_files(model, shape_files, labels=LABELS))
    picture = answer.picture(model, top=2)
    pixels = np.asarray(picture)
    assert picture.width >= 1000
    assert pixels.std() > 10


def test_a_calibration_of_another_model_is_refused(model: Model, shape_files: list[Path]) -> None:
    policy = RejectPolicy(Calibration(2.0, "another"))
    with pytest.raises(ConfigError, match=f"The calibration was fitted on another, not on {model.name}. Run basrelief evaluate"):
        list(classify_files(model, shape_files, labels=("a", "b"), policy=policy))


def test_a_calibration_without_a_name_fits_any_model(model: Model, shape_files: list[Path]) -> None:
    plain = list(classify_files(model, shape_files, labels=("a", "b")))
    hot = list(classify_files(model, shape_files, labels=("a", "b"), policy=RejectPolicy(Calibration(1e4))))
    for before, after in zip(plain, hot, strict=True):
        assert before.prediction is not None
        assert after.prediction is not None
        assert after.prediction.probabilities is not None
        assert after.prediction.labels == before.prediction.labels
        assert after.prediction.probabilities[0] == pytest.approx(0.5, abs=1e-2)


def test_a_file_that_takes_too_long_stops_nothing_with_a_worker(model: Model, shape_files: list[Path]) -> None:
    with use_limits(replace(limits(), seconds=1e-6)):
        (answer,) = classify_files(model, shape_files[:1], labels=LABELS, options=ReadOptions(jobs=1))
    assert answer.error is not None
    assert answer.error.startswith("reading took longer than 1e-06 s")
    expected = [a.prediction.label for a in classify_files(model, shape_files, labels=LABELS) if a.prediction]
    found = [a.prediction.label for a in classify_files(model, shape_files, labels=LABELS, options=ReadOptions(jobs=1)) if a.prediction]
    assert found == expected


def test_a_wrong_axis_is_no_fault_of_the_files() -> None:
    with pytest.raises(ConfigError, match="Unknown up axis '.*'; expected one of x, y, z"):
        ReadOptions(up="w")
