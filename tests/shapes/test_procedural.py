"""Every category: reproducible, different for different seeds, of realistic size."""

from __future__ import annotations

import re

import numpy as np
import pytest

import basrelief.shapes
import basrelief.testing
from basrelief.errors import ConfigError
from basrelief.shapes import CATEGORIES, make_shape
from basrelief.types import Mesh
from shapes.laws import extent

SIZES = {
    "chair": (0.5, 1.6),
    "stool": (0.25, 1.3),
    "bench": (0.8, 2.0),
    "sofa": (1.2, 2.6),
    "armchair": (0.5, 1.3),
    "ottoman": (0.35, 1.0),
    "bed": (1.6, 2.5),
    "bunk bed": (1.6, 2.4),
    "toilet": (0.5, 1.2),
    "table": (0.35, 2.0),
    "desk": (0.9, 1.9),
    "cabinet": (0.55, 1.6),
    "wardrobe": (1.6, 2.5),
    "dresser": (0.6, 1.7),
    "nightstand": (0.35, 0.8),
    "bookshelf": (0.95, 2.4),
    "shelf": (0.3, 2.0),
    "tv stand": (0.9, 2.2),
    "lamp": (0.2, 2.6),
    "picture frame": (0.1, 1.0),
    "mirror": (0.4, 2.2),
    "door": (1.9, 2.4),
    "window": (0.6, 1.9),
    "curtain": (1.5, 3.2),
    "television": (0.6, 1.7),
    "monitor": (0.35, 0.8),
    "laptop": (0.2, 0.6),
    "computer keyboard": (0.2, 0.5),
    "phone": (0.1, 0.2),
    "refrigerator": (1.2, 2.1),
    "washing machine": (0.7, 1.0),
    "stove": (0.7, 1.3),
    "microwave": (0.35, 0.7),
    "range hood": (0.4, 1.5),
    "air conditioner": (0.4, 1.1),
    "fan": (0.3, 1.7),
    "clock": (0.15, 0.6),
    "dish rack": (0.25, 0.6),
    "ball": (1.8, 2.1),
    "traffic cone": (0.25, 0.9),
    "umbrella": (0.6, 1.3),
    "plate": (0.14, 0.35),
    "cardboard box": (0.15, 1.0),
    "coat rack": (1.4, 2.1),
    "mug": (0.06, 0.2),
    "cup": (0.05, 0.2),
    "bottle": (0.15, 0.4),
    "bowl": (0.08, 0.4),
    "vase": (0.15, 1.0),
    "wine glass": (0.1, 0.3),
    "glass": (0.07, 0.2),
    "teapot": (0.1, 0.5),
    "pot": (0.15, 0.5),
    "frying pan": (0.25, 0.6),
    "bucket": (0.15, 0.6),
    "trash can": (0.15, 1.0),
    "bathtub": (1.3, 2.1),
    "sink": (0.4, 1.4),
    "jar": (0.06, 0.3),
    "can": (0.05, 0.2),
    "hammer": (0.2, 0.5),
    "screwdriver": (0.1, 0.35),
    "wrench": (0.1, 0.4),
    "axe": (0.3, 1.0),
    "shovel": (0.8, 1.8),
    "rake": (0.9, 1.7),
    "broom": (0.9, 1.7),
    "knife": (0.15, 0.4),
    "fork": (0.1, 0.3),
    "spoon": (0.1, 0.35),
    "spatula": (0.25, 0.5),
    "scissors": (0.12, 0.35),
    "pliers": (0.12, 0.3),
    "saw": (0.3, 0.8),
    "drill": (0.2, 0.5),
    "ladder": (1.1, 3.2),
    "guitar": (0.8, 1.2),
    "dumbbell": (0.1, 0.6),
    "car": (3.3, 5.2),
    "truck": (3.0, 9.0),
    "bus": (6.5, 12.6),
    "airplane": (9.0, 35.0),
    "boat": (2.5, 10.0),
    "train": (5.5, 15.0),
    "bicycle": (1.4, 2.0),
    "motorcycle": (1.7, 2.4),
    "helicopter": (4.0, 9.0),
    "rocket": (1.8, 5.0),
    "potted plant": (0.1, 1.6),
    "tree": (2.0, 11.0),
    "pine tree": (1.5, 8.0),
    "palm tree": (2.5, 8.0),
    "cactus": (0.6, 3.0),
    "flower": (0.2, 0.9),
    "house": (4.0, 11.0),
    "building": (8.0, 46.0),
    "tower": (6.0, 21.0),
    "staircase": (0.8, 5.0),
    "fence": (1.2, 3.4),
    "street light": (1.8, 7.0),
    "traffic sign": (1.5, 3.0),
}
"""Smallest and largest plausible longest side of each category, metres."""

SEEDS = range(6)


def test_there_is_a_size_for_every_category() -> None:
    assert set(SIZES) == set(CATEGORIES)


def test_there_are_many_categories_without_repeats() -> None:
    assert len(CATEGORIES) >= 100
    assert len(set(CATEGORIES)) == len(CATEGORIES)


def test_dir_lists_public_names() -> None:
    assert set(dir(basrelief.testing)) == set(basrelief.testing.__all__)
    for name in basrelief.testing.__all__:
        assert getattr(basrelief.testing, name) is not None


def test_unknown_names_raise_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'make_shapes'"):
        _ = basrelief.shapes.make_shapes


@pytest.mark.parametrize("category", CATEGORIES)
def test_longest_side_is_that_of_such_a_thing(category: str) -> None:
    low, high = SIZES[category]
    for seed in SEEDS:
        assert low <= extent(make_shape(category, seed=seed)).max() <= high, f"seed {seed}"


@pytest.mark.parametrize("category", CATEGORIES)
def test_same_seed_same_mesh(category: str) -> None:
    first, second = make_shape(category, seed=3), make_shape(category, seed=3)
    assert np.array_equal(first.vertices, second.vertices)
    assert np.array_equal(first.faces, second.faces)
    assert first.colors is not None
    assert second.colors is not None
    assert np.array_equal(first.colors, second.colors)


@pytest.mark.parametrize("category", CATEGORIES)
def test_seeds_give_different_designs(category: str) -> None:
    shapes = [extent(make_shape(category, seed=seed)) for seed in SEEDS]
    shares = [size / size.max() for size in shapes]
    different = {tuple(np.round(np.concatenate([a, b]), 9)) for a, b in zip(shapes, shares, strict=True)}
    assert len(different) >= len(SEEDS) - 1 or category == "ball"


@pytest.mark.parametrize("category", CATEGORIES)
def test_faces_have_area_and_use_all_three_dimensions(category: str) -> None:
    mesh = make_shape(category, seed=1)
    a, b, c = mesh.vertices[mesh.faces].astype(float).transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    assert (area > 0).mean() > 0.9
    assert (extent(mesh) > 0).all()


@pytest.mark.parametrize("category", CATEGORIES)
def test_shapes_stay_small_files(category: str) -> None:
    for seed in SEEDS:
        mesh = make_shape(category, seed=seed)
        assert len(mesh.faces) < 40_000
        assert mesh.colors is not None
        assert mesh.origin is not None
        assert mesh.origin.path == f"{category} {seed}"


def test_categories_do_not_share_random_numbers() -> None:
    mug, cup = make_shape("mug", seed=0), make_shape("cup", seed=0)
    assert mug.vertices.shape != cup.vertices.shape or not np.allclose(mug.vertices, cup.vertices)


def test_default_seed_is_zero() -> None:
    assert np.array_equal(make_shape("vase").vertices, make_shape("vase", seed=0).vertices)


def test_result_is_a_mesh() -> None:
    assert isinstance(make_shape("chair"), Mesh)


def test_unknown_category_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown category 'chiar'; expected one of chair, .*\. Did you mean 'chair'\?"):
        make_shape("chiar")


def test_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("seed is -1; it must be at least 0. Pass a whole number.")):
        make_shape("chair", seed=-1)
