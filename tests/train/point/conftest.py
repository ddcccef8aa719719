"""Small triplets whose clouds, images and texts all carry the class."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.train import PointSettings
from basrelief.train.point.settings import CloudAugmentation, OptimiserSettings, ScheduleSettings
from basrelief.train.point.triplets import StoredTriplets
from support.small_points import register

DIM, POINTS = 16, 64
STILL = CloudAugmentation(dropout=0, scale_low=1, scale_high=1, shift=0, tilt=0, spin=False, drop_colors=0)
SMALL = PointSettings(
    batch_size=4,
    epochs=4,
    network="small",
    points=POINTS,
    workers=1,
    save_every=2,
    optimiser=OptimiserSettings(lr=1e-2),
    schedule=ScheduleSettings("constant"),
)


@pytest.fixture(autouse=True)
def _family(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def made_triplets(count: int = 8, *, classes: int = 4, images: int = 3, seed: int = 0) -> StoredTriplets:
    """Boxes of different proportions and colours; class c has text c and images near it. Some shapes have no text, some no images."""
    rng = np.random.default_rng(seed)
    texts = unit(np.random.default_rng(99).normal(size=(classes, DIM)))
    truth = np.arange(count) % classes
    sides = 0.2 + np.random.default_rng(98).random((classes, 3))
    xyz = rng.uniform(-1, 1, (count, POINTS, 3)) * sides[truth][:, None]
    rgb = np.broadcast_to((truth / classes)[:, None, None], xyz.shape)
    pictures = unit(texts[truth][:, None] + 0.1 * rng.normal(size=(count, images, DIM)))
    exists = np.ones((count, images), dtype=bool)
    exists[4::5] = False
    text_rows = [[] if row % 7 == 3 else [int(label)] for row, label in enumerate(truth)]
    return StoredTriplets(
        [f"shape{row}" for row in range(count)],
        clouds=np.concatenate([xyz, rgb], axis=2).astype(np.float32),
        images=pictures,
        exists=exists,
        texts=texts,
        text_rows=text_rows,
        labels=[f"class {c}" for c in range(classes)],
        truth=truth,
    )


@pytest.fixture
def triplets() -> StoredTriplets:
    return made_triplets()
