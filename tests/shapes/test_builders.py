"""Solids that shapes are made of: closed, finite, coloured, connected."""

from __future__ import annotations

import re
import zlib
from collections import Counter

import numpy as np
import pytest

from basrelief.shapes import CATEGORIES, make_shape
from basrelief.shapes.appliances import APPLIANCES
from basrelief.shapes.furniture_seats import SEATS
from basrelief.shapes.furniture_tables import TABLES
from basrelief.shapes.household import HOUSEHOLD
from basrelief.shapes.outdoors import OUTDOORS
from basrelief.shapes.primitives import Solid, box
from basrelief.shapes.tools import TOOLS
from basrelief.shapes.vehicles import VEHICLES
from basrelief.shapes.vessels import VESSELS
from shapes.laws import edges_meet_twice, groups

FAMILIES = {
    "seats": SEATS,
    "tables": TABLES,
    "appliances": APPLIANCES,
    "household": HOUSEHOLD,
    "vessels": VESSELS,
    "tools": TOOLS,
    "vehicles": VEHICLES,
    "outdoors": OUTDOORS,
}
BUILDERS = {name: builder for family in FAMILIES.values() for name, builder in family.items()}
LOOSE = {"ladder"}
"""The missing rungs of a folding ladder leave single ones alone between its legs."""

SEEDS = range(4)


def _solids(category: str, seed: int) -> list[Solid]:
    return BUILDERS[category](np.random.default_rng([zlib.crc32(category.encode()), seed]))


def test_families_share_no_category_and_make_up_the_whole() -> None:
    counts = Counter(name for family in FAMILIES.values() for name in family)
    assert set(counts.values()) == {1}
    assert set(counts) == set(CATEGORIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_several_categories(family: str) -> None:
    assert len(FAMILIES[family]) >= 8


def test_furniture_comes_first() -> None:
    assert CATEGORIES[: len(SEATS) + len(TABLES)] == (*SEATS, *TABLES)


@pytest.mark.parametrize("category", BUILDERS)
def test_names_are_plain_words(category: str) -> None:
    assert re.fullmatch(r"[a-z]+( [a-z]+){0,2}", category)


@pytest.mark.parametrize("category", BUILDERS)
def test_make_shape_joins_the_solids(category: str) -> None:
    solids, mesh = _solids(category, 2), make_shape(category, seed=2)
    assert len(mesh.faces) == sum(len(s.faces) for s in solids)
    assert np.allclose(mesh.vertices, np.concatenate([s.vertices for s in solids]), atol=1e-4)


@pytest.mark.parametrize("category", BUILDERS)
def test_solids_are_finite_and_coloured(category: str) -> None:
    for seed in SEEDS:
        for solid in _solids(category, seed):
            assert np.isfinite(solid.vertices).all()
            assert len(solid.color) == 3
            assert min(solid.color) >= 0
            assert max(solid.color) <= 1.2


@pytest.mark.parametrize("category", BUILDERS)
def test_solids_are_closed(category: str) -> None:
    assert all(edges_meet_twice(solid) for solid in _solids(category, 0))


@pytest.mark.parametrize("category", [name for name in BUILDERS if name not in LOOSE])
def test_no_part_floats_apart(category: str) -> None:
    for seed in SEEDS:
        solids = _solids(category, seed)
        longest = np.ptp(np.concatenate([s.vertices for s in solids]), axis=0).max()
        assert groups(solids, 0.05 * longest) == 1, f"seed {seed}"


def test_parts_that_float_apart_are_found() -> None:
    assert groups([box((1, 1, 1)), box((1, 1, 1), (0.9, 0, 0)), box((1, 1, 1), (5, 0, 0))], 0.0) == 2
    assert groups([box((1, 1, 1)), box((1, 1, 1), (1.5, 0, 0))], 0.2) == 2
    assert groups([box((1, 1, 1)), box((1, 1, 1), (1.5, 0, 0))], 0.3) == 1


@pytest.mark.parametrize(
    ("category", "least", "most"),
    [
        ("chair", 5, 40),
        ("table", 2, 20),
        ("bicycle", 25, 60),
        ("computer keyboard", 50, 150),
        ("ball", 1, 1),
        ("car", 5, 8),
        ("glass", 1, 1),
    ],
)
def test_numbers_of_parts(category: str, least: int, most: int) -> None:
    for seed in SEEDS:
        assert least <= len(_solids(category, seed)) <= most


@pytest.mark.parametrize("category", ["lamp", "chair", "table", "desk", "truck", "stool", "picture frame", "hammer"])
def test_designs_differ_in_kind_not_only_in_size(category: str) -> None:
    assert len({len(_solids(category, seed)) for seed in range(15)}) >= 2


@pytest.mark.parametrize("category", ["chair", "sofa", "car", "mug", "vase", "boat"])
def test_colours_vary(category: str) -> None:
    assert len({tuple(np.round(_solids(category, seed)[0].color, 6)) for seed in range(8)}) >= 6
