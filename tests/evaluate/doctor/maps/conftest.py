"""Miniatures of the published layout: point clouds and depth maps of a few shapes, drawn in a way that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from basrelief.evaluate.doctor.maps.variants import Variant
from basrelief.geometry import sample_surface
from basrelief.shapes import make_shape

SIZE, POINTS = 48, 1100
LABELS = ("chair", "airplane", "mug")
Draw = Callable[[np.ndarray], np.ndarray]
Publish = Callable[..., Path]


def cloud(label: str, points: int = POINTS) -> np.ndarray:
    """Points of a generated shape, world frame, float32."""
    return sample_surface(make_shape(label, seed=3), points, seed=5).points.astype(np.float32)


def channels(maps: np.ndarray) -> np.ndarray:
    """Three equal channels."""
    return np.repeat(maps[..., None], 3, axis=-1)


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Writes `depth_map/ID+CLASS_dm.npy` and `points/ID.npy`: `publish(draw, store=...)`."""

    def write(draw: Draw | Variant, *, store: Draw = channels, labels: tuple[str, ...] = LABELS, points: int = POINTS) -> Path:
        drawn: Draw = (lambda points: draw.draw(points, SIZE)) if isinstance(draw, Variant) else draw
        orientation = draw.orientation if isinstance(draw, Variant) else Variant().orientation
        for folder in ("depth_map", "points"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for number, label in enumerate(labels):
            stored = cloud(label, points) @ orientation.matrix  # back to the axes of the file
            np.save(tmp_path / "points" / f"{number:04d}.npy", stored)
            np.save(tmp_path / "depth_map" / f"{number:04d}+{label}_dm.npy", store(drawn(stored)))
        return tmp_path

    return write
