"""Which checks run for which kind of target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from basrelief.errors import ConfigError
from basrelief.evaluate import DataSource, ModelSource
from basrelief.evaluate.doctor.diagnose import diagnose
from support import dataset_miniatures

from .conftest import Put, levels, lying, of, vit


def test_a_model_is_examined_by_name() -> None:
    assert of(diagnose("tiny"), "recipe").level == "ok"


def test_a_model_with_a_data_set_says_what_the_paper_says() -> None:
    assert "paper" in levels(diagnose("clip2point", data=DataSource(Path(), "modelnet40")))


def test_a_model_is_given_its_files(weights: Put) -> None:
    source = ModelSource("", weights=weights("clip.safetensors", vit()))
    assert of(diagnose("pointclip-b32", model=source), "backbone").level == "wrong"


def test_a_shape_file_is_examined(cloud: Put) -> None:
    assert of(diagnose(str(cloud())), "reading").fact == "2,000 points, ply."


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin", ".ckpt"])
def test_weights_are_known_by_their_suffix(suffix: str, weights: Put) -> None:
    assert of(diagnose(str(weights(f"w{suffix}", vit()))), "weights file").level == "ok"


def test_weights_are_checked_against_a_model(weights: Put) -> None:
    assert of(diagnose(str(weights("w.safetensors", vit())), model=ModelSource("clip2point-untuned")), "backbone").level == "wrong"


def test_points_are_checked_against_a_model(cloud: Put) -> None:
    assert of(diagnose(str(cloud()), model=ModelSource("opendlign-h14")), "points").level == "warning"


def test_a_folder_is_a_data_set_and_wrong_counts_are_findings(tmp_path: Path) -> None:
    found = diagnose(str(dataset_miniatures.modelnet_off(tmp_path)), sample=2)
    assert of(found, "count").level == "wrong"
    assert of(found, "count").fact == "40 shapes, 2,468 expected in ModelNet40 test."


def test_a_data_set_with_a_model_has_the_findings_of_both(tmp_path: Path) -> None:
    found = diagnose(str(dataset_miniatures.scanobjectnn(tmp_path)), model=ModelSource("opendlign-h14"), sample=2)
    assert {"layout", "variant", "recipe", "normalisation", "paper"} <= levels(found).keys()


def test_the_variant_is_the_models_on_that_data_set(tmp_path: Path) -> None:
    root = str(dataset_miniatures.scanobjectnn(tmp_path))
    model, data = ModelSource("opendlign-h14"), DataSource(Path(), "scanobjectnn")
    assert of(diagnose(root, model=model, data=data, sample=1), "variant").fact.startswith("The variant is OBJ_ONLY")
    other = replace(data, variant="OBJ_BG")
    assert of(diagnose(root, model=model, data=other, sample=1), "variant").fact.startswith("The variant is OBJ_BG")


def test_an_axis_that_is_given_is_taken(tmp_path: Path) -> None:
    for name in ("chair", "table"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        lying(name, tmp_path / "mine" / name / "a.ply")
    root = str(tmp_path / "mine")
    assert of(diagnose(root), "upright").level == "wrong"
    right = diagnose(root, data=DataSource(Path(), up="y"))
    assert of(right, "upright").level == "ok"
    assert of(right, "up axis").fact == "y: given by the caller."


def test_what_is_nothing_is_explained() -> None:
    with pytest.raises(
        ConfigError, match="Unknown target 'tinny'; expected one of .*. Did you mean 'tiny'.* Or name a file or folder that exists"
    ):
        diagnose("tinny")


def test_an_unknown_model_is_explained(cloud: Put) -> None:
    with pytest.raises(ConfigError, match="Unknown model 'opendline-h14'"):
        diagnose(str(cloud()), model=ModelSource("opendline-h14"))


def test_a_folder_that_is_no_data_set_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match="does not look like a data set"):
        diagnose(str(tmp_path))


def test_a_row_of_an_array_file_may_be_named(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_h5(tmp_path)
    assert of(diagnose(f"{root / 'ply_data_test0.h5'}#3"), "reading").fact == "64 points, h5."


def test_the_members_of_an_ensemble_are_checked() -> None:
    findings = diagnose("opendlign-b32+openshape-pointbert")
    titles = [finding.fact for finding in findings if finding.check == "recipe"]
    assert [title.split(" ")[0] for title in titles] == ["OpenDlign", "OpenShape"]
    assert {"normalisation", "clouds"} <= {finding.check for finding in findings}
    with pytest.raises(ConfigError, match=r"Unknown target 'openshape'; expected one of .* Did you mean"):
        diagnose("opendlign-b32+openshape")
    with pytest.raises(
        ConfigError, match=r"is an ensemble, whose members have files of their own\. Check each of them: opendlign-b32, tiny\."
    ):
        diagnose("opendlign-b32+tiny", model=ModelSource("", weights=Path("w")))
