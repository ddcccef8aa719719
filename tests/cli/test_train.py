"""`basrelief train` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from basrelief.geometry import sample_surface
from basrelief.io import save
from basrelief.shapes import make_shape
from basrelief.tasks.heads.kinds import read_head
from basrelief.types import Mesh

from .conftest import Run

NAMES = ("airplane", "chair", "mug")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    """Three classes, three shapes to learn and two to be asked."""
    for name in NAMES:
        for split, seeds in (("train", range(3)), ("test", range(50, 52))):
            (tmp_path / "data" / name / split).mkdir(parents=True)
            for seed in seeds:
                shape = make_shape(name, seed=seed)
                assert isinstance(shape, Mesh)
                save(sample_surface(shape, 512, seed=0), tmp_path / "data" / name / split / f"{seed}.ply")
    return tmp_path / "data"


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "meshes" / name).mkdir(parents=True)
        for seed in range(2):
            save(make_shape(name, seed=seed), tmp_path / "meshes" / name / f"{seed}.glb")
    return tmp_path / "meshes"


@pytest.mark.parametrize("head", ["cache", *(pytest.param(name, marks=pytest.mark.slow) for name in ("probe", "simplified", "inter-view"))])
def test_an_adapter_is_fitted_measured_and_used(head: str, run: Run, splits: Path, tmp_path: Path) -> None:
    out = tmp_path / "head.safetensors"
    ended = run("train", "adapter", "--root", splits, "--head", head, "--shots", 2, "--epochs", 8, "-o", out)
    assert ended.code == 0
    first, second = ended.out.splitlines()
    assert first.startswith(f"{head}: 6 shapes of 3 classes, ")
    assert second.startswith("top-1 on the test split ")
    assert second.endswith("n 6)")
    assert read_head(out).kind == head
    (named,) = [
        json.loads(line) for line in run("classify", splits / "mug" / "test" / "50.ply", "--adapter", out, "--json").out.splitlines()
    ]
    assert sorted(named["labels"]) == sorted(NAMES)
    assert named["label"] == "mug"
    assert named["model"] == f"tiny {head}"


def test_zero_shots_use_the_whole_split(run: Run, splits: Path, tmp_path: Path) -> None:
    ended = run("train", "adapter", "--root", splits, "--shots", 0, "-o", tmp_path / "h.safetensors", "--json")
    record = json.loads(ended.out)
    assert (record["head"], record["support"], record["classes"], record["query"]) == ("probe", 9, 3, 6)
    assert 0 <= record["top1"] <= 100


def test_features_are_computed_once(run: Run, splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from basrelief.models import Model

    out = tmp_path / "h.safetensors"
    assert run("train", "adapter", "--root", splits, "--head", "cache", "-o", out).code == 0
    monkeypatch.setattr(Model, "features", lambda *_, **__: pytest.fail("embedded again"))
    assert run("train", "adapter", "--root", splits, "--head", "probe", "-o", out).code == 0


def test_an_unreadable_file_is_reported_with_exit_code_1(run: Run, splits: Path, tmp_path: Path) -> None:
    (splits / "mug" / "test" / "50.ply").write_bytes(b"junk")
    ended = run("train", "adapter", "--root", splits, "--head", "cache", "-o", tmp_path / "h.safetensors")
    assert ended.code == 1
    assert "50.ply: error: " in ended.err
    assert "basrelief: 1 shapes could not be used" in ended.err
    assert "n 6)" in ended.out, "the shape counts as wrong"
    assert (tmp_path / "h.safetensors").is_file()


def test_a_folder_without_splits_is_not_measured(run: Run, meshes: Path, tmp_path: Path) -> None:
    ended = run("train", "adapter", "--root", meshes, "--head", "cache", "-o", tmp_path / "h.safetensors")
    assert ended.code == 0
    assert ended.out.splitlines()[1] == "not measured: the files have no test split"


def test_few_shot_evaluation_with_any_head(run: Run, splits: Path, tmp_path: Path) -> None:
    for head in ("probe", "cache"):
        shots = ("--shots", 2, "--draws", 2, "--head", head)
        ended = run("evaluate", "tiny", "folder", "--root", splits, "-t", "few-shot", *shots, "-o", tmp_path / head)
        assert ended.code == 0
        (card,) = (tmp_path / head).glob("*/card.json")
        assert json.loads(card.read_text())["protocol"]["options"]["head"] == head


def test_pairs_are_planned_rendered_and_trained_on(run: Run, meshes: Path, tmp_path: Path) -> None:
    plan = run("train", "pairs", "--root", meshes, "-o", tmp_path / "pairs", "--size", 32, "--dry-run")
    assert plan.code == 0
    assert plan.out.startswith("6 shapes, 60 pictures, ")
    assert " KB, " in plan.out
    assert " minutes with " in plan.out
    assert not (tmp_path / "pairs").exists()
    drawn = run("train", "pairs", "--root", meshes, "-o", tmp_path / "pairs", "--size", 32, "--jobs", 1)
    assert (drawn.code, drawn.out) == (0, f"6 pairs in {tmp_path / 'pairs'}\n")
    given = ("--pairs", tmp_path / "pairs", "--model", "tiny", "-o", tmp_path / "run", "batch_size=3", "epochs=1", "points=64", "workers=1")
    trained = run("train", "clip2point", *given)
    assert trained.code == 0
    assert (tmp_path / "run" / "depth_tower.safetensors").is_file()
    assert [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()] == [1, 2]


def test_the_test_split_chooses_no_weights_unless_asked(run: Run, meshes: Path, splits: Path, tmp_path: Path) -> None:
    run("train", "pairs", "--root", meshes, "-o", tmp_path / "pairs", "--size", 32, "--jobs", 1)
    ended = run("train", "clip2point", "--pairs", tmp_path / "pairs", "--model", "tiny", "--validation", splits, "-o", tmp_path / "run")
    assert ended.code == 2
    assert "'data' has no shapes of the val split" in ended.err
    assert not (tmp_path / "run" / "depth_tower.safetensors").exists()


@pytest.mark.slow
def test_validation_accuracy_is_logged_every_epoch(run: Run, meshes: Path, splits: Path, tmp_path: Path) -> None:
    run("train", "pairs", "--root", meshes, "-o", tmp_path / "pairs", "--size", 32, "--jobs", 1)
    validation = ("--validation", splits, "--validation-split", "test")
    given = ("--pairs", tmp_path / "pairs", "--model", "tiny", *validation, "-o", tmp_path / "run", "batch_size=6", "epochs=2")
    assert run("train", "clip2point", *given).code == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    found = [line["accuracy"] for line in lines if line["stage"] == "validation"]
    assert len(found) == 2
    assert all(np.isclose(6 * accuracy, round(6 * accuracy), atol=1e-3) for accuracy in found)


def test_bad_meshes_are_listed(run: Run, meshes: Path, tmp_path: Path) -> None:
    (meshes / "mug" / "0.glb").write_bytes(b"junk")
    ended = run("train", "pairs", "--root", meshes, "-o", tmp_path / "pairs", "--size", 32, "--jobs", 1)
    assert ended.code == 1
    assert ended.out == f"5 pairs in {tmp_path / 'pairs'}\n"
    assert "mug/0.glb: error: " in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("adapter", "--root", "DATA", "--head", "prob"), "Did you mean 'probe'"),
        (("adapter", "--root", "DATA", "--head", "dual-path"), "Head 'dual-path' needs two image towers, but 'tiny' has one"),
        (("adapter", "--root", "nowhere"), "'nowhere' is not a folder"),
        (("adapter", "--root", "DATA", "--lr", "-1"), "lr is -1.0; it must be finite and positive"),
        (
            ("pairs", "--root", "DATA", "--size", "2", "-o", "x"),
            "size, points and supersample are 2, 8192 and 2; they must be at least 8, 1 and 1",
        ),
        (("pairs", "--root", "DATA", "--layout", "zip", "-o", "x"), "Unknown layout 'zip'; expected one of shards, folders"),
        (("clip2point", "--pairs", "DATA", "-o", "x"), "has no pairs (records.json)"),
        (("clip2point", "--pairs", "DATA", "-o", "x", "batch=3"), "Did you mean 'batch_size'"),
        (("adaptor",), "No such command"),
    ],
)
def test_a_wrong_command_exits_with_2_and_a_reason(
    arguments: tuple[str, ...], message: str, run: Run, splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run("train", *(splits if word == "DATA" else word for word in arguments))
    assert ended.code == 2, ended
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_classify_takes_labels_or_an_adapter(run: Run, splits: Path, tmp_path: Path) -> None:
    file = splits / "mug" / "test" / "50.ply"
    ended = run("classify", file, "--labels", "a,b", "--adapter", tmp_path / "h.safetensors")
    assert ended.code == 2
    assert "An adapter brings its own labels. Leave out --labels, or --adapter." in ended.err
    (tmp_path / "h.safetensors").write_bytes(b"junk")
    ended = run("classify", file, "--adapter", tmp_path / "h.safetensors")
    assert ended.code == 2
    assert "is not a head written by basrelief train adapter" in ended.err


def test_a_data_set_that_differs_from_its_card_needs_partial(run: Run, tmp_path: Path) -> None:
    from support import dataset_miniatures

    root = dataset_miniatures.modelnet_h5(tmp_path / "data", rows=40)
    given = ("train", "adapter", "--root", root, "--head", "cache", "-o", tmp_path / "h.safetensors")
    ended = run(*given)
    assert ended.code == 2
    assert "9,843 expected in ModelNet40 train" in ended.err
    assert not (tmp_path / "h.safetensors").exists()
    assert run(*given, "--partial").code == 0
