"""The parts of `benchmarks/pose.py`: turning, counting, groups of names."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

import basrelief as br
from basrelief.geometry import rotation_to_z_up
from basrelief.shapes import CATEGORIES
from basrelief.train.data import generated_shapes
from support import load_script


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_script("benchmarks/pose.py")


def test_groups_share_no_name(bench: ModuleType) -> None:
    groups = list(bench.GROUPS.values())
    assert not groups[0] & groups[1]


@pytest.mark.parametrize(
    ("label", "group"),
    [
        ("chair", "form tells"),
        ("ball", "nothing tells"),
        ("refrigerator", "a box"),
        ("hand grenade", "nothing tells"),
        ("car", "form tells"),
    ],
)
def test_names_are_grouped_by_what_they_mean(label: str, group: str, bench: ModuleType) -> None:
    assert bench.group_of(label) == group


def test_most_generated_categories_tell_what_is_up(bench: ModuleType) -> None:
    groups = [bench.group_of(name) for name in CATEGORIES]
    assert groups.count("form tells") > len(CATEGORIES) / 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("how", ["axes", "any"])
def test_a_turned_cloud_says_where_its_up_went(how: str, seed: int, bench: ModuleType) -> None:
    points = np.random.default_rng(0).random((50, 3)) * [1, 1, 5]
    cloud, up = bench.turned(points, how, seed)
    assert np.linalg.norm(up) == pytest.approx(1)
    np.testing.assert_allclose(cloud.points @ up, points[:, 2], atol=1e-5)
    if how == "axes":
        assert np.abs(up).max() == pytest.approx(1)
    again, _ = bench.turned(points, how, seed)
    np.testing.assert_array_equal(cloud.points, again.points)


def test_right_means_within_15_degrees(bench: ModuleType) -> None:
    for degrees, expected in ((0, True), (14, True), (16, False), (180, False)):
        a = np.radians(degrees)
        assert bench.right(np.eye(3), np.array([np.sin(a), 0, np.cos(a)])) is expected
    assert bench.right(rotation_to_z_up("y"), np.array([0.0, 1, 0]))


def test_a_part_of_a_set_is_the_same_every_time(bench: ModuleType) -> None:
    shapes = generated_shapes(["chair", "mug"], 3, count=64, seed=1)
    some = bench.some(shapes, 4)
    assert len(some) == 4
    np.testing.assert_array_equal(some.points.numpy(), bench.some(shapes, 4).points.numpy())


def test_rows_are_printed_for_both_ways_of_turning(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    model = br.load_model("tiny", device="cpu", dtype="float32")
    bench.measure("few", model, generated_shapes(["chair", "mug"], 1, count=256, seed=1), ("chair", "mug", "car"))
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].startswith("few: 2 shapes, 3 names, top-1 as they stand ")
    assert [line.split()[0] for line in lines[1:]] == ["axes", "top-1", "any", "top-1", "form"]
    assert "of the loss undone" in lines[2]
