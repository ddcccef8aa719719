"""From the hub to an answer: what a model needs, what is missing, and loading it afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from basrelief.encoders import ClipEncoder
from basrelief.encoders.preprocessing import ImageFit
from basrelief.errors import ConfigError, WeightsNotFoundError
from basrelief.models import get_recipe, list_models, load_model
from basrelief.models.fetch import find_checkpoint, plan_fetch
from support.hub_server import HubRepository, LocalHub
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


def test_a_path_in_a_data_set_is_taken_exactly(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    own = get_recipe("opendlign-b32")
    assert own.checkpoint is not None
    exact = replace(own, checkpoint=replace(own.checkpoint, repository="datasets/SFXX/ulip", path="ULIP-1/ckpt.pt"))
    for module in ("recipe", "fetch", "registry"):
        monkeypatch.setattr(f"basrelief.models.{module}.recipes", lambda: {"opendlign-b32": exact})
    content = hub.repositories[OPENDLIGN].files["ViT-B-32.pth"]
    hub.repositories["datasets/SFXX/ulip"] = HubRepository({"ULIP-1/ckpt.pt": content, "ULIP-1/ViT-B-32.pt": b"other"}, card={})
    assert missing("opendlign-b32") == "ULIP-1/ckpt.pt of datasets/SFXX/ulip (licence: none stated)"
    assert listed("opendlign-b32")[0] == ("datasets/SFXX/ulip", "ULIP-1/ckpt.pt")
    path = plan_fetch("opendlign-b32").fetch()[0]
    assert find_checkpoint(exact) == path
    assert listed("opendlign-b32") == []
    assert load_model("opendlign-b32", dtype="float32").encoder.has_tuned_block
    shutil.rmtree(path.parents[3])
    del hub.repositories["datasets/SFXX/ulip"].files["ULIP-1/ckpt.pt"]
    with pytest.raises(ConfigError, match=r"^Unknown file 'ULIP-1/ckpt\.pt' in datasets/SFXX/ulip; expected one of ULIP-1/ViT-B-32\.pt"):
        plan_fetch("opendlign-b32")


def test_text_towers_of_point_models(hub: LocalHub) -> None:
    slip = "pretrained-weights/ulip/image-text-encoder/slip_base_100ep.pt"
    hub.repositories["datasets/auniquesun/Point-PRC"] = HubRepository({slip: b"1", "pretrained-weights/ulip/other.pt": b"2"}, card={})
    assert listed("SLIP-ViT-B-16/yfcc15m") == [("datasets/auniquesun/Point-PRC", slip), (VOCABULARY, "tokenizer.json")]
    eva = "timm/eva02_enormous_patch14_plus_clip_224.laion2b_s9b_b144k"
    hub.repositories[eva] = HubRepository({"open_clip_pytorch_model.bin": b"1", "model.safetensors": b"2", "open_clip_config.json": b"{}"})
    assert listed("EVA02-E-14-plus/laion2b_s9b_b144k")[0] == (eva, "open_clip_pytorch_model.bin")


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


def test_a_text_tower_is_left_out_for_exported_labels(hub: LocalHub) -> None:
    hub.repositories["BAAI/Uni3D"] = HubRepository({"modelzoo/uni3d-b/model.pt": b"1"}, card={"license": "mit"})
    (selection,) = plan_fetch("uni3d-b", text=False).selections
    assert [(selection.repository.name, file.name) for file in selection.files] == [("BAAI/Uni3D", "modelzoo/uni3d-b/model.pt")]
    with pytest.raises(ConfigError, match=r"^opendlign-b32 reads no points, so exported labels cannot replace its text tower\. Leave out"):
        plan_fetch("opendlign-b32", text=False)
