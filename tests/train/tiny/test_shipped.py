"""The shipped weights: small, strict, and able to name the demo shapes and everyday furniture."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

import basrelief as br
from basrelief.datasets import maker_split
from basrelief.geometry import sample_surface
from basrelief.shapes import make_shape
from basrelief.train.tiny.text import recorded_features
from basrelief.train.tiny.towers import EMBEDDING, PROJECTION, VISION
from basrelief.types import PointCloud
from support import REPOSITORY, shared_path

FOLDER = Path(str(resources.files("basrelief.models") / "tiny"))
FURNITURE = ("chair", "stool", "table", "desk", "bench", "sofa", "bed", "bookshelf", "wardrobe", "lamp", "picture frame")
EVERYDAY = (
    *FURNITURE,
    "mug",
    "bottle",
    "bowl",
    "teapot",
    "bucket",
    "hammer",
    "wrench",
    "car",
    "airplane",
    "bicycle",
    "potted plant",
    "tree",
)


@pytest.fixture(scope="module")
def model() -> br.Model:
    return br.load_model("tiny", device="cpu", dtype="float32")


def test_the_weights_are_of_the_trained_architecture(model: br.Model) -> None:
    assert model.encoder.embedding_dim == EMBEDDING
    assert model.encoder.config.vision == VISION
    assert model.encoder.name == "tiny"
    assert (model.encoder.mean, model.encoder.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_recipe_and_training_use_the_same_views(model: br.Model) -> None:
    assert (model.projection.size, model.projection.radius) == (PROJECTION.size, PROJECTION.radius)
    assert np.array_equal(model.projection.cameras.rotation, PROJECTION.cameras.rotation)


@pytest.mark.parametrize("file", sorted((REPOSITORY / "examples" / "shapes").iterdir()), ids=lambda f: f.name)
def test_demo_shapes_are_classified_correctly(model: br.Model, file: Path) -> None:
    assert model.classify([br.load(file)], EVERYDAY + ("bus",))[0].label == file.stem


def test_unseen_designs_of_furniture_are_mostly_named_rightly(model: br.Model) -> None:
    shapes = [(name, make_shape(name, seed=seed)) for name in FURNITURE for seed in range(100_000, 100_003)]
    found = model.classify([shape for _, shape in shapes], FURNITURE)
    assert np.mean([p.label == name for p, (name, _) in zip(found, shapes, strict=True)]) > 0.8


def test_right_names_are_likelier_than_wrong_ones(model: br.Model) -> None:
    prediction = model.classify([make_shape("chair", seed=100_001)], ["chair", "airplane", "bottle"])[0]
    assert prediction.label == "chair"
    assert prediction.probabilities is not None
    assert prediction.probabilities[0] > 0.8


def test_yaw_does_not_change_the_name(model: br.Model) -> None:
    points = sample_surface(make_shape("chair", seed=100_002), 4096).points
    c, s = np.cos(0.7), np.sin(0.7)
    turned = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=np.float32)
    names = {p.label for p in model.classify([PointCloud(points), PointCloud(turned)], EVERYDAY)}
    assert names == {"chair"}


def test_few_points_are_enough(model: br.Model) -> None:
    points = sample_surface(make_shape("table", seed=100_003), 512).points
    assert model.classify([PointCloud(points)], EVERYDAY)[0].label in ("table", "desk")


def test_plurals_and_articles_lie_close(model: br.Model) -> None:
    base, plural, other = model.embed_text(["chair", "chairs", "airplane"])
    assert base @ plural > base @ other


def test_the_text_space_is_that_of_clip(model: br.Model) -> None:
    recorded = recorded_features(shared_path("assets/clip_text"))
    names = sorted(recorded)[::10]
    target = torch.from_numpy(np.stack([recorded[name] for name in names]))
    assert float((model.embed_text(names) * target).sum(dim=1).mean()) > 0.95


def test_the_card_names_what_was_held_out_and_what_was_not_measured() -> None:
    card = " ".join((FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8").split())
    assert "Not measured" in card
    assert "CC0" in card
    assert "Apache-2.0" in card
    for name in (*maker_split().validation, *maker_split().test):
        assert name in card


def test_the_card_names_the_shipped_weights(model: br.Model) -> None:
    assert model.encoder.fingerprint[:12] in (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
