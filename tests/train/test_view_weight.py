"""The weight of colour beside depth images, fitted on shapes that only colour, or only depth, tells apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from basrelief.datasets import open_benchmark
from basrelief.errors import ConfigError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.io import save
from basrelief.models import Model, get_recipe
from basrelief.models.prompting import Prompter
from basrelief.train.view_weight import fit_view_weight, train_view_weight
from basrelief.types import Mesh
from support.small_models import box, small_encoder

BOTH = "views-depth-clip-b16"
COLORS = {"red": (0.9, 0.05, 0.05), "blue": (0.05, 0.05, 0.9)}


class Fitted(Prompter):
    """Labels whose embeddings are those of one shape each, so that a random tower tells them apart."""

    def __init__(self, embeddings: dict[str, torch.Tensor]) -> None:
        super().__init__("label")
        self.embeddings = embeddings

    def embed(self, labels, encoder):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        return torch.stack([self.embeddings[label] for label in labels])

    def with_recipe(self, recipe):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        return self


def painted(name: str, size: float) -> Mesh:
    plain = box(size=(1.0, size, 2.0))
    return Mesh(plain.vertices, plain.faces, np.tile(np.array(COLORS[name], np.float32), (len(plain.vertices), 1)))


@pytest.fixture(scope="module")
def model() -> Model:
    rig = {"rig": [[30, 20], [150, 20]], "distance": 2.5, "fit": "frame"}
    plain = Model(replace(get_recipe(BOTH), shaded=rig, points=300), small_encoder())
    means = {name: plain.embed_views(painted(name, 1.0))[0, 10:].mean(0) for name in COLORS}
    middle = torch.stack(list(means.values())).mean(0)
    texts = {name: F.normalize(mean - middle, dim=0) for name, mean in means.items()}
    return Model(plain.recipe, plain.encoder, prompter=Fitted(texts))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("painted")
    for name in COLORS:
        (root / name).mkdir()
        for number, size in enumerate((0.6, 0.9, 1.3)):
            save(painted(name, size), root / name / f"{number}.glb")
    return root


def test_colour_counts_where_it_tells_shapes_apart(model: Model, library: Path) -> None:
    fit = fit_view_weight(model, open_benchmark(library, "folder"))
    assert (fit.shapes, fit.failures) == (6, ())
    assert fit.accuracy["colour"] == 1.0
    assert fit.accuracy["both"] == 1.0
    assert fit.weight > 0.5
    assert fit.name == f"{BOTH}@{fit.weight:g}"
    assert get_recipe(fit.name).color_weight == fit.weight


def test_a_name_holds_the_weight() -> None:
    recipe = get_recipe(f"{BOTH}@0.25")
    assert (recipe.name, recipe.color_weight) == (f"{BOTH}@0.25", 0.25)
    assert recipe.pooling.weights == (0.075,) * 10 + (0.025,) * 10
    assert recipe.with_color_weight(1).name == f"{BOTH}@1"


def test_wrong_questions(model: Model, library: Path) -> None:
    with pytest.raises(
        ConfigError, match="The test split reports figures, so it cannot choose a weight. Pass --split train or --split val."
    ):
        train_view_weight(ModelSource(BOTH), DataSource(library, split="test"))
    alone = model.with_recipe(replace(get_recipe("views-clip-b16"), points=300))
    with pytest.raises(ConfigError, match="views-clip-b16 takes no weight of colour. Name a model that reads both kinds of views"):
        fit_view_weight(alone, open_benchmark(library, "folder"))
    with pytest.raises(ConfigError, match="The weight of colour is 'much'; expected a number from 0 to 1."):
        get_recipe(f"{BOTH}@much")
    with pytest.raises(ConfigError, match=r"color_weight is 2\.0"):
        get_recipe(f"{BOTH}@2")
    with pytest.raises(ConfigError, match="Unknown model 'views-depth-clip-b17'"):
        get_recipe("views-depth-clip-b17@0.5")
