"""Scans that would cost much: far points, wide grids, noise, thousands of surfaces. All end soon, in an answer or a clear error."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from basrelief.errors import FileFormatError, GeometryError
from basrelief.geometry.voxels import connected_cells
from basrelief.limits import limits, use_limits
from basrelief.scenes import prepare_scene
from basrelief.scenes.given import read_boxes
from basrelief.scenes.segmentation import candidates, merge, supports
from basrelief.scenes.segmentation.candidates import find_candidates
from basrelief.scenes.segmentation.regions import Regions
from basrelief.scenes.tiles import tiles
from support.planted_rooms import bare_scene, small_room


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return small_room(0, things=3, spacing=0.04)[0].cloud.points.astype(np.float64)


def test_two_stray_points_do_not_hide_a_room(points: np.ndarray) -> None:
    scene = prepare_scene(np.concatenate([points, [(-5e8, 0, 0), (5e8, 0, 0)]]))
    assert np.ptp(scene.cloud.points, axis=0).max() < 7
    assert "2 of" in next(finding.fact for finding in scene.findings if finding.check == "outliers")


def test_scans_of_a_city_are_refused(points: np.ndarray) -> None:
    message = r"The scan is .* m long; at most 200 m are searched\. Pass its unit, remove points far away, or raise the limit"
    with pytest.raises(GeometryError, match=message):
        prepare_scene(np.concatenate([points, points + 5e5]))
    with pytest.raises(GeometryError, match=message):
        prepare_scene(np.concatenate([points, [(1e12, 0, 0)]]), trim=False)
    with use_limits(replace(limits(), scan_metres=3.0)), pytest.raises(GeometryError, match="at most 3 m are searched"):
        prepare_scene(points)


@pytest.mark.parametrize("seed", range(3))
def test_points_at_all_scales_are_prepared_or_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scattered = rng.standard_cauchy((3000, 3)) * 10.0 ** rng.uniform(-3, 2, (3000, 1))
    for trim in (True, False):
        try:
            assert np.isfinite(prepare_scene(scattered, trim=trim).cloud.points).all()
        except GeometryError as error:
            assert "are searched" in str(error)


def test_exact_planes_are_prepared() -> None:
    plane = np.stack(np.meshgrid(np.arange(40) * 0.05, np.arange(40) * 0.05, [0.0, 1.0], indexing="ij"), axis=-1).reshape(-1, 3)
    assert len(prepare_scene(plane).cloud.points) == 3200


def test_memory_follows_the_points_not_the_extent(points: np.ndarray) -> None:
    few = points[:: max(1, len(points) // 4000)] * 1e-3
    tracemalloc.start()
    prepare_scene(np.concatenate([few, [(150, 150, 150), (-20, 0, 0)]]), trim=False, unit="m")
    prepare_scene(np.concatenate([points, points + 90]), unit="m")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


def test_connected_cells_are_those_of_a_dense_grid() -> None:
    from scipy.ndimage import label

    grid = np.random.default_rng(0).random((12, 9, 7)) < 0.06
    cells = np.argwhere(grid)
    expected = label(grid, np.ones((3, 3, 3)))[0][tuple(cells.T)]
    found = connected_cells(np.concatenate([cells, cells[:5]]) * 1 - 3)
    pairs = set(zip(expected.tolist(), found[: len(cells)].tolist(), strict=True))
    assert len(pairs) == expected.max() == found.max() + 1
    assert np.array_equal(found[len(cells) :], found[:5])


def test_only_tiles_with_points_are_visited() -> None:
    ends = np.random.default_rng(0).random((400, 3))
    scene = bare_scene(np.concatenate([ends, ends + (190, 190, 0)]))
    assert 0 < sum(1 for _ in tiles(scene, size=0.1, overlap=0.1)) < 800


def test_the_largest_segments_are_merged_and_the_smallest_unions_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([3, 3, 3, 0, 1, 1, 2])
    assert candidates._largest(labels, 4) is labels
    assert candidates._largest(labels, 2).tolist() == [1, 1, 1, -1, 0, 0, -1]
    segments, children = Regions.from_labels(np.array([0, 0, 1, 2, 3])), [(1, 2), (4, 3), (0, 5)]
    assert [len(union) for union in map(merge._unions(segments, children).__getitem__, range(3))] == [2, 3, 5]
    monkeypatch.setattr(merge, "_MOST_MEMBERS", 6)
    kept = merge._unions(segments, children)
    assert [kept[row].tolist() for row in range(len(kept))] == [[2, 3], [2, 3, 4]]


def test_regions_and_supports_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).random((4000, 3))
    monkeypatch.setattr(candidates, "_MOST_REGIONS", 50)
    assert all(0 < len(layer.regions) <= 50 for layer in find_candidates(noise, np.arange(4000), None, size=0.05, floor=0.0))
    plates = np.stack(np.meshgrid(np.arange(10), np.arange(10), [0, 10, 20, 30], indexing="ij"), axis=-1).reshape(-1, 3) * 0.04
    monkeypatch.setattr(supports, "_MOST", 3)
    seen: list[int] = []
    find = candidates.find_supports
    monkeypatch.setattr(candidates, "find_supports", lambda *args, **options: seen.append(len(found := find(*args, **options))) or found)
    find_candidates(plates, np.arange(len(plates)), None, size=0.04, floor=-1.0)
    assert seen == [3]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "x,y,z,width,depth,height\n" + "1,1,1,1,1,1\n" * 30_000, r"a\.csv declares 20,001 boxes; at most 20,000 are read"),
        ("a.json", json.dumps([{"center": [1, 1, 1], "size": [1, 1, 1]}] * 30_000), r"a\.json declares 30,000 boxes; at most 20,000"),
        ("a.json", "[" + "[]," * 2_000_000 + "[]]", r"a\.json declares 4,000,002 values of JSON; at most 2,000,000"),
        ("a.json", json.dumps([{"center": [10**400] * 3, "size": [1] * 3}]), "cannot be read as boxes: int too large to convert"),
        ("a.json", json.dumps(["center"]), "cannot be read as boxes: "),
        ("a.csv", "x,y,z,width,depth,height\n1,1,1,1,1," + "\u202e" * 5000, r"could not convert string to float: '\\u202e\\u202e"),
    ],
    ids=["many rows", "many records", "many values", "a long number", "text for a record", "a long word"],
)
def test_hostile_files_of_boxes_are_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=message) as refused:
        read_boxes(tmp_path / name)
    assert len(str(refused.value)) < 1200


def test_tall_scans_are_not_searched_for_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from basrelief.scenes import guard

    turns = np.repeat(np.arange(60), 200)
    stairs = np.random.default_rng(0).uniform(-0.4, 0.4, (len(turns), 3)) * (1, 1, 0)
    stairs += np.stack([3 * np.cos(turns * 0.3), 3 * np.sin(turns * 0.3), turns * 0.1], axis=1)
    monkeypatch.setattr(guard, "find_support", lambda *_: pytest.fail("searched for a table"))
    assert prepare_scene(stairs).kind != "tabletop"
