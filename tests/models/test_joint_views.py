"""A model whose tower reads all views of a shape together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

import basrelief as br
from basrelief.errors import ConfigError
from basrelief.models import Model, get_recipe, model_cost
from basrelief.models.picture import draw_evidence
from basrelief.models.shape_encoder import JointViewEncoder, ViewEncoder, view_encoder
from basrelief.shapes import make_shape
from basrelief.testing import FakeEncoder, miniature
from support.small_models import box

NAME = "duoduoclip-b32"
LABELS = ("chair", "mug", "car")


@pytest.fixture(scope="module")
def model() -> Model:
    recipe = get_recipe(NAME)
    assert recipe.shaded is not None
    rig = [[0, 20], [90, -20], [200, 0]]
    return Model(replace(recipe, shaded={**recipe.shaded, "rig": rig}, points=400), miniature(recipe.encoder))


def test_one_feature_of_all_views(model: Model) -> None:
    shapes = [box(), make_shape("chair", seed=3)]
    prepared = model.prepare(shapes)
    assert prepared[0].shape == (3, 3, model.encoder.image_size, model.encoder.image_size)
    assert isinstance(model.shape_encoder, JointViewEncoder)
    expected = F.normalize(model.shape_encoder.encoder.encode_views(torch.stack(prepared)), dim=-1)
    torch.testing.assert_close(model.embed_views(shapes), expected[:, None])
    torch.testing.assert_close(model.embed_shapes(shapes), expected)
    assert model.views == 1
    assert model.shape_encoder.quick_features(prepared, views=2).shape == (2, 1, 32)


def test_an_answer_with_its_evidence(model: Model) -> None:
    answer = model.classify([box()], LABELS)[0]
    assert set(answer.labels) == set(LABELS)
    assert len(answer.view_labels) == 1
    (seen,) = model.prepare([box()])
    assert model.input.captions == ("3 views together",)
    assert model.input.view_records == [{"view": "3 views together"}]
    (picture,) = model.input.pictures(seen)
    assert picture.shape == (448, 448, 3)
    assert (picture[224:, 224:] == 1).all(), "the fourth tile is free"
    assert (picture[:224, :224] < 0.9).any()
    assert draw_evidence(model, box(), answer).size[0] > 224


def test_what_it_counts_and_reports(model: Model) -> None:
    cost = model_cost(NAME)
    plain = model_cost("views-clip-b32")
    assert cost.views == 12
    assert cost.parameters == plain.parameters
    per_view = plain.multiply_adds / plain.views
    assert per_view < cost.multiply_adds / 12 < 1.2 * per_view
    assert model.shape_encoder.settings["views together"] == 3
    assert model.shape_encoder.runtime == "torch float32"
    assert model.fingerprint == model.encoder.fingerprint
    assert repr(model).startswith(f"Model('{NAME}', 3 views together by shaded")


def test_kinds_of_views_cannot_be_mixed(model: Model) -> None:
    both = replace(get_recipe("views-depth-clip-b16"), tuned_views=())
    with pytest.raises(ConfigError, match=r"reads all views together: recipe 'views-depth-clip-b16' cannot mix kinds of views or branches"):
        model.with_recipe(both)
    assert type(view_encoder(get_recipe(NAME), FakeEncoder())) is ViewEncoder


def test_depth_images_may_be_read_together(model: Model) -> None:
    other = model.with_recipe(replace(get_recipe("views-depth-clip-b16"), shaded=None, normalisation="imagenet"))
    assert other.views == 1
    assert other.embed_shapes([box()]).shape == (1, 32)


def test_the_recipe_is_there() -> None:
    recipe = get_recipe(NAME)
    assert recipe.licence == "none stated"
    assert len(recipe.drawers(224)[0].cameras) == 12
    assert NAME in {model.name for model in br.list_models()}
