"""Ablation tables: their rows, and that each figure agrees with `Model.classify`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.encoders import VectorCache, load_tuned
from basrelief.errors import ConfigError
from basrelief.evaluate.result import Table
from basrelief.models import Model, get_recipe
from basrelief.shapes import write_library
from basrelief.tasks import LabelEmbeddings, Pooling
from basrelief.train import AblationStudy, AlignedMaker, AlignedSettings, OpenDlignSettings, ablation_table, make_records
from basrelief.train.ablation.study import BranchFeatures, Variant
from basrelief.train.ablation.tables import ABLATIONS
from basrelief.train.depth_aligned.read import AlignedSet, open_aligned
from support.small_models import small_encoder

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
def study(plain: Model, images: tuple[AlignedSet, ...], library: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> AblationStudy:
    out = tmp_path_factory.mktemp("runs")
    settings = OpenDlignSettings(batch_size=3, epochs=2, lr=0.05, workers=1, save_every=1000)
    return AblationStudy(plain, images, (library,), out, settings, VectorCache(out / "views.sqlite"))


def top1(table: Table) -> list[float]:
    return [float(str(row[1])) for row in table.rows]


@pytest.mark.parametrize(
    ("name", "rows", "first", "last"),
    [
        ("components", 5, "projection of PointCLIP V2", "+ logit aggregation"),
        ("views", 10, "1 view", "10 views"),
        ("projections", 12, "opendlign-original, plain CLIP", "pointclip, aligned"),
        ("prompts", 10, "prompts name, plain CLIP", "prompts opendlign, aligned"),
        ("blocks", 4, "1 block with residual, 0.0 M trained", "2 blocks without residual, 0.0 M trained"),
        ("aggregation", 12, "frozen, mean cosine", "both, summed softmax"),
        ("images", 2, "first", "second"),
    ],
)
def test_each_table_has_its_variants(name: str, rows: int, first: str, last: str, study: AblationStudy) -> None:
    found = ablation_table(study, name)
    assert len(found.rows) == rows
    assert (found.rows[0][0], found.rows[-1][0]) == (first, last)
    assert found.columns[1:4] == ("shapes top-1", "shapes top-3", "shapes top-5")
    for row in found.rows:
        one, three, five = (float(str(cell)) for cell in row[1:4])
        assert 0 <= one <= three <= five == 100.0, "there are three labels"


def test_every_table_is_tested() -> None:
    assert set(ABLATIONS) == {"components", "views", "projections", "prompts", "blocks", "aggregation", "images"}


def test_only_the_papers_own_table_has_its_numbers(study: AblationStudy) -> None:
    assert ablation_table(study, "components").columns[-1] == "paper, H-14 on ModelNet40"
    assert ablation_table(study, "aggregation").columns[-1] == "shapes top-5"


def accuracy(model: Model, library: Benchmark) -> float:
    """Top-1 by the public API, shape by shape."""
    found = model.classify([library.load(item) for item in library.items], library.labels)
    return 100 * float(np.mean([p.label == library.labels[item.label] for p, item in zip(found, library.items, strict=True)]))


def test_figures_agree_with_classify(study: AblationStudy, library: Benchmark) -> None:
    """The last rows of `components`: aligned, all tuned and averaged, then split and summed."""
    encoder = small_encoder().with_preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    load_tuned(encoder, study.train() / "tuned_block.safetensors")
    recipe = replace(study.model.recipe, projection_options={"size": 32})
    expected = [
        accuracy(Model(replace(recipe, pooling=Pooling("mean", scale=1.0)), encoder), library),
        accuracy(Model(replace(recipe, pooling=Pooling("mean", scale=1.0), tuned_views=tuple(range(10))), encoder), library),
        accuracy(Model(replace(recipe, tuned_views=(5, 6, 7, 8, 9)), encoder), library),
    ]
    assert top1(ablation_table(study, "components"))[2:] == pytest.approx(expected, abs=0.05)


def test_rows_set_projection_and_prompts(study: AblationStudy, library: Benchmark) -> None:
    recipe = replace(study.model.recipe, pooling=Pooling("mean", scale=1.0), templates="clip")
    other = Model(replace(recipe, projection="pointclip-v2", projection_options={}), study.model.encoder)
    assert top1(ablation_table(study, "components"))[0] == pytest.approx(accuracy(other, library), abs=0.05)


def test_prompts_are_the_models_own(study: AblationStudy, library: Benchmark) -> None:
    assert ablation_table(study, "components").rows[2][0] == "+ prompts name"
    depth = Model(replace(study.model.recipe, templates="opendlign"), study.model.encoder)
    found = ablation_table(replace(study, model=depth), "components")
    assert found.rows[2][0] == "+ depth-specific prompts"
    model = Model(replace(depth.recipe, projection_options={"size": 32}, pooling=Pooling("mean", scale=1.0)), depth.encoder)
    assert top1(found)[2] == pytest.approx(accuracy(model, library), abs=0.05)


def test_training_and_test_use_the_same_views(study: AblationStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    real = AblationStudy.train

    def tuned(self: AblationStudy, **changes: int) -> object:
        counts.append(changes["views"])
        return real(self, **changes)

    monkeypatch.setattr(AblationStudy, "train", tuned)
    ablation_table(study, "views")
    assert counts == list(range(1, 11))


def test_a_second_study_reuses_runs_and_features(study: AblationStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ablation_table(study, "aggregation")
    runs = sorted(path.name for path in (study.out / "runs").iterdir())
    monkeypatch.setattr(Model, "features", lambda *_, **__: pytest.fail("rendered again"))
    again = AblationStudy(study.model, study.images, study.benchmarks, study.out, study.settings, study.cache)
    assert ablation_table(again, "aggregation") == first
    assert sorted(path.name for path in (study.out / "runs").iterdir()) == runs


def test_each_data_set_gets_its_columns(study: AblationStudy, library: Benchmark) -> None:
    both = replace(study, benchmarks=(library, library.limited(3)))
    found = ablation_table(both, "aggregation")
    assert len(found.columns) == 7
    assert [row[1:4] for row in found.rows] == [row[1:4] for row in ablation_table(study, "aggregation").rows]


def test_an_unreadable_data_set_is_rejected(study: AblationStudy, tmp_path: Path) -> None:
    root = write_library(tmp_path / "bad", ("chair", "mug"), each=1)
    for path in root.rglob("*.glb"):
        path.write_bytes(b"junk")
    bad = replace(study, benchmarks=(open_benchmark(root, "folder"),))
    with pytest.raises(ConfigError, match=r"None of the 2 shapes of 'bad' can be read\. Run basrelief doctor on it\."):
        ablation_table(bad, "aggregation")


def test_unknown_tables_and_missing_images_are_rejected(study: AblationStudy) -> None:
    with pytest.raises(ConfigError, match="Unknown table '.*'; expected one of components, views"):
        ablation_table(study, "table 4")
    with pytest.raises(ConfigError, match=r"images table compares two or more folders of images, got 1\. Pass --images for each"):
        ablation_table(replace(study, images=study.images[:1]), "images")


@pytest.fixture
def features() -> BranchFeatures:
    """Two classes; the frozen branch is right in view 0 alone, the tuned one in views 1 to 3."""
    right, wrong = np.eye(2, dtype=np.float32)
    frozen = np.stack([[right, wrong, wrong, wrong]] * 3)
    tuned = np.stack([[wrong, right, right, right]] * 3)
    return BranchFeatures(frozen, tuned, np.zeros(3, dtype=np.int64))


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
def test_each_branch_uses_its_views(branch: str, views: tuple[int, ...] | None, expected: float, features: BranchFeatures) -> None:
    variant = Variant("a", branch=branch, views=views, pooling=Pooling("mean", scale=1.0))
    assert features.accuracy(LabelEmbeddings(torch.eye(2), torch.zeros(2)), variant)[0] == expected
