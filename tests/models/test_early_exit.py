"""Early exit in a model and over files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import basrelief as br
from basrelief.errors import ConfigError
from basrelief.models import classify_files
from basrelief.models.early_exit import embed_decisive_views
from basrelief.models.shape_encoder import ViewEncoder
from basrelief.shapes import make_shape
from basrelief.tasks import EarlyExit
from basrelief.tasks.early_exit import view_order

LABELS = ["chair", "airplane", "mug"]
EXAMPLES = Path(__file__).parents[2] / "examples" / "shapes"


@pytest.fixture(scope="module")
def model() -> br.Model:
    return br.load_model("tiny")


def test_views_that_are_encoded_are_those_of_the_model(model: br.Model) -> None:
    prepared = model.prepare([make_shape("chair", seed=1_000_000), make_shape("mug", seed=1_000_000)])
    labels = model.encode_labels(LABELS)
    every = model.embed_prepared(prepared)
    whole, encoded = embed_decisive_views(model, prepared, labels, EarlyExit(1.0))
    assert encoded.tolist() == [model.views, model.views]
    torch.testing.assert_close(whole, every)
    found, encoded = embed_decisive_views(model, prepared, labels, EarlyExit(0.0))
    assert encoded.tolist() == [4, 4]
    seen = list(view_order(model.views)[:4])
    torch.testing.assert_close(found[:, seen], every[:, seen])


def test_files_say_how_many_views_were_encoded(model: br.Model) -> None:
    paths = [EXAMPLES / "chair.glb", EXAMPLES / "absent.glb"]
    found, failed = classify_files(model, paths, labels=LABELS, early_exit=EarlyExit(0.05))
    assert found.prediction is not None
    assert found.prediction.label == "chair"
    assert found.encoded_views is not None
    assert 4 <= found.encoded_views < model.views
    assert failed.encoded_views is None
    (plain,) = classify_files(model, paths[:1], labels=LABELS)
    assert plain.encoded_views is None


def test_models_without_separate_views_are_refused() -> None:
    model = br.load_model("tiny")
    assert isinstance(model.shape_encoder, ViewEncoder)
    model.shape_encoder.recipe = replace(model.recipe, branches="both", tuned_views=(0,))
    message = r"tiny cannot leave out views: early exit needs views of one branch and one stage of prompts\."
    with pytest.raises(ConfigError, match=message):
        next(classify_files(model, [EXAMPLES / "chair.glb"], labels=LABELS, early_exit=EarlyExit()))
