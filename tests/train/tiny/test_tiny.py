"""A whole training of `tiny`: from files to weights, resumed; trained, held-out and excluded classes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.encoders import ClipConfig, TextConfig, VisionConfig, load_encoder_folder, random_encoder, save_encoder
from basrelief.encoders.vocabulary import Vocabulary, read_vocabulary, write_vocabulary
from basrelief.errors import ConfigError
from basrelief.io import load
from basrelief.train import OpenDlignSettings, Sources, TinySettings, train_tiny
from basrelief.train.data import GENERATED, ShapeSet, merge
from basrelief.train.resources import Resources
from basrelief.train.tiny import library
from basrelief.train.tiny.library import choose_unseen_classes, draw_library, load_pictures, split, training_shapes, write_library_shapes
from basrelief.types import Mesh
from support import REPOSITORY

BLOCK = OpenDlignSettings(batch_size=2, epochs=1)
SMALL = TinySettings(
    batch_size=2,
    with_images=2,
    epochs=1,
    epoch_steps=2,
    warm_up=1,
    text_steps=2,
    furniture_per_class=2,
    others_per_class=1,
    images_per_class=1,
    patches=20,
    block=BLOCK,
)


@pytest.fixture(autouse=True)
def two_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "CATEGORIES", ("chair", "mug"))


@pytest.fixture
def sources(folder: Path, clip_text: Path) -> Sources:
    return Sources(folder, clip_text, held_out=("second pack",))


def _many(shapes: ShapeSet, copies: int) -> ShapeSet:
    """The same shapes several times, as if they were files."""
    whole = merge([shapes] * copies)
    return ShapeSet(whole.points, whole.label, whole.names, tuple(f"pack {i % 2}" for i in range(len(whole))))


def test_training_shapes_are_files_and_generated_ones(folder: Path) -> None:
    found = training_shapes(folder, replace(SMALL, furniture_per_class=3, others_per_class=2), points=64)
    assert found.names == ("chair", "mug", "street light")
    assert torch.bincount(found.label).tolist() == [5, 2, 2]
    assert [group == GENERATED for group in found.group] == [False] * 4 + [True] * 5


def test_the_whole_run_writes_a_model_and_resumes(sources: Sources, tmp_path: Path) -> None:
    found = train_tiny(sources, out=tmp_path, settings=SMALL, resources=Resources(cpu=True))
    assert found.names == ("chair", "mug", "street light")
    assert found.confusion.sum() == found.figures["held_out"] == 2
    assert set(found.figures) == {
        "held_out",
        "held_out_top1",
        "held_out_top5",
        "contour_aware_top1",
        "block_split_top1",
        "block_tuned_top1",
    }
    assert load_encoder_folder(tmp_path).encode_text(["a chair"]).shape == (1, 512)
    assert (tmp_path / "block" / "tuned_block.safetensors").is_file()
    words = read_vocabulary(tmp_path)
    assert words is not None
    assert words.seen == found.names
    log = (tmp_path / "vision" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["stage"] for line in log] == ["train", "train", "validation"]
    again = train_tiny(sources, out=tmp_path, settings=SMALL, resources=Resources(cpu=True))
    assert (tmp_path / "vision" / "log.jsonl").read_text().splitlines() == log
    assert again.encoder.fingerprint == found.encoder.fingerprint
    with pytest.raises(ConfigError, match="holds a run with other settings or data"):
        train_tiny(sources, out=tmp_path, settings=replace(SMALL, lr=1e-4), resources=Resources(cpu=True))


@pytest.mark.slow
def test_unseen_classes_are_measured_at_the_end(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_LEAST_FILES", 2)
    settings = replace(SMALL, unseen_classes=1)
    found = train_tiny(sources, out=tmp_path / "first", settings=settings, resources=Resources(cpu=True))
    assert found.figures["unseen"] == 2
    assert found.figures["unseen_own_top1"] == 1.0  # one name only
    going = replace(sources, init_from=tmp_path / "first")
    again = train_tiny(going, out=tmp_path / "second", settings=settings, resources=Resources(cpu=True))
    assert again.figures["unseen"] == 2
    for folder in ("first", "second"):
        words = read_vocabulary(tmp_path / folder)
        assert words is not None
        assert len(words.seen) == 2


@pytest.mark.slow
def test_initial_weights_trained_on_unseen_classes_are_rejected(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_LEAST_FILES", 2)
    train_tiny(sources, out=tmp_path / "first", settings=replace(SMALL, tune_block=False), resources=Resources(cpu=True))
    going = replace(sources, init_from=tmp_path / "first")
    with pytest.raises(
        ConfigError, match=r"was trained on unseen classes: [\w ]+\. Initialise from a run with the same unseen_classes and seed"
    ):
        train_tiny(going, out=tmp_path / "out", settings=replace(SMALL, unseen_classes=1), resources=Resources(cpu=True))


@pytest.mark.slow
def test_the_block_need_not_be_tuned(sources: Sources, tmp_path: Path) -> None:
    found = train_tiny(sources, out=tmp_path, settings=replace(SMALL, tune_block=False), resources=Resources(cpu=True))
    assert not (tmp_path / "block").exists()
    assert not [name for name in found.figures if name.startswith("block")]


@pytest.mark.slow
def test_a_run_initialised_from_a_model_keeps_its_vocabulary(sources: Sources, tmp_path: Path) -> None:
    start = train_tiny(sources, out=tmp_path / "first", settings=SMALL, resources=Resources(cpu=True)).encoder
    save_encoder(start, tmp_path / "start")
    write_vocabulary(tmp_path / "start", Vocabulary(("mug", "sledge"), ("airship",)), source="a test")
    still = replace(SMALL, lr=1e-9, warm_up=0)
    going = replace(sources, init_from=tmp_path / "start")
    found = train_tiny(going, out=tmp_path / "second", settings=still, resources=Resources(cpu=True)).encoder
    assert torch.equal(found.encode_text(["a chair"]), start.encode_text(["a chair"]))
    for now, then in zip(found.towers.buffers(), start.towers.buffers(), strict=True):  # what batch norm counts has moved on
        now.copy_(then)
    picture = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.encode_images(picture), start.encode_images(picture), atol=2e-3, rtol=0)
    words = read_vocabulary(tmp_path / "second")
    assert words is not None
    assert words.seen == ("chair", "mug", "sledge", "street light")
    assert "airship" in words.text_only
    assert "car" in words.text_only


@pytest.mark.slow
def test_a_resumed_run_needs_the_same_initial_weights(sources: Sources, tmp_path: Path) -> None:
    out = tmp_path / "run"
    start = train_tiny(sources, out=out, settings=SMALL, resources=Resources(cpu=True)).encoder
    save_encoder(start, tmp_path / "start")
    with pytest.raises(ConfigError, match="Folder 'run' holds a run with other initial weights. Name another folder with --out."):
        train_tiny(replace(sources, init_from=tmp_path / "start"), out=out, settings=SMALL, resources=Resources(cpu=True))
    assert train_tiny(sources, out=out, settings=SMALL, resources=Resources(cpu=True)).encoder.fingerprint == start.fingerprint


def test_initial_weights_of_another_architecture_are_rejected(sources: Sources, tmp_path: Path) -> None:
    config = ClipConfig(512, VisionConfig(32, 24, 1, 2, 8), TextConfig(16, 1, 1, vocab_size=514))
    save_encoder(random_encoder(config), tmp_path / "other")
    going = replace(sources, init_from=tmp_path / "other")
    with pytest.raises(
        ConfigError, match="is not a vision transformer for 112 px images and 512 dimensions. Pass the folder of a train tiny run, or tiny."
    ):
        train_tiny(going, out=tmp_path / "out", settings=SMALL, resources=Resources(cpu=True))


def test_unseen_classes_depend_on_the_seed(shapes: ShapeSet) -> None:
    many = _many(shapes, 2)
    first, same = (choose_unseen_classes(many, (), settings=replace(SMALL, unseen_classes=2)) for _ in range(2))
    assert first == same
    assert len(set(first)) == 2
    assert len({choose_unseen_classes(many, (), settings=replace(SMALL, unseen_classes=2, seed=seed)) for seed in range(8)}) > 1


def test_too_many_unseen_classes_are_rejected(shapes: ShapeSet) -> None:
    with pytest.raises(ConfigError, match=r"unseen_classes is 1; 0 classes have 4 files or more\. Lower it"):
        choose_unseen_classes(shapes, (), settings=replace(SMALL, unseen_classes=1))


def test_split_leaves_out_held_out_packs_and_unseen_classes(shapes: ShapeSet) -> None:
    many, settings = _many(shapes, 2), replace(SMALL, unseen_classes=1)
    (missing,) = choose_unseen_classes(many, ("pack 1",), settings=settings)
    keep, held, unseen = split(many, ("pack 1",), settings=settings)
    names = np.array(many.names)[many.label.numpy()]
    assert missing not in names[keep]
    assert all(group == "pack 0" for group, kept in zip(many.group, keep, strict=True) if kept)
    assert all(group == "pack 1" for group in held.group)
    assert missing not in {held.names[i] for i in held.label.tolist()}
    assert {unseen.names[i] for i in unseen.label.tolist()} == {missing}
    assert len(unseen) == (names == missing).sum()


def test_test_makers_are_in_no_part_of_the_training(shapes: ShapeSet) -> None:
    many, settings = _many(shapes, 2), replace(SMALL, unseen_classes=1)
    many = replace(many, group=tuple(group.replace("pack 0", "KayKit / Kay Lousberg") for group in many.group))
    with pytest.raises(ConfigError, match=r"No shape comes from a validation pack or creator \(a pack\)\. Check the table"):
        split(many, ("a pack",), settings=replace(SMALL, unseen_classes=0))
    keep, held, unseen = split(many, ("pack 1",), settings=replace(settings, unseen_classes=0))
    assert not any("KayKit" in group for group, kept in zip(many.group, keep, strict=True) if kept)
    assert not any("KayKit" in group for group in (*held.group, *unseen.group))


def test_pictures_belong_to_their_rows(folder: Path, tmp_path: Path) -> None:
    shapes = training_shapes(folder, SMALL, points=64)
    keep = np.array(["second" not in group for group in shapes.group])
    written = write_library_shapes(folder, shapes, keep, tmp_path / "library", settings=SMALL)
    files = sorted(path.relative_to(written).as_posix() for path in written.rglob("*.ply"))
    assert files == ["chair/000000.ply", "chair/000004.ply", "mug/000006.ply", "street_light/000002.ply"]
    assert isinstance(load(written / "mug" / "000006.ply", up="z"), Mesh)
    aligned = draw_library(written, tmp_path / "pictures", settings=SMALL, jobs=1)
    pictures = load_pictures(aligned, keep)
    kept = shapes.select(keep)
    assert pictures.colour.shape == (4, 10, 112, 112, 3)
    assert sorted(pictures.row.tolist()) == [0, 1, 2, 4]
    named = [kept.names[int(kept.label[row])] for row in pictures.row]
    assert named == [aligned.labels[i].replace("_", " ") for i in aligned.truth]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"with_images": 5, "batch_size": 4}, "with_images is 5; it must be at most batch_size"),
        ({"lr": 0.0}, "lr is 0.0; it must be finite and positive"),
        ({"semantic_smoothing": 0.97}, "smoothing and semantic_smoothing are 0.05 and 0.97; their sum"),
        ({"precision": "int8"}, "Unknown precision 'int8'; expected one of float32, bfloat16"),
        ({"unseen_classes": -1}, "unseen_classes is -1; it must be at least 0"),
    ],
)
def test_wrong_settings_are_rejected(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TinySettings(**wrong)  # type: ignore[arg-type]


def test_the_script_explains_itself() -> None:
    script = (REPOSITORY / "runs" / "tiny.sh").read_text(encoding="utf-8")
    assert "-m basrelief train tiny" in script
    done = subprocess.run(["sh", str(REPOSITORY / "runs" / "tiny.sh")], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "Usage: runs/tiny.sh SHAPES CLIP_TEXT OUT" in done.stdout
