"""Ablation tables: which variants they hold, and that each figure is what the library says by the long way round."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.encoders import VectorCache, load_tuned
from basrelief.errors import ConfigError
from basrelief.evaluate import ABLATIONS, Bench, Table, ablation_table
from basrelief.evaluate.ablation import Seen, Variant
from basrelief.models import Model, get_recipe
from basrelief.shapes import write_library
from basrelief.tasks import Asked, Pooling
from basrelief.train.depth_aligned import AlignedMaker, AlignedSet, AlignedSettings, open_aligned
from basrelief.train.opendlign import OpenDlignSettings
from basrelief.train.records import make_records
from small import small_encoder

NAMES = ("chair", "mug", "lamp")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return open_benchmark(write_library(tmp_path_factory.mktemp("ablation") / "shapes", NAMES, each=2), "folder")


@pytest.fixture(scope="module")
def images(library: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> tuple[AlignedSet, ...]:
    root, made = tmp_path_factory.mktemp("images"), []
    for name, seed in (("first", 0), ("second", 1)):
        make_records(library, root / name, maker=AlignedMaker(AlignedSettings(source="shaded", size=32, points=600, seed=seed)))
        made.append(open_aligned(root / name))
    return tuple(made)


@pytest.fixture(scope="module")
def plain() -> Model:
    return Model(replace(get_recipe("opendlign-untuned"), points=600, templates="name"), small_encoder())


@pytest.fixture(scope="module")
def bench(plain: Model, images: tuple[AlignedSet, ...], library: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    out = tmp_path_factory.mktemp("runs")
    settings = OpenDlignSettings(batch=3, epochs=2, rate=0.05, workers=1, save_every=1000)
    return Bench(plain, images, (library,), out, settings, VectorCache(out / "views.sqlite"))


def top1(table: Table) -> list[float]:
    return [float(str(row[1])) for row in table.rows]


@pytest.mark.parametrize(
    ("name", "rows", "first", "last"),
    [
        ("components", 5, "projection of PointCLIP V2", "+ logit aggregation"),
        ("views", 10, "1 view", "10 views"),
        ("projections", 10, "opendlign-30, plain CLIP", "pointclip, aligned"),
        ("prompts", 10, "texts name, plain CLIP", "texts opendlign, aligned"),
        ("blocks", 4, "1 block joined, 0.0 M trained", "2 blocks alone, 0.0 M trained"),
        ("aggregation", 12, "frozen, mean cosine", "both, summed softmax"),
        ("images", 2, "first", "second"),
    ],
)
def test_each_table_has_its_variants(name: str, rows: int, first: str, last: str, bench: Bench) -> None:
    found = ablation_table(name, bench)
    assert len(found.rows) == rows
    assert (found.rows[0][0], found.rows[-1][0]) == (first, last)
    assert found.columns[1:4] == ("shapes top-1", "shapes top-3", "shapes top-5")
    for row in found.rows:
        one, three, five = (float(str(cell)) for cell in row[1:4])
        assert 0 <= one <= three <= five == 100.0, "there are three labels"


def test_every_table_is_tested() -> None:
    assert set(ABLATIONS) == {"components", "views", "projections", "prompts", "blocks", "aggregation", "images"}


def test_only_the_papers_own_table_has_its_numbers(bench: Bench) -> None:
    assert ablation_table("components", bench).columns[-1] == "paper, H-14 on ModelNet40"
    assert ablation_table("aggregation", bench).columns[-1] == "shapes top-5"


def accuracy(model: Model, library: Benchmark) -> float:
    """The long way round: name every shape with the public door."""
    found = model.classify([library.load(item) for item in library.items], library.labels)
    return 100 * float(np.mean([p.label == library.labels[item.label] for p, item in zip(found, library.items, strict=True)]))


def test_figures_are_what_classify_says(bench: Bench, library: Benchmark) -> None:
    """The last rows of `components`: aligned, all tuned and averaged, then split and summed."""
    encoder = small_encoder().with_preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    load_tuned(encoder, bench.tuned() / "tuned_block.safetensors")
    recipe = replace(bench.plain.recipe, projection_options={"size": 32})
    expected = [
        accuracy(Model(replace(recipe, pooling=Pooling("mean", scale=1.0)), encoder), library),
        accuracy(Model(replace(recipe, pooling=Pooling("mean", scale=1.0), tuned_views=tuple(range(10))), encoder), library),
        accuracy(Model(replace(recipe, tuned_views=(5, 6, 7, 8, 9)), encoder), library),
    ]
    assert top1(ablation_table("components", bench))[2:] == pytest.approx(expected, abs=0.05)


def test_projections_and_prompts_are_swapped(bench: Bench, library: Benchmark) -> None:
    recipe = replace(bench.plain.recipe, pooling=Pooling("mean", scale=1.0), templates="clip")
    other = Model(replace(recipe, projection="pointclip-v2", projection_options={}), bench.plain.encoder)
    assert top1(ablation_table("components", bench))[0] == pytest.approx(accuracy(other, library), abs=0.05)


def test_texts_are_the_models_own_and_named(bench: Bench, library: Benchmark) -> None:
    assert ablation_table("components", bench).rows[2][0] == "+ texts name"
    depth = Model(replace(bench.plain.recipe, templates="opendlign"), bench.plain.encoder)
    found = ablation_table("components", replace(bench, plain=depth))
    assert found.rows[2][0] == "+ depth-specific texts"
    model = Model(replace(depth.recipe, projection_options={"size": 32}, pooling=Pooling("mean", scale=1.0)), depth.encoder)
    assert top1(found)[2] == pytest.approx(accuracy(model, library), abs=0.05)


def test_views_are_trained_and_asked_alike(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[int] = []
    real = Bench.tuned

    def tuned(self: Bench, **changes: int) -> object:
        met.append(changes["views"])
        return real(self, **changes)

    monkeypatch.setattr(Bench, "tuned", tuned)
    ablation_table("views", bench)
    assert met == list(range(1, 11))


def test_nothing_is_trained_or_drawn_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ablation_table("aggregation", bench)
    runs = sorted(path.name for path in (bench.out / "runs").iterdir())
    monkeypatch.setattr(Model, "view_features", lambda *_, **__: pytest.fail("drawn again"))
    again = Bench(bench.plain, bench.images, bench.benchmarks, bench.out, bench.settings, bench.cache)
    assert ablation_table("aggregation", again) == first, "another process finds what this one left"
    assert sorted(path.name for path in (bench.out / "runs").iterdir()) == runs


def test_data_sets_stand_side_by_side(bench: Bench, library: Benchmark) -> None:
    both = replace(bench, benchmarks=(library, library.limited(3)))
    found = ablation_table("aggregation", both)
    assert len(found.columns) == 7
    assert [row[1:4] for row in found.rows] == [row[1:4] for row in ablation_table("aggregation", bench).rows]


def test_a_data_set_that_cannot_be_read_is_named(bench: Bench, tmp_path: Path) -> None:
    root = write_library(tmp_path / "bad", ("chair", "mug"), each=1)
    for path in root.rglob("*.glb"):
        path.write_bytes(b"junk")
    bad = replace(bench, benchmarks=(open_benchmark(root, "folder"),))
    with pytest.raises(ConfigError, match="benchmark must hold a shape that can be read, but got none of 2"):
        ablation_table("aggregation", bad)


def test_there_is_no_other_table(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="table must be one of components, views"):
        ablation_table("table 4", bench)
    with pytest.raises(ConfigError, match="images must be two or more folders for this table, but got 1"):
        ablation_table("images", replace(bench, images=bench.images[:1]))


@pytest.fixture
def seen() -> Seen:
    """Two classes; the frozen branch is right in view 0 alone, the tuned one in views 1 to 3."""
    right, wrong = np.eye(2, dtype=np.float32)
    frozen = np.stack([[right, wrong, wrong, wrong]] * 3)
    tuned = np.stack([[wrong, right, right, right]] * 3)
    return Seen(frozen, tuned, np.zeros(3, dtype=np.int64))


@pytest.mark.parametrize(
    ("branch", "views", "expected"),
    [
        ("frozen", None, 0.0),
        ("tuned", None, 100.0),
        ("split", None, 100.0),  # frozen 0 and 1, tuned 2 and 3: three of four
        ("split", (1, 0), 0.0),  # frozen 1, tuned 0
        ("split", (0, 1), 100.0),
        ("split", (3,), 100.0),  # one view is a tuned one
        ("frozen", (0,), 100.0),
        ("tuned", (0,), 0.0),
        ("both", (1, 2), 100.0),  # two for, two against: the first label wins
        ("both", (0, 1, 2), 100.0),
    ],
)
def test_branches_are_asked_for_their_views(branch: str, views: tuple[int, ...] | None, expected: float, seen: Seen) -> None:
    variant = Variant("a", branch=branch, views=views, pooling=Pooling("mean", scale=1.0))
    assert seen.tops(Asked(torch.eye(2), torch.zeros(2)), variant)[0] == expected
