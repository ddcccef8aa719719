"""`basrelief doctor` on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from basrelief.geometry import rotation_to_z_up, sample_surface
from basrelief.render import get_projection, render_batch
from basrelief.shapes import make_shape
from support import dataset_miniatures

from .conftest import Run


def test_a_good_file_ends_with_0(run: Run, files: list[Path]) -> None:
    ended = run("doctor", files[0])
    assert ended.code == 0
    assert ended.out.splitlines()[0].split(maxsplit=2) == ["ok", "reading", "12 faces, glb."]


def test_a_broken_file_ends_with_1_and_a_remedy(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(b"junk")
    ended = run("doctor", tmp_path / "a.ply")
    assert ended.code == 1
    first, second = ended.out.splitlines()
    assert first.startswith("wrong    reading")
    assert second.strip().startswith("-> Export it again")


def test_warnings_alone_end_with_0(run: Run, files: list[Path]) -> None:
    ended = run("doctor", files[1], "--model", "opendlign-h14")
    assert ended.code == 0
    assert "warning  points" in ended.out


def test_programs_get_a_line_for_each_finding(run: Run, files: list[Path]) -> None:
    records = [json.loads(line) for line in run("doctor", files[0], "--json").out.splitlines()]
    assert [sorted(record) for record in records] == [["check", "fact", "level", "remedy"]] * len(records)
    assert records[0]["check"] == "reading"


def test_a_data_set_with_wrong_counts_ends_with_1(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", dataset_miniatures.modelnet_off(tmp_path), "--sample", 2)
    assert ended.code == 1
    assert "40 shapes, 2,468 expected in ModelNet40 test." in ended.out


def test_variant_and_split_are_passed_on(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", dataset_miniatures.scanobjectnn(tmp_path), "--variant", "PB_T50_RS", "--split", "train", "--sample", 1)
    assert "The variant is PB_T50_RS" in ended.out
    assert "This is the training split" in ended.out


def test_a_model_by_name(run: Run) -> None:
    ended = run("doctor", "opendlign-h14", "--dataset", "scanobjectnn")
    assert ended.code == 0
    assert "The paper uses variant OBJ_ONLY" in ended.out


def test_files_given_to_a_model_are_looked_at(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"junk")
    ended = run("doctor", "clip2point", "--checkpoint", tmp_path / "w.pt")
    assert ended.code == 1
    assert "wrong    weights file" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tinny",), "Did you mean 'tiny'"),
        (("FILE", "--model", "tinny"), "Did you mean 'tiny'"),
        (("FOLDER", "--dataset", "modelnet4"), "Unknown dataset 'modelnet4'; expected one of"),
        (("FOLDER", "--split", "tests"), "Unknown split 'tests'; expected one of"),
        (("FOLDER", "--up", "w"), "Unknown up axis 'w'; expected one of"),
        (("FILE", "--sample", "0"), "sample"),
    ],
)
def test_a_wrong_command_ends_with_2_and_a_reason(arguments: tuple[str, ...], message: str, run: Run, files: list[Path]) -> None:
    places = {"FILE": files[0], "FOLDER": files[0].parent}
    ended = run("doctor", *(places.get(word, word) for word in arguments))
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Depth maps of two shapes as OpenDlign publishes them, and clouds with +Y up."""
    home = tmp_path / "modelnet40"
    for folder in ("depth_map", "points"):
        (home / folder).mkdir(parents=True)
    for number, label in enumerate(("chair", "mug")):
        points = sample_surface(make_shape(label), 500).points.astype(np.float32)
        stored = points @ rotation_to_z_up("y").astype(np.float32)
        maps = render_batch([points], get_projection("opendlign", size=48))[0].numpy()
        np.save(home / "points" / f"{number}.npy", stored)
        np.save(home / "depth_map" / f"{number}+{label}_dm.npy", np.repeat(maps[..., None], 3, axis=-1))
    return home


def test_what_drew_depth_maps(run: Run, published: Path, tmp_path: Path) -> None:
    ended = run("doctor", "--maps", published, "--sheet", tmp_path / "worst.png")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("ok       projection       opendlign (the authors' program) drew them: ")
    assert lines[1].startswith("ok       up axis          Up axis y: +X, +Y and +Z (up) are x, -z, y of the files.")
    assert lines[-1].startswith(f"{tmp_path / 'worst.png'}: ")
    with Image.open(tmp_path / "worst.png") as sheet:
        assert sheet.size[0] == 1160


def test_the_clouds_may_be_elsewhere(run: Run, published: Path, tmp_path: Path) -> None:
    clouds = (published / "points").rename(tmp_path / "clouds")
    ended = run("doctor", "--maps", published)
    assert ended.code == 2
    assert "Name the folder of the clouds: basrelief doctor CLOUDS --maps FOLDER." in ended.err
    assert run("doctor", clouds, "--maps", published).code == 0


def test_programs_get_a_line_for_each_folder_of_maps(run: Run, published: Path, tmp_path: Path) -> None:
    shutil.copytree(published / "depth_map", published / "color_depth_map")
    ended = run("doctor", "--maps", published, "--json", "--sheet", tmp_path / "worst.png")
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert [Path(record["folder"]).name for record in records] == ["color_depth_map", "depth_map"]
    for record in records:
        best = record["scores"][0]
        assert (best["variant"]["projection"], best["variant"]["orientation"]["up"], best["variant"]["points"]) == ("opendlign", "y", None)
        assert best["agreement"]["within_rounding"] > 0.99
        assert record["next_best"]["projection"]["error"] > 0.01
        assert {finding["level"] for finding in record["findings"]} == {"ok"}
        assert (tmp_path / f"worst-{Path(record['folder']).name}.png").is_file()


def test_unknown_maps_and_bad_files_end_with_1(run: Run, published: Path) -> None:
    path = published / "depth_map" / "0+chair_dm.npy"
    maps = np.load(path)
    path.write_bytes(b"junk")
    ended = run("doctor", "--maps", published)
    assert ended.code == 1
    assert "wrong    reading          1 of 2 shapes cannot be compared, e.g. 0+chair: " in ended.out
    np.save(path, maps[:, ::-1])
    assert run("doctor", "--maps", published / "depth_map").code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--maps", "MAPS", "--up", "z"), "--maps was given with --up, which it does not use."),
        (("--maps", "MAPS", "--sheet", "a.txt"), "sheet is 'a.txt'; expected a name that ends in"),
        (("--maps", "away"), "Folder 'away' not found."),
        (("tiny", "--sheet", "a.png"), "--sheet belongs to --maps"),
        ((), "doctor needs TARGET, or --maps FOLDER"),
    ],
)
def test_wrong_arguments_of_maps_end_with_2(run: Run, published: Path, arguments: tuple[str, ...], message: str) -> None:
    ended = run("doctor", *(published if word == "MAPS" else word for word in arguments))
    assert ended.code == 2
    assert message in ended.err
