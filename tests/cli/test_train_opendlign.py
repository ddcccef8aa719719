"""`basrelief train depth-aligned | filter | opendlign`: from meshes to a model with a tuned block."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from basrelief.train.depth_aligned.read import open_aligned

from .conftest import Ended

Run = Callable[..., Ended]
SMALL = ("size=32", "points=600")


def test_images_are_drawn(run: Run, meshes: Path, tmp_path: Path) -> None:
    ended = run("train", "depth-aligned", "--root", meshes, "-o", tmp_path / "images", *SMALL, "--source", "shaded", "--jobs", 1)
    assert (ended.code, ended.out) == (0, f"4 shapes in {tmp_path / 'images'}\n")


def test_a_dry_run_estimates_and_makes_nothing(run: Run, meshes: Path, tmp_path: Path) -> None:
    ended = run("train", "depth-aligned", "--root", meshes, "-o", tmp_path / "out", *SMALL, "--source", "shaded", "--dry-run")
    assert ended.code == 0
    assert ended.out.startswith("4 shapes, 40 pictures, ")
    assert "of one GPU" not in ended.out
    assert " minutes with " in ended.out
    assert not (tmp_path / "out").exists()


def test_without_weights_the_papers_cost_is_printed(run: Run, meshes: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    nowhere = (f"diffusion.base={tmp_path / 'a'}", f"diffusion.control={tmp_path / 'b'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ended = run("train", "depth-aligned", "--root", meshes, "-o", tmp_path / "out", *nowhere, "--dry-run")
    assert ended.code == 2
    assert ended.out == "4 shapes, 40 images; not measured here, at the paper's speed 0.2 GPU-hours (RTX 6000)\n"
    assert "Pass folders with diffusion.base=DIR and diffusion.control=DIR, or use source=shaded" in ended.err


@pytest.mark.slow
def test_a_controlnet_generates_images(run: Run, meshes: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from support.small_diffusion import write_diffusion

        base, control = write_diffusion(tmp_path)
        weights = (f"diffusion.base={base}", f"diffusion.control={control}", "diffusion.precision=float32", "diffusion.prompt=A {label}.")
        given = ("--root", meshes, *SMALL, *weights, "diffusion.size=32", "diffusion.steps=2", "--jobs", 1)
        plan = run("train", "depth-aligned", "-o", tmp_path / "out", *given, "--dry-run")
        made = run("train", "depth-aligned", "-o", tmp_path / "out", *given)
    assert "of one GPU" in plan.out
    assert (made.code, made.out) == (0, f"4 shapes in {tmp_path / 'out'}\n")
    assert open_aligned(tmp_path / "out").pictures(3).shape == (10, 32, 32, 3)


def test_parts_share_a_folder(run: Run, meshes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("train", "depth-aligned", "--root", meshes, "-o", tmp_path / "out", *SMALL, "--source", "shaded", "--layout", "folders")
    ended = run(*given, "--jobs", 1, "--part", "0/2")
    assert (ended.code, ended.out) == (0, f"part 0 of 2 done in {tmp_path / 'out'}\n")
    assert len(open_aligned(tmp_path / "out")) == 2
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(*given, "--jobs", 1).code == 0
    assert len(open_aligned(tmp_path / "out")) == 4


@pytest.mark.parametrize("part", ["2/2", "x", "1", "-1/2", "0/0", "1/2/3"])
def test_an_invalid_part_is_rejected(part: str, run: Run, meshes: Path, tmp_path: Path) -> None:
    ended = run("train", "depth-aligned", "--root", meshes, "-o", tmp_path / "out", "--source", "shaded", "--part", part)
    assert ended.code == 2
    assert "is not a part I/N with I from 0 to N - 1. Write, for example, 0/8 to 7/8." in ended.err


def test_an_unreadable_mesh_is_listed_with_exit_code_1(run: Run, meshes: Path, tmp_path: Path) -> None:
    (meshes / "mug" / "1.glb").write_bytes(b"junk")
    ended = run("train", "depth-aligned", "--root", meshes, "-o", tmp_path / "out", *SMALL, "--source", "shaded", "--jobs", 1)
    assert ended.code == 1
    assert "mug/1.glb: error: " in ended.err
    assert len(open_aligned(tmp_path / "out")) == 3


def test_images_are_filtered_with_a_sheet(run: Run, images: Path, tmp_path: Path) -> None:
    given = ("train", "filter", images, "-m", "tiny", "--label", 0.5, "--contour", 0.3)
    ended = run(*given, "--sheet", tmp_path / "sheets" / "quality.png")
    assert ended.code == 0
    first, second = ended.out.splitlines()
    assert first.startswith("kept ")
    assert " of 40; rejected " in first
    assert second == f"sheet: {tmp_path / 'sheets' / 'quality.png'}"
    with Image.open(tmp_path / "sheets" / "quality.png") as sheet:
        assert sheet.width == 1200
    everything = run("train", "filter", images, "-m", "tiny", "--label", 0, "--contour", 0)
    assert everything.out == "kept 40 of 40; rejected 0 by label, 0 by contour\n"


@pytest.mark.parametrize(("option", "value"), [("--label", 1.5), ("--contour", -1), ("--sheet", "x.txt")])
def test_the_filter_checks_its_options_first(option: str, value: object, run: Run, images: Path) -> None:
    ended = run("train", "filter", images, "-m", "tiny", option, value)
    assert ended.code == 2
    assert f"{option.removeprefix('--')} " in ended.err
    assert not (images / "quality.jsonl").exists()


def test_images_train_a_block_that_classify_uses(run: Run, images: Path, meshes: Path, tmp_path: Path) -> None:
    plan = run("train", "opendlign", images, "-m", "tiny", "-o", tmp_path / "run", "batch_size=2", "--dry-run")
    assert plan.out.startswith("66,048 trainable parameters, 20 steps of 2 shapes, ")
    assert not (tmp_path / "run").exists()
    given = ("train", "opendlign", images, "-m", "tiny", "-o", tmp_path / "run", "batch_size=2", "epochs=2", "workers=1")
    ended = run(*given, "--validation", meshes, "--export", tmp_path / "all.pth")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"tuned block: {tmp_path / 'run' / 'tuned_block.safetensors'}",
        f"published layout: {tmp_path / 'all.pth'}",
    ]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["train", "train", "validation"] * 2
    asked = ("classify", meshes / "mug" / "0.glb", "--labels", tmp_path / "names.txt", "--json")
    (tmp_path / "names.txt").write_text("chair\nmug\n")
    plain = json.loads(run(*asked).out)
    tuned = json.loads(run(*asked, "--checkpoint", tmp_path / "run" / "tuned_block.safetensors").out)
    assert sorted(plain["labels"]) == sorted(tuned["labels"])
    assert plain["scores"] != tuned["scores"]


@pytest.mark.slow
def test_runs_can_share_cached_features(run: Run, images: Path, tmp_path: Path) -> None:
    for name, rate in (("a", "lr=1e-3"), ("b", "lr=1e-4")):
        given = ("-m", "tiny", "-o", tmp_path / name, "batch_size=2", "epochs=1", rate, "--cache", tmp_path / "shared")
        assert run("train", "opendlign", images, *given).code == 0
        assert not (tmp_path / name / "features").exists()
    assert (tmp_path / "shared" / "tokens.npy").is_file()


def test_invalid_trainings_are_reported(run: Run, images: Path, tmp_path: Path) -> None:
    many = run("train", "opendlign", images, "-m", "tiny", "-o", tmp_path / "run")
    assert many.code == 2
    assert "batch_size is 128, but there are only 4 shapes with images. Lower batch_size." in many.err
    wrong = run("train", "opendlign", images, "-m", "tiny", "-o", tmp_path / "run", "bach=3")
    assert wrong.code == 2
    assert "batch_size" in wrong.err
    resnet = run("train", "opendlign", tmp_path, "-m", "tiny", "-o", tmp_path / "run")
    assert resnet.code == 2
    assert "has no depth-aligned images (records.json or depth_map)" in resnet.err


def test_a_tuned_block_of_another_clip_is_rejected(run: Run, images: Path, tmp_path: Path) -> None:
    from basrelief.encoders.tuned import save_tuned
    from support.small_models import small_encoder

    stranger = save_tuned(small_encoder(tuned=True), tmp_path / "stranger.safetensors", notes={})
    (tmp_path / "names.txt").write_text("chair\nmug\n")
    ended = run("classify", tmp_path / "meshes", "--labels", tmp_path / "names.txt", "--checkpoint", stranger)
    assert ended.code == 2
    assert "stranger.safetensors was trained on other weights" in ended.err
