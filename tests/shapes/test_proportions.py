"""Proportions of upright categories: height and depth relative to the longest side and the width."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.shapes import CATEGORIES, make_shape
from shapes.laws import extent

PROPORTIONS = {
    "chair": (0.85, 1.00, 0.50, 1.00),
    "stool": (0.65, 1.00, 0.45, 1.00),
    "bench": (0.20, 1.00, 0.15, 0.55),
    "sofa": (0.25, 0.70, 0.30, 1.00),
    "armchair": (0.60, 1.00, 0.60, 1.00),
    "ottoman": (0.40, 1.00, 0.50, 1.00),
    "bed": (0.20, 0.65, 0.35, 0.95),
    "bunk bed": (0.70, 1.00, 0.35, 0.65),
    "toilet": (0.80, 1.00, 0.45, 0.70),
    "table": (0.30, 1.00, 0.35, 1.00),
    "desk": (0.35, 1.00, 0.25, 0.90),
    "cabinet": (0.40, 1.00, 0.25, 1.00),
    "wardrobe": (0.90, 1.00, 0.25, 1.00),
    "dresser": (0.45, 1.00, 0.25, 1.00),
    "nightstand": (0.65, 1.00, 0.60, 1.00),
    "bookshelf": (0.75, 1.00, 0.15, 0.90),
    "shelf": (0.15, 1.00, 0.15, 1.00),
    "tv stand": (0.10, 0.55, 0.15, 0.50),
    "television": (0.45, 0.80, 0.00, 0.60),
    "monitor": (0.65, 1.00, 0.20, 0.50),
    "laptop": (0.40, 0.95, 0.55, 1.00),
    "computer keyboard": (0.00, 0.10, 0.25, 0.60),
    "refrigerator": (0.90, 1.00, 0.50, 1.00),
    "washing machine": (0.90, 1.00, 0.75, 1.00),
    "stove": (0.90, 1.00, 0.60, 1.00),
    "microwave": (0.40, 0.80, 0.50, 1.00),
    "range hood": (0.50, 1.00, 0.35, 1.00),
    "air conditioner": (0.20, 1.00, 0.15, 0.55),
    "fan": (0.90, 1.00, 0.65, 0.85),
    "clock": (0.90, 1.00, 0.05, 0.35),
    "lamp": (0.80, 1.00, 0.20, 1.00),
    "picture frame": (0.25, 1.00, 0.00, 1.00),
    "mirror": (0.85, 1.00, 0.00, 0.50),
    "door": (0.90, 1.00, 0.05, 0.95),
    "window": (0.55, 1.00, 0.00, 0.25),
    "curtain": (0.65, 1.00, 0.00, 0.10),
    "dish rack": (0.15, 0.85, 0.40, 1.00),
    "ball": (0.85, 1.00, 0.85, 1.00),
    "traffic cone": (0.65, 1.00, 0.85, 1.00),
    "umbrella": (0.65, 1.00, 0.70, 1.00),
    "plate": (0.10, 0.15, 0.85, 1.00),
    "cardboard box": (0.20, 1.00, 0.25, 1.00),
    "coat rack": (0.90, 1.00, 0.75, 1.00),
    "mug": (0.45, 1.00, 0.50, 0.95),
    "cup": (0.30, 1.00, 0.65, 1.00),
    "bottle": (0.90, 1.00, 0.45, 1.00),
    "bowl": (0.10, 0.40, 0.85, 1.00),
    "vase": (0.90, 1.00, 0.50, 1.00),
    "wine glass": (0.90, 1.00, 0.85, 1.00),
    "glass": (0.90, 1.00, 0.85, 1.00),
    "teapot": (0.35, 1.00, 0.45, 0.75),
    "pot": (0.25, 0.80, 0.60, 0.85),
    "frying pan": (0.05, 0.25, 0.35, 0.70),
    "bucket": (0.70, 1.00, 0.80, 1.00),
    "trash can": (0.80, 1.00, 0.60, 1.00),
    "bathtub": (0.25, 0.50, 0.30, 0.60),
    "sink": (0.90, 1.00, 0.65, 1.00),
    "jar": (0.60, 1.00, 0.85, 1.00),
    "can": (0.65, 1.00, 0.85, 1.00),
    "saw": (0.20, 0.40, 0.00, 0.10),
    "drill": (0.55, 0.80, 0.15, 0.25),
    "ladder": (0.90, 1.00, 0.10, 1.00),
    "dumbbell": (0.10, 0.95, 0.10, 0.95),
    "car": (0.20, 0.50, 0.25, 0.55),
    "truck": (0.30, 0.75, 0.20, 0.60),
    "bus": (0.15, 0.65, 0.15, 0.40),
    "airplane": (0.10, 0.45, 0.65, 1.00),
    "boat": (0.05, 1.00, 0.15, 0.80),
    "train": (0.20, 0.70, 0.15, 0.50),
    "bicycle": (0.45, 0.70, 0.25, 0.40),
    "motorcycle": (0.45, 0.65, 0.25, 0.40),
    "helicopter": (0.20, 0.40, 0.20, 1.00),
    "rocket": (0.90, 1.00, 0.60, 1.00),
    "potted plant": (0.45, 1.00, 0.40, 1.00),
    "tree": (0.80, 1.00, 0.50, 1.00),
    "pine tree": (0.90, 1.00, 0.85, 1.00),
    "palm tree": (0.85, 1.00, 0.70, 1.00),
    "cactus": (0.60, 1.00, 0.35, 1.00),
    "flower": (0.90, 1.00, 0.25, 0.90),
    "house": (0.40, 1.00, 0.40, 1.00),
    "building": (0.60, 1.00, 0.50, 1.00),
    "tower": (0.90, 1.00, 0.85, 1.00),
    "staircase": (0.45, 1.00, 0.15, 1.00),
    "fence": (0.20, 0.70, 0.00, 0.05),
    "street light": (0.90, 1.00, 0.10, 1.00),
    "traffic sign": (0.90, 1.00, 0.05, 0.30),
}
"""Least and most of height over longest side, then of the smaller over the larger horizontal side."""

POSED = {
    "hammer", "screwdriver", "wrench", "axe", "shovel", "rake", "broom", "knife", "fork", "spoon", "spatula", "scissors", "pliers", "guitar",
    "phone",
}  # fmt: skip
"""Found lying or standing, so without proportions of their own."""

SEEDS = range(60, 66)


def test_every_category_is_listed_once() -> None:
    assert set(PROPORTIONS) | POSED == set(CATEGORIES)
    assert not set(PROPORTIONS) & POSED


@pytest.mark.parametrize("category", PROPORTIONS)
def test_height_fits_the_longest_side(category: str) -> None:
    low, high, _, _ = PROPORTIONS[category]
    for seed in SEEDS:
        size = extent(make_shape(category, seed=seed))
        assert low - 0.05 <= size[2] / size.max() <= high + 0.05, f"seed {seed}"


@pytest.mark.parametrize("category", PROPORTIONS)
def test_depth_fits_the_width(category: str) -> None:
    _, _, low, high = PROPORTIONS[category]
    for seed in SEEDS:
        size = np.sort(extent(make_shape(category, seed=seed))[:2])
        assert low - 0.05 <= size[0] / size[1] <= high + 0.05, f"seed {seed}"


@pytest.mark.parametrize("category", sorted(POSED))
def test_posed_things_are_slim(category: str) -> None:
    for seed in SEEDS:
        size = np.sort(extent(make_shape(category, seed=seed)))
        assert size[0] < 0.6 * size[2], f"seed {seed}"
