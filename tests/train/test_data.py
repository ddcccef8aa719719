"""Shape sets: reading, generating, joining, splitting and weighting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.errors import FileFormatError
from basrelief.shapes import make_shape
from basrelief.train.data import (
    GENERATED,
    ShapeSet,
    generated_shapes,
    load_shapes,
    made_by,
    merge,
    read_shapes,
    sampling_weights,
    save_shapes,
    split_by_maker,
    surface_points,
)
from basrelief.types import Mesh, PointCloud


def _made(labels: list[int], groups: list[str] | None = None, names: tuple[str, ...] = ("a", "b", "c")) -> ShapeSet:
    points = torch.arange(len(labels) * 6, dtype=torch.float16).view(-1, 2, 3)
    return ShapeSet(points, torch.tensor(labels), names, tuple(groups or [GENERATED] * len(labels)))


@pytest.mark.parametrize("category", ["chair", "airplane", "spoon"])
def test_surface_points_fill_the_unit_sphere(category: str) -> None:
    points = surface_points(make_shape(category), 2000).astype(np.float32)
    assert points.shape == (2000, 3)
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=2e-3)
    assert np.allclose(points.min(axis=0), -points.max(axis=0), atol=2e-3)


def test_surface_points_are_spread_by_area() -> None:
    wide = [[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 5], [1, 0, 5], [0, 1, 5]]
    mesh = Mesh(np.array(wide), np.array([[0, 1, 2], [3, 4, 5]]))
    points = surface_points(mesh, 4000)
    assert (points[:, 2] < 0).mean() == pytest.approx(0.75, abs=0.03)


def test_surface_points_of_a_cloud_are_its_points() -> None:
    cloud = PointCloud(np.array([[-2.0, 0, 0], [2.0, 0, 0]]))
    assert set(surface_points(cloud, 50)[:, 0].tolist()) == {-1.0, 1.0}


def test_surface_points_follow_the_seed() -> None:
    mesh = make_shape("mug")
    assert np.array_equal(surface_points(mesh, 100, seed=1), surface_points(mesh, 100, seed=1))
    assert not np.array_equal(surface_points(mesh, 100, seed=1), surface_points(mesh, 100, seed=2))


def test_generated_shapes_are_labelled_in_order() -> None:
    made = generated_shapes(("mug", "chair"), 2, count=64)
    assert made.names == ("mug", "chair")
    assert made.label.tolist() == [0, 0, 1, 1]
    assert made.points.shape == (4, 64, 3)
    assert set(made.group) == {GENERATED}


def test_generated_shapes_start_at_a_seed() -> None:
    made, later = generated_shapes(("mug",), 2, count=64, seed=10), generated_shapes(("mug",), 1, count=64, seed=11)
    assert torch.equal(made.points[1], later.points[0])


def test_files_are_read_with_class_and_group(folder: Path) -> None:
    read = read_shapes(folder, count=128)
    assert read.names == ("chair", "street light")
    assert read.label.tolist() == [0, 0, 1, 1]
    assert read.group[0] == "first pack / somebody"
    assert read.points.shape == (4, 128, 3)
    assert read.points.dtype == torch.float16


def test_files_keep_their_shape(folder: Path) -> None:
    read = read_shapes(folder, count=3000)
    direct = surface_points(make_shape("chair", seed=0), 3000)
    assert np.allclose(np.ptp(read.points[0].numpy(), axis=0), np.ptp(direct, axis=0), atol=0.03)


def test_a_missing_table_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"There is no table shapes\.csv beside .*\. Pass the folder of labelled shapes"):
        read_shapes(tmp_path / "shapes")


def test_merge_joins_names_and_keeps_labels() -> None:
    joined = merge([_made([0, 1], names=("b", "a", "c")), _made([0, 2], names=("c", "x", "b"))])
    assert joined.names == ("a", "b", "c", "x")
    assert [joined.names[i] for i in joined.label.tolist()] == ["b", "a", "c", "b"]
    assert len(joined) == 4
    assert len(joined.group) == 4


def test_split_keeps_groups_whole() -> None:
    groups = ["KayKit Furniture Bits / Kay Lousberg", "Kenney Furniture Pack (1.0) / Kenney", "pack one / C", GENERATED]
    train, validation, test = split_by_maker(_made([0, 1, 2, 0], groups))
    assert (train.group, validation.group, test.group) == (("pack one / C", GENERATED), (groups[1],), (groups[0],))
    assert train.label.tolist() == [2, 0]
    assert train.names == validation.names == test.names


def test_makers_are_found_by_pack_or_creator() -> None:
    shapes = _made([0, 1, 2], ["x / Ada", "x / Ben", "y / Ben"])
    assert made_by(shapes, ["Ada", "y"]).tolist() == [True, False, True]
    assert not made_by(shapes, []).any()


def test_select_by_mask() -> None:
    shapes = _made([0, 1, 2])
    assert shapes.select([True, False, True]).label.tolist() == [0, 2]
    assert torch.equal(shapes.select(np.array([False, True, False])).points[0], shapes.points[1])


def test_weights_sum_to_one() -> None:
    assert float(sampling_weights(_made([0, 0, 1, 2, 2, 2]), sampling_power=0.5).sum()) == pytest.approx(1)


@pytest.mark.parametrize(("power", "ratio"), [(0.0, 1.0), (1.0, 4.0), (0.5, 2.0)])
def test_power_sets_the_share_of_large_classes(power: float, ratio: float) -> None:
    weight = sampling_weights(_made([0, 0, 0, 0, 1]), sampling_power=power)
    assert float(weight[:4].sum() / weight[4]) == pytest.approx(ratio)


def test_file_weight_applies_within_a_class() -> None:
    shapes = _made([0, 0, 1, 1], [GENERATED, "pack", GENERATED, GENERATED])
    weight = sampling_weights(shapes, sampling_power=0.5, file_weight=5)
    assert float(weight[1] / weight[0]) == pytest.approx(5)
    assert float(weight[:2].sum()) == pytest.approx(float(weight[2:].sum()))


def test_a_shape_set_is_saved_and_loaded(tmp_path: Path) -> None:
    shapes = _made([0, 2], [GENERATED, "pack"])
    save_shapes(shapes, tmp_path / "shapes.pt")
    again = load_shapes(tmp_path / "shapes.pt")
    assert torch.equal(again.points, shapes.points)
    assert torch.equal(again.label, shapes.label)
    assert (again.names, again.group) == (shapes.names, shapes.group)
