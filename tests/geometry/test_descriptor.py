"""Shape descriptors: equal for equal shapes in any format, different for different ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from basrelief.geometry import shape_descriptor
from basrelief.geometry.descriptor import DESCRIPTOR_SIZE
from basrelief.index.duplicates import DUPLICATE_TOLERANCE, group_duplicates
from basrelief.io import load, save
from basrelief.shapes import CATEGORIES, make_shape
from basrelief.types import Mesh, PointCloud

CHAIR = make_shape("chair", seed=4)


def _turned(mesh: Mesh, seed: int) -> Mesh:
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    q[0] *= np.sign(np.linalg.det(q))
    return Mesh((mesh.vertices @ q * rng.uniform(0.01, 100) + rng.normal(size=3)).astype(np.float32), mesh.faces)


def _difference(one: Mesh | PointCloud, other: Mesh | PointCloud) -> float:
    return float(np.abs(shape_descriptor(one) - shape_descriptor(other)).max())


def test_there_are_as_many_as_it_says() -> None:
    assert shape_descriptor(CHAIR).shape == (DESCRIPTOR_SIZE,)
    assert shape_descriptor(CHAIR).dtype == np.float32


@pytest.mark.parametrize("seed", range(5))
def test_place_turn_and_scale_change_nothing(seed: int) -> None:
    assert _difference(CHAIR, _turned(CHAIR, seed)) < DUPLICATE_TOLERANCE


def test_the_order_of_corners_and_faces_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(len(CHAIR.vertices))
    place = np.argsort(order)
    mixed = Mesh(CHAIR.vertices[order], place[CHAIR.faces][rng.permutation(len(CHAIR.faces))])
    assert _difference(CHAIR, mixed) < 1e-5


def test_doubled_and_loose_corners_change_nothing() -> None:
    apart = Mesh(
        np.concatenate([CHAIR.vertices[CHAIR.faces.ravel()], [[99.0, 0, 0]]]).astype(np.float32), np.arange(CHAIR.faces.size).reshape(-1, 3)
    )
    assert _difference(CHAIR, apart) < 1e-5


@pytest.mark.parametrize("suffix", ["glb", "obj", "stl", "off", "ply"])
def test_a_format_changes_nothing(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"chair.{suffix}"
    save(CHAIR, file)
    assert _difference(CHAIR, load(file)) < DUPLICATE_TOLERANCE


def test_a_cube_is_known_exactly() -> None:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float32)
    cloud = shape_descriptor(PointCloud(corners))
    assert np.allclose(cloud[:64], 1)
    assert np.allclose(cloud[64:67], 3**-0.5)
    assert np.allclose(cloud[67:70], 0)
    faces = np.array(
        [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    )
    mesh = shape_descriptor(Mesh(corners, faces))
    assert np.allclose(mesh[67:70] * np.sqrt(0.75), np.sqrt((2 * 0.25 + 4 / 12) / 6), atol=1e-6)
    assert mesh[71] == pytest.approx(0.1 * np.log1p(6 / 0.75))


def test_how_faces_are_cut_changes_nothing() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 2, 0]], dtype=np.float32)
    one, other = (Mesh(square, np.array(faces)) for faces in ([[0, 1, 2], [0, 2, 3]], [[0, 1, 3], [1, 2, 3]]))
    assert _difference(one, other) < 1e-6


def test_one_point_and_no_area_have_numbers() -> None:
    assert np.isfinite(shape_descriptor(PointCloud(np.zeros((1, 3), np.float32)))).all()
    assert np.isfinite(shape_descriptor(Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]])))).all()


def test_different_shapes_are_told_apart() -> None:
    forms = np.stack([shape_descriptor(make_shape(name, seed=seed)) for name in CATEGORIES[::4] for seed in range(3)])
    assert group_duplicates(forms) == []


def test_copies_are_grouped() -> None:
    shapes = [
        CHAIR,
        make_shape("mug", seed=1),
        _turned(CHAIR, 1),
        make_shape("table", seed=1),
        _turned(make_shape("mug", seed=1), 2),
        _turned(CHAIR, 3),
    ]
    assert group_duplicates(np.stack([shape_descriptor(shape) for shape in shapes])) == [[0, 2, 5], [1, 4]]


def test_few_rows_have_no_copies() -> None:
    assert group_duplicates(np.empty((0, 3), np.float32)) == []
    assert group_duplicates(np.ones((1, 3), np.float32)) == []


def test_what_is_linked_by_steps_is_one_group() -> None:
    assert group_duplicates(np.array([[0.0], [0.9], [1.8], [5.0]], np.float32), tolerance=1.0) == [[0, 1, 2]]
