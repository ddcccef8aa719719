"""Models with tuned blocks: loading, view branches, and few-shot settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import basrelief as br
from basrelief.datasets import open_benchmark
from basrelief.encoders import ClipEncoder, VectorCache
from basrelief.encoders.tuned import save_tuned
from basrelief.errors import ConfigError, WeightsError
from basrelief.models import Embedder, FewShotClassifier, Model, get_recipe, load_model, load_untuned
from basrelief.shapes import make_shape, write_library
from support.small_models import ball, small_encoder


@pytest.fixture(scope="module")
def tuned_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blocks on the embedded encoder that say something of their own."""
    encoder = br.load_model("tiny", device="cpu", dtype="float32").encoder
    assert isinstance(encoder, ClipEncoder)
    encoder.towers.add_tuned_blocks()
    with torch.no_grad():
        for parameter in encoder.towers.tuned_parameters():
            parameter.mul_(1.5)
    return save_tuned(encoder, tmp_path_factory.mktemp("tuned") / "tuned.safetensors", notes={"recipe": "tiny"})


def test_a_tuned_block_goes_on_any_recipe_of_its_clip(tuned_file: Path) -> None:
    plain, tuned = (load_model("tiny", checkpoint=file, device="cpu", dtype="float32") for file in (None, tuned_file))
    assert (plain.recipe.tuned_views, tuned.recipe.tuned_views) == ((), (5, 6, 7, 8, 9))
    one, other = plain.embed_views([ball()])[0], tuned.embed_views([ball()])[0]
    torch.testing.assert_close(one[:5], other[:5], atol=1e-6, rtol=0)
    assert not torch.allclose(one[5:], other[5:], atol=1e-3)


def with_notes(tuned_file: Path, notes: dict[str, object]) -> Path:
    encoder = br.load_model("tiny", checkpoint=tuned_file, device="cpu", dtype="float32").encoder
    assert isinstance(encoder, ClipEncoder)
    return save_tuned(encoder, tuned_file.with_name("noted.safetensors"), notes=notes)


def test_shapes_are_rendered_as_in_the_training_of_the_block(tuned_file: Path) -> None:
    """`tiny` draws discs; a block classifier on contour-aware maps is shown those."""
    noted = with_notes(tuned_file, {"projection": {"name": "opendlign", "size": 96, "rig": "opendlign-original"}})
    model = load_model("tiny", checkpoint=noted, device="cpu", dtype="float32")
    assert (model.recipe.projection, model.recipe.projection_options) == ("opendlign", {"size": 96})
    assert torch.stack(model.prepare([ball()])).shape == (1, 10, 96, 96)
    plain = load_model("tiny", checkpoint=tuned_file, device="cpu", dtype="float32")
    assert plain.recipe.projection == "discs", "a block that says nothing changes nothing"


def test_defaults_of_a_projection_are_not_spelled_out() -> None:
    recipe = get_recipe("opendlign-h14")
    assert recipe.with_projection({"name": "opendlign", "size": 224, "rig": "opendlign-original"}) == recipe
    other = recipe.with_projection({"name": "opendlign", "size": 224, "rig": "opendlign-33"})
    assert other.projection_options == {"rig": "opendlign-33"}


@pytest.mark.parametrize(
    "projection", [{"name": "photo"}, {"size": 3}, ["opendlign"], {"name": "opendlign", "size": -1}, {"name": "opendlign", "colour": 3}]
)
def test_a_drawing_that_cannot_be_is_refused(projection: object, tuned_file: Path) -> None:
    with pytest.raises(WeightsError, match="The checkpoint does not say how its depth maps were rendered: "):
        load_model("tiny", checkpoint=with_notes(tuned_file, {"projection": projection}), device="cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_tuned_block_is_loaded_before_rounding(dtype: str, tuned_file: Path) -> None:
    """The file knows its CLIP in full precision."""
    model = load_model("tiny", checkpoint=tuned_file, device="cpu", dtype=dtype)
    assert model.encoder.has_tuned_block
    assert str(model.encoder.dtype) == f"torch.{dtype}"


def test_a_block_trained_with_other_colours_is_refused(tmp_path: Path) -> None:
    encoder = br.load_model("tiny", device="cpu", dtype="float32").encoder
    assert isinstance(encoder, ClipEncoder)
    encoder.towers.add_tuned_blocks()
    other = save_tuned(encoder.with_preprocessing((0.1,) * 3, (0.2,) * 3), tmp_path / "other.safetensors", notes={})
    with pytest.raises(WeightsError, match="The checkpoint was trained with mean and deviation .*, not those of tiny"):
        load_model("tiny", checkpoint=other, device="cpu")


def test_another_file_is_still_no_checkpoint_of_tiny(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"junk")
    for path in (tmp_path / "file", tmp_path / "absent"):
        with pytest.raises(ConfigError, match="tiny takes no checkpoint"):
            load_model("tiny", checkpoint=path)


def test_plain_clip_of_a_recipe_has_no_weights_of_its_method(tmp_path: Path) -> None:
    model = load_untuned("tiny", device="cpu")
    assert model.recipe.checkpoint is None
    assert model.recipe.tuned_views == ()
    with pytest.raises(ConfigError, match="tiny comes with its weights"):
        load_untuned("tiny", weights=tmp_path)
    with pytest.raises(ConfigError, match="Unknown model '.*'; expected one of"):
        load_untuned("opendlign-x")


@pytest.mark.parametrize("name", ["opendlign-untuned", "tiny", "clip2point-untuned"])
def test_the_second_half_of_the_views_is_tuned(name: str) -> None:
    recipe = replace(get_recipe(name), tuned_views=()).with_tuned_views()
    views = len(Model(recipe, small_encoder()).projection.cameras)
    assert recipe.tuned_views == tuple(range(views // 2, views))


def test_views_that_a_recipe_names_stay() -> None:
    assert get_recipe("opendlign-h14").with_tuned_views().tuned_views == (5, 6, 7, 8, 9)
    own = replace(get_recipe("opendlign-h14"), tuned_views=(0,))
    assert own.with_tuned_views().tuned_views == (0,)


@pytest.fixture
def split() -> Model:
    recipe = replace(get_recipe("opendlign-b32"), projection_options={"size": 32}, points=500)
    return Model(recipe, small_encoder(tuned=True))


def test_for_few_shots_every_view_goes_through_both_branches(split: Model) -> None:
    both = split.for_few_shot()
    assert (split.views, both.views, both.recipe.branches) == (10, 20, "both")
    images = torch.stack(split.prepare([ball(), make_shape("mug", seed=0)]))
    frozen, tuned = split.encoder.with_preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).encode_both(images.flatten(0, 1))
    found = both.features(list(images))
    assert found.shape == (2, 20, split.encoder.embedding_dim)
    torch.testing.assert_close(found[:, :10], frozen.view(2, 10, -1))
    torch.testing.assert_close(found[:, 10:], tuned.view(2, 10, -1))
    half = split.features(list(images))
    torch.testing.assert_close(half[:, :5], found[:, :5], atol=1e-6, rtol=0)
    torch.testing.assert_close(half[:, 5:], found[:, 15:], atol=1e-6, rtol=0)


def test_a_head_is_fitted_on_both_and_saved_with_it(split: Model, tmp_path: Path) -> None:
    shapes = [make_shape(name, seed=seed) for name in ("chair", "mug") for seed in range(2)]
    classifier = FewShotClassifier.fit([split], shapes, truth=["chair", "chair", "mug", "mug"])
    assert classifier.head.views == 20
    path = classifier.save(tmp_path / "head.safetensors")
    again = FewShotClassifier.load(path, [split])
    one, other = classifier.predict(shapes), again.predict(shapes)
    assert [p.label for p in one] == [p.label for p in other]
    np.testing.assert_array_equal(one[0].scores, other[0].scores)
    single = Model(replace(split.recipe, few_shot={}), split.encoder)
    with pytest.raises(ConfigError, match="branches split where it was fitted on both"):
        FewShotClassifier.load(path, [single])


def test_both_branches_are_kept_apart_from_the_split(split: Model, tmp_path: Path) -> None:
    library = open_benchmark(write_library(tmp_path / "shapes", ("chair", "mug"), each=1), "folder")
    cache = VectorCache(tmp_path / "views.sqlite")
    one, other = (Embedder(model, cache).embed(library).features for model in (split, split.for_few_shot()))
    assert (one.shape[1], other.shape[1]) == (10, 20)
    np.testing.assert_array_equal(Embedder(split.for_few_shot(), cache).embed(library).features, other)
    np.testing.assert_array_equal(Embedder(split, cache).embed(library).features, one)


def test_without_a_tuned_block_there_is_one_branch() -> None:
    recipe = get_recipe("opendlign-untuned").for_few_shot()
    assert recipe.branches == "split"
    plain = replace(get_recipe("opendlign-b32"), tuned_views=()).for_few_shot()
    assert plain.branches == "split"


@pytest.mark.parametrize(("branches", "views"), [("both", ()), ("all", (5,))])
def test_branches_are_checked(branches: str, views: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="branches is .*; expected 'split', or 'both' with tuned views"):
        replace(get_recipe("opendlign-untuned"), branches=branches, tuned_views=views)  # type: ignore[arg-type]
