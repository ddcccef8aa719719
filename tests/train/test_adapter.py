"""Fitting a head on one split and evaluating it on another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import basrelief as br
from basrelief.datasets import Benchmark, open_benchmark
from basrelief.encoders import VectorCache
from basrelief.errors import ConfigError
from basrelief.geometry import sample_surface
from basrelief.io import save
from basrelief.models import Embedder, Model
from basrelief.shapes import make_shape
from basrelief.tasks import HEADS, FitOptions
from basrelief.testing import FakeEncoder
from basrelief.train.adapter import fit_adapter
from basrelief.types import Mesh

NAMES = ("chair", "mug", "table")
QUICK = FitOptions(epochs=4)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes: four, three and two shapes to learn, two to be asked."""
    home = tmp_path_factory.mktemp("adapter")
    for i, name in enumerate(NAMES):
        for split, seeds in (("train", range(4 - i)), ("test", range(80, 82))):
            (home / name / split).mkdir(parents=True)
            for seed in seeds:
                shape = make_shape(name, seed=seed)
                assert isinstance(shape, Mesh)
                save(sample_surface(shape, 512, seed=0), home / name / split / f"{seed}.ply")
    return home


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def path(tiny: Model, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return Embedder(tiny, VectorCache(tmp_path_factory.mktemp("cache") / "shapes.sqlite"))


@pytest.fixture
def support(root: Path) -> Benchmark:
    return open_benchmark(root, "folder", split="train")


@pytest.fixture
def query(root: Path) -> Benchmark:
    return open_benchmark(root, "folder", split="test")


@pytest.mark.parametrize("head", sorted(set(HEADS) - {"dual-path"}))
def test_a_head_is_fitted_and_measured(head: str, path: Embedder, support: Benchmark, query: Benchmark) -> None:
    found = fit_adapter([path], support, query=query, head=head, fit=QUICK)
    assert found.support == 9
    assert found.right is not None
    assert len(found.right) == 6
    assert found.right.mean() >= 0.5
    assert found.failures == ()
    assert found.classifier.labels == NAMES


@pytest.mark.parametrize(("shots", "taught"), [(1, 3), (2, 6), (3, 8), (100, 9), (None, 9)])
def test_shots_are_per_class_and_small_classes_give_all_they_have(
    shots: int | None, taught: int, path: Embedder, support: Benchmark
) -> None:
    assert fit_adapter([path], support, head="cache", shots=shots).support == taught


def test_without_a_query_there_is_no_accuracy(path: Embedder, support: Benchmark) -> None:
    assert fit_adapter([path], support, head="cache").right is None


def test_the_seed_draws_the_shots(path: Embedder, support: Benchmark) -> None:
    keys = [
        fit_adapter([path], support, head="cache", shots=1, fit=FitOptions(seed=seed)).classifier.head.tensors["keys"]
        for seed in (0, 0, 1, 2)
    ]
    assert np.array_equal(keys[0].numpy(), keys[1].numpy())
    assert any(not np.array_equal(keys[0].numpy(), other.numpy()) for other in keys[2:])


def test_an_unreadable_query_shape_counts_as_wrong(path: Embedder, support: Benchmark, query: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "junk.ply").write_bytes(b"junk")
    spoilt = replace(query, items=(replace(query.items[0], path=str(tmp_path / "junk.ply")), *query.items[1:]))
    found = fit_adapter([path], support, query=spoilt, head="cache")
    assert found.right is not None
    assert len(found.right) == 6
    assert not found.right[-1]
    assert [name for name, _ in found.failures] == [query.items[0].id]


def test_an_unreadable_support_shape_is_left_out(path: Embedder, support: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "junk.ply").write_bytes(b"junk")
    spoilt = replace(support, items=(replace(support.items[0], path=str(tmp_path / "junk.ply")), *support.items[1:]))
    found = fit_adapter([path], spoilt, head="cache")
    assert found.support == 8
    assert len(found.failures) == 1


def test_answers_are_those_of_the_classifier(path: Embedder, support: Benchmark, query: Benchmark) -> None:
    found = fit_adapter([path], support, query=query, head="probe")
    named = [answer.label for answer in found.classifier.predict([query.load(item) for item in query.items])]
    expected = [label == query.labels[item.label] for label, item in zip(named, query.items, strict=True)]
    assert found.right is not None
    assert found.right.tolist() == expected


def test_two_paths_are_joined(path: Embedder, support: Benchmark, query: Benchmark) -> None:
    other = Embedder(Model(path.model.recipe, FakeEncoder(embedding_dim=512)))
    found = fit_adapter([path, other], support, query=query, head="dual-path", fit=QUICK)
    assert found.classifier.head.views == 20
    assert [model.encoder.name for model in found.classifier.models] == ["tiny", "fake-0"]


def test_mismatched_inputs_are_reported(path: Embedder, support: Benchmark, query: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = replace(query, labels=query.labels[::-1])
    with pytest.raises(ConfigError, match="Support and query have different labels. Open both splits from the same data set."):
        fit_adapter([path], support, query=swapped)
    other = Embedder(Model(path.model.recipe, FakeEncoder(embedding_dim=512)))
    real = Embedder.embed

    def fewer(self: Embedder, data: Benchmark, change: object = None) -> object:
        found = real(self, data)
        return replace(found, items=found.items[1:], features=found.features[1:]) if self is other else found

    monkeypatch.setattr(Embedder, "embed", fewer)
    with pytest.raises(ConfigError, match="The models did not embed the same shapes"):
        fit_adapter([path, other], support, head="dual-path")


def test_the_same_features_serve_every_head(path: Embedder, support: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_adapter([path], support, head="cache")
    monkeypatch.setattr(Model, "features", lambda *_, **__: pytest.fail("embedded again"))
    for head in ("probe", "simplified", "inter-view"):
        fit_adapter([path], support, head=head, fit=FitOptions(epochs=1))
