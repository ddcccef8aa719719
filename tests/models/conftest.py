"""Fixtures of the tests of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from basrelief.encoders import ClipEncoder
from basrelief.io import save
from support.small_models import ball, box, small_encoder


@pytest.fixture
def encoder() -> ClipEncoder:
    return small_encoder()


@pytest.fixture
def shape_files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("box.glb", "ball.ply", "flat.obj", "slab.stl")]
    for path, shape in zip(paths, (box(), ball(), box(size=(2, 2, 0.1)), box(size=(3, 1, 0.5))), strict=True):
        save(shape, path)
    return paths
