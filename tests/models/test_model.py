"""The Model on a small random CLIP: what goes where, and that it is what the parts say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from basrelief.encoders import ClipEncoder
from basrelief.errors import ConfigError, GeometryError
from basrelief.geometry import sample_surface
from basrelief.models import Model, get_recipe, recipes
from basrelief.render import get_projection, render_depth
from basrelief.types import Mesh, PointCloud
from support.small_models import MODEL_PARAMS, ball, box, small_encoder, small_model

LABELS = ["chair", "table", "lamp"]


@pytest.mark.parametrize("name", MODEL_PARAMS)
def test_every_recipe_runs_from_shape_to_label(name: str) -> None:
    model = small_model(get_recipe(name))
    box_answer, ball_answer = model.classify([box(), ball()], LABELS)
    assert sorted(box_answer.labels) == sorted(ball_answer.labels) == sorted(LABELS)
    assert box_answer.model == name
    assert box_answer.view_scores.shape == (model.views, 3)
    assert not np.array_equal(box_answer.view_scores, ball_answer.view_scores)
    assert np.all(np.abs(box_answer.view_scores) <= 1 + 1e-5)


def test_shapes_are_embedded_alike_alone_and_together(encoder: ClipEncoder) -> None:
    model = Model(get_recipe("clip2point-untuned"), encoder)
    shapes = [box(size=(1, 1, z)) for z in np.linspace(0.2, 3, 11)]
    together = model.embed_views(shapes)
    alone = torch.cat([model.embed_views([s]) for s in shapes])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert torch.allclose(together.norm(dim=-1), torch.ones(together.shape[:2]))
    pooled = model.embed_shapes(shapes)
    torch.testing.assert_close(pooled, F.normalize(together.mean(1), dim=-1))


def test_depth_images_are_the_projection_s(encoder: ClipEncoder) -> None:
    model = Model(get_recipe("clip2point-untuned"), encoder)
    projection = get_projection("clip2point-zeroshot")
    expected = render_depth(box(), projection, points=1024, seed=3).image
    torch.testing.assert_close(model.prepare([box()], seed=3)[0], expected)


@pytest.mark.parametrize("removed", [False, True])
def test_the_recipe_decides_whether_outliers_are_removed(encoder: ClipEncoder, removed: bool) -> None:
    model = Model(replace(get_recipe("clip2point-untuned"), remove_outliers=removed), encoder)
    clean = sample_surface(box(), 1000).points
    scan = PointCloud(np.concatenate([clean, np.float32([[5, 5, 5], [-4, 0, 9]])]))
    images = model.prepare([PointCloud(clean), scan])
    assert torch.equal(images[0], images[1]) == removed


def test_only_tiny_removes_outliers() -> None:
    assert [name for name, recipe in recipes().items() if recipe.remove_outliers] == ["tiny"]


def test_the_recipe_names_mean_and_std() -> None:
    """PointCLIP shows the encoder bare depth, OpenDlign ImageNet's mean and std, CLIP2Point the weights' own."""
    encoder = small_encoder(tuned=True)
    for name, mean, std in (
        ("pointclip", 0.0, 1.0),
        ("opendlign-b32", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("clip2point", encoder.mean, encoder.std),
    ):
        model = Model(get_recipe(name), encoder)
        images = model.prepare([box()])
        pixels = F.interpolate(images[0][:, None].expand(-1, 3, -1, -1), (32, 32), mode="bilinear", antialias=True)
        pixels = (pixels - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
        tuned = torch.zeros(len(pixels), dtype=torch.bool)
        tuned[list(model.recipe.tuned_views)] = True
        expected = F.normalize(encoder.towers.image_features(pixels, tuned=tuned), dim=-1)
        torch.testing.assert_close(model.embed_views([box()])[0], expected, atol=1e-5, rtol=0)


def test_tuned_views_take_the_tuned_branch() -> None:
    encoder = small_encoder(tuned=True)
    tuned = Model(get_recipe("opendlign-b32"), encoder).embed_views([box()])[0]
    plain = Model(get_recipe("opendlign-untuned"), encoder).embed_views([box()])[0]
    torch.testing.assert_close(tuned[:5], plain[:5], atol=1e-5, rtol=0)
    assert (tuned[5:] - plain[5:]).abs().amax(dim=1).min() > 1e-3


def test_text_is_the_mean_over_templates(encoder: ClipEncoder) -> None:
    model = Model(get_recipe("opendlign-untuned"), encoder)
    from basrelief.datasets import templates
    from basrelief.datasets.prompts import fill_template

    prompts = [fill_template(t, "chair") for t in templates("opendlign")]
    expected = F.normalize(F.normalize(encoder.encode_text(prompts), dim=-1).mean(0), dim=-1)
    torch.testing.assert_close(model.embed_text(["lamp", "chair"])[1], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.embed_text(["chair"])[0], expected, atol=1e-5, rtol=0)


def test_pictures_are_embedded_in_the_same_space(encoder: ClipEncoder) -> None:
    model = Model(get_recipe("pointclip"), encoder)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
    found = model.embed_images([pixels, pixels.astype(np.float32) / 255, Image.fromarray(pixels)])
    assert found.shape == (3, 16)
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])
    assert torch.allclose(found.norm(dim=-1), torch.ones(3))


def test_the_seed_fixes_the_answer(encoder: ClipEncoder) -> None:
    model = Model(get_recipe("clip2point-untuned"), encoder)
    first, again, other = (model.embed_views([box()], seed=s) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def flat_line() -> Mesh:
    return Mesh(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], dtype=np.float32), np.array([[0, 1, 2]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.classify([], LABELS), ConfigError, "There is no shape to embed. Pass a path"),
        (lambda m: m.classify([7], LABELS), ConfigError, "Cannot use a int as a shape. Pass a path"),
        (lambda m: m.classify([box()], ["chair"]), ConfigError, "Need at least two labels, got 1"),
        (lambda m: m.classify([box()]), ConfigError, "clip2point-untuned has an open vocabulary, so it needs labels: a list such as"),
        (lambda m: m.classify([flat_line()], LABELS), GeometryError, "area"),
        (lambda m: m.embed_text([]), ConfigError, "texts is \\[\\]; expected a list of texts"),
        (lambda m: m.embed_text("chair"), ConfigError, "texts is 'chair'; expected a list of texts"),
        (lambda m: m.embed_text(["chair", " "]), ConfigError, "expected a list of texts with words"),
        (lambda m: m.embed_images([]), ConfigError, "images is empty"),
        (lambda m: m.embed_images([np.zeros((4, 4))]), ConfigError, "An image has shape \\(4, 4\\); expected \\(H, W, 3\\)"),
    ],
)
def test_wrong_input_is_explained(encoder: ClipEncoder, call: object, error: type[Exception], message: str) -> None:
    model = Model(get_recipe("clip2point-untuned"), encoder)
    with pytest.raises(error, match=message):
        call(model)  # type: ignore[operator]


def test_a_model_on_a_data_set_keeps_its_towers_and_changes_its_settings() -> None:
    model = Model(get_recipe("opendlign-b32"), small_encoder(tuned=True))
    other = model.for_dataset("scanobjectnn")
    assert other.encoder is model.encoder
    assert (other.recipe.points, model.recipe.points) == (2048, 10000)
    assert other.prompter.templates != model.prompter.templates
    assert model.for_dataset("modelnet40", points=64).recipe.points == 64
