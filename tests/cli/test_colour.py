"""From textured files to labels with a Perception Encoder in its published layout, got from a hub: small, with random weights."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

import basrelief as br
from basrelief.encoders import ClipConfig, TextConfig, Tokenizer, VisionConfig, registry
from basrelief.models import load_model
from support import parity_arrays, shared_path
from support.filled_weights import fill
from support.hub_server import HubRepository, LocalHub, local_hub
from support.published_layouts import contiguous
from support.textured import BLUE, RED, textured_gltf

from .conftest import Run

ENCODER, MODEL, BOTH = "PE-Core-B-16/meta", "views-pe-core-b16", "views-depth-pe-core-b16"
SEED = 11
VISION = VisionConfig(32, 32, 3, 4, 8, mlp_width=96, kind="pe-vit")
CONFIG = ClipConfig(24, VISION, TextConfig(width=16, layers=2, heads=2, context_length=20, vocab_size=514))
"""The architecture that `pooled_towers_small.npz` was recorded with."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    spec = replace(registry.encoder_spec(ENCODER), config=CONFIG)
    specs = {name: registry.encoder_spec(name) for name in registry.list_encoders()} | {ENCODER: spec}
    monkeypatch.setattr(registry, "_specs", lambda: specs)
    monkeypatch.setenv("BASRELIEF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    names = json.loads(str(parity_arrays("pooled_towers_small.npz")["names"]))["pe"]
    weights = {key: torch.from_numpy(fill(key, tuple(shape), SEED)) for key, shape in names.items()}
    words = tmp_path / "words"
    words.mkdir()
    Tokenizer.of_bytes().save(words)
    fit = {"size": [32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    files = {
        "open_clip_model.safetensors": save(contiguous(weights)),
        "open_clip_config.json": json.dumps({"preprocess_cfg": fit}).encode(),
        "tokenizer.json": (words / "tokenizer.json").read_bytes(),
    }
    with local_hub() as server:
        server.repositories[spec.repository] = HubRepository(files, card={"license": "apache-2.0"})
        server.use(monkeypatch, tmp_path / "hub")
        yield server


@pytest.mark.usefixtures("hub")
def test_a_textured_file_is_classified_from_the_hub(run: Run, tmp_path: Path) -> None:
    file = textured_gltf(tmp_path / "box.gltf")
    fetched = run("models", "fetch", MODEL)
    assert fetched.code == 0, fetched.err
    ended = run("classify", file, "--labels", "red box,blue box,grey box", "--model", MODEL, "--json", "--picture", tmp_path / "seen.png")
    assert ended.code == 0, ended.err
    record = json.loads(ended.out)
    assert (record["model"], len(record["views"])) == (MODEL, 10)
    assert set(record["labels"]) == {"red box", "blue box", "grey box"}
    assert (tmp_path / "seen.png").stat().st_size > 10_000
    assert run("doctor", MODEL).code == 0


def test_the_views_of_a_model_are_drawn_without_weights(run: Run, tmp_path: Path) -> None:
    file = textured_gltf(tmp_path / "box.gltf")
    ended = run("render", file, "--model", "views-depth-clip-b16", "-o", tmp_path / "sheet.png")
    assert ended.code == 0, ended.err
    assert f"sheet.png: the views that views-depth-clip-b16 reads of {file}, up axis y" in ended.out
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    assert (pixels[..., 0] - pixels[..., 2] > 60).any()
    assert "ulip reads no views. Name a model that does" in run("render", file, "--model", "ulip", "-o", tmp_path / "two.png").err


@pytest.mark.slow
@pytest.mark.usefixtures("hub")
def test_the_weight_of_colour_is_fitted_and_used_by_name(run: Run, tmp_path: Path) -> None:
    for name, left in (("red box", RED), ("blue box", BLUE)):
        (tmp_path / "boxes" / name).mkdir(parents=True)
        for number in range(2):
            textured_gltf(tmp_path / "boxes" / name / f"{number}.gltf", left=left, right=left)
    fitted = run("train", "view-weight", BOTH, "--root", tmp_path / "boxes", "--json")
    assert fitted.code == 0, fitted.err
    name = json.loads(fitted.out)["name"]
    assert name.startswith(f"{BOTH}@")
    assert f"{name}: colour counts " in run("train", "view-weight", BOTH, "--root", tmp_path / "boxes").out
    ended = run("classify", tmp_path / "boxes", "--labels", "red box,blue box", "--model", name, "--json")
    assert {json.loads(line)["model"] for line in ended.out.splitlines()} == {name}
    assert run("doctor", name).code == 0
    assert run("train", "view-weight", MODEL, "--root", tmp_path / "boxes").code == 2


@pytest.mark.usefixtures("hub")
def test_the_tower_sees_what_was_drawn_at_its_size_with_its_own_mean_and_deviation(tmp_path: Path) -> None:
    model = load_model(MODEL, device="cpu", dtype="float32")
    assert (model.encoder.mean, model.encoder.std, model.encoder.image_size) == ((0.5,) * 3, (0.5,) * 3, 32)
    (seen,) = model.prepare([br.load(textured_gltf(tmp_path / "box.gltf"))])
    assert seen.shape == (10, 3, 32, 32)
    features = model.encoder.towers.image_features((seen - 0.5) / 0.5)  # type: ignore[attr-defined]
    torch.testing.assert_close(model.features([seen])[0], features)


@pytest.mark.slow
@pytest.mark.usefixtures("hub")
def test_real_textured_files_are_classified(run: Run) -> None:
    home = shared_path("assets/real_files")
    with (home / "files.csv").open(encoding="utf-8") as table:
        chosen = [home / row["file"] for row in csv.DictReader(table) if row["file"].startswith(("khronos", "kaykit", "babylon"))][::40]
    ended = run("classify", *chosen, "--labels", "car,tree,chair,animal", "--model", MODEL, "--json")
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == len(chosen) > 2
