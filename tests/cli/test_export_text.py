"""`basrelief models export-text`: labels embedded once, and read where the text tower does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from basrelief.encoders.exported_text import read_exported_text
from basrelief.models import load_model, plan_fetch
from basrelief.models.load import load_text
from basrelief.models.prompting import Prompter
from support.small_hub import small_hub

from .conftest import Run


def test_labels_are_written_as_the_model_embeds_them(run: Run, tmp_path: Path) -> None:
    ended = run("models", "export-text", "tiny", "--labels", "chair,night_stand", "--out", tmp_path / "a.safetensors")
    assert (ended.code, ended.out.endswith("a.safetensors: 2 labels by tiny, 512 numbers each\n")) == (0, True)
    found = read_exported_text(tmp_path / "a.safetensors")
    assert (found.labels, found.prompts) == (("chair", "night_stand"), "name")
    expected = load_model("tiny").embed_text(["night stand", "chair"])
    torch.testing.assert_close(Prompter("label").embed(["night stand", "chair"], found), expected, atol=1e-5, rtol=0)


def test_json_and_label_sets(run: Run, tmp_path: Path) -> None:
    ended = run("models", "export-text", "tiny", "-l", "modelnet10", "-o", tmp_path / "ten.safetensors", "--json")
    record = json.loads(ended.out)
    assert (record["labels"], record["encoder"], record["dimension"]) == (10, "tiny", 512)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tiny", "--labels", "chair"), "Need at least two labels, got 'chair'."),
        (("tinny", "--labels", "chair,table"), "Unknown model 'tinny'"),
        (("tiny", "--labels", "chair,table", "--weights", "w"), "tiny comes with its weights. Leave out weights='w'."),
    ],
)
def test_wrong_choices_are_explained(run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    ended = run("models", "export-text", *arguments, "--out", tmp_path / "a.safetensors")
    assert ended.code == 2
    assert message in ended.err
    assert not (tmp_path / "a.safetensors").exists()


def test_only_the_text_tower_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with small_hub(monkeypatch, tmp_path):
        plan_fetch("opendlign-b32").fetch()
        prompter, encoder = load_text("opendlign-b32", dtype="float32")
        model = load_model("opendlign-b32", dtype="float32")
    assert not any(name.startswith("vis") for name in encoder.towers.state_dict())  # type: ignore[attr-defined]
    assert torch.equal(prompter.embed(["chair"], encoder), model.embed_text(["chair"]))
