"""Triangulation of polygons that are not convex."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import basrelief.io as shapes
from basrelief.io.triangulate import triangulate
from basrelief.types import Mesh

from .conftest import Put
from .plys import faces, ply, vertices

ARROW = [(0, 0), (2, -1), (1, 0), (2, 1)]  # a quad with a notch
LETTER = [(0, 0), (4, 0), (4, 4), (3, 4), (3, 1), (1, 1), (1, 4), (0, 4)]  # a U


def area(points: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = (points[triangles[:, i]] for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def placed(outline: list[tuple[float, float]], turn: int = 0, *, flip: bool = False) -> np.ndarray:
    """A polygon in an oblique plane, starting at any corner."""
    flat = np.roll(np.array(outline, dtype=np.float64), turn, axis=0)[:: -1 if flip else 1]
    return flat @ np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]) + [1, 2, 3]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("outline", "expected"), [(ARROW, 1.0), (LETTER, 10.0)])
def test_the_area_is_that_of_the_polygon_wherever_it_starts(outline: list[tuple[float, float]], expected: float, flip: bool) -> None:
    for turn in range(len(outline)):
        points = placed(outline, turn, flip=flip)
        triangles, polygon = triangulate(np.array([len(points)]), np.arange(len(points)), points)
        assert area(points, triangles) == pytest.approx(expected)
        assert len(triangles) == len(points) - 2
        assert polygon.tolist() == [0] * len(triangles)
        normals = np.cross(points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]])
        assert (normals @ normals[0] > 0).all()


def test_convex_polygons_are_fans_beside_others() -> None:
    outlines = [[(0, 0), (1, 0), (1, 1), (0, 1)], ARROW, LETTER, [(0, 0), (1, 0), (0, 1)], [(0, 0), (1, 1)]]
    points = np.concatenate([placed(outline) for outline in outlines])  # type: ignore[arg-type]
    triangles, polygon = triangulate(np.array([len(outline) for outline in outlines]), np.arange(len(points)), points)
    assert triangles[:2].tolist() == [[0, 1, 2], [0, 2, 3]]
    assert np.bincount(polygon).tolist() == [2, 2, 6, 1]
    assert area(points, triangles) == pytest.approx(1 + 1 + 10 + 0.5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.2, 5), min_size=4, max_size=40))
def test_stars(radii: list[float]) -> None:
    angle = np.arange(len(radii)) * 2 * np.pi / len(radii)
    flat = np.array(radii)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    expected = abs(float(np.sum(flat[:, 0] * np.roll(flat[:, 1], -1) - np.roll(flat[:, 0], -1) * flat[:, 1]))) / 2
    points = np.column_stack([flat, np.zeros(len(flat))])
    triangles, _ = triangulate(np.array([len(points)]), np.arange(len(points)), points)
    assert area(points, triangles) == pytest.approx(expected, rel=1e-2)


def test_polygons_that_make_no_sense_cost_little() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4_000, 3))
    start = time.process_time()
    for counts in (np.array([4_000]), np.full(8, 500), np.full(800, 5)):
        triangles, _ = triangulate(counts, np.arange(4_000), points)
        assert len(triangles) == int((counts - 2).sum())
        assert 0 <= triangles.min() <= triangles.max() < 4_000
    nothing, _ = triangulate(np.array([5]), np.arange(5), np.full((5, 3), np.nan))
    assert len(nothing) == 3
    assert time.process_time() - start < 3


@pytest.mark.parametrize("name", ["a.obj", "a.off", "a.ply", "a.dae"])
def test_readers_triangulate(name: str, put: Put) -> None:
    points = np.column_stack([LETTER, np.zeros(8)]).astype(np.float64)
    lines = [" ".join(map(str, row)) for row in points.tolist()]
    numbers = " ".join(map(str, range(8)))
    content: dict[str, str | bytes] = {
        "a.obj": "".join(f"v {line}\n" for line in lines) + "f 1 2 3 4 5 6 7 8\n",
        "a.off": "\n".join(["OFF", "8 1 0", *lines, f"8 {numbers}"]),
        "a.ply": ply("ascii", vertex=vertices(points), face=faces([list(range(8))])),
    }
    from .test_dae import VERTEX, dae, mesh

    polygon = mesh(f"<polylist>{VERTEX}<vcount>8</vcount><p>{numbers}</p></polylist>")
    content["a.dae"] = dae(geometry=polygon.replace("0 0 0 1 0 0 1 1 0 0 1 0", " ".join(lines)))
    shape = shapes.load(put(name, content[name]), up="z")
    assert isinstance(shape, Mesh)
    assert area(shape.vertices.astype(np.float64), shape.faces) == pytest.approx(10)
