"""int8: what it is calibrated on, and a real quantisation of `tiny`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import basrelief as br
from basrelief.datasets import maker_split
from basrelief.encoders import ClipEncoder
from basrelief.models import quantization
from basrelief.models.quantization import view_calibration
from basrelief.shapes import make_shape


def test_calibration_reads_what_the_tower_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "_SHAPES", 2)
    model = br.load_model("tiny")
    assert isinstance(model.encoder, ClipEncoder)
    calibration = view_calibration(model.recipe, model.encoder)
    pixels = calibration.draw()
    assert pixels.shape == (2 * model.views, 3, model.encoder.image_size, model.encoder.image_size)
    assert calibration.name == view_calibration(model.recipe, model.encoder).name
    assert calibration.name != view_calibration(model.recipe, model.encoder.with_preprocessing((0, 0, 0), (1, 1, 1))).name
    assert model.encoder.runtime == "torch float32"


def test_calibration_shapes_are_in_no_split() -> None:
    ranges = [pair for part in maker_split().seeds.values() for pair in part]
    assert all(not first <= quantization._SEED + number < end for first, end in ranges for number in range(quantization._SHAPES))


@pytest.mark.slow
def test_tiny_in_int8_keeps_its_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path))
    names = ["chair", "airplane", "mug", "lamp"]
    shapes = [make_shape(name, seed=500_000) for name in names]
    plain, low = br.load_model("tiny"), br.load_model("tiny", dtype="int8")
    assert low.encoder.runtime == "openvino int8"
    assert capfd.readouterr().out == ""
    cosines = (plain.embed_shapes(shapes) * low.embed_shapes(shapes)).sum(dim=1)
    assert float(cosines.min()) > 0.95
    assert [p.label for p in low.classify(shapes, names)] == names
    assert torch.equal(br.load_model("tiny", dtype="int8").embed_shapes(shapes), low.embed_shapes(shapes))
