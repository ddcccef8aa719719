"""Checks of a data set: what a sample of its shapes shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from basrelief.datasets import Benchmark, open_benchmark
from basrelief.evaluate.doctor.data import _sample, check_benchmark
from basrelief.io import save
from basrelief.models import Pose, get_recipe
from basrelief.types import PointCloud, Shape
from support import dataset_miniatures

from .conftest import levels, of, standing


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """Two classes of two clouds of 64 points."""
    return open_benchmark(dataset_miniatures.class_folders(tmp_path / "mine"))


def test_a_good_folder_has_nothing_wrong(benchmark: Benchmark) -> None:
    found = levels(check_benchmark(benchmark, vote=standing()))
    assert found.pop("data card") == "warning"
    assert found == dict.fromkeys(("layout", "split", "up axis", "upright", "points", "colour", "scale"), "ok")


def test_the_sample_takes_every_class_in_turn(benchmark: Benchmark) -> None:
    many = replace(benchmark, items=benchmark.items * 10)
    for count in (2, 4, 10):
        labels = Counter(item.label for item in _sample(many, count, 0))
        assert sum(labels.values()) == count
        assert max(labels.values()) - min(labels.values()) <= 1


def test_the_sample_is_seeded(benchmark: Benchmark) -> None:
    many = replace(benchmark, items=tuple(replace(item, id=f"{i}") for i, item in enumerate(benchmark.items * 10)))
    assert _sample(many, 8, 0) == _sample(many, 8, 0)
    assert _sample(many, 8, 0) != _sample(many, 8, 1)


def test_a_folder_on_the_wrong_axis_is_wrong(benchmark: Benchmark) -> None:
    finding = of(check_benchmark(benchmark, vote=standing("y")), "upright")
    assert finding.level == "wrong"
    assert finding.fact.startswith("4 of 4 sampled shapes with a clear up direction have world y up, so ")
    assert "--up" in finding.remedy


def test_ambiguous_shapes_are_not_reported(benchmark: Benchmark) -> None:
    finding = of(check_benchmark(benchmark, vote=standing("y", 0.3)), "upright")
    assert finding.level == "ok"
    assert finding.fact == "The form of none of 4 sampled shapes tells which way is up."


def test_shapes_that_lie_as_they_fell_are_a_warning(benchmark: Benchmark) -> None:
    def mixed(shapes: list[Shape]) -> list[Pose]:
        axes = ("z", "x", "y", "-y")
        return [standing(axes[i % 4])([shape])[0] for i, shape in enumerate(shapes)]

    finding = of(check_benchmark(benchmark, vote=mixed), "upright")  # type: ignore[arg-type]
    assert finding.level == "warning"
    assert finding.fact.startswith("Only 1 of 4 sampled shapes")
    assert "--pose axes" in finding.remedy


def test_fewer_points_than_the_paper_draws_are_a_warning(benchmark: Benchmark) -> None:
    finding = of(check_benchmark(benchmark, recipe=get_recipe("opendlign-h14"), vote=standing()), "points")
    assert finding.level == "warning"
    assert finding.fact == "64 to 64 points per shape. opendlign-h14 samples 10,000 in its paper."


def test_the_number_of_points_is_that_of_the_paper_on_this_data(tmp_path: Path) -> None:
    data = open_benchmark(dataset_miniatures.scanobjectnn(tmp_path), strict=False)
    assert "samples 2,048 in its paper" in of(check_benchmark(data, recipe=get_recipe("opendlign-h14"), vote=standing()), "points").fact


def test_enough_points_are_fine(tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "ball"
    folder.mkdir(parents=True)
    save(PointCloud(np.random.default_rng(0).normal(size=(1500, 3)).astype(np.float32)), folder / "a.ply")
    save(PointCloud(np.random.default_rng(1).normal(size=(1200, 3)).astype(np.float32)), folder / "b.ply")
    (tmp_path / "mine" / "box").mkdir()
    save(PointCloud(np.random.default_rng(2).random((3000, 3)).astype(np.float32)), tmp_path / "mine" / "box" / "c.ply")
    data = open_benchmark(tmp_path / "mine")
    finding = of(check_benchmark(data, recipe=get_recipe("clip2point"), vote=standing()), "points")
    assert (finding.level, finding.fact) == ("ok", "1,200 to 3,000 points per shape. clip2point samples 1,024 of them.")


def test_files_that_cannot_be_read_are_counted(benchmark: Benchmark) -> None:
    Path(benchmark.items[0].path).write_bytes(b"ply\njunk")
    finding = of(check_benchmark(benchmark, vote=standing()), "reading")
    assert finding.level == "wrong"
    assert finding.fact.startswith("1 of 4 sampled shapes cannot be read, e.g. ")
    assert "count as wrong" in finding.remedy


def test_nothing_readable_is_still_an_answer(benchmark: Benchmark) -> None:
    for item in benchmark.items:
        Path(item.path).write_bytes(b"junk")
    found = levels(check_benchmark(benchmark, vote=standing()))
    assert found["reading"] == "wrong"
    assert "upright" not in found


def test_the_training_split_is_a_warning(tmp_path: Path) -> None:
    data = open_benchmark(dataset_miniatures.modelnet_off(tmp_path), split="train", strict=False)
    assert levels(check_benchmark(data, sample=1, vote=standing()))["split"] == "warning"


def test_classes_without_shapes_are_named(tmp_path: Path) -> None:
    root = dataset_miniatures.modelnet_off(tmp_path)
    next((root / "vase" / "test").iterdir()).unlink()
    finding = of(check_benchmark(open_benchmark(root, strict=False), sample=1, vote=standing()), "classes")
    assert finding.fact == "1 of 40 classes have no shape in this split, e.g. 'vase'."


def test_drawn_depth_maps_are_not_read_as_shapes(tmp_path: Path) -> None:
    data = open_benchmark(dataset_miniatures.depth_maps(tmp_path))
    findings = check_benchmark(data, vote=standing())
    assert of(findings, "input").level == "warning"
    assert "upright" not in levels(findings)


def test_copies_of_one_point_are_wrong(tmp_path: Path) -> None:
    root = dataset_miniatures.class_folders(tmp_path / "mine")
    for path in root.rglob("*.ply"):
        save(PointCloud(np.ones((10, 3), dtype=np.float32)), path)
    assert of(check_benchmark(open_benchmark(root), vote=standing()), "scale").level == "wrong"


def test_the_variant_and_its_neighbours_are_named(tmp_path: Path) -> None:
    data = open_benchmark(dataset_miniatures.scanobjectnn(tmp_path), variant="PB_T50_RS", strict=False)
    fact = of(check_benchmark(data, sample=1, vote=standing()), "variant").fact
    assert fact.startswith("The variant is PB_T50_RS; others are OBJ_ONLY, OBJ_BG.")
