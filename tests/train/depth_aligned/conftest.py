"""A small library, and depth-aligned images of it from our own renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.shapes import write_library
from basrelief.train import AlignedMaker, AlignedSettings, make_records
from basrelief.train.depth_aligned.read import AlignedSet, open_aligned

QUICK = AlignedSettings(source="shaded", size=48, points=1500)
NAMES = ("chair", "mug")


@pytest.fixture
def library(tmp_path: Path) -> Benchmark:
    return open_benchmark(write_library(tmp_path / "library", NAMES, each=2), "folder")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> AlignedSet:
    root = tmp_path_factory.mktemp("aligned")
    library = open_benchmark(write_library(root / "library", NAMES, each=3), "folder")
    make_records(library, root / "images", maker=AlignedMaker(QUICK))
    return open_aligned(root / "images")


def write_published(root: Path, *, shapes: int = 3, views: int = 10, size: int = 24, classes: bool = True, kind: str = "uint8") -> Path:
    """OpenDlign's layout: maps as arrays of three equal channels, images as PNG."""
    (root / "depth_map").mkdir(parents=True)
    for number in range(shapes):
        random = np.random.default_rng(number)
        key = f"id{number}" + (f"+{('night_stand', 'sofa')[number % 2]}" if classes else "")
        maps = random.integers(0, 256, (views, size, size, 1), dtype=np.uint8).repeat(3, axis=-1)
        np.save(root / "depth_map" / f"{key}_dm.npy", maps if kind == "uint8" else (maps / 255).astype(kind))
        (root / "depth_align_img" / f"id{number}").mkdir(parents=True)
        for view in range(views):
            Image.fromarray(np.full((size, size, 3), 10 * view + number, np.uint8)).save(
                root / "depth_align_img" / f"id{number}" / f"{view}.png"
            )
    return root
