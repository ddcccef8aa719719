"""Which models suit shapes and machines, and what is said of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from basrelief.errors import ConfigError
from basrelief.models import get_recipe
from basrelief.models.recommend import Recommendation, ShapeSummary, machine_memory, recommend_models, summarise_shapes
from basrelief.models.recommend_colour import PATIENCE, better_default, recommend_colour_models
from support import REPOSITORY

SHAPES = REPOSITORY / "examples" / "shapes"
PLAIN_MESHES = ShapeSummary(files=9, meshes=9, clouds=0, colored=0, points=0, unreadable=0)
COLORED_SCANS = ShapeSummary(files=9, meshes=0, clouds=9, colored=9, points=2048, unreadable=0)


def ranked(labels: str, memory_gb: float, shapes: ShapeSummary | None = None, licence: str = "any") -> list[Recommendation]:
    found = recommend_models(memory_gb=memory_gb, shapes=shapes, licence=licence)
    return [one for one in found if one.labels == labels]


def names(found: list[Recommendation]) -> set[str]:
    return {name for one in found for name in (one.name, *one.smaller)}


def test_a_laptop_gets_the_small_public_models_for_any_words() -> None:
    wanted = {"tiny", "openshape-pointbert-b32", "openshape-pointbert-l14", "ulip", "opendlign-b32"}
    found = ranked("any", 8)
    assert wanted <= names(found)
    assert all(one.memory_gb <= 2 for one in found)


def test_larger_models_are_named_on_a_laptop_with_the_remark_that_labels_can_be_exported() -> None:
    found = ranked("exported", 8)
    assert {"uni3d-l", "tamm-pointbert", "ulip2", "openshape-pointbert"} <= names(found)
    for one in found:
        assert "export the labels elsewhere" in one.reason
        assert one.commands[0].startswith(f"basrelief models export-text {one.name} ")
        assert one.commands[1] == f"basrelief models fetch {one.name} --without-text"
        assert one.commands[2].endswith(f"--model {one.name} --text labels.safetensors")


def test_with_enough_memory_nothing_needs_exported_labels() -> None:
    assert ranked("exported", 64) == []
    assert ranked("any", 64)[0].name == "uni3d-g"


def test_models_are_ranked_by_their_figures() -> None:
    figures = [10.0 if one.figure is None else one.figure.value for one in ranked("any", 64, COLORED_SCANS)]
    assert figures == sorted(figures, reverse=True)


def test_shapes_without_colours_get_the_model_that_was_measured_without() -> None:
    first, second, *_ = ranked("any", 64, PLAIN_MESHES)
    assert first.name == "ulip2-nocolor"
    assert "which your shapes lack" in second.reason
    assert "ulip2-nocolor" not in names(ranked("any", 64, COLORED_SCANS))


def test_clouds_of_few_points_are_remarked_on() -> None:
    found = {one.name: one.reason for one in ranked("any", 64, COLORED_SCANS)}
    assert "Trained on clouds of 10,000 points; yours have about 2,048." in found["uni3d-g"]
    assert "Trained on clouds" not in found["opendlign-h14"]
    assert "Trained on clouds" not in {one.name: one.reason for one in ranked("any", 64, PLAIN_MESHES)}["uni3d-g"]


def test_open_licences_alone() -> None:
    found = ranked("any", 64, licence="open")
    assert names(found) >= {"tiny", "uni3d-g", "openshape-pointbert-no-lvis"}
    for name in names(found):
        assert all(part.strip().startswith("MIT") for part in get_recipe(name).licence.split(";")), name


def test_unpublished_weights_plain_clip_and_poor_figures_are_left_out() -> None:
    found = names(recommend_models(memory_gb=1000))
    assert not any(name.endswith("-dlign") or name.startswith(("pointclip", "clip2point", "tamm-spconv")) for name in found)


def test_no_model_is_named_twice() -> None:
    for memory_gb in (4, 16, 64):
        found = recommend_models(memory_gb=memory_gb)
        named = [name for one in found for name in (one.name, *one.smaller)]
        assert len(named) == len(set(named))


def test_the_smallest_machine_gets_tiny_without_a_download() -> None:
    (one,) = recommend_models(memory_gb=0.05, files=("my shapes", "b.stl"))
    assert (one.name, one.download_gb) == ("tiny", 0)
    assert one.commands == ("basrelief classify 'my shapes' b.stl --labels LABELS --model tiny",)


def test_download_of_a_network_alone_and_with_its_text_tower() -> None:
    whole, alone = (
        next(one for one in ranked(labels, memory) if one.name == "uni3d-l") for labels, memory in (("any", 17), ("exported", 8))
    )
    assert whole.download_gb > 15
    assert alone.download_gb == pytest.approx(0.61)  # half precision, as published


def test_a_summary_of_files(tmp_path: Path) -> None:
    summary = summarise_shapes(sorted(SHAPES.iterdir()), jobs=0)
    assert (summary.files, summary.meshes, summary.clouds, summary.points, summary.unreadable) == (6, 5, 1, 4096, 0)
    assert summary.has_colors
    plain = [shutil.copy(SHAPES / "airplane.stl", tmp_path / f"{i:02}.stl") for i in range(30)]
    (tmp_path / "00.stl").write_bytes(b"broken")
    summary = summarise_shapes(list(map(Path, plain)), jobs=0)
    assert summary == ShapeSummary(files=30, meshes=23, clouds=0, colored=0, points=0, unreadable=1)
    assert not summary.has_colors


def test_memory_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.1 < machine_memory() < 1e5
    monkeypatch.delattr("os.sysconf")
    with pytest.raises(ConfigError, match=r"^The memory of this machine cannot be read\. Give it in GB, e\.g\. --memory 8\.$"):
        machine_memory()


def test_wrong_questions() -> None:
    with pytest.raises(ConfigError, match=r"Unknown licence 'mit'; expected one of any, open"):
        recommend_models(memory_gb=8, licence="mit")
    with pytest.raises(ConfigError, match=r"memory is 0; .*Give the memory of the machine in GB\."):
        recommend_models(memory_gb=0)
    with pytest.raises(ConfigError, match=r"^There are no shape files to look at\."):
        summarise_shapes([])


def test_models_that_see_colour_are_ranked_apart() -> None:
    found = recommend_colour_models(memory_gb=16, shapes=COLORED_SCANS, licence="open")
    assert found[0].name == "views-pe-core-l14"
    assert found[0].figure is not None
    assert found[0].figure.dataset == "imagenet"
    assert "Sees colours, which 9 of 9 of your shapes have." in found[0].reason
    assert found[0].download_gb == pytest.approx(2.68)
    assert all(not get_recipe(name).projection for name in names(found))
    assert not names(found) & {"views-dfn-h14", "views-metaclip2-l14", "mv-clip"}


def test_shapes_without_colours_get_both_kinds_of_views() -> None:
    for one in recommend_colour_models(memory_gb=16, shapes=PLAIN_MESHES):
        assert get_recipe(one.name).reads == "opendlign + shaded"
        assert "Few of your shapes have colours, so depth images stand beside the shaded views." in one.reason


def test_a_better_default_is_open_and_quick() -> None:
    found = better_default(memory_gb=16, shapes=COLORED_SCANS, files=("a",))
    assert found is not None
    assert found.name == "views-pe-core-b16"
    assert found.seconds <= PATIENCE
    assert found.summary.endswith("s a file on two cores, download 1.8 GB, licence Apache-2.0")
    assert better_default(memory_gb=0.5, shapes=COLORED_SCANS, files=("a",)) is None
