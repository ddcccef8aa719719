"""Triplets of a folder of shapes with images from records: clouds, pools of images, captions, the cache on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.errors import ConfigError, FileFormatError
from basrelief.io import save
from basrelief.models import Model, get_recipe
from basrelief.models.prompting import Prompter
from basrelief.shapes import write_library
from basrelief.train import AlignedMaker, AlignedSettings, PairMaker, PairSettings, make_records
from basrelief.train.point.library import LibraryCache, LibraryOptions
from basrelief.train.point.triplets import StoredTriplets
from basrelief.types import PointCloud
from support.small_models import small_encoder

NAMES = ("chair", "mug")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four meshes and a cloud of few points without colour."""
    folder = write_library(tmp_path_factory.mktemp("shapes"), NAMES)
    save(PointCloud(np.random.default_rng(0).random((50, 3)).astype(np.float32)), folder / "mug" / "cloud.ply")
    return folder


@pytest.fixture(scope="module")
def records(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pairs and depth-aligned images of these shapes."""
    home, library = tmp_path_factory.mktemp("records"), open_benchmark(root)
    make_records(library, home / "pairs", maker=PairMaker(PairSettings(size=32, points=64, supersample=1)))
    make_records(library, home / "aligned", maker=AlignedMaker(AlignedSettings(source="shaded", size=32, points=400)))
    return home / "pairs", home / "aligned"


@pytest.fixture(scope="module")
def model() -> Model:
    recipe = get_recipe("tiny")
    return Model(recipe, small_encoder(), prompter=Prompter(recipe.templates))


@pytest.fixture
def library(root: Path) -> Benchmark:
    return open_benchmark(root)


def filled(library: Benchmark, model: Model, options: LibraryOptions) -> tuple[LibraryCache, StoredTriplets]:
    cache = LibraryCache(library, model, options)
    cache.fill()
    return cache, cache.triplets()


def test_clouds_are_sampled_from_the_shapes(library: Benchmark, model: Model, tmp_path: Path) -> None:
    _, triplets = filled(library, model, LibraryOptions(tmp_path, points=100))
    assert list(triplets.keys) == [item.id for item in library.items]
    for row, item in enumerate(library.items):
        cloud, shape = triplets.cloud(row), library.load(item)
        assert len(cloud) == (50 if item.id.endswith("cloud.ply") else 100)
        np.testing.assert_allclose(np.linalg.norm(cloud[:, :3], axis=1).max(), 1, atol=1e-3)
        colored = shape.colors is not None
        assert np.isnan(cloud[:, 3:]).all() != colored
    assert any(library.load(item).colors is not None for item in library.items)
    drawn = triplets.sample(0, np.random.default_rng(0))
    assert drawn.images is None
    assert drawn.text is not None
    np.testing.assert_allclose(drawn.text, model.embed_text([NAMES[0]])[0], rtol=1e-6)


def test_images_of_all_folders_join_in_one_pool(library: Benchmark, model: Model, records: tuple[Path, Path], tmp_path: Path) -> None:
    _, triplets = filled(library, model, LibraryOptions(tmp_path, images=records, points=50))
    exists = triplets.sample(2, np.random.default_rng(0), images=20).images
    assert exists is not None
    assert len(np.unique(exists.round(5), axis=0)) == 20
    from basrelief.train.depth_aligned.read import open_aligned
    from basrelief.train.pairs.read import open_pairs
    from basrelief.train.records.make import record_key

    key = record_key(library.items[2])
    pairs, aligned = open_pairs(records[0]), open_aligned(records[1])
    row = list(pairs.keys).index(key)
    expected = model.embed_images([pairs.picture(row, view) for view in range(10)] + list(aligned.pictures(list(aligned.keys).index(key))))
    found = exists[np.lexsort(exists.T)]
    np.testing.assert_allclose(found, expected.numpy()[np.lexsort(expected.numpy().T)], atol=1e-6)


def test_images_in_the_published_layout(library: Benchmark, model: Model, tmp_path: Path) -> None:
    home = tmp_path / "images"
    (home / "depth_map").mkdir(parents=True)
    (home / "depth_align_img" / "1").mkdir(parents=True)
    np.save(home / "depth_map" / "1+mug_dm.npy", np.zeros((2, 32, 32, 3), np.uint8))
    for view in range(2):
        Image.fromarray(np.full((32, 32, 3), 100 * view, np.uint8)).save(home / "depth_align_img" / "1" / f"{view}.png")
    _, triplets = filled(library, model, LibraryOptions(tmp_path / "cache", images=(home,), points=50))
    shown = [triplets.sample(row, np.random.default_rng(0), images=2).images is not None for row in range(len(triplets))]
    assert shown == [Path(item.id).stem == "1" for item in library.items]


def test_what_is_done_is_not_computed_again(
    library: Benchmark, model: Model, records: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = LibraryOptions(tmp_path, images=records[:1], points=50)
    calls: list[int] = []
    embed = model.embed_images
    monkeypatch.setattr(model, "embed_images", lambda images: calls.append(len(images)) or embed(images))
    _, first = filled(library, model, options)
    assert calls == [10] * 5
    _, second = filled(library, model, options)
    assert calls == [10] * 5
    for row in range(5):
        np.testing.assert_array_equal(first.cloud(row), second.cloud(row))
    with pytest.raises(ConfigError, match=r"The cache .* holds features of another encoder or other images. Name another folder."):
        LibraryCache(library, model, replace(options, points=60))


def test_processes_share_the_work(library: Benchmark, model: Model, tmp_path: Path) -> None:
    options = LibraryOptions(tmp_path, points=50)
    for rank in range(2):
        cache = LibraryCache(library, model, replace(options, rank=rank, world_size=2))
        cache.fill()
    assert len(cache.triplets()) == 5
    assert not cache.arrays.missing()


def test_captions_join_the_label(library: Benchmark, model: Model, tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(json.dumps({"chair/0.glb": ["a red chair", "a seat"], "1": "any"}))
    _, triplets = filled(library, model, LibraryOptions(tmp_path / "cache", captions=tmp_path / "captions.json", points=50))
    texts = {tuple(np.round(triplets.sample(0, np.random.default_rng(seed)).text, 4)) for seed in range(40)}  # type: ignore[arg-type]
    with torch.no_grad():
        own = torch.nn.functional.normalize(model.encoder.encode_text(["a red chair", "a seat"]), dim=-1)
    label = model.embed_text(["chair"])
    assert texts == {tuple(np.round(row, 4)) for row in torch.cat([label, own]).numpy()}


@pytest.mark.parametrize("text", ["[]", "{}", '{"a": 3}', '{"a": [" "]}'])
def test_broken_captions_are_refused(text: str, library: Benchmark, model: Model, tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(text)
    with pytest.raises(FileFormatError, match=r'captions.json holds no texts by shape. Write, for example, {"chair/1.glb":'):
        filled(library, model, LibraryOptions(tmp_path / "cache", captions=tmp_path / "captions.json", points=50))


def test_images_of_other_shapes_are_refused(model: Model, records: tuple[Path, Path], tmp_path: Path) -> None:
    other = open_benchmark(write_library(tmp_path / "other", ("table", "lamp")))
    with pytest.raises(
        ConfigError, match=r"None of the images in 'pairs' shows one of these shapes. They must be made of the same folder."
    ):
        LibraryCache(other, model, LibraryOptions(tmp_path / "cache", images=records[:1]))


def test_shapes_that_cannot_be_read_are_left_out(model: Model, tmp_path: Path) -> None:
    root = write_library(tmp_path / "shapes", NAMES, each=1)
    (root / "mug" / "broken.glb").write_bytes(b"glTF broken")
    cache, triplets = filled(open_benchmark(root), model, LibraryOptions(tmp_path / "cache", points=50))
    assert cache.unreadable == ["mug/broken.glb"]
    assert list(triplets.keys) == ["chair/0.glb", "mug/0.glb"]
    assert triplets.truth.tolist() == [0, 1]
    for path in root.glob("*/0.glb"):
        path.write_bytes(b"glTF")
    cache = LibraryCache(open_benchmark(root), model, LibraryOptions(tmp_path / "other", points=50))
    cache.fill()
    with pytest.raises(ConfigError, match=r"None of the 3 shapes of 'shapes' can be read. Run basrelief doctor on it."):
        cache.triplets()
