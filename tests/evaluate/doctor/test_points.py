"""Checks of point networks' weights, and of the clouds that they read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from basrelief.encoders.exported_text import save_exported_text
from basrelief.evaluate.doctor.models import check_model
from basrelief.evaluate.doctor.weights import check_weights
from basrelief.evaluate.sources import ModelSource
from basrelief.models import get_recipe
from support.small_models import small_encoder

from .conftest import B32, Put, levels, of, published_network, text, vit


def test_the_models_that_read_a_file_are_named(tmp_path: Path) -> None:
    findings = check_weights(published_network("uni3d-b", "module", tmp_path))
    assert levels(findings) == {"weights file": "ok", "model": "ok", "clouds": "ok"}
    assert of(findings, "weights file").fact.endswith(" tensors: the point network uni3d-b.")
    assert of(findings, "model").fact == (
        "Read by uni3d-b or uni3d-b-no-lvis. Their files differ in numbers alone, so the file does not say which of them it is."
    )


def test_a_file_fits_its_model(tmp_path: Path) -> None:
    path = published_network("openshape-pointbert", "state_dict", tmp_path)
    findings = check_weights(path, get_recipe("openshape-pointbert-no-lvis"))
    assert levels(findings) == {"weights file": "ok", "network": "ok"}
    assert of(findings, "network").fact == (
        "openshape-pointbert, as openshape-pointbert-no-lvis; the files of openshape-pointbert or openshape-pointbert-shapenet have the "
        "same tensors, so compare the hash."
    )
    wrong = of(check_weights(path, get_recipe("uni3d-b")), "network")
    assert (wrong.level, wrong.fact) == ("wrong", "uni3d-b is uni3d-b; the file is openshape-pointbert.")
    assert wrong.remedy.startswith("Use openshape-pointbert, openshape-pointbert-no-lvis or ")
    views = of(check_weights(path, get_recipe("opendlign-b32")), "network")
    assert (views.level, views.fact) == ("wrong", "opendlign-b32 reads depth images; the file is a point network.")


def test_one_model_reads_the_small_networks(tmp_path: Path) -> None:
    findings = check_weights(published_network("uni3d-ti", "module", tmp_path), get_recipe("uni3d-ti"))
    assert of(findings, "network").fact == "uni3d-ti, as uni3d-ti."
    assert of(check_weights(tmp_path / "model.pt"), "model").fact == "Read by uni3d-ti."


@pytest.mark.parametrize("name", ["point_encoder.visual.blocks.0.norm1.weight", "ppat.transformer.layers.0.weight", "pc_encoder.x"])
def test_point_networks_of_other_sizes(name: str, weights: Put) -> None:
    path = weights("encoder.pt", {name: torch.zeros(4)})
    (alone,) = check_weights(path)
    assert alone.level == "ok"
    assert alone.fact.endswith("1 tensors: a point network of a size that basrelief does not know.")
    (meant,) = check_weights(path, get_recipe("uni3d-b"))
    assert meant.level == "wrong"


def test_clouds_are_described() -> None:
    fact = of(check_model(ModelSource("openshape-pointbert")), "clouds").fact
    assert fact == (
        "10,000 points, centred and scaled to radius 1, +Z up, mirrored, as in their training, xyz + rgb: a cloud without colour gets "
        "0.4 grey."
    )
    assert "normalisation" not in levels(check_model(ModelSource("openshape-pointbert")))


def test_a_text_tower_alone_is_enough_for_words(weights: Put) -> None:
    recipe = get_recipe("openshape-pointbert-b32")
    assert of(check_weights(weights("text.safetensors", text()), recipe), "backbone").level == "ok"
    assert of(check_weights(weights("clip.safetensors", vit(**B32) | text()), recipe), "backbone").level == "ok"


def test_a_network_trained_here_says_where_it_belongs(tmp_path: Path) -> None:
    from basrelief.encoders.points.files import PointRecord, save_point_network
    from basrelief.encoders.points.registry import NetworkSpec

    size = {"dim": 16, "depth": 1, "heads": 1, "mlp_dim": 16, "patch_dim": 8, "patches": 4, "radius": 0.4, "samples": 4, "projection": 8}
    record = PointRecord("small", "point_patch", size, 100, "y-up", 0.4, 10.0, "ViT-B-32/openai")
    path = save_point_network(NetworkSpec("small", "point_patch", size).build(), tmp_path / "point.safetensors", record=record)
    findings = check_weights(path)
    assert of(findings, "weights file").fact.endswith("the point network small, trained by basrelief.")
    assert of(findings, "network").fact == "It was trained in the space of ViT-B-32/openai; it fits models on that encoder."
    assert of(check_weights(path, get_recipe("openshape-pointbert-b32")), "network").level == "ok"
    wrong = of(check_weights(path, get_recipe("uni3d-b")), "network")
    assert (wrong.level, wrong.remedy) == ("wrong", "Use a model on ViT-B-32/openai.")


def test_the_text_tower_is_looked_for_beside_a_checkpoint(tmp_path: Path) -> None:
    path = published_network("openshape-pointbert", "state_dict", tmp_path)
    finding = of(check_model(ModelSource("openshape-pointbert", checkpoint=path)), "weights")
    assert (finding.level, finding.remedy) == ("warning", "Run: basrelief models fetch openshape-pointbert.")
    assert finding.fact == "Not on this machine: CLIP's weights of laion/CLIP-ViT-bigG-14-laion2B-39B-b160k (licence: MIT)."
    assert of(check_model(ModelSource("tamm-spconv")), "weights").remedy == (
        "Run: basrelief models fetch tamm-spconv. Give the file of your training with --checkpoint."
    )


def test_exported_labels_take_the_place_of_the_text_tower(tmp_path: Path) -> None:
    encoder = small_encoder()
    path = save_exported_text(tmp_path / "labels.safetensors", ["chair", "mug"], torch.ones(2, 16), encoder=encoder, prompts="ulip")
    findings = check_model(ModelSource("openshape-pointbert", text=path), labels=["chair", "table"])
    said = [(finding.level, finding.fact) for finding in findings if finding.check == "labels"]
    assert said[0] == ("ok", f"2 labels by {encoder.name}, 16 numbers each.")
    assert said[1][0] == said[2][0] == "wrong"
    assert "does not take them" in said[1][1]
    assert said[2][1] == "1 of 2 labels of the data were not exported, e.g. 'table'."
    assert "CLIP's weights" not in of(findings, "weights").fact
    assert levels(check_model(ModelSource("ulip", text=tmp_path / "absent")))["labels"] == "wrong"
