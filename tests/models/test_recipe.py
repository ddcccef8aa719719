"""Recipes: all that ship are whole, and a wrong one is explained."""

from __future__ import annotations

import json

import pytest

from basrelief.encoders.points.registry import list_point_networks
from basrelief.encoders.registry import list_encoders
from basrelief.errors import ConfigError
from basrelief.models.recipe import NORMALISATIONS, Recipe, get_recipe, recipes
from basrelief.render import PROJECTIONS
from support import REPOSITORY

MINIMAL = {
    "name": "mine",
    "title": "t",
    "paper": "",
    "encoder": "ViT-B-32/openai",
    "projection": {"name": "clip2point"},
    "points": 1024,
    "normalisation": "none",
    "templates": "clip2point",
    "pooling": {"rule": "mean"},
    "licence": "MIT",
    "training_data": "none",
}


def made(**changes: object) -> Recipe:
    return Recipe.from_json(json.dumps(MINIMAL | changes))


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_names_things_that_exist(name: str) -> None:
    recipe = get_recipe(name)
    assert recipe.name == name
    if recipe.cloud is not None:
        assert recipe.cloud.network in list_point_networks()
    else:
        assert recipe.projection in PROJECTIONS or recipe.shaded is not None
    assert recipe.encoder == "tiny" or recipe.encoder in list_encoders()
    assert recipe.normalisation in NORMALISATIONS
    assert recipe.licence
    assert recipe.training_data
    assert all(0 < n.value < 100 and n.source for n in recipe.numbers)


def test_the_methods_of_the_two_papers_are_there() -> None:
    wanted = {"pointclip", "pointclip-rn101", "pointclip-b32", "pointclip-v2", "clip2point", "opendlign-b32", "opendlign-b16"}
    assert wanted | {"opendlign-l14", "opendlign-h14", "opendlign-untuned", "tiny"} <= set(recipes())


def test_opendlign_splits_its_views_between_the_branches() -> None:
    assert get_recipe("opendlign-h14").tuned_views == (5, 6, 7, 8, 9)
    assert get_recipe("opendlign-untuned").tuned_views == ()


def test_a_recipe_is_read_with_its_parts() -> None:
    recipe = made(
        projection={"name": "clip2point", "size": 112},
        pooling={"rule": "concat", "weights": [1, 2]},
        numbers=[{"dataset": "modelnet40", "metric": "top1", "value": 1.0, "source": "s"}],
        checkpoint={"layout": "clip2point", "file": "f", "source": "s", "licence": "l"},
    )
    assert recipe.projection_options == {"size": 112}
    assert recipe.pooling.weights == (1, 2)
    assert recipe.numbers[0].dataset == "modelnet40"
    assert recipe.checkpoint is not None
    assert recipe.checkpoint.file == "f"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "The recipe is not valid JSON: syntax error at line 1"),
        ("[]", "The recipe is a list; expected a JSON object"),
        (json.dumps(MINIMAL | {"pionts": 3}), "Unknown recipe key 'pionts'; expected one of .*. Did you mean 'points'\\?"),
        (json.dumps({k: v for k, v in MINIMAL.items() if k != "points"}), "The recipe lacks a key or has an invalid one.*points"),
        (
            json.dumps({k: v for k, v in MINIMAL.items() if k != "projection"}),
            r"needs exactly one of views \(projection, shaded or both\), cloud and members",
        ),
        (json.dumps(MINIMAL | {"normalisation": "imagenets"}), "Unknown normalisation '.*'; expected one of none, imagenet, weights"),
        (json.dumps(MINIMAL | {"points": 0}), "points is 0; it must be at least 1"),
        (json.dumps(MINIMAL | {"pooling": {"rule": "median"}}), "Unknown pooling rule '.*'; expected one of"),
    ],
)
def test_a_wrong_recipe_is_explained(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe.from_json(text)


def test_an_unknown_model_shows_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown model 'opendlign-h15'; expected one of .*\. Did you mean 'opendlign-h14'\?"):
        get_recipe("opendlign-h15")


def test_the_models_page_lists_every_recipe() -> None:
    page = (REPOSITORY / "docs" / "use" / "models.md").read_text(encoding="utf-8")
    for recipe in recipes().values():
        views = f"{min(recipe.tuned_views)}-{max(recipe.tuned_views)}" if recipe.tuned_views else "none"
        reads = (recipe.reads, views) if recipe.cloud is None else (recipe.reads, f"{recipe.points:,}", recipe.cloud.frame)
        cells = (f"`{recipe.name}`", recipe.encoder, *reads, recipe.templates, recipe.pooling.rule)
        assert f"| {' | '.join(cells)} |" in page


def test_a_recipe_says_what_the_paper_did_otherwise_on_a_data_set() -> None:
    recipe = get_recipe("opendlign-h14")
    assert recipe.points == 10000
    assert recipe.for_dataset("scanobjectnn").points == 2048
    assert recipe.for_dataset("scanobjectnn").templates == "opendlign-scanobjectnn"
    assert recipe.for_dataset("omniobject3d").points == 4096
    assert recipe.for_dataset("modelnet40") == recipe


def test_explicit_settings_win_over_the_papers() -> None:
    changed = get_recipe("opendlign-h14").for_dataset("scanobjectnn", points=512, templates="clip")
    assert (changed.points, changed.templates) == (512, "clip")


def test_a_setting_nobody_reads_is_an_error() -> None:
    with pytest.raises(
        ConfigError,
        match="Unknown key 'point' of modelnet40 under datasets; expected one of points, templates, variant, cloud. Did you mean",
    ):
        made(datasets={"modelnet40": {"point": 3}})


def test_top_1_is_below_top_3_is_below_top_5() -> None:
    for recipe in recipes().values():
        by_place = {(n.dataset, n.source, n.metric): n.value for n in recipe.numbers}
        for (dataset, source, metric), value in by_place.items():
            if metric == "top3":
                assert by_place[dataset, source, "top1"] < value < by_place[dataset, source, "top5"]
