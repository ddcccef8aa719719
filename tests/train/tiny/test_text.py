"""Recorded text embeddings in all spellings, and training of the text tower."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.encoders import ClipEncoder, Tokenizer
from basrelief.errors import ConfigError, FileFormatError
from basrelief.train.run import RunContext, make_accelerator
from basrelief.train.stopping import StopSignal
from basrelief.train.tiny.text import (
    ALIASES,
    TEMPLATES,
    TextRun,
    TextSettings,
    class_embeddings,
    recorded_features,
    spellings,
    text_features,
)
from basrelief.train.tiny.towers import new_encoder
from support import shared_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chair", ["chair"]),
        ("Street Lights", ["street lights"]),
        ("traffic_light", ["traffic light"]),
        ("car_(automobile)", ["car (automobile)", "car"]),
        ("Cabinet/shelf", ["cabinet/shelf", "cabinet", "shelf"]),
        ("monitor_(computer_equipment) computer_monitor", ["monitor (computer equipment)", "computer monitor", "monitor"]),
    ],
)
def test_spellings(name: str, expected: list[str]) -> None:
    assert spellings(name) == expected


def test_names_are_known_by_every_spelling(clip_text: Path) -> None:
    known = recorded_features(clip_text)
    assert {"chair", "table", "cabinet", "shelf", "cabinet/shelf", "traffic light", "car", "car (automobile)", "computer monitor"} <= set(
        known
    )


def test_features_have_unit_length(clip_text: Path) -> None:
    for row in recorded_features(clip_text).values():
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_the_plainest_record_of_a_name_wins(clip_text: Path) -> None:
    known = recorded_features(clip_text)
    with np.load(clip_text / "coco80.npz") as record:
        row = record["embeddings"][1].astype(np.float32)
    assert np.allclose(known["car"], row / np.linalg.norm(row))
    assert not np.allclose(known["car"], known["car (automobile)"])


def test_aliases_point_to_recorded_names(clip_text: Path) -> None:
    known = recorded_features(clip_text)
    assert np.array_equal(known["axe"], known["ax"])
    assert "bookshelf" not in known


def test_aliases_exist_in_the_real_record() -> None:
    known = recorded_features(shared_path("assets/clip_text"))
    assert len(known) > 1500
    assert {name for name in ALIASES if name not in known} <= {"coat rack", "whisk", "chest"}


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"has no coco80\.npz\. Pass the folder with coco80\.npz, "):
        recorded_features(tmp_path)


def test_the_first_template_is_the_recorded_wording() -> None:
    assert TEMPLATES[0] == "a {}"
    assert all(template.count("{}") == 1 for template in TEMPLATES)


def test_text_features_have_gradients(encoder: ClipEncoder) -> None:
    features = text_features(encoder, ["a chair", "a table of some length"])
    assert features.shape == (2, 512)
    assert features.requires_grad


def test_class_embeddings_use_the_template_and_unit_length(encoder: ClipEncoder) -> None:
    embeddings = class_embeddings(encoder, ["chair", "car"])
    direct = encoder.encode_text(["a chair", "a car"])
    assert torch.allclose(embeddings, direct / direct.norm(dim=-1, keepdim=True), atol=1e-5)
    assert not embeddings.requires_grad


def train(encoder: ClipEncoder, known: Mapping[str, np.ndarray], out: Path, steps: int, seed: int = 0) -> list[dict[str, float]]:
    """Train the text tower and return the log."""
    settings = TextSettings(epoch_steps=steps, seed=seed)
    run = TextRun(encoder, known, settings=settings, context=RunContext(make_accelerator("float32", cpu=True), out))
    run.restore()
    with StopSignal() as stop:
        run.run(None, stop)
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_the_tower_learns_the_names(clip_text: Path, tmp_path: Path) -> None:
    known = recorded_features(clip_text)
    encoder = new_encoder(Tokenizer.train([*known, *(t.format("") for t in TEMPLATES)], vocab_size=600))
    records = train(encoder, known, tmp_path, steps=15)
    assert [record["step"] for record in records] == list(range(1, 16))
    assert records[-1]["cosine"] > records[0]["cosine"] + 0.3
    assert records[-1]["total"] < 0.5 * records[0]["total"]


def test_only_the_text_tower_moves(clip_text: Path, encoder: ClipEncoder, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in encoder.towers.state_dict().items()}
    train(encoder, recorded_features(clip_text), tmp_path, steps=2)
    moved = {name.split(".")[0] for name, value in encoder.towers.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"text_model", "text_projection"}


def test_training_depends_on_the_seed_alone(clip_text: Path, tmp_path: Path) -> None:
    known, results = recorded_features(clip_text), []
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        encoder = new_encoder(Tokenizer.train(known, vocab_size=560))
        torch.manual_seed(len(results))
        state = torch.get_rng_state()
        train(encoder, known, tmp_path / name, steps=2, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        results.append(class_embeddings(encoder, ["chair"]))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("name", ["batch_size", "accumulate", "epochs", "epoch_steps", "save_every", "validate_every", "lr"])
def test_settings_are_positive(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is 0; it must be .*\. Leave it out for the default"):
        TextSettings(**{name: 0})  # type: ignore[arg-type]
