"""Training, validation and test shapes have different makers and share no content."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import maker_split
from support import shared_path

Files = dict[str, list[tuple[Path, dict[str, str]]]]
PARTS = ("train", "validation", "test")


@pytest.mark.parametrize(
    ("group", "part"),
    [
        ("KayKit Furniture Bits / Kay Lousberg", "test"),
        ("Kenney Furniture Pack (1.0) / Kenney", "validation"),
        ("market-assets (pmndrs) / Sara Vieira", "validation"),
        ("market-assets (pmndrs) / Kenney", "train"),
        ("Base Meshes / thebasemesh.com", "train"),
        ("generated", "train"),
    ],
)
def test_a_group_belongs_to_one_part(group: str, part: str) -> None:
    assert maker_split().part(group) == part


def test_no_name_is_in_two_parts() -> None:
    split = maker_split()
    for first, second in [(a, b) for a in split.validation for b in split.test]:
        assert first not in second
        assert second not in first


def test_seeds_of_the_parts_are_disjoint() -> None:
    seeds = maker_split().seeds
    assert set(seeds) == set(PARTS)
    used = [set(range(first, end)) for part in PARTS for first, end in seeds[part]]
    assert all(not a & b for a, b in combinations(used, 2))


@pytest.fixture(scope="module")
def both_sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """Files and table rows of the two shared sets of shapes, by part."""
    first, second = shared_path("assets/shapes"), shared_path("assets/shapes2")
    out = tmp_path_factory.mktemp("shapes2")
    subprocess.run([sys.executable, str(second / "unpack.py"), str(out)], check=True, capture_output=True)
    parts: Files = defaultdict(list)
    for folder in (first, out / "shapes"):
        with folder.with_suffix(".csv").open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                file = folder / row["class"].replace(" ", "_") / f"{row['id']}.ply"
                parts[maker_split().part(f"{row['source_pack']} / {row['creator']}")].append((file, row))
    yield parts


def _form(file: Path) -> bytes:
    """The vertices of a PLY file on a grid of its bounding box: the same for copies that were moved, scaled or reordered."""
    from basrelief.io import load
    from basrelief.types import Mesh

    mesh = load(file, up="z")
    assert isinstance(mesh, Mesh)
    low = mesh.vertices.min(axis=0)
    placed = (mesh.vertices - low) / max(float((mesh.vertices.max(axis=0) - low).max()), 1e-12)
    return np.unique(np.round(placed * 200).astype(np.int16), axis=0).tobytes()


@pytest.mark.slow
def test_parts_share_no_file_and_no_form(both_sets: Files) -> None:
    forms = {part: {_form(file): file.name for file, _ in both_sets[part]} for part in PARTS}
    for a, b in combinations(PARTS, 2):
        same = forms[a].keys() & forms[b].keys()
        assert not same, [(forms[a][form], forms[b][form]) for form in same]


def test_the_test_makers_made_nothing_else(both_sets: Files) -> None:
    creators = {part: {row["creator"] for _, row in both_sets[part]} for part in PARTS}
    assert not creators["test"] & (creators["train"] | creators["validation"])
    assert {"Kenney", "Quaternius"} >= creators["validation"] & creators["train"]


def test_every_name_of_the_split_is_the_maker_of_a_shape(both_sets: Files) -> None:
    for part in ("validation", "test"):
        groups = [f"{row['source_pack']} / {row['creator']}" for _, row in both_sets[part]]
        for name in getattr(maker_split(), part):
            assert any(name in group for group in groups), name
    assert len(both_sets["test"]) > 400
