"""A small library of meshes, and quick settings to render it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.io import save
from basrelief.shapes import make_shape
from basrelief.train import PairSettings

QUICK = PairSettings(size=32, points=256, supersample=1)
CLASSES = ("chair", "mug", "table")


def write_library(root: Path, *, each: int = 2) -> Path:
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for seed in range(each):
            save(make_shape(name, seed=seed), root / name / f"{seed}.glb")
    return root


@pytest.fixture
def library(tmp_path: Path) -> Benchmark:
    return open_benchmark(write_library(tmp_path / "library"), "folder")


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture)
