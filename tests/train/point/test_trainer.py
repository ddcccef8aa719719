"""From a folder of shapes, or published features, to a file: validation on other shapes, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.datasets import open_benchmark, templates
from basrelief.encoders.points.files import load_point_network, read_point_record, save_point_network, space_fingerprint
from basrelief.errors import ConfigError, WeightsError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.models import get_recipe, load_model
from basrelief.models.shape_input import CloudInput
from basrelief.shapes import make_shape, write_library
from basrelief.train import PairMaker, PairSettings, PointData, Resources, make_records, train_point
from basrelief.train.point import trainer
from basrelief.train.point.validation import check_disjoint, label_scores
from support.small_models import small_encoder

from .conftest import SMALL
from .test_published import shape, write

NAMES = ("chair", "mug", "table")
CPU = Resources(cpu=True)
TINY = ModelSource("tiny", device="cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("shapes"), NAMES, each=2)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    return DataSource(write_library(tmp_path_factory.mktemp("held_out"), NAMES, first=50, each=1), split="val")


def test_a_folder_of_shapes_trains_a_network_in_the_space_of_tiny(root: Path, held_out: DataSource, tmp_path: Path) -> None:
    library = DataSource(root, split="train", strict=False)
    make_records(library.open(), tmp_path / "pairs", maker=PairMaker(PairSettings(size=32, points=64, supersample=1)))
    data = PointData(library, (tmp_path / "pairs",))
    train_point(data, out=tmp_path / "run", model=TINY, settings=SMALL, validation=held_out, resources=CPU)
    record, model = read_point_record(tmp_path / "run" / "point.safetensors"), load_model("tiny", device="cpu", dtype="float32")
    assert (record.encoder, record.encoder_fingerprint) == ("tiny", space_fingerprint(model.encoder))
    assert record.size["embedding_dim"] == 512
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    figures = [row["accuracy"] for row in rows if row["stage"] == "validation"]
    assert len(figures) == 4
    assert all(0 <= figure <= 1 for figure in figures)
    assert record.notes["validation"] == pytest.approx(max(figures), abs=1e-4)


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of OpenShape's kind in the space of tiny, hardly trained."""
    size = "dim=64,depth=1,heads=1,mlp_dim=64,patch_dim=32,patches=8,samples=8"
    settings = replace(SMALL, epochs=1, network="openshape-pointbert", size=size)
    out = tmp_path_factory.mktemp("run")
    train_point(PointData(DataSource(root, split="train", strict=False)), out=out, model=TINY, settings=settings, resources=CPU)
    return out / "point.safetensors"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "auto"])
def test_a_trained_network_answers_in_place_of_the_views(dtype: str, trained: Path) -> None:
    model, chair = load_model("tiny", checkpoint=trained, device="cpu", dtype=dtype), make_shape("chair", seed=60)
    assert (model.views, model.input.points) == (1, 64)
    answer = model.classify(chair, NAMES)
    assert set(answer.labels) == set(NAMES)
    record = read_point_record(trained)
    assert model.logit_scale == pytest.approx(record.logit_scale)
    network, _ = load_point_network(trained)
    cloud = CloudInput(64, record.frame).prepare([chair])[0]
    feature = torch.nn.functional.normalize(network(cloud[None], torch.tensor([64]))[0], dim=-1)
    torch.testing.assert_close(model.embed_views(chair)[0], feature, atol=1e-2 if dtype == "bfloat16" else 1e-5, rtol=1e-4)


def test_a_network_is_refused_on_other_weights(trained: Path, tmp_path: Path) -> None:
    network, record = load_point_network(trained)
    other = save_point_network(network, tmp_path / "other.safetensors", record=replace(record, encoder_fingerprint="0" * 16))
    with pytest.raises(WeightsError, match=r"other.safetensors was trained with other weights of .*. Load those, or train again."):
        load_model("tiny", checkpoint=other, device="cpu")


def test_a_model_that_reads_points_lends_its_clip(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(trainer, "load_encoder", lambda name, **_: loaded.append(name) or small_encoder())
    clip, recipe = trainer.load_clip(ModelSource("openshape-pointbert")), get_recipe("openshape-pointbert")
    assert loaded == [recipe.encoder]
    assert clip.embed_images([np.zeros((32, 32, 3), np.uint8)]).shape == (1, 16)
    assert clip.prompter.templates == templates(recipe.templates)
    data = PointData(DataSource(root, split="train", strict=False))
    train_point(data, out=tmp_path, model=ModelSource("openshape-pointbert"), settings=replace(SMALL, epochs=1), resources=CPU)
    record = read_point_record(tmp_path / "point.safetensors")
    assert (record.encoder, record.encoder_fingerprint) == (recipe.encoder, space_fingerprint(clip.encoder))


def test_published_features_train_without_a_clip(tmp_path: Path) -> None:
    split = write(tmp_path / "data", {f"s{i}": shape("ABO") for i in range(4)})
    data = PointData(published=tmp_path / "data", split=split)
    train_point(data, out=tmp_path / "run", model=ModelSource("opendlign-h14"), settings=replace(SMALL, epochs=1), resources=CPU)
    record = read_point_record(tmp_path / "run" / "point.safetensors")
    assert (record.encoder_fingerprint, record.size["embedding_dim"]) == ("", 4)


def test_shared_shapes_are_found(root: Path, tmp_path: Path) -> None:
    training = open_benchmark(root)
    with pytest.raises(ConfigError, match=r"The validation shape 'chair/0.glb' is a training shape, too. Remove it from one of them."):
        check_disjoint(training, training)
    other = write_library(tmp_path / "other", NAMES, first=50, each=1)
    check_disjoint(training, open_benchmark(other))
    (other / "mug" / "copy.glb").write_bytes((root / "mug" / "1.glb").read_bytes())
    with pytest.raises(ConfigError, match=r"The validation shape 'mug/copy.glb' is a training shape, too."):
        check_disjoint(training, open_benchmark(other))


def test_training_on_validation_shapes_is_refused(root: Path, tmp_path: Path) -> None:
    data = PointData(DataSource(root, split="train", strict=False))
    with pytest.raises(ConfigError, match=r"is a training shape, too"):
        train_point(data, out=tmp_path, model=TINY, settings=SMALL, validation=DataSource(root, split="train"), resources=CPU)


def test_data_is_one_of_two_kinds(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"Name a folder of shapes or one of published features, not both. Use --root"):
        PointData()
    with pytest.raises(ConfigError, match=r"Name a folder of shapes or one of published features, not both."):
        PointData(DataSource(root), published=root)
    with pytest.raises(ConfigError, match=r"Published features need their list of shapes. Pass --split"):
        PointData(published=root)


@pytest.mark.parametrize(("size", "message"), [("dim", r"size is 'dim'; expected name=number"), ("dimm=3", r"Unknown field of the size")])
def test_wrong_sizes_are_refused(size: str, message: str, tmp_path: Path) -> None:
    split = write(tmp_path / "data", {f"s{i}": shape("ABO") for i in range(4)})
    data = PointData(published=tmp_path / "data", split=split)
    with pytest.raises(ConfigError, match=message):
        train_point(data, out=tmp_path / "run", settings=replace(SMALL, size=size), resources=CPU)


def test_sizes_can_be_changed(tmp_path: Path) -> None:
    split = write(tmp_path / "data", {f"s{i}": shape("ABO") for i in range(4)})
    data, settings = PointData(published=tmp_path / "data", split=split), replace(SMALL, size="width=8, dropout=0.5", epochs=1)
    train_point(data, out=tmp_path / "run", settings=settings, resources=CPU)
    assert read_point_record(tmp_path / "run" / "point.safetensors").size == {"embedding_dim": 4, "width": 8, "dropout": 0.5}


def test_tamms_features_are_weighted() -> None:
    features, texts = torch.randn(3, 2, 5), torch.nn.functional.normalize(torch.randn(4, 5), dim=-1)
    unit = torch.nn.functional.normalize(features, dim=-1)
    torch.testing.assert_close(label_scores(features, texts), unit[:, 0] @ texts.T + 0.5 * unit[:, 1] @ texts.T)
    torch.testing.assert_close(label_scores(features[:, :1], texts), unit[:, 0] @ texts.T)


def test_the_cache_may_be_shared(root: Path, tmp_path: Path) -> None:
    data = PointData(DataSource(root, split="train", strict=False), cache=tmp_path / "cache")
    settings = replace(SMALL, epochs=1)
    train_point(data, out=tmp_path / "one", model=TINY, settings=settings, resources=CPU)
    before = np.load(tmp_path / "cache" / "clouds.npy")
    train_point(data, out=tmp_path / "two", model=TINY, settings=settings, resources=CPU)
    np.testing.assert_array_equal(np.load(tmp_path / "cache" / "clouds.npy"), before)
    assert not (tmp_path / "one" / "features").exists()


@pytest.mark.slow
def test_a_network_beats_chance_on_shapes_it_was_not_trained_on(tmp_path: Path) -> None:
    root = write_library(tmp_path / "shapes", NAMES, each=16)
    held_out = DataSource(write_library(tmp_path / "held_out", NAMES, first=50, each=10), split="val")
    settings = replace(
        SMALL,
        network="openshape-pointbert",
        size="dim=64,depth=2,heads=1,mlp_dim=128,patch_dim=64,patches=32,samples=16,radius=0.4",
        points=256,
        batch_size=16,
        epochs=40,
        validate_every=40,
        optimiser=replace(SMALL.optimiser, lr=2e-3),
    )
    data = PointData(DataSource(root, split="train", strict=False))
    train_point(data, out=tmp_path / "run", model=TINY, settings=settings, validation=held_out, resources=CPU)
    assert read_point_record(tmp_path / "run" / "point.safetensors").notes["validation"] > 0.6  # chance is 1/3
