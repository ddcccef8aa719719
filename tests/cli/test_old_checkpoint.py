"""A checkpoint of the authors' training script, under the torch of its time, names a shape with one command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from basrelief.encoders import ClipConfig, TextConfig, VisionConfig, encoder_spec, random_encoder, registry
from basrelief.encoders.convert import to_published
from basrelief.io import save
from support import REPOSITORY
from support.old_checkpoints import legacy_checkpoint, training_checkpoint, zip_checkpoint
from support.small_models import ball

from .conftest import Run

SHAPE = REPOSITORY / "examples" / "shapes" / "chair.glb"
ENCODER = "ViT-B-32/datacomp_xl_s13b_b90k"
SMALL = VisionConfig(image_size=32, width=32, layers=2, heads=2, patch_size=16)
Write = Callable[[object], bytes]
MODEL = ("--model", "opendlign-b32")
LABELS = ("-l", "chair,table")


def config(vision: VisionConfig = SMALL) -> ClipConfig:
    return ClipConfig(embed_dim=16, vision=vision, text=TextConfig(width=32, layers=1, heads=2, context_length=77, vocab_size=514))


@pytest.fixture(autouse=True)
def small_b32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A small tower in place of ViT-B-32, and no hub."""
    known = {name: encoder_spec(name) for name in registry.list_encoders()}
    known[ENCODER] = replace(known[ENCODER], config=config())
    monkeypatch.setattr(registry, "_specs", lambda: known)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "cache"))


def checkpoint(folder: Path, write: Write = zip_checkpoint, *, prefix: str = "", vision: VisionConfig = SMALL) -> Path:
    """Write a random tower as OpenDlign's training script would have, with its tokenizer beside it."""
    encoder = random_encoder(config(vision), seed=3, tuned=1)
    encoder.tokenizer.save(folder)
    weights = {name: tensor.detach().contiguous().numpy() for name, tensor in to_published(encoder.towers.state_dict()).items()}
    path = folder / "best.pt"
    path.write_bytes(write(training_checkpoint({name: np.asarray(array) for name, array in weights.items()}, prefix=prefix)))
    return path


@pytest.mark.parametrize("write", [zip_checkpoint, legacy_checkpoint])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_of_torch_1_11_names_the_demo_shape(run: Run, tmp_path: Path, write: Write, prefix: str) -> None:
    path = checkpoint(tmp_path, write, prefix=prefix)
    ended = run("classify", SHAPE, *LABELS, *MODEL, "--checkpoint", path, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["label"] in ("chair", "table")


def test_all_layouts_give_the_same_answer(run: Run, tmp_path: Path) -> None:
    answers = set()
    for write, prefix in ((zip_checkpoint, ""), (legacy_checkpoint, "module.")):
        path = checkpoint(tmp_path, write, prefix=prefix)
        answers.add(run("classify", SHAPE, *LABELS, *MODEL, "--checkpoint", path, "--json").out)
    assert len(answers) == 1


def test_doctor_says_what_was_left_out(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", checkpoint(tmp_path, prefix="module."), *MODEL)
    assert ended.code == 0
    assert "args (argparse.Namespace)" in ended.out
    assert "scheduler_d_visual_state_dict.anneal_func (__builtin__.getattr)" in ended.out
    assert "layout opendlign, a ViT of width 32, patch 16, 2 blocks" in ended.out


@pytest.mark.parametrize("option", ["--checkpoint", "--weights"])
@pytest.mark.parametrize(
    "command",
    [
        ("classify", SHAPE, *LABELS, *MODEL),
        ("index", SHAPE.parent, "--db", "library.lance", *MODEL),
        ("evaluate", "opendlign-b32", "auto", "--root", "mine", "-o", "out"),
        ("train", "adapter", "--root", "mine", *MODEL),
    ],
    ids=lambda command: command[0],
)
def test_a_tower_of_another_size_is_named_by_every_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...], option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = checkpoint(tmp_path, vision=replace(SMALL, patch_size=8))
    for name in ("chair", "table"):
        for split in ("train", "test"):
            (tmp_path / "mine" / name / split).mkdir(parents=True)
            save(ball(), tmp_path / "mine" / name / split / f"{split}.ply")
    ended = run(*command, "--checkpoint", path, *(("--weights", path) if option == "--weights" else ()))
    assert ended.code == 2
    found = "best.pt is a ViT of width 32, patch 8, 2 blocks (an architecture unknown to basrelief)"
    assert f"{found}; this model needs a ViT of width 32, patch 16, 2 blocks (ViT-B-32)" in ended.err
