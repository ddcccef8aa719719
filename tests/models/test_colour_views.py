"""Models that read colour views: what they see, how it is weighed, and that everything else works with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import basrelief as br
from basrelief.datasets import open_benchmark
from basrelief.errors import ConfigError
from basrelief.evaluate.calibrate import calibration
from basrelief.evaluate.retrieval import retrieval
from basrelief.evaluate.robustness import robustness
from basrelief.evaluate.zero_shot import zero_shot
from basrelief.geometry import sample_surface
from basrelief.io import save
from basrelief.models import Embedder, FewShotClassifier, Model, ReadOptions, classify_files, get_recipe, model_cost
from basrelief.models.recipe_parts import TwoStagePrompts
from basrelief.models.shape_input import ViewInput
from basrelief.render.drawing import DepthDrawer, ShadedDrawer
from basrelief.shapes import make_shape
from basrelief.tasks import FitOptions, Pooling
from basrelief.types import Mesh, PointCloud
from support.small_models import box, small_encoder
from support.textured import BLUE, RED, textured_gltf

COLOR, BOTH, SELECTED = "views-clip-b32", "views-depth-clip-b16", "mv-clip"
LABELS = ("chair", "mug", "car")


def small(name: str, **changes: object) -> Model:
    recipe = get_recipe(name)
    rig = {"rig": [[0, 20], [90, 20], [200, 0]], "distance": 2.5, "fit": "frame"}
    return Model(replace(recipe, shaded=rig, points=400, **changes), small_encoder())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def color() -> Model:
    return small(COLOR)


@pytest.fixture(scope="module")
def both() -> Model:
    return small(BOTH)


def painted(rgb: tuple[float, float, float]) -> Mesh:
    plain = box()
    return Mesh(plain.vertices, plain.faces, np.tile(np.array(rgb, np.float32), (len(plain.vertices), 1)))


def test_colour_views_have_the_size_of_the_tower(color: Model) -> None:
    (seen,) = color.prepare([box()])
    assert seen.shape == (3, 3, color.encoder.image_size, color.encoder.image_size)
    assert 0 <= seen.min() < seen.max() <= 1
    assert color.input.pictures(seen).shape == (3, 32, 32, 3)
    assert repr(color).startswith("Model('views-clip-b32', 3 views by shaded, encoder")


def test_the_features_are_those_of_the_encoder_with_its_own_mean_and_deviation(color: Model) -> None:
    (seen,) = color.prepare([painted((0.8, 0.1, 0.1))])
    expected = F.normalize(color.encoder.encode_images(seen), dim=-1)
    torch.testing.assert_close(color.embed_views(painted((0.8, 0.1, 0.1)))[0], expected)


def test_the_colour_of_a_shape_changes_its_embedding(color: Model) -> None:
    one, other = color.embed_shapes([painted((0.9, 0.1, 0.1)), painted((0.1, 0.1, 0.9))])
    assert (one - other).abs().max() > 1e-3
    points = sample_surface(box(), 300).points
    one, other = color.embed_shapes([PointCloud(points, np.tile(np.array(rgb, np.float32), (300, 1))) for rgb in ((1, 0, 0), (0, 0, 1))])
    assert (one - other).abs().max() > 1e-3


def test_a_texture_is_seen(color: Model, tmp_path: Path) -> None:
    shapes = [br.load(textured_gltf(tmp_path / f"{name}.gltf", right=right)) for name, right in (("a", BLUE), ("b", RED))]
    (mixed,), (plain,) = (color.prepare([shape]) for shape in shapes)
    assert (mixed[:, 2] > mixed[:, 0] + 0.1).any()
    assert not (plain[:, 2] > plain[:, 0] + 0.1).any()


def test_both_kinds_of_views_are_read_by_one_tower(both: Model) -> None:
    (seen,) = both.prepare([box()])
    assert seen.shape == (13, 3, 32, 32)
    input_ = both.input
    assert isinstance(input_, ViewInput)
    assert (input_.depth_views, input_.views, both.views) == (10, 13, 13)
    depth, shaded = input_.drawers
    assert isinstance(depth, DepthDrawer)
    assert isinstance(shaded, ShadedDrawer)
    recipe = replace(both.recipe, shaded=None, pooling=Pooling("mean"))
    torch.testing.assert_close(both.embed_views(box())[0, :10], Model(recipe, both.encoder).embed_views(box())[0])
    torch.testing.assert_close(both.embed_views(box())[0, 10:], F.normalize(both.encoder.encode_images(shaded.draw([box()])[0]), dim=-1))
    assert both.input.captions[0].startswith("depth 0  az")
    assert both.input.captions[10].startswith("colour 0  az")
    assert [record["kind"] for record in both.input.view_records] == ["depth"] * 10 + ["colour"] * 3
    assert repr(both).startswith("Model('views-depth-clip-b16', 13 views by opendlign and shaded")


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_the_weight_of_colour_weighs_the_means_of_both_kinds(both: Model, weight: float) -> None:
    model = both.with_recipe(replace(both.recipe, color_weight=weight))
    views = model.embed_views(box())
    mixed = (1 - weight) * views[:, :10].mean(1) + weight * views[:, 10:].mean(1)
    torch.testing.assert_close(model.pool_embeddings(views), F.normalize(mixed, dim=-1), atol=1e-4, rtol=0)
    labels = model.encode_labels(LABELS)
    torch.testing.assert_close(model.score_views(views, labels).scores, model.logit_scale * mixed @ labels.texts.T, atol=2e-3, rtol=0)


def test_depth_images_of_another_projection_take_the_place_of_both() -> None:
    recipe = get_recipe(BOTH).with_projection({"name": "opendlign", "size": 64})
    assert (recipe.shaded, recipe.pooling.weights, recipe.reads) == (None, None, "opendlign")
    assert get_recipe(COLOR).with_projection({"name": "pointclip"}).reads == "pointclip"


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in (COLOR, SELECTED)]


@pytest.mark.parametrize("name", [BOTH, *SLOW])
def test_a_prediction_shows_what_the_model_saw(name: str, tmp_path: Path) -> None:
    model = small(name, **({"pooling": Pooling("entropy", keep=2)} if name == SELECTED else {}))
    answer = model.classify(textured_gltf(tmp_path / "box.gltf"), LABELS)
    picture = np.asarray(answer.picture())
    assert picture.shape[1:] == (1200, 3)
    assert (picture[:, 400:, 0].astype(int) - picture[:, 400:, 2] > 60).any(), "the red side"
    (result,) = classify_files(model, [tmp_path / "box.gltf"], labels=LABELS, options=ReadOptions())
    assert result.prediction is not None
    assert result.prediction.labels == answer.labels
    assert result.picture(model).size[0] == 1200


def test_mv_clip_selects_views_and_asks_twice() -> None:
    model = small(SELECTED, pooling=Pooling("entropy", keep=2), second_stage=TwoStagePrompts(2))
    answer = model.classify(box(), ("chair", "mug", "car", "lamp"))
    assert answer.probabilities is not None
    assert (answer.probabilities > 0).sum() == 2
    first = model.with_recipe(replace(model.recipe, second_stage=None)).classify(box(), ("chair", "mug", "car", "lamp"))
    assert set(answer.labels[:2]) == set(first.labels[:2])


@pytest.mark.parametrize("name", ["tiny", "pointclip", COLOR])
def test_every_recipe_can_have_the_rules(name: str) -> None:
    model = Model(replace(get_recipe(name), points=300), small_encoder())
    ruled = model.with_recipe(replace(model.recipe, pooling=Pooling("entropy", keep=2), second_stage=TwoStagePrompts(2, "clip")))
    answer = ruled.classify(box(), LABELS)
    assert answer.probabilities is not None
    assert (answer.probabilities > 0).sum() == 2


def test_few_shot_with_colour(color: Model, tmp_path: Path) -> None:
    shapes = [painted((0.9, 0.1, 0.1)), painted((0.8, 0.2, 0.1)), painted((0.1, 0.1, 0.9)), painted((0.2, 0.1, 0.8))]
    truth = ["red box", "red box", "blue box", "blue box"]
    classifier = FewShotClassifier.fit([color], shapes, truth=truth, head="probe", fit=FitOptions(epochs=5))
    assert [answer.label for answer in classifier.predict(shapes)] == truth
    classifier.save(tmp_path / "head.safetensors")
    again = FewShotClassifier.load(tmp_path / "head.safetensors", [color])
    assert [answer.label for answer in again.predict(shapes)] == truth


@pytest.mark.slow
def test_the_tasks_of_evaluate(both: Model, tmp_path: Path) -> None:
    for name in ("chair", "mug"):
        (tmp_path / name).mkdir()
        for seed in range(4):
            save(make_shape(name, seed=seed), tmp_path / name / f"{name}-{seed}.ply")
    benchmark, embedder = open_benchmark(tmp_path, "folder"), Embedder(both)
    assert zero_shot(embedder, benchmark).metrics[0].count == 8
    assert calibration(embedder, benchmark)[0].temperature > 0
    assert retrieval(embedder, benchmark, directions=("text", "image")).metrics
    assert robustness(embedder, benchmark, sweep=()).metrics


def test_the_cost_counts_both_kinds_of_views(color: Model) -> None:
    assert model_cost(BOTH).multiply_adds == 2 * model_cost("views-clip-b16").multiply_adds
    assert model_cost(color).encode_ms is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(get_recipe(COLOR), shaded={"rigs": 3}), "Unknown option 'rigs' of shaded views; expected one of"),
        (lambda: replace(get_recipe(BOTH), color_weight=1.5), "color_weight is 1.5; .*0.5 weighs both kinds of views alike."),
        (lambda: replace(get_recipe(COLOR), tuned_views=(0,)), "'views-clip-b32' has tuned views but no depth images"),
        (lambda: small(COLOR).projection, "views-clip-b32 reads colour images, not depth images alone. Name a model that does"),
        (lambda: get_recipe("ulip").check_depth(), "ulip reads points, not depth images alone"),
        (lambda: TwoStagePrompts(0), "candidates is 0; it must be at least 1"),
        (lambda: TwoStagePrompts(3, "functions"), "Unknown prompts 'functions'; expected one of function, clip, .*Did you mean 'function'"),
        (lambda: ViewInput(()), "The drawers are none; expected one, or one of depth images and then one of colour images"),
    ],
)
def test_wrong_recipes_are_explained(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]
