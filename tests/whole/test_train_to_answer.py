"""From a folder of meshes to a label: pairs, a depth tower, a head, an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.datasets import open_benchmark
from basrelief.encoders import ClipEncoder
from basrelief.io import save
from basrelief.models import Embedder, FewShotClassifier, Model, get_recipe
from basrelief.shapes import make_shape
from basrelief.tasks import FitOptions
from basrelief.train import Clip2PointSettings, PairMaker, PairSettings, make_records
from basrelief.train.adapter import fit_adapter
from basrelief.train.clip2point.settings import OptimiserSettings
from basrelief.train.clip2point.trainer import pretrain
from basrelief.train.pairs.read import open_pairs
from basrelief.train.validation import zero_shot_accuracy
from support.small_models import small_encoder

NAMES = ("airplane", "mug", "table")
SETTINGS = Clip2PointSettings(batch_size=4, epochs=2, points=128, workers=1, save_every=50, optimiser=OptimiserSettings("adamw", lr=1e-3))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Meshes in class folders, and their pairs."""
    root = tmp_path_factory.mktemp("learn")
    for name in NAMES:
        (root / "meshes" / name).mkdir(parents=True)
        for seed in range(3):
            save(make_shape(name, seed=seed), root / "meshes" / name / f"{seed}.glb")
    make_records(
        open_benchmark(root / "meshes", "folder"), root / "pairs", maker=PairMaker(PairSettings(size=32, points=256, supersample=1))
    )
    return root


def model(encoder: ClipEncoder) -> Model:
    """CLIP2Point's recipe at the small tower's size."""
    recipe = replace(get_recipe("clip2point-untuned"), points=256)
    return Model(replace(recipe, projection="clip2point", projection_options={"size": 32, "radius": 0.07}, few_shot={}), encoder)


def test_a_tower_is_trained_and_used(home: Path, tmp_path: Path) -> None:
    encoder = small_encoder()
    benchmark = open_benchmark(home / "meshes", "folder")
    before = model(encoder)
    validate = zero_shot_accuracy(before, benchmark)
    trained = pretrain(open_pairs(home / "pairs"), encoder, out=tmp_path / "run", settings=SETTINGS, validate=validate)
    after = model(trained)
    shapes = [benchmark.load(item) for item in benchmark.items[:2]]
    assert not torch.allclose(before.embed_views(shapes), after.embed_views(shapes))
    assert torch.equal(before.embed_text(NAMES), after.embed_text(NAMES)), "words stay where they were"
    best = max(json.loads(line).get("accuracy", -1) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    assert validate(trained) == pytest.approx(best, abs=1e-4)


def test_validation_accuracy_agrees_with_classify(home: Path) -> None:
    benchmark = open_benchmark(home / "meshes", "folder")
    asked = model(small_encoder(seed=3))
    answers = asked.classify([benchmark.load(item) for item in benchmark.items], benchmark.labels)
    right = np.mean([answer.label == benchmark.labels[item.label] for answer, item in zip(answers, benchmark.items, strict=True)])
    assert isinstance(asked.encoder, ClipEncoder)
    assert zero_shot_accuracy(asked, benchmark)(asked.encoder) == pytest.approx(float(right))


def test_validation_leaves_out_what_cannot_be_read(home: Path, tmp_path: Path) -> None:
    benchmark = open_benchmark(home / "meshes", "folder")
    (tmp_path / "junk.glb").write_bytes(b"junk")
    spoilt = replace(benchmark, items=(*benchmark.items, replace(benchmark.items[0], id="junk", path=str(tmp_path / "junk.glb"))))
    asked = model(small_encoder(seed=3))
    assert isinstance(asked.encoder, ClipEncoder)
    assert zero_shot_accuracy(asked, spoilt)(asked.encoder) == zero_shot_accuracy(asked, benchmark)(asked.encoder)


def test_a_head_on_the_trained_and_the_plain_tower(home: Path, tmp_path: Path) -> None:
    encoder = small_encoder()
    trained = pretrain(open_pairs(home / "pairs"), encoder, out=tmp_path / "run", settings=SETTINGS)
    paths = [Embedder(model(tower)) for tower in (trained, encoder)]
    benchmark = open_benchmark(home / "meshes", "folder")
    taught = fit_adapter(paths, benchmark, head="dual-path", fit=FitOptions(epochs=30, lr=3e-3))
    file = taught.classifier.save(tmp_path / "dpa.safetensors")
    again = FewShotClassifier.load(file, [path.model for path in paths])
    shapes = [benchmark.load(item) for item in benchmark.items]
    names = [answer.label for answer in again.predict(shapes)]
    right = [name == benchmark.labels[item.label] for name, item in zip(names, benchmark.items, strict=True)]
    assert np.mean(right) >= 0.8, "it knows what it was taught"


def test_pairs_may_come_from_any_layout(tmp_path: Path) -> None:
    from support import dataset_miniatures

    library = open_benchmark(dataset_miniatures.shapenet_core(tmp_path / "core"), strict=False)
    library = replace(library, items=library.items[:3])
    assert make_records(library, tmp_path / "pairs", maker=PairMaker(PairSettings(size=16, points=64, supersample=1))) == []
    pairs = open_pairs(tmp_path / "pairs")
    assert len(pairs) == 3
    assert [pairs.labels[label] for label in pairs.truth] == [library.labels[item.label] for item in library.items]
