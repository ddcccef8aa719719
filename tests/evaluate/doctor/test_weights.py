"""Checks of weights files: what they are, and whether they fit."""

from __future__ import annotations

import pickle
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
import torch
from torch import Tensor

from basrelief.encoders import ClipConfig, TextConfig, VisionConfig, random_encoder, save_encoder
from basrelief.evaluate.doctor.weights import check_weights
from basrelief.models import get_recipe
from basrelief.scenes.threedetr.network import ThreeDetr
from support.hostile_pickles import MakesFolder
from support.published_threedetr import authors_file, copied_file, small_sizes

from .conftest import B16, B32, Put, levels, of, text, vit


def test_the_backbone_fits(weights: Put) -> None:
    findings = check_weights(weights("clip.safetensors", vit(**B32) | text()), get_recipe("pointclip-b32"))
    assert levels(findings) == {"weights file": "ok", "backbone": "ok"}
    assert of(findings, "backbone").fact == "a ViT of width 768, patch 32, 12 blocks, as ViT-B-32/openai."


def test_the_identity_of_a_file_is_reported(weights: Put) -> None:
    path = weights("clip.safetensors", vit() | text())
    fact = of(check_weights(path), "weights file").fact
    assert fact.startswith("clip.safetensors, ")
    assert "SHA-256 " in fact
    assert fact.endswith("layout openai, a ViT of width 32, patch 16, 2 blocks.")


def test_another_file_has_another_hash(weights: Put) -> None:
    one = of(check_weights(weights("a.safetensors", vit())), "weights file").fact
    other = of(check_weights(weights("b.safetensors", vit(width=48))), "weights file").fact
    assert one.split("SHA-256 ")[1][:12] != other.split("SHA-256 ")[1][:12]


def test_another_backbone_is_wrong_and_both_are_named(weights: Put) -> None:
    finding = of(check_weights(weights("clip.safetensors", vit(**B16)), get_recipe("clip2point-untuned")), "backbone")
    assert finding.level == "wrong"
    assert "clip2point-untuned is a ViT of width 768, patch 32, 12 blocks (ViT-B-32/openai)" in finding.fact
    assert "the file is a ViT of width 768, patch 16, 12 blocks, as ViT-B-16" in finding.fact
    assert finding.remedy


def test_an_unknown_backbone_is_reported(weights: Put) -> None:
    assert "an architecture unknown to basrelief" in of(check_weights(weights("clip.safetensors", vit())), "backbone").fact


@pytest.mark.parametrize(("stem", "patch"), [((), 16), ((6,), 16), ((6, 12), 8)])
def test_the_patch_of_a_tower_is_counted_in_pixels_before_its_stem(stem: tuple[int, ...], patch: int, tmp_path: Path) -> None:
    vision = VisionConfig(image_size=32, width=24, layers=2, heads=2, patch_size=patch, stem=stem)
    save_encoder(random_encoder(ClipConfig(8, vision, TextConfig(16, 1, 2, vocab_size=514))), tmp_path)
    fact = of(check_weights(tmp_path / "encoder.safetensors"), "weights file").fact
    assert f"a ViT of width 24, patch {patch}, 2 blocks" in fact


def test_a_resnet_is_distinguished_from_a_vit(weights: Put) -> None:
    state = {"visual.conv1.weight": torch.zeros(32, 3, 3, 3)}
    state |= {f"visual.layer{i}.{j}.conv1.weight": torch.zeros(4) for i, n in ((1, 3), (2, 4), (3, 6), (4, 3)) for j in range(n)}
    findings = check_weights(weights("rn50.pt", state), get_recipe("pointclip"))
    assert of(findings, "backbone").level == "ok"
    assert "a ResNet of width 64, 16 blocks" in of(findings, "backbone").fact
    wrong = of(check_weights(weights("rn50.pt", state), get_recipe("pointclip-v2")), "backbone")
    assert wrong.level == "wrong"
    assert "a ResNet of width 64" in wrong.fact


def test_a_hugging_face_file_is_known_too(weights: Put) -> None:
    state = {"vision_model.embeddings.patch_embedding.weight": torch.zeros(768, 3, 32, 32)}
    state |= {f"vision_model.encoder.layers.{i}.layer_norm1.weight": torch.zeros(4) for i in range(12)}
    findings = check_weights(weights("model.safetensors", state), get_recipe("pointclip-b32"))
    assert "layout huggingface" in of(findings, "weights file").fact
    assert of(findings, "backbone").level == "ok"


def test_a_text_tower_alone_is_wrong(weights: Put) -> None:
    finding = of(check_weights(weights("text.safetensors", text()), get_recipe("pointclip-b32")), "backbone")
    assert finding.level == "wrong"
    assert finding.fact == "The file has no image tower; pointclip-b32 needs ViT-B-32/openai."


def test_opendlign_without_its_tuned_block_is_wrong(weights: Put) -> None:
    finding = of(check_weights(weights("clip.safetensors", vit(1280, 14, 32)), get_recipe("opendlign-h14")), "tuned block")
    assert finding.level == "wrong"
    assert "needs its tuned block; the file has none (layout openai)" in finding.fact
    assert "opendlign-untuned" in finding.remedy


def test_a_tuned_block_nobody_uses_is_a_warning(weights: Put) -> None:
    state = vit(**B32) | {"visual.transformer.depth_control_visual.resblocks.0.ln_1.weight": torch.zeros(4)}
    finding = of(check_weights(weights("clip.safetensors", state), get_recipe("pointclip-b32")), "tuned block")
    assert finding.level == "warning"
    assert finding.remedy == "Use an opendlign model."


def test_plain_clip_is_no_clip2point(weights: Put) -> None:
    finding = of(check_weights(weights("clip.safetensors", vit(**B32)), get_recipe("clip2point")), "checkpoint")
    assert finding.level == "wrong"
    assert finding.remedy == "Pass this file as --weights, and best_eval.pth as --checkpoint."


def test_clip2points_own_tower_fits(weights: Put) -> None:
    findings = check_weights(weights("best_eval.pth", vit(**B32, prefix="module.point_model.")), get_recipe("clip2point"))
    assert levels(findings) == {"weights file": "ok", "backbone": "ok"}
    assert "layout clip2point" in of(findings, "weights file").fact


@pytest.mark.parametrize("recipe", [None, "clip2point", "pointclip-b32"])
def test_an_adapter_is_no_encoder_whatever_it_is_meant_for(recipe: str | None, weights: Put) -> None:
    path = weights("best_test.pth", {"adapter1.fusion_ratio": torch.zeros(10), "pre_model.conv1.weight": torch.zeros(4)})
    (finding,) = check_weights(path, get_recipe(recipe) if recipe else None)
    assert finding.level == "wrong"
    assert "a few-shot adapter" in finding.fact
    assert finding.remedy == "An adapter alone predicts at chance level."


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"visual.conv1.weight": MakesFolder(tmp_path / "owned")}))
    (finding,) = check_weights(tmp_path / "evil.pt")
    assert finding.level == "wrong"
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"\x08\0\0\0\0\0\0\0{}      ", b"PK\x03\x04"])
def test_a_broken_file_is_one_finding(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    (finding,) = check_weights(tmp_path / "w.safetensors")
    assert (finding.check, finding.level) == ("weights file", "wrong")
    assert finding.remedy == "Download the file again; basrelief models says from where."


@pytest.fixture
def tuned_file(tmp_path: Path) -> Path:
    from basrelief.encoders.tuned import save_tuned
    from support.small_models import small_encoder

    encoder = small_encoder(tuned=True)
    encoder.name = "ViT-B-32/datacomp_xl_s13b_b90k"
    return save_tuned(encoder, tmp_path / "tuned_block.safetensors", notes={"settings": {"epochs": 10}})


@pytest.mark.parametrize("name", ["opendlign-b32", None])
def test_a_block_tuned_here_says_where_it_belongs(name: str | None, tuned_file: Path) -> None:
    findings = check_weights(tuned_file, get_recipe(name) if name else None)
    assert levels(findings) == {"weights file": "ok", "tuned block": "ok"}
    assert of(findings, "weights file").fact.endswith("tuned blocks alone.")
    expected = "Tuned on ViT-B-32/datacomp_xl_s13b_b90k, 10 epochs; it fits those weights only."
    assert of(findings, "tuned block").fact == expected


def test_a_block_of_another_clip_is_wrong(tuned_file: Path) -> None:
    finding = of(check_weights(tuned_file, get_recipe("opendlign-h14")), "tuned block")
    assert finding.level == "wrong"
    assert finding.fact.endswith("opendlign-h14 is on ViT-H-14/dfn5b.")
    assert finding.remedy == "Use a model on ViT-B-32/datacomp_xl_s13b_b90k."


def test_other_contents_of_a_checkpoint_are_listed(tmp_path: Path) -> None:
    content = {"state_dict": vit(), "state_dict_ema": vit(), "args": Namespace(lr=0.1), "paths": [PurePosixPath("/a")] * 20}
    torch.save(content | {f"path{i}": PurePosixPath("/a") for i in range(10)}, tmp_path / "w.pt")
    findings = check_weights(tmp_path / "w.pt")
    assert levels(findings) == {"weights file": "ok", "other weights": "ok", "left out": "ok", "backbone": "ok"}
    assert of(findings, "other weights").fact == "The weights are state_dict; the file also holds state_dict_ema, which is not used."
    fact = of(findings, "left out").fact
    assert fact.startswith("Not read, since nothing in a file is executed: args (argparse.Namespace), paths.0 (pathlib.PurePosixPath), ")
    assert fact.endswith("and 23 more.")


@pytest.mark.parametrize("file", [authors_file, copied_file])
def test_a_detector_is_recognised(file: Callable[[dict[str, Tensor]], bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    size = small_sizes(monkeypatch)["3detr-m-scannet"].size
    path = tmp_path / "detector.pth"
    path.write_bytes(file(ThreeDetr(size).state_dict()))
    findings = check_weights(path)
    assert of(findings, "weights file").fact.endswith("197 tensors: the detector 3detr-m-scannet.")
    assert of(findings, "model").fact == "Read by basrelief detect: --proposals 3detr-m --proposal-weights detector.pth."
    finding = of(check_weights(path, get_recipe("pointclip-b32")), "network")
    assert (finding.level, finding.fact) == ("wrong", "pointclip-b32 names shapes; the file proposes boxes in scans.")
    assert finding.remedy
