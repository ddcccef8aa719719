"""Evaluation of every data set layout, and of every recipe on one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.datasets.layouts.registry import LAYOUTS
from basrelief.encoders import VectorCache
from basrelief.errors import ConfigError
from basrelief.evaluate import EvalCard, EvalOptions, FewShotOptions, diagnose, write_evaluation
from basrelief.evaluate.doctor.data import check_benchmark
from basrelief.evaluate.run import run_evaluation
from basrelief.models import Embedder, Model, get_recipe
from basrelief.testing import FakeEncoder
from support import dataset_miniatures
from support.small_models import MODEL_PARAMS, small_model


@pytest.fixture(scope="module")
def fake() -> Model:
    """A model that draws ten small views and knows nothing."""
    return Model(replace(get_recipe("tiny"), points=64), FakeEncoder())


def opened(layout: str, root: Path, *, most: int = 8) -> Benchmark:
    found = open_benchmark(dataset_miniatures.WRITERS[layout](root / "set"), strict=False)
    return found.limited(most) if len(found) > most else found


def test_every_layout_is_evaluated_here() -> None:
    assert set(dataset_miniatures.WRITERS) == set(LAYOUTS)


@pytest.mark.parametrize("layout", dataset_miniatures.WRITERS)
def test_a_layout_goes_all_the_way_to_a_card(layout: str, fake: Model, tmp_path: Path) -> None:
    benchmark = opened(layout, tmp_path)
    evaluation = run_evaluation(Embedder(fake), benchmark)
    card = EvalCard.read(write_evaluation(evaluation, tmp_path / "out") / "card.json")
    assert card == evaluation.card
    assert card.failures == ()
    assert card.protocol["data"]["layout"] == layout
    top1 = card.metrics[0]
    assert (top1.name, top1.count) == ("top1", len(benchmark))
    assert 0 <= top1.low <= top1.value <= top1.high <= 100
    assert len(evaluation.result.answers) == len(benchmark)


@pytest.mark.parametrize("layout", dataset_miniatures.WRITERS)
def test_the_doctor_looks_at_every_layout(layout: str, tmp_path: Path) -> None:
    findings = check_benchmark(opened(layout, tmp_path), sample=1)
    assert findings[0].check == "layout"
    assert findings[0].fact.startswith(f"{layout}: ")
    assert all(finding.remedy for finding in findings if finding.level == "wrong")


@pytest.mark.parametrize("layout", ["scanobjectnn", "openshape-modelnet40", "class-folders"])
def test_two_runs_over_a_layout_give_one_card(layout: str, fake: Model, tmp_path: Path) -> None:
    benchmark = opened(layout, tmp_path)
    cache = VectorCache(tmp_path / "shapes.sqlite")
    one, other, cached = (run_evaluation(Embedder(fake, c), benchmark).card for c in (None, cache, cache))
    assert replace(other, run=one.run) == one
    assert replace(cached, run=one.run) == one


@pytest.mark.parametrize("name", MODEL_PARAMS)
def test_every_recipe_runs_over_scanobjectnn_in_its_papers_way(name: str, tmp_path: Path) -> None:
    recipe = get_recipe(name)
    model = small_model(recipe).for_dataset("scanobjectnn")
    benchmark = opened("scanobjectnn", tmp_path, most=4)
    card = run_evaluation(Embedder(model), benchmark).card
    assert card.failures == ()
    assert card.protocol["model"]["recipe"] == name
    assert card.protocol["model"]["points"] == recipe.for_dataset("scanobjectnn").points
    papers = {number.metric for number in recipe.numbers if number.dataset == "scanobjectnn"}
    assert {number.metric for number in card.paper} == papers
    if papers:
        assert "shapes: 581 in the paper, 4 here" in card.differences


@pytest.mark.parametrize("task", ["few-shot", "retrieval", "calibration"])
def test_other_tasks_run_over_a_published_layout(task: str, fake: Model, tmp_path: Path) -> None:
    benchmark = open_benchmark(dataset_miniatures.scanobjectnn(tmp_path / "set", rows=45), strict=False)
    options = EvalOptions(task=task, few_shot=FewShotOptions((1,), 2), directions=("text", "shape"))
    evaluation = run_evaluation(Embedder(fake), benchmark, options=options)
    assert evaluation.card.task == task
    assert evaluation.card.metrics


def test_drawn_depth_maps_are_embedded_as_they_are(fake: Model, tmp_path: Path) -> None:
    benchmark = opened("opendlign-depth-maps", tmp_path)
    random = np.random.default_rng(0)
    for item in benchmark.items:
        np.save(item.path, random.random((10, 16, 16)).astype(np.float32))
    views = Embedder(fake).embed(benchmark).views
    assert views.shape == (3, 10, 16)
    maps = benchmark.load_depth_maps(benchmark.items[0])
    from torch import from_numpy
    from torch.nn.functional import interpolate

    size = fake.encoder.image_size
    expected = fake.embed_prepared([interpolate(from_numpy(maps)[None], (size, size), mode="bilinear", antialias=True)[0]])[0]
    np.testing.assert_allclose(views[0], expected.numpy(), atol=1e-6)


def test_bytes_are_shares_of_255(tmp_path: Path) -> None:
    benchmark = opened("opendlign-depth-maps", tmp_path)
    np.save(benchmark.items[0].path, np.full((10, 4, 4), 51, dtype=np.uint8))
    assert benchmark.load_depth_maps(benchmark.items[0]).max() == pytest.approx(0.2)
    np.save(benchmark.items[0].path, np.full((10, 4, 4), 51, dtype=np.float64))
    assert benchmark.load_depth_maps(benchmark.items[0]).max() == 51


def test_depth_maps_of_another_number_of_views_are_failures(fake: Model, tmp_path: Path) -> None:
    benchmark = opened("opendlign-depth-maps", tmp_path)
    np.save(benchmark.items[0].path, np.zeros((6, 8, 8), dtype=np.float32))
    found = Embedder(fake).embed(benchmark)
    assert len(found.failures) == 1
    assert f"has 6 views; {fake.name} needs 10" in next(iter(found.failures.values()))


def test_depth_maps_cannot_be_spoilt(fake: Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Depth maps cannot be corrupted; robustness needs point clouds or meshes"):
        run_evaluation(Embedder(fake), opened("opendlign-depth-maps", tmp_path), options=EvalOptions(task="robustness"))


def test_the_doctor_and_evaluate_agree_about_a_wrong_count(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_off(tmp_path)
    wrong = [finding for finding in diagnose(str(root), sample=1) if finding.level == "wrong"]
    with pytest.raises(ConfigError, match=wrong[0].fact.replace(".", r"\.")):
        open_benchmark(root)
