"""Every published recipe with small random towers: shapes, views and answers as its method states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from basrelief.geometry import rotate, sample_surface
from basrelief.geometry.transforms import axis_rotation
from basrelief.models import Model, get_recipe
from basrelief.render import sample_points
from basrelief.shapes import make_shape
from basrelief.types import Mesh, PointCloud
from support.small_models import MODEL_PARAMS, MODELS, small_encoder, small_model

LABELS = ("chair", "airplane", "mug")
PROJECTIONS = sorted({get_recipe(name).projection: name for name in sorted(MODELS, reverse=True) if get_recipe(name).projection}.values())
"""One recipe for each projection."""


def build(name: str, points: int = 400) -> Model:
    """A recipe with few points, so that drawing is quick."""
    return small_model(replace(get_recipe(name), points=points))


def mesh(name: str = "chair") -> Mesh:
    shape = make_shape(name, seed=4)
    assert isinstance(shape, Mesh)
    return shape


def cloud(name: str = "chair", points: int = 400) -> PointCloud:
    return sample_surface(mesh(name), points, seed=0)


@pytest.mark.parametrize("name", MODEL_PARAMS)
def test_a_prediction_has_all_fields(name: str) -> None:
    model = build(name)
    (answer,) = model.classify([cloud()], LABELS)
    views = len(model.input.captions)
    assert sorted(answer.labels) == sorted(LABELS)
    assert list(answer.scores) == sorted(answer.scores, reverse=True)
    assert len(answer.view_labels) == len(answer.view_scores) == views
    assert set(answer.view_labels) <= set(LABELS)
    assert answer.probabilities is None or answer.probabilities.sum() == pytest.approx(1, abs=1e-4)
    assert not answer.declined


@pytest.mark.parametrize("name", MODEL_PARAMS)
def test_view_embeddings_have_unit_length(name: str) -> None:
    views = build(name).embed_views([cloud(), cloud("mug")])
    torch.testing.assert_close(views.norm(dim=-1), torch.ones(views.shape[:2]), atol=1e-5, rtol=0)
    assert views.dtype == torch.float32


@pytest.mark.parametrize("name", PROJECTIONS)
@pytest.mark.parametrize(("scale", "shift"), [(0.01, 3.0), (100.0, -20.0)])
def test_scale_and_position_hardly_change_the_rendering(name: str, scale: float, shift: float) -> None:
    model, base = build(name), cloud()
    moved = PointCloud(((base.points + shift) * scale).astype(np.float32))
    one, other = model.prepare([base, moved])
    assert ((one - other).abs() > 0.02).float().mean() < 0.01


@pytest.mark.parametrize("name", PROJECTIONS)
def test_drawing_is_seeded(name: str) -> None:
    model = build(name)
    torch.testing.assert_close(model.prepare([mesh()]), model.prepare([mesh()]), atol=0, rtol=0)
    assert not torch.equal(model.prepare([mesh()])[0], model.prepare([mesh()], seed=1)[0])


@pytest.mark.parametrize("name", PROJECTIONS)
def test_rendering_does_not_depend_on_the_batch(name: str) -> None:
    model, shapes = build(name), [cloud(), cloud("mug"), cloud("airplane")]
    together = model.prepare(shapes)
    for i, shape in enumerate(shapes):
        torch.testing.assert_close(together[i], model.prepare([shape])[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_mesh_and_its_surface_points_agree(name: str) -> None:
    model = build(name)
    points = sample_points(mesh(), model.recipe.points, seed=0)
    torch.testing.assert_close(model.prepare([mesh()]), model.prepare([points]), atol=0, rtol=0)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_images_are_in_range_and_not_empty(name: str) -> None:
    (images,) = build(name).prepare([cloud()])
    assert images.isfinite().all()
    assert images.min() >= 0
    for view in images:
        assert view.std() > 1e-3


@pytest.mark.parametrize("name", PROJECTIONS)
def test_another_pose_renders_differently(name: str) -> None:
    model = build(name)
    turned = rotate(cloud(), axis_rotation("x", np.pi / 2))
    one, other = model.prepare([cloud(), turned])
    assert (one - other).abs().mean() > 0.005


@pytest.mark.parametrize("name", MODEL_PARAMS)
def test_the_order_of_labels_does_not_matter(name: str) -> None:
    model = build(name)
    (one,), (other,) = model.classify([cloud()], LABELS), model.classify([cloud()], LABELS[::-1])
    scores = dict(zip(one.labels, one.scores, strict=True))
    for label, score in zip(other.labels, other.scores, strict=True):
        assert score == pytest.approx(scores[label], abs=1e-5)


@pytest.mark.parametrize("name", MODEL_PARAMS)
def test_cached_views_serve_later_runs(name: str) -> None:
    model = build(name)
    (now,) = model.classify([cloud()], LABELS)
    (later,) = model.classify_views(model.embed_views([cloud()]), LABELS, sources=[""])
    assert later.labels == now.labels
    np.testing.assert_allclose(later.scores, now.scores, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MODELS if get_recipe(name).tuned_views])
def test_tuned_views_go_through_the_tuned_block_and_others_do_not(name: str) -> None:
    recipe = replace(get_recipe(name), points=200)
    encoder = small_encoder(tuned=True)
    split = Model(recipe, encoder).embed_views([cloud()])[0]
    frozen = Model(replace(recipe, tuned_views=()), encoder).embed_views([cloud()])[0]
    for view in range(len(split)):
        same = torch.allclose(split[view], frozen[view], atol=1e-6)
        assert same != (view in recipe.tuned_views), view


@pytest.mark.parametrize(("name", "dataset"), [(name, dataset) for name in MODELS for dataset in get_recipe(name).datasets])
def test_settings_of_a_data_set_change_nothing_else(name: str, dataset: str) -> None:
    recipe = get_recipe(name)
    changed = recipe.for_dataset(dataset)
    for key in ("points", "templates"):
        assert getattr(changed, key) == recipe.datasets[dataset].get(key, getattr(recipe, key))
    cloud = recipe.datasets[dataset].get("cloud", {})
    assert all(getattr(changed.cloud, key) == value for key, value in cloud.items())
    assert replace(changed, points=recipe.points, templates=recipe.templates, cloud=recipe.cloud) == recipe
