"""Colour recipes on miniatures of modern towers, from textured files to answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import basrelief as br
from basrelief.models import Model, get_recipe
from basrelief.tasks import Pooling, RejectPolicy
from basrelief.testing import miniature
from support import shared_path
from support.textured import BLUE, RED, textured_gltf

LABELS = ("chair", "table", "lamp")
FILES = ("khronos", "kaykit")


def model(name: str) -> Model:
    recipe = get_recipe(name)
    rig = {"rig": [[0, 20], [120, 20]], "distance": 2.5, "fit": "frame"}
    return Model(replace(recipe, shaded=rig, points=400), miniature(recipe.encoder))


@pytest.mark.parametrize("name", ["views-pe-core-b16", "views-siglip2-b16", "views-depth-pe-core-b16"])
def test_textured_files_get_answers(name: str, tmp_path: Path) -> None:
    colour = model(name)
    shapes = [
        br.load(textured_gltf(tmp_path / f"{side}.gltf", left=side_color, right=side_color))
        for side, side_color in (("a", RED), ("b", BLUE))
    ]
    answers = colour.classify(shapes, list(LABELS))
    for answer in answers:
        assert sorted(answer.labels) == sorted(LABELS)
        assert answer.probabilities is not None
        assert np.isclose(answer.probabilities.sum(), 1, atol=1e-5)
    first, second = colour.embed_shapes(shapes)
    assert not torch.allclose(first, second, atol=1e-3), "the colour changes the embedding"
    assert torch.allclose(first, model(name).embed_shapes(shapes[:1])[0], atol=1e-6)


def test_siglip_says_none_of_these_by_its_own_probabilities(tmp_path: Path) -> None:
    colour = model("views-siglip2-b16")
    views = colour.embed_views([br.load(textured_gltf(tmp_path / "a.gltf", left=RED, right=RED))])
    scored = colour.score_views(views, colour.encode_labels(LABELS), pooling=Pooling("sigmoid"))
    bias = colour.encoder.logit_bias
    assert scored.probabilities is not None
    assert bias == -10
    torch.testing.assert_close(scored.probabilities, (scored.scores + bias).sigmoid())
    (answer,) = scored.predictions(LABELS)
    assert "below 0.5" in str(RejectPolicy(min_confidence=0.5)(answer).declined)


@pytest.mark.slow
def test_real_textured_files(tmp_path: Path) -> None:
    root = shared_path("assets/real_files")
    colour = model("views-pe-core-b16")
    files = [path for folder in FILES for path in sorted((root / folder).rglob("*.glb"))[:3]]
    assert files
    answers = colour.classify([br.load(path) for path in files], list(LABELS))
    assert all(answer.probabilities is not None and np.isfinite(answer.probabilities).all() for answer in answers)
