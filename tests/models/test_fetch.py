"""From the hub to an answer: what a model needs, what is missing, and loading it afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from basrelief.encoders import ClipEncoder
from basrelief.encoders.preprocessing import ImageFit
from basrelief.errors import ConfigError, WeightsNotFoundError
from basrelief.models import get_recipe, list_models, load_model
from basrelief.models.fetch import find_checkpoint, plan_fetch
from support.hub_server import LocalHub
from support.small_hub import CLIP, ENCODER, OPENDLIGN, VOCABULARY, small_hub
from support.small_models import box, small_encoder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    with small_hub(monkeypatch, tmp_path) as running:
        yield running


def listed(name: str) -> list[tuple[str, str]]:
    return [(selection.repository.name, file.name) for selection in plan_fetch(name).selections for file in selection.files]


def missing(name: str) -> str:
    return next(status.missing for status in list_models() if status.name == name)


def test_clip_needs_weights_vocabulary_and_preprocessing(hub: LocalHub) -> None:
    plan = plan_fetch("clip2point-untuned")
    assert listed("clip2point-untuned") == [
        (CLIP, "open_clip_model.safetensors"),
        (CLIP, "tokenizer.json"),
        (CLIP, "open_clip_config.json"),
    ]
    assert plan.size == sum(map(len, hub.repositories[CLIP].files.values()))
    assert plan.restricted == ()
    assert listed(ENCODER) == listed("clip2point-untuned")
    assert missing("clip2point-untuned") == "CLIP's weights of someone/small-clip (licence: MIT)"
    assert len(plan.fetch()) == 3
    assert missing("clip2point-untuned") == ""
    assert plan_fetch("clip2point-untuned").selections == ()
    model = load_model("clip2point-untuned", dtype="float32")
    assert model.encoder.image_fit == ImageFit()
    assert model.classify([box()], ["chair", "table"])[0].model == "clip2point-untuned"


def test_opendlign_needs_its_checkpoint_and_the_vocabulary_alone(hub: LocalHub) -> None:
    assert missing("opendlign-b32") == "the ViT-B-32 file of OpenDlign/OpenDlign-Models (licence: none stated)"
    plan = plan_fetch("opendlign-b32")
    assert listed("opendlign-b32") == [(OPENDLIGN, "ViT-B-32.pth"), (VOCABULARY, "tokenizer.json")]
    assert [(selection.repository.name, selection.licences) for selection in plan.restricted] == [
        (OPENDLIGN, "none stated (tuned block); MIT (CLIP); the hub states none")
    ]
    with pytest.raises(
        WeightsNotFoundError,
        match=r"^opendlign-b32 needs its checkpoint\. Run: basrelief models fetch opendlign-b32, or give your copy of ",
    ):
        load_model("opendlign-b32")
    plan.fetch()
    assert missing("opendlign-b32") == ""
    model = load_model("opendlign-b32", dtype="float32")
    assert isinstance(model.encoder, ClipEncoder)
    expected = small_encoder(seed=2, tuned=True).towers.state_dict()
    assert all(torch.equal(model.encoder.towers.state_dict()[name], tensor) for name, tensor in expected.items())
    assert CLIP not in {request.path.split("/resolve")[0].strip("/") for request in hub.downloads()}


def test_a_file_that_only_a_browser_gets_is_found_where_it_was_put(hub: LocalHub, tmp_path: Path) -> None:
    plan = plan_fetch("clip2point")
    assert plan.manual is not None
    assert plan.manual.address.startswith("https://drive.google.com/file/d/")
    assert plan.manual.path == tmp_path / "basrelief" / "checkpoints" / "clip2point" / "best_eval.pth"
    plan.fetch()
    assert missing("clip2point").startswith("best_eval.pth of https://drive.google.com/")
    assert find_checkpoint(get_recipe("clip2point")) is None
    plan.manual.path.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "made" / "best_eval.pth", plan.manual.path)
    assert missing("clip2point") == ""
    assert find_checkpoint(get_recipe("clip2point")) == plan.manual.path
    model = load_model("clip2point", dtype="float32")
    assert isinstance(model.encoder, ClipEncoder)
    patches = "vision_model.embeddings.patch_embedding.weight"
    assert torch.equal(model.encoder.towers.state_dict()[patches], small_encoder(seed=3).towers.state_dict()[patches])


def test_the_vocabulary_alone_can_be_missing(hub: LocalHub) -> None:
    del hub.repositories[CLIP].files["tokenizer.json"]
    assert listed(ENCODER)[-1] == (VOCABULARY, "tokenizer.json")
    plan_fetch(ENCODER).selections[0].fetch()
    assert missing("clip2point-untuned") == "CLIP's vocabulary (licence: MIT)"
    assert listed("clip2point-untuned") == [(VOCABULARY, "tokenizer.json")]
    plan_fetch("clip2point-untuned").fetch()
    assert missing("clip2point-untuned") == ""


def test_names_that_do_not_decide(hub: LocalHub) -> None:
    hub.repositories[OPENDLIGN].files = {"ViT-B-32/best.pth": b"a", "ViT-B-32/last.pth": b"b"}
    message = r"has 2 files that may be the weights of ViT-B-32: ViT-B-32/best\.pth, ViT-B-32/last\.pth\. Name one: basrelief models fetch opendlign-b32 --file FILE\."
    with pytest.raises(WeightsNotFoundError, match=message):
        plan_fetch("opendlign-b32")
    plan = plan_fetch("opendlign-b32", file="ViT-B-32/best.pth")
    assert [file.name for file in plan.selections[0].files] == ["ViT-B-32/best.pth"]
    plan.fetch()
    assert find_checkpoint(get_recipe("opendlign-b32")) == plan.fetch()[0]
    with pytest.raises(
        ConfigError,
        match=r"Unknown file 'ViT-B-32/bets\.pth' in OpenDlign/OpenDlign-Models; expected one of ViT-B-32/best\.pth, ViT-B-32/last\.pth",
    ):
        plan_fetch("opendlign-b32", file="ViT-B-32/bets.pth")


def test_what_ships_needs_nothing(hub: LocalHub) -> None:
    assert plan_fetch("tiny").selections == ()
    assert hub.requests == []


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown model 'opendlign-h41'; expected one of .*\. Did you mean 'opendlign-h14'\?"):
        plan_fetch("opendlign-h41")


def test_no_repository_has_the_vocabulary(hub: LocalHub) -> None:
    del hub.repositories[VOCABULARY]
    with pytest.raises(WeightsNotFoundError, match=rf"{VOCABULARY} is not on http://"):
        plan_fetch("opendlign-b32")
