"""load_model: weights from a folder, a method's checkpoint on top, prompts; and every way it can fail."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from basrelief.encoders import ClipEncoder, registry
from basrelief.encoders.tuned import export_published, save_tuned
from basrelief.errors import ConfigError, WeightsError, WeightsNotFoundError
from basrelief.models import list_models, load_model, load_untuned, recipe, recipes
from basrelief.train.point.settings import list_presets
from support.small_models import box, small_encoder

SMALL = ("clip2point-untuned", "clip2point", "opendlign-b32", "pointclip-v2")


@pytest.fixture
def small_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The recipes of `SMALL` on a CLIP that is small enough to write to disk; all else is as shipped."""
    spec = replace(registry.encoder_spec("ViT-B-32/openai"), name="small/random", config=small_encoder().config)
    known = recipes() | {name: replace(recipes()[name], encoder="small/random") for name in SMALL}
    specs = {name: registry.encoder_spec(name) for name in registry.list_encoders()} | {spec.name: spec}
    monkeypatch.setattr(registry, "_specs", lambda: specs)
    monkeypatch.setattr(recipe, "recipes", lambda: known)
    return


def written(encoder: ClipEncoder, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(encoder.towers.state_dict()), folder / "model.safetensors")
    encoder.tokenizer.save(folder)
    return folder


@pytest.mark.usefixtures("small_registry")
def test_weights_come_from_a_folder(tmp_path: Path) -> None:
    encoder = small_encoder(seed=7)
    model = load_model("clip2point-untuned", weights=written(encoder, tmp_path), dtype="float32")
    assert isinstance(model.encoder, ClipEncoder)
    for name, tensor in encoder.towers.state_dict().items():
        assert torch.equal(model.encoder.towers.state_dict()[name], tensor), name
    assert model.classify([box()], ["chair", "table"])[0].model == "clip2point-untuned"


@pytest.mark.usefixtures("small_registry")
def test_a_checkpoint_replaces_the_image_tower_alone(tmp_path: Path) -> None:
    base, method = small_encoder(seed=1), small_encoder(seed=2, tuned=True)
    weights, checkpoint = written(base, tmp_path / "clip"), written(method, tmp_path / "method") / "model.safetensors"
    model = load_model("opendlign-b32", weights=weights, checkpoint=checkpoint, dtype="float32")
    assert isinstance(model.encoder, ClipEncoder)
    state = model.encoder.towers.state_dict()
    for name, tensor in method.towers.state_dict().items():
        of_method = name.startswith(("vision_model.", "visual_projection.", "tuned_blocks."))
        assert torch.equal(state[name], tensor if of_method else base.towers.state_dict()[name]), name


@pytest.mark.usefixtures("small_registry")
def test_a_whole_checkpoint_needs_no_other_weights(tmp_path: Path) -> None:
    method = small_encoder(seed=2, tuned=True)
    model = load_model("opendlign-b32", checkpoint=written(method, tmp_path) / "model.safetensors", dtype="float32")
    assert model.encoder.has_tuned_block


@pytest.mark.usefixtures("small_registry")
def test_an_untuned_recipe_is_plain_clip_and_takes_a_block_later(tmp_path: Path) -> None:
    """The way of training: load plain CLIP, tune, and load the same CLIP with the block; the published file is not needed."""
    weights = written(small_encoder(seed=1), tmp_path / "clip")
    model = load_untuned("opendlign-b32", weights=weights)
    assert (model.recipe.tuned_views, model.recipe.checkpoint) == ((), None)
    assert isinstance(model.encoder, ClipEncoder)
    assert not model.encoder.has_tuned_block
    encoder = model.encoder.with_preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    encoder.towers.add_tuned_blocks(2)
    for parameter in encoder.towers.tuned_parameters():
        parameter.data.mul_(2)
    block = save_tuned(encoder, tmp_path / "tuned.safetensors", notes={})
    tuned = load_model("opendlign-b32", weights=weights, checkpoint=block, dtype="float32")
    assert tuned.recipe.tuned_views == (5, 6, 7, 8, 9)
    assert isinstance(tuned.encoder, ClipEncoder)
    for name, tensor in encoder.towers.state_dict().items():
        assert torch.equal(tuned.encoder.towers.state_dict()[name], tensor), name
    with pytest.raises(WeightsError, match="The checkpoint was trained with mean and deviation .*, not those of clip2point"):
        load_model("clip2point", weights=weights, checkpoint=block)
    whole = export_published(encoder, tmp_path / "all.pth")
    published = load_model("opendlign-b32", checkpoint=whole, weights=weights, dtype="float32")
    torch.testing.assert_close(published.embed_views([box()]), tuned.embed_views([box()]))


@pytest.mark.usefixtures("small_registry")
def test_published_prompts_take_the_place_of_templates(tmp_path: Path) -> None:
    best = {
        "class_order": {"modelnet40": ["chair", "table"]},
        "best": {"modelnet40": {"small": {"prompts": ["a chair of grey", "a table of grey"], "view_weights": [0.5] * 10}}},
    }
    listed = tmp_path / "best.json"
    listed.write_text(json.dumps(best))
    model = load_model("pointclip-v2", weights=written(small_encoder(), tmp_path), prompts=f"{listed}#modelnet40", dtype="float32")
    assert model.recipe.pooling.weights == (0.5,) * 10
    halved, whole = model.classify([box()], ["chair", "table"])[0], load_model("pointclip-v2", weights=tmp_path, dtype="float32")
    assert halved.scores.sum() == pytest.approx(100 * 0.5 / 10**0.5 * halved.view_scores.sum(), rel=1e-3)
    features = model.encoder.encode_text(["a chair of grey"])[0]
    torch.testing.assert_close(model.embed_text(["chair"])[0], features / features.norm())
    assert not torch.allclose(whole.embed_text(["chair"]), model.embed_text(["chair"]))
    with pytest.raises(ConfigError, match="Unknown label 'lamp'; expected one of chair, table"):
        model.embed_text(["lamp"])


@pytest.mark.usefixtures("small_registry")
def test_failures_say_what_to_do(tmp_path: Path) -> None:
    folder = written(small_encoder(), tmp_path / "clip")
    plain = folder / "model.safetensors"
    cases = [
        (ConfigError, "Unknown model 'clip2pont'; expected one of .*. Did you mean 'clip2point'", {"name": "clip2pont"}),
        (ConfigError, "clip2point-untuned takes no checkpoint", {"name": "clip2point-untuned", "checkpoint": plain}),
        (ConfigError, "tiny comes with its weights. Leave out weights=", {"name": "tiny", "weights": folder}),
        (
            WeightsNotFoundError,
            r"^clip2point needs its checkpoint\. Run: basrelief models fetch clip2point, or give your copy of best_eval\.pth of https://drive.*: --checkpoint FILE\.$",
            {"name": "clip2point"},
        ),
        (WeightsNotFoundError, "Checkpoint 'nowhere.pth' not found", {"name": "clip2point", "checkpoint": "nowhere.pth"}),
        (WeightsError, "The checkpoint has no tuned block, which opendlign-b32 needs", {"name": "opendlign-b32", "checkpoint": plain}),
        (
            WeightsNotFoundError,
            "has no weights: no file ends in .*Run: basrelief models fetch small/random",
            {"name": "clip2point-untuned", "weights": tmp_path},
        ),
        (
            ConfigError,
            "Device 'abacus' is not available; expected auto, cpu or a CUDA device",
            {"name": "clip2point-untuned", "weights": folder, "device": "abacus"},
        ),
        (ConfigError, "Unknown dtype '.*'; expected one of", {"name": "clip2point-untuned", "weights": folder, "dtype": "float8"}),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error, match=message):
            load_model(**arguments)


def test_absent_weights_are_named_with_source_and_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsNotFoundError, match=r"safetensors .*from .*laion/.*licence: MIT.*--weights FOLDER") as caught:
        load_model("opendlign-b32", weights=tmp_path, checkpoint=__file__)
    assert "ViT-B-32/datacomp_xl_s13b_b90k" in str(caught.value)


def test_models_are_listed_with_what_is_missing() -> None:
    found = {status.name: status for status in list_models()}
    assert set(found) == set(recipes())
    assert found["tiny"].ready
    assert found["tiny"].megabytes <= 12
    assert "best_eval.pth" in found["clip2point"].missing
    assert "apple/DFN5B" in found["opendlign-untuned"].missing
    assert found["opendlign-h14"].megabytes > 3000
    assert all(s.licence and s.training_data for s in found.values())


def test_the_text_tower_of_a_point_network_is_listed_beside_it() -> None:
    found = {status.name: status for status in list_models()}
    large = found["openshape-pointbert"]
    assert (large.encoder, large.megabytes, large.text_megabytes) == ("ViT-bigG-14/laion2b_s39b_b160k", 388.1, 10158.3)
    assert (found["ulip"].megabytes > 600, found["ulip"].text_megabytes) == (True, 0)  # its file holds the text tower
    assert found["ulip2-xyz"].megabytes < 100 < found["ulip2-xyz"].text_megabytes
    assert (found["tamm-spconv"].megabytes, found["pointclip"].text_megabytes) == (184.2, 0)


def test_a_checkpoint_that_nobody_publishes_must_be_trained() -> None:
    missing = next(status.missing for status in list_models() if status.name == "tamm-spconv")
    needed = "a checkpoint that nobody publishes (train it: basrelief train point preset=tamm-sparseconv)"
    assert missing == f"CLIP's weights of laion/CLIP-ViT-bigG-14-laion2B-39B-b160k (licence: MIT); {needed}"
    with pytest.raises(WeightsNotFoundError, match=re.escape(f"tamm-spconv needs {needed}. Give the file of your training: --checkpoint")):
        load_model("tamm-spconv")
    presets = {name: recipe.checkpoint.preset for name, recipe in recipes().items() if recipe.checkpoint}
    assert {preset for preset in presets.values() if preset} <= set(list_presets())
    assert sum(map(bool, presets.values())) == 8
