"""`basrelief train tiny`: from labelled files to a model, its curves and its confusion matrix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from basrelief.datasets import maker_split
from basrelief.encoders import load_encoder_folder
from basrelief.models.load import embedded_folder
from basrelief.train.tiny import library
from basrelief.train.tiny.report import loss_curves
from support.tiny_training_data import write_clip_text, write_labelled

from .conftest import Ended

Run = Callable[..., Ended]
SMALL = (
    "batch_size=2",
    "with_images=2",
    "epochs=1",
    "epoch_steps=3",
    "warm_up=1",
    "text_steps=2",
    "furniture_per_class=1",
    "others_per_class=1",
    "images_per_class=1",
)
BLOCK = ("block.batch_size=2", "block.epochs=1")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setattr(library, "CATEGORIES", ("chair", "mug"))
    words = tmp_path / "words"
    words.mkdir()
    return write_labelled(tmp_path / "shapes"), write_clip_text(words)


def _arguments(sources: tuple[Path, Path], out: Path) -> tuple[object, ...]:
    return ("train", "tiny", "--shapes", sources[0], "--clip-text", sources[1], "-o", out, "--jobs", 1, "--device", "cpu")


def _held_out(folder: Path) -> None:
    """Give the second pack the names of the packs that are held out."""
    table = folder.with_suffix(".csv")
    table.write_text(table.read_text().replace("second pack", " and ".join(maker_split().validation)))


def test_model_curves_and_confusion_are_written(run: Run, sources: tuple[Path, Path], tmp_path: Path) -> None:
    _held_out(sources[0])
    ended = run(*_arguments(sources, tmp_path / "out"), *SMALL, *BLOCK)
    assert ended.code == 0, ended.err
    record = json.loads((tmp_path / "out" / "result.json").read_text())
    assert record["figures"]["held_out"] == 2
    assert record["settings"]["batch_size"] == 2
    assert record["settings"]["block"]["epochs"] == 1
    assert record["model"] == load_encoder_folder(tmp_path / "out").fingerprint
    assert ended.out.splitlines()[-1] == f"tiny {record['model'][:12]}: {tmp_path / 'out'}"
    assert any(line.startswith("held_out_top5") and line.endswith("100.0 %") for line in ended.out.splitlines())
    for name in ("curves.png", "confusion.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > 100
            assert len(set(picture.convert("L").resize((64, 64)).get_flattened_data())) > 2


def test_a_run_can_be_initialised_from_the_embedded_model(run: Run, sources: tuple[Path, Path], tmp_path: Path) -> None:
    _held_out(sources[0])
    ended = run(*_arguments(sources, tmp_path / "out"), "--init-from", "tiny", *SMALL, *BLOCK)
    assert ended.code == 0, ended.err
    ours, shipped = load_encoder_folder(tmp_path / "out"), load_encoder_folder(embedded_folder())
    assert torch.equal(ours.encode_text(["a chair"]), shipped.encode_text(["a chair"]))
    assert ours.fingerprint != shipped.fingerprint


def test_missing_initial_weights_are_reported(run: Run, sources: tuple[Path, Path], tmp_path: Path) -> None:
    ended = run(*_arguments(sources, tmp_path / "out"), "--init-from", tmp_path / "none", *SMALL)
    assert ended.code == 2
    assert "none" in ended.err


def test_a_folder_without_its_table_is_reported(run: Run, sources: tuple[Path, Path], tmp_path: Path) -> None:
    sources[0].with_suffix(".csv").unlink()
    ended = run(*_arguments(sources, tmp_path / "out"), *SMALL)
    assert ended.code == 2
    assert "There is no table shapes.csv beside" in ended.err
    assert not (tmp_path / "out" / "encoder.safetensors").exists()


def test_missing_text_embeddings_are_reported(run: Run, sources: tuple[Path, Path], tmp_path: Path) -> None:
    (sources[1] / "oid500.npz").unlink()
    ended = run(*_arguments(sources, tmp_path / "out"), *SMALL)
    assert ended.code == 2
    assert "has no oid500.npz. Pass the folder with" in ended.err


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("epoch=1", "epoch"),
        ("lr=0", "lr is 0.0; it must be finite and positive"),
        ("semantic_smoothing=2", "their sum must lie in [0, 1)"),
    ],
)
def test_an_invalid_setting_is_rejected(run: Run, sources: tuple[Path, Path], tmp_path: Path, wrong: str, told: str) -> None:
    ended = run(*_arguments(sources, tmp_path / "out"), wrong)
    assert ended.code == 2
    assert told in ended.err
    assert not (tmp_path / "out").exists()


def test_curve_points_are_means(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    records = [{"stage": "train", "step": i, "words": 6 - i / 20, "pooled": 5, "cross": 4, "intra": 3} for i in range(60)]
    log.write_text("\n".join(map(json.dumps, [*records, {"stage": "validation", "epoch": 1, "top1": 0.5}])) + "\n")
    few = tmp_path / "few.jsonl"
    few.write_text(json.dumps(records[0]) + "\n")
    assert loss_curves(log).size == loss_curves(few).size
    assert loss_curves(log).tobytes() != loss_curves(few).tobytes()


def test_the_upright_network_is_trained_and_resumed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basrelief.train.upright.data.CATEGORIES", ("chair", "mug"))
    arguments = (
        "train",
        "upright",
        "-o",
        tmp_path / "out",
        "epochs=1",
        "epoch_steps=2",
        "batch_size=2",
        "per_category=1",
        "--device",
        "cpu",
    )
    for _ in range(2):
        ended = run(*arguments)
        assert ended.code == 0, ended.err
        assert ended.out.splitlines()[-1] == f"upright network: {tmp_path / 'out' / 'upright.safetensors'}"
    assert len((tmp_path / "out" / "log.jsonl").read_text().splitlines()) == 2
    other = run(*arguments, "lr=0.1")
    assert other.code == 2
    assert "Folder 'out' holds a run with other settings or data. Name another folder with --out." in other.err
