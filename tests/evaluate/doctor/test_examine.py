"""From what a user typed to the checks that belong to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from basrelief.errors import ConfigError
from basrelief.evaluate.doctor import ModelFiles, Question, examine
from support import dataset_miniatures

from .conftest import Put, levels, lying, of, vit


def test_a_model_is_examined_by_name() -> None:
    assert of(examine("tiny"), "recipe").level == "ok"


def test_a_model_with_a_data_set_says_what_the_paper_says() -> None:
    assert "paper" in levels(examine("clip2point", Question(dataset="modelnet40")))


def test_a_model_is_given_its_files(weights: Put) -> None:
    given = ModelFiles(weights=weights("clip.safetensors", vit()))
    assert of(examine("pointclip-b32", files=given), "backbone").level == "wrong"


def test_a_shape_file_is_examined(cloud: Put) -> None:
    assert of(examine(str(cloud())), "reading").fact == "2,000 points, ply."


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin", ".ckpt"])
def test_weights_are_known_by_their_suffix(suffix: str, weights: Put) -> None:
    assert of(examine(str(weights(f"w{suffix}", vit()))), "weights file").level == "ok"


def test_weights_are_held_against_a_model(weights: Put) -> None:
    assert of(examine(str(weights("w.safetensors", vit())), Question(model="clip2point-untuned")), "backbone").level == "wrong"


def test_points_are_held_against_a_model(cloud: Put) -> None:
    assert of(examine(str(cloud()), Question(model="opendlign-h14")), "points").level == "warning"


def test_a_folder_is_a_data_set_and_wrong_counts_are_findings(tmp_path: Path) -> None:
    found = examine(str(dataset_miniatures.modelnet_off(tmp_path)), Question(sample=2))
    assert of(found, "count").level == "wrong"
    assert of(found, "count").fact == "40 shapes, 2,468 expected in ModelNet40 test."


def test_a_data_set_with_a_model_has_the_findings_of_both(tmp_path: Path) -> None:
    found = examine(str(dataset_miniatures.scanobjectnn(tmp_path)), Question(model="opendlign-h14", sample=2))
    assert {"layout", "variant", "recipe", "normalisation", "paper"} <= levels(found).keys()


def test_the_variant_is_the_models_on_that_data_set(tmp_path: Path) -> None:
    root = str(dataset_miniatures.scanobjectnn(tmp_path))
    asked = Question(dataset="scanobjectnn", model="opendlign-h14", sample=1)
    assert of(examine(root, asked), "variant").fact.startswith("OBJ_ONLY is read")
    other = Question(dataset="scanobjectnn", model="opendlign-h14", sample=1, variant="OBJ_BG")
    assert of(examine(root, other), "variant").fact.startswith("OBJ_BG is read")


def test_an_axis_that_is_given_is_taken(tmp_path: Path) -> None:
    for name in ("chair", "table"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        lying(name, tmp_path / "mine" / name / "a.ply")
    root = str(tmp_path / "mine")
    assert of(examine(root), "upright").level == "wrong"
    right = examine(root, Question(up="y"))
    assert of(right, "upright").level == "ok"
    assert of(right, "up axis").fact == "y: given by the caller."


def test_what_is_nothing_is_explained() -> None:
    with pytest.raises(
        ConfigError, match="target must be one of .*, but got 'tinny'. Did you mean 'tiny'.* Or name a file or folder that exists"
    ):
        examine("tinny")


def test_an_unknown_model_is_explained(cloud: Put) -> None:
    with pytest.raises(ConfigError, match="but got 'opendline-h14'"):
        examine(str(cloud()), Question(model="opendline-h14"))


def test_a_folder_that_is_no_data_set_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match="root must "):
        examine(str(tmp_path))


def test_a_row_of_an_array_file_may_be_named(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_h5(tmp_path)
    assert of(examine(f"{root / 'ply_data_test0.h5'}#3"), "reading").fact == "64 points, h5."
