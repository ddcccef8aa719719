"""Synthetic depth-aligned images whose depth maps and pictures carry the class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from basrelief.train import OpenDlignSettings
from basrelief.train.depth_aligned.read import AlignedSet

SETTINGS = OpenDlignSettings(batch_size=4, epochs=3, save_every=2, workers=2, lr=1e-3, cache_type="float32")


class Made(AlignedSet):
    """Every shape is a bar at a place of its own; its pictures show the same bar in colour. Counts what is read."""

    def __init__(self, home: Path, *, shapes: int = 9, views: int = 10) -> None:
        super().__init__(home)
        self.labels, self.views = ("left", "right"), views
        self.truth = [row % 2 for row in range(shapes)]
        self.keys = [f"shape{row}" for row in range(shapes)]
        self.read: list[int] = []
        self.dropped: dict[int, list[int]] = {}

    @property
    def projection(self) -> dict[str, object]:
        return {"name": "opendlign", "size": 32}

    def depth(self, row: int) -> np.ndarray:
        self.read.append(row)
        return np.stack([self._bar(row, view, 255, 40) for view in range(self.views)])

    def pictures(self, row: int) -> np.ndarray:
        colour = np.uint8([200, 60 + 12 * row, 30])
        return np.stack([self._bar(row, view, 60, 200)[..., None] // 2 + colour // 2 for view in range(self.views)])

    def kept(self, row: int) -> np.ndarray:
        keep = np.ones(self.views, dtype=bool)
        keep[self.dropped.get(row, [])] = False
        return keep

    @staticmethod
    def _bar(row: int, view: int, ground: int, bar: int) -> np.ndarray:
        image = np.full((32, 32), ground, np.uint8)
        place = 3 * row % 24
        image[view : view + 12, place : place + 6] = bar
        return image


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)
