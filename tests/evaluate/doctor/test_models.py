"""Checks of a model before it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from basrelief.datasets.labels import label_set
from basrelief.errors import ConfigError
from basrelief.evaluate import ModelSource
from basrelief.evaluate.doctor.models import check_model
from support.small_models import MODELS

from .conftest import B16, B32, Put, levels, of, vit


@pytest.mark.parametrize("name", [*MODELS, "tiny"])
def test_every_model_can_be_examined_without_weights(name: str) -> None:
    findings = check_model(ModelSource(name))
    assert of(findings, "recipe").level == "ok"
    assert "Licence: " in of(findings, "recipe").fact
    assert not any(finding.level == "wrong" for finding in findings)


def test_tiny_needs_nothing() -> None:
    assert set(levels(check_model(ModelSource("tiny"))).values()) == {"ok"}


def test_weights_that_are_not_here_are_a_warning() -> None:
    finding = of(check_model(ModelSource("clip2point")), "weights")
    assert finding.level == "warning"
    assert finding.fact.startswith("Not on this machine: ")


def test_weights_that_are_here_are_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.evaluate.doctor.models.missing_files", lambda *_, **__: [])
    assert "weights" not in levels(check_model(ModelSource("clip2point")))


def test_unknown_models_and_data_sets_are_explained() -> None:
    with pytest.raises(ConfigError, match="Unknown model 'opendlign-h15'; .*Did you mean 'opendlign-h14'"):
        check_model(ModelSource("opendlign-h15"))
    with pytest.raises(ConfigError, match="modelnet4"):
        check_model(ModelSource("tiny"), dataset="modelnet4")


def test_clip_alone_is_not_enough_for_clip2point(weights: Put) -> None:
    finding = of(check_model(ModelSource("clip2point", weights=weights("clip.safetensors", vit(**B32)))), "checkpoint")
    assert finding.level == "wrong"
    assert finding.fact == "clip2point needs more than CLIP's weights."
    assert "--checkpoint" in finding.remedy


def test_both_files_are_examined_each_for_its_part(weights: Put) -> None:
    source = ModelSource("clip2point", weights("clip.safetensors", vit(**B32)), weights("best_eval.pth", vit(**B32, prefix="point_model.")))
    findings = check_model(source)
    assert [f.level for f in findings if f.check in ("weights file", "backbone")] == ["ok"] * 4
    assert "checkpoint" not in levels(findings)


def test_a_folder_of_weights_is_looked_into(weights: Put, tmp_path: Path) -> None:
    weights("model.safetensors", vit(**B16))
    findings = check_model(ModelSource("pointclip-b32", weights=tmp_path))
    assert of(findings, "backbone").level == "wrong"
    assert of(findings, "tokenizer").level == "warning"
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "tokenizer" not in levels(check_model(ModelSource("pointclip-b32", weights=tmp_path)))


def test_an_empty_folder_holds_no_weights(tmp_path: Path) -> None:
    finding = of(check_model(ModelSource("pointclip-b32", weights=tmp_path)), "weights file")
    assert finding.level == "wrong"
    assert "No weights file at" in finding.fact


@pytest.mark.parametrize(
    ("name", "said"), [("opendlign-h14", "ImageNet's mean and std"), ("clip2point", "the weights' own"), ("pointclip", "no mean")]
)
def test_the_normalisation_is_said(name: str, said: str) -> None:
    assert said in of(check_model(ModelSource(name)), "normalisation").fact


def prompt_list(path: Path, *, backbone: str = "vit_b16", labels: tuple[str, ...] = label_set("modelnet40"), searched: bool = True) -> Path:
    """A list in the form of PointCLIP V2's searched prompts, for ModelNet40."""
    entry: dict[str, object] = {"prompts": [f"a depth map of {label}" for label in labels]}
    if searched:
        entry["view_weights"] = [1.0] * 10
    path.write_text(json.dumps({"class_order": {"modelnet40": list(labels)}, "best": {"modelnet40": {backbone: entry}}}))
    return path


def test_pointclip_v2_without_prompts_is_not_its_figure() -> None:
    finding = of(check_model(ModelSource("pointclip-v2")), "prompts")
    assert finding.level == "warning"
    assert "best_param.json#modelnet40" in finding.remedy


def test_a_prompt_list_that_cannot_be_read_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("[")
    assert of(check_model(ModelSource("pointclip-v2", prompts=tmp_path / "p.json")), "prompts").level == "wrong"


def test_what_the_paper_says_on_a_data_set_is_repeated() -> None:
    fact = of(check_model(ModelSource("opendlign-h14"), dataset="scanobjectnn"), "paper").fact
    assert fact.startswith("On scanobjectnn: top1 ")
    assert "The paper uses variant OBJ_ONLY, points 2048, templates opendlign-scanobjectnn, and so does evaluate." in fact


def test_a_recipe_without_a_number_says_so() -> None:
    assert of(check_model(ModelSource("tiny"), dataset="modelnet40"), "paper").fact == "On modelnet40: no published number."


def test_the_known_error_of_clip2point_is_reported() -> None:
    facts = [f.fact for f in check_model(ModelSource("clip2point"), dataset="modelnet40") if f.check == "paper"]
    assert len(facts) == 2
    assert "49.38" in facts[0]
    assert "turned the wrong way" in facts[1]


def test_the_published_prompts_fit_their_backbone_and_data(tmp_path: Path) -> None:
    findings = check_model(ModelSource("pointclip-v2", prompts=prompt_list(tmp_path / "p.json", searched=False)), dataset="modelnet40")
    assert of(findings, "prompts").level == "ok"
    assert of(findings, "prompts").fact == "40 labels of modelnet40, backbone vit_b16."
    assert "view weights" not in levels(findings)


def test_prompts_of_another_backbone_are_wrong(tmp_path: Path) -> None:
    finding = of(check_model(ModelSource("pointclip-v2", prompts=prompt_list(tmp_path / "p.json", backbone="rn50"))), "prompts")
    assert finding.level == "wrong"
    assert "rn50" in finding.fact
    assert "ViT-B-16/openai" in finding.remedy


def test_prompts_of_another_data_set_are_wrong(tmp_path: Path) -> None:
    source = ModelSource("pointclip-v2", prompts=Path(f"{prompt_list(tmp_path / 'p.json')}#modelnet40"))
    wrong = [f for f in check_model(source, dataset="scanobjectnn") if f.check == "prompts" and f.level == "wrong"]
    assert len(wrong) == 1
    assert "labels of scanobjectnn have no prompt, e.g. " in wrong[0].fact
    assert "FILE#DATASET" in wrong[0].remedy


def test_view_weights_searched_on_a_test_set_are_a_warning(tmp_path: Path) -> None:
    finding = of(check_model(ModelSource("pointclip-v2", prompts=prompt_list(tmp_path / "p.json"))), "view weights")
    assert finding.level == "warning"
    assert "searched on the test set" in finding.fact
