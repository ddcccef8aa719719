"""From shapes to a tuned block that names unseen depth maps, without labels: images, filter, alignment, classification."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import basrelief as br
from basrelief.datasets import Benchmark, open_benchmark
from basrelief.encoders import ClipEncoder, load_tuned
from basrelief.models import Embedder, Model, get_recipe
from basrelief.shapes import write_library
from basrelief.tasks import HEADS, FitOptions, Pooling, find_nearest, fit_head, head_scores
from basrelief.testing import teach_pictures
from basrelief.train import AlignedMaker, AlignedSettings, OpenDlignSettings, Thresholds, make_records
from basrelief.train.depth_aligned.quality import filter_aligned
from basrelief.train.depth_aligned.read import AlignedSet, open_aligned
from basrelief.train.opendlign.trainer import align
from basrelief.train.validation import zero_shot_accuracy

pytestmark = pytest.mark.slow
NAMES = ("chair", "lamp", "car", "bottle", "tree", "airplane")
SIZE = 48


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return open_benchmark(write_library(tmp_path_factory.mktemp("held") / "shapes", NAMES, first=700, each=8), "folder")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> AlignedSet:
    root = tmp_path_factory.mktemp("taught")
    library = open_benchmark(write_library(root / "shapes", NAMES, each=16), "folder")
    make_records(library, root / "images", maker=AlignedMaker(AlignedSettings(source="shaded", size=SIZE, points=2048)))
    return open_aligned(root / "images")


@pytest.fixture(scope="module")
def plain(images: AlignedSet) -> Model:
    """A small tower that names coloured pictures; it stands in for CLIP."""
    base = br.load_model("tiny", device="cpu", dtype="float32").encoder
    assert isinstance(base, ClipEncoder)
    recipe = replace(
        get_recipe("opendlign-untuned"), projection_options={"size": SIZE}, points=2048, templates="name", normalisation="weights"
    )
    recipe = replace(recipe, pooling=Pooling("mean", scale=1.0))
    pictures = torch.from_numpy(np.stack([images.pictures(row) for row in range(len(images))])).permute(0, 1, 4, 2, 3)
    texts = Model(recipe, base).embed_text(images.labels)
    return Model(recipe, teach_pictures(base, pictures, truth=images.truth, texts=texts, steps=300))


@pytest.fixture(scope="module")
def tuned(plain: Model, images: AlignedSet, tmp_path_factory: pytest.TempPathFactory) -> Model:
    assert isinstance(plain.encoder, ClipEncoder)
    settings = OpenDlignSettings(batch_size=16, epochs=40, lr=3e-3, workers=1, save_every=10**6)
    out = tmp_path_factory.mktemp("run")
    align(images, plain.encoder, out=out, settings=settings)
    fresh = copy.copy(plain.encoder)
    fresh.towers = copy.deepcopy(plain.encoder.towers)
    load_tuned(fresh, out / "tuned_block.safetensors")
    return Model(replace(plain.recipe, tuned_views=tuple(range(10))), fresh)


def accuracy(model: Model, held: Benchmark) -> float:
    assert isinstance(model.encoder, ClipEncoder)
    return zero_shot_accuracy(model, held)(model.encoder)


def test_alignment_raises_zero_shot_accuracy_on_unseen_shapes(plain: Model, tuned: Model, held: Benchmark) -> None:
    before, after = accuracy(plain, held), accuracy(tuned, held)
    assert after > before + 0.15
    assert after > 2.5 / len(NAMES)


def test_classify_agrees_with_validation(tuned: Model, held: Benchmark) -> None:
    found = tuned.classify([held.load(item) for item in held.items], held.labels)
    right = np.mean([p.label == held.labels[item.label] for p, item in zip(found, held.items, strict=True)])
    assert float(right) == pytest.approx(accuracy(tuned, held))


def test_text_retrieval_improves(plain: Model, tuned: Model, held: Benchmark) -> None:
    """Retrieval on the same embeddings: of the four nearest to a name, more are of that name."""

    def hits(model: Model) -> float:
        found = Embedder(model).embed(held)
        queries = torch.stack([model.embed_query([name]) for name in held.labels])
        _, places = find_nearest(queries, torch.from_numpy(found.views).mean(dim=1), top=4)
        return float((found.truth[places.numpy()] == np.arange(len(held.labels))[:, None]).mean())

    assert hits(tuned) > hits(plain)


@pytest.mark.parametrize("head", ["probe", "cache"])
def test_heads_use_both_branches(tuned: Model, head: str, held: Benchmark) -> None:
    both = Model(replace(tuned.recipe, branches="both"), tuned.encoder)
    found = Embedder(both).embed(held)
    assert found.features.shape[1] == 20
    assert head in HEADS
    taught = np.array([row for row in range(len(held)) if row % 8 < 4])
    asked = np.setdiff1d(np.arange(len(held)), taught)
    features, truth = torch.from_numpy(found.features), torch.from_numpy(found.truth)
    texts = both.embed_text(held.labels)
    fitted = fit_head(head, features[taught], truth=truth[taught], texts=texts, fit=FitOptions(), logit_scale=20.0)
    right = head_scores(fitted, features[asked]).argmax(dim=1) == truth[asked]
    assert float(right.float().mean()) > 2 / len(NAMES)


def test_training_after_a_filter_with_validation(images: AlignedSet, plain: Model) -> None:
    """The stand-in judges its own pictures: most show their label, and what is left out is left out of the training."""
    kept = filter_aligned(images, plain, thresholds=Thresholds(0.6, 0.6))
    assert 0.5 * kept.pictures < kept.kept < kept.pictures
    again = open_aligned(images.home)
    assert sum(int(again.kept(row).sum()) for row in range(len(again))) == kept.kept
    (images.home / "quality.jsonl").unlink()


def test_nothing_outside_the_run_was_written(images: AlignedSet) -> None:
    names = {path.name for path in Path(images.home).iterdir()}
    assert names == {"records.json", "shard-000000.tar"}
