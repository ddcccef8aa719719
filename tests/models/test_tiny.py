"""The shipped model: its files, the names it must know, no network."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import basrelief as br
from basrelief.models import Model, classify_files
from basrelief.shapes import make_shape
from support import REPOSITORY, shared_path

DEMO = ["chair", "table", "lamp", "mug", "airplane", "bicycle", "sofa", "guitar", "car", "bottle"]
EVERYDAY = ["chair", "table", "sofa", "bed", "lamp", "bookshelf", "car", "airplane", "bottle", "potted plant", "door", "stool"]
HELD_OUT_PACKS = ("Furniture Pack", "Realistic Car Pack", "Public Transport Pack", "CreativeTrio", "Sara Vieira")
"""Packs and creators whose shapes the shipped weights were never trained on; see the model card."""


@pytest.fixture(scope="module")
def tiny() -> Model:
    return br.load_model("tiny", device="cpu")


def test_the_weights_are_small_and_documented() -> None:
    folder = Path(str(resources.files("basrelief.models") / "tiny"))
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(files) == {"MODEL_CARD.md", "encoder.safetensors", "tokenizer.json", "words.json"}
    assert sum(files.values()) <= 12_000_000
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8").lower()
    assert all(word in card for word in ("licence", "cc0", "limits", "top-1"))


def test_it_shares_the_space_of_clip_b32(tiny: Model) -> None:
    assert tiny.encoder.embedding_dim == 512
    shapes, words = tiny.embed_shapes([make_shape("chair")]), tiny.embed_text(["chair"])
    assert shapes.shape == words.shape == (1, 512)


def test_it_names_the_demo_shapes(tiny: Model) -> None:
    paths = sorted(p for p in (REPOSITORY / "examples" / "shapes").iterdir())
    answers = list(classify_files(tiny, paths, labels=DEMO))
    assert {a.path.stem: a.prediction.label for a in answers if a.prediction} == {p.stem: p.stem for p in paths}


def test_it_names_generated_shapes_it_never_saw(tiny: Model) -> None:
    names = [name for name in EVERYDAY for _ in range(4)]
    shapes = [make_shape(name, seed=90_000 + i) for i, name in enumerate(names)]
    found = tiny.classify(shapes, EVERYDAY)
    assert np.mean([p.label == name for p, name in zip(found, names, strict=True)]) >= 0.85


def held_out(count: int) -> Iterator[tuple[str, Path]]:
    """Everyday shapes of packs that were never trained on, as class and file, a few of each class."""
    folder = shared_path("assets/shapes")
    with (folder.parent / "shapes.csv").open(encoding="utf-8") as table:
        rows = [r for r in csv.DictReader(table) if any(p in f"{r['source_pack']} {r['creator']}" for p in HELD_OUT_PACKS)]
    for name in EVERYDAY:
        for row in [r for r in rows if r["class"] == name][:count]:
            yield name, folder / name.replace(" ", "_") / f"{row['id']}.ply"


@pytest.mark.parametrize("suffix", [".ply", ".glb", ".obj"])
def test_it_names_real_files_of_held_out_packs(tiny: Model, tmp_path: Path, suffix: str) -> None:
    """The same accuracy from every format: a file is written in it and read back."""
    named = list(held_out(4))
    paths = [br.save(br.load(path), tmp_path / f"{i}{suffix}") for i, (_, path) in enumerate(named)]
    answers = list(classify_files(tiny, paths, labels=EVERYDAY))
    assert not [a.error for a in answers if a.error]
    right = [a.prediction is not None and a.prediction.label == name for a, (name, _) in zip(answers, named, strict=True)]
    assert len(right) >= 25
    assert np.mean(right) >= 0.7


def test_sparse_and_noisy_clouds_are_still_named(tiny: Model) -> None:
    rng = np.random.default_rng(0)
    names = ["chair", "table", "airplane", "lamp"]
    from basrelief.geometry import sample_surface

    clouds = [sample_surface(make_shape(name, seed=90_000 + i), 512) for name in names for i in range(5)]
    noisy = [br.PointCloud(points=c.points + rng.normal(0, 0.01 * np.ptp(c.points), c.points.shape).astype(np.float32)) for c in clouds]
    found = tiny.classify(noisy, EVERYDAY)
    assert np.mean([p.label == names[i // 5] for i, p in enumerate(found)]) >= 0.6
