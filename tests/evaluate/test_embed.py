"""Embedding a benchmark: cached, resumable, with failures listed separately."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import Benchmark
from basrelief.encoders import VectorCache
from basrelief.evaluate.corruptions import Corruption, corruptions
from basrelief.models import Embedder, Model


def test_embeddings_are_those_of_the_model(embedder: Embedder, benchmark: Benchmark) -> None:
    found = embedder.embed(benchmark)
    expected = embedder.model.embed_views([benchmark.load(item) for item in benchmark.items[:8]]).numpy()
    np.testing.assert_array_equal(found.views[:8], expected)
    assert found.truth.tolist() == [item.label for item in benchmark.items]
    assert found.failures == {}


def test_a_second_run_reads_no_file(embedder: Embedder, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    first = embedder.embed(benchmark)
    monkeypatch.setattr(Benchmark, "load", lambda *_: pytest.fail("a file was read again"))
    np.testing.assert_array_equal(embedder.embed(benchmark).views, first.views)


def test_an_interrupted_run_goes_on_where_it_was(embedder: Embedder, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = embedder.embed_chunks(benchmark)
    next(parts)
    parts.close()
    read: list[str] = []
    load = Benchmark.load
    monkeypatch.setattr(Benchmark, "load", lambda self, item: read.append(item.id) or load(self, item))
    resumed = embedder.embed(benchmark)
    assert read == [item.id for item in benchmark.items[8:]]
    np.testing.assert_array_equal(resumed.views, Embedder(embedder.model).embed(benchmark).views)


def test_a_changed_file_is_read_again(embedder: Embedder, benchmark: Benchmark, tmp_path: Path) -> None:
    path = tmp_path / "copy.ply"
    path.write_bytes(Path(benchmark.items[0].path).read_bytes())
    one = replace(benchmark, items=(replace(benchmark.items[0], path=str(path)),))
    before = embedder.embed(one).views
    path.write_bytes(Path(benchmark.items[4].path).read_bytes())
    assert not np.array_equal(embedder.embed(one).views, before)


@pytest.mark.parametrize("change", ["seed", "points", "up"])
def test_the_cache_tells_apart_what_changes_an_embedding(change: str, tiny: Model, benchmark: Benchmark, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "shapes.sqlite")
    few = tiny.for_dataset("", points=300)  # of 1,024: which ones depends on the seed
    before = Embedder(few, cache).embed(benchmark).views
    other = {"seed": Embedder(few, cache, 1), "points": Embedder(tiny.for_dataset("", points=200), cache), "up": Embedder(few, cache)}[
        change
    ]
    after = other.embed(replace(benchmark, up="y") if change == "up" else benchmark).views
    assert not np.array_equal(before, after)


def test_bad_files_are_named_and_the_others_done(embedder: Embedder, broken: Benchmark) -> None:
    found = embedder.embed(broken)
    assert list(found.failures) == [item.id for item in broken.items[:2]]
    assert "junk.ply" in next(iter(found.failures.values()))
    assert len(found.items) == 10
    again = embedder.embed(broken)
    np.testing.assert_array_equal(again.views, found.views)


def test_a_part_without_a_good_file_is_empty(embedder: Embedder, broken: Benchmark) -> None:
    found = embedder.embed(replace(broken, items=broken.items[:2]))
    assert len(found.items) == 0
    assert len(found.failures) == 2


def test_progress_counts_up_to_all(tiny: Model, benchmark: Benchmark) -> None:
    seen: list[tuple[int, int]] = []
    list(Embedder(tiny, progress=lambda done, total: seen.append((done, total))).embed_chunks(benchmark))
    assert seen == [(8, 12), (12, 12)]


def test_the_sweep_has_its_four_families() -> None:
    assert {change.family for change in corruptions()} == {"points", "noise", "yaw", "dropped"}
    assert len({change.name for change in corruptions()}) == len(corruptions())


@pytest.mark.parametrize("change", corruptions(), ids=lambda c: c.name)
def test_a_change_is_seeded_by_shape_and_run(change: Corruption) -> None:
    points = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    once = change(points, "a", 0)
    np.testing.assert_array_equal(once, change(points, "a", 0))
    assert not np.array_equal(once, change(points, "b", 0))
    assert not np.array_equal(once, change(points, "a", 1))
    assert once.dtype == np.float32


def test_changes_do_what_they_say() -> None:
    points = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    by_name = {change.name: change(points, "a", 0) for change in corruptions()}
    assert len(by_name["points 512"]) == 512
    assert len(by_name["dropped 25"]) == 2250
    unit = Corruption("none", 0, lambda cloud, _: cloud)(points, "a", 0)
    assert by_name["noise 0.04"].std() > 0
    assert np.abs(by_name["noise 0.04"] - unit).std() == pytest.approx(0.04 * (1 - 2 / np.pi) ** 0.5, rel=0.05)
    np.testing.assert_allclose(by_name["yaw 180"][:, 2], unit[:, 2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(by_name["yaw 180"], axis=1), np.linalg.norm(unit, axis=1), atol=1e-5)


def test_a_pass_of_bad_files_alone_does_not_stop_the_others(embedder: Embedder, benchmark: Benchmark, tmp_path: Path) -> None:
    items = tuple(replace(item, path=str(tmp_path / "absent.ply")) for item in benchmark.items[:8]) + benchmark.items[8:]
    found = embedder.embed(replace(benchmark, items=items))
    assert len(found.failures) == 8
    assert len(found.items) == len(found.views) == 4
