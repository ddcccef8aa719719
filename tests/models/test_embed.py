"""Features of a benchmark: raw and at unit length, kept under everything that decides them, one part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.datasets import Benchmark, Item, open_benchmark
from basrelief.encoders import VectorCache
from basrelief.io import save
from basrelief.models import Embedder, Model, get_recipe
from basrelief.models.embed import PointTransform
from basrelief.models.model import SHAPES_PER_PASS
from basrelief.types import PointCloud
from support.small_models import small_encoder


class Halved:
    """A change: the first half of the points."""

    name = "halved"

    def __call__(self, points: np.ndarray, shape: str, seed: int) -> np.ndarray:
        return points[: len(points) // 2]


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """Two classes of five clouds."""
    for name in ("a thing", "other"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for seed in range(5):
            rows = np.random.default_rng([seed, len(name)]).normal(size=(200, 3)).astype(np.float32)
            save(PointCloud(rows), tmp_path / "data" / name / f"{seed}.ply")
    return open_benchmark(tmp_path / "data", "folder")


def small(**changes: object) -> Model:
    recipe = replace(get_recipe("clip2point-untuned"), points=64)
    return Model(replace(recipe, **changes), small_encoder())  # type: ignore[arg-type]


@pytest.fixture
def cache(tmp_path: Path) -> VectorCache:
    return VectorCache(tmp_path / "shapes.sqlite")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many shapes were encoded, call by call."""
    calls: list[int] = []
    real = Model.features
    monkeypatch.setattr(Model, "features", lambda self, images: (calls.append(len(images)), real(self, images))[1])
    return iter([calls])


def test_features_are_what_the_tower_gives(benchmark: Benchmark) -> None:
    model = small()
    found = Embedder(model).embed(benchmark)
    first = [benchmark.load(item) for item in benchmark.items[:SHAPES_PER_PASS]]
    expected = model.features(model.prepare(first))
    np.testing.assert_array_equal(found.features[: len(first)], expected.numpy())


def test_views_are_the_features_at_unit_length(benchmark: Benchmark) -> None:
    found = Embedder(small()).embed(benchmark)
    np.testing.assert_allclose(np.linalg.norm(found.views, axis=-1), 1, atol=1e-6)
    lengths = np.linalg.norm(found.features, axis=-1, keepdims=True)
    np.testing.assert_allclose(found.views * lengths, found.features, rtol=1e-4, atol=1e-5)
    assert found.views is found.views, "worked out once"


def test_truth_follows_the_items(benchmark: Benchmark) -> None:
    found = Embedder(small()).embed(benchmark)
    assert found.truth.tolist() == [item.label for item in benchmark.items]


@pytest.mark.parametrize(
    "changes",
    [{"points": 100}, {"projection": "clip2point"}, {"projection_options": {"size": 64}}, {"normalisation": "imagenet"}],
    ids=["points", "projection", "options", "normalisation"],
)
def test_every_setting_has_its_own_place(
    changes: dict[str, object], benchmark: Benchmark, cache: VectorCache, counted: Iterator[list[int]]
) -> None:
    calls = next(counted)
    Embedder(small(), cache).embed(benchmark)
    before = len(calls)
    Embedder(small(), cache).embed(benchmark)
    assert len(calls) == before, "the same settings are not embedded again"
    Embedder(small(**changes), cache).embed(benchmark)
    assert len(calls) > before


@pytest.mark.parametrize("setting", ["templates", "pooling", "title", "few_shot"])
def test_what_does_not_touch_the_pictures_does_not_matter(
    setting: str, benchmark: Benchmark, cache: VectorCache, counted: Iterator[list[int]]
) -> None:
    from basrelief.tasks import Pooling

    values = {"templates": "clip", "pooling": Pooling("mean"), "title": "other", "few_shot": {"head": "probe"}}
    calls = next(counted)
    Embedder(small(), cache).embed(benchmark)
    before = len(calls)
    Embedder(small(**{setting: values[setting]}), cache).embed(benchmark)
    assert len(calls) == before


def test_a_seed_has_its_own_place(benchmark: Benchmark, cache: VectorCache) -> None:
    one = Embedder(small(), cache, 0).embed(benchmark)
    other = Embedder(small(), cache, 1).embed(benchmark)
    assert not np.array_equal(one.features, other.features)
    np.testing.assert_array_equal(Embedder(small(), cache, 0).embed(benchmark).features, one.features)


@pytest.mark.parametrize(("folder", "name"), [("C#", "0.ply"), ("data", "chair#2.ply")])
def test_a_changed_file_is_read_again_whatever_its_path(folder: str, name: str, tmp_path: Path, cache: VectorCache) -> None:
    file = tmp_path / folder / "thing" / name
    (tmp_path / folder / "other").mkdir(parents=True)
    save(PointCloud(np.eye(3, dtype=np.float32)), tmp_path / folder / "other" / "0.ply")
    features = []
    for scale in (1, 3):
        save(PointCloud(np.diag([1, scale, 1]).astype(np.float32)), file)
        benchmark = open_benchmark(tmp_path / folder, "folder")
        features.append(Embedder(small(), cache).embed(benchmark).features)
    assert not np.array_equal(features[0], features[1])


def test_a_change_has_its_own_place(benchmark: Benchmark, cache: VectorCache) -> None:
    change: PointTransform = Halved()
    plain, halved = Embedder(small(), cache).embed(benchmark), Embedder(small(), cache).embed(benchmark, change)
    assert not np.array_equal(plain.features, halved.features)
    np.testing.assert_array_equal(Embedder(small(), cache).embed(benchmark, change).features, halved.features)


def test_another_tower_has_its_own_place(benchmark: Benchmark, cache: VectorCache) -> None:
    one = Embedder(small(), cache).embed(benchmark)
    other = Embedder(Model(small().recipe, small_encoder(seed=1)), cache).embed(benchmark)
    assert not np.array_equal(one.features, other.features)


def test_parts_hold_a_few_shapes(benchmark: Benchmark) -> None:
    parts = list(Embedder(small()).embed_chunks(benchmark))
    assert [len(part.items) for part in parts] == [SHAPES_PER_PASS, 10 - SHAPES_PER_PASS]


def test_the_cache_is_not_needed(benchmark: Benchmark, cache: VectorCache) -> None:
    np.testing.assert_array_equal(Embedder(small()).embed(benchmark).features, Embedder(small(), cache).embed(benchmark).features)


def test_stored_features_equal_computed_ones(benchmark: Benchmark, cache: VectorCache) -> None:
    first = Embedder(small(), cache).embed(benchmark)
    again = Embedder(small(), cache).embed(benchmark)
    assert again.items == first.items
    np.testing.assert_array_equal(again.features, first.features)


def test_one_bad_file_does_not_cost_the_others_their_place(benchmark: Benchmark, cache: VectorCache, tmp_path: Path) -> None:
    (tmp_path / "junk.ply").write_bytes(b"junk")
    bad = Item("bad", 0, str(tmp_path / "junk.ply"))
    mixed = replace(benchmark, items=(bad, *benchmark.items))
    found = Embedder(small(), cache).embed(mixed)
    assert list(found.failures) == ["bad"]
    assert found.items == benchmark.items
    np.testing.assert_allclose(found.features, Embedder(small()).embed(benchmark).features, atol=1e-4)


def test_features_do_not_depend_on_the_threads_of_other_work(benchmark: Benchmark) -> None:
    threads = torch.get_num_threads()
    one = Embedder(small()).embed(benchmark).features
    try:
        torch.set_num_threads(1)
        np.testing.assert_allclose(Embedder(small()).embed(benchmark).features, one, atol=1e-4)
    finally:
        torch.set_num_threads(threads)
