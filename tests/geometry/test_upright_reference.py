"""Cues of the upright estimate, compared with a slow reference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from basrelief.geometry import sample_surface
from basrelief.geometry.upright import CUES, upright_cues
from basrelief.shapes import make_shape
from basrelief.types import Mesh

CELLS, CONTACT = 24, 0.03


def hull_area(points: np.ndarray) -> float:
    """Area of the convex hull in the plane by Andrew's monotone chain and the shoelace formula."""
    rows = sorted({(float(x), float(y)) for x, y in points})
    if len(rows) < 3:
        return 0.0

    def chain(ordered: list[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for p in ordered:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], p) <= 0:
                kept.pop()
            kept.append(p)
        return kept[:-1]

    ring = chain(rows) + chain(rows[::-1])
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, ring[1:] + ring[:1], strict=True))) / 2


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def slow_overlap(one: set[tuple[int, ...]], other: set[tuple[int, ...]]) -> float:
    """Shared cells over all cells, each set grown by the six neighbours inside the grid."""

    def grown(cells: set[tuple[int, ...]]) -> set[tuple[int, ...]]:
        found = set(cells)
        for cell in cells:
            for axis, step in itertools.product(range(3), (-1, 1)):
                near = list(cell)
                near[axis] += step
                if 0 <= near[axis] < CELLS:
                    found.add(tuple(near))
        return found

    a, b = grown(one), grown(other)
    return len(a & b) / len(a | b)


def slow_cues(points: np.ndarray) -> dict[str, float]:
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    scale = max(float(np.linalg.norm(p - middle)) for p in points)
    cloud = [(p - middle) / scale for p in points]
    low, high = np.min(cloud, axis=0), np.max(cloud, axis=0)
    extent = high - low
    footprint = hull_area(np.array([p[:2] for p in cloud]))
    cells = {tuple(int(min((c - a) / e * CELLS, CELLS - 1)) for c, a, e in zip(p, low, extent, strict=True)) for p in cloud}
    sides = [
        {(CELLS - 1 - i, j, k) for i, j, k in cells},
        {(i, CELLS - 1 - j, k) for i, j, k in cells},
    ]
    return {
        "support": hull_area(np.array([p[:2] for p in cloud if p[2] <= low[2] + CONTACT])) / footprint,
        "top": hull_area(np.array([p[:2] for p in cloud if p[2] >= high[2] - CONTACT])) / footprint,
        "height of mass": sum((p[2] - low[2]) / extent[2] for p in cloud) / len(cloud),
        "mirror": max(slow_overlap(cells, side) for side in sides),
        "upside down": slow_overlap(cells, {(i, j, CELLS - 1 - k) for i, j, k in cells}),
        "tallness": extent[2] / max(extent),
    }


@pytest.mark.parametrize("name", ["chair", "table", "mug", "airplane"])
def test_cues_agree_with_the_reference(name: str) -> None:
    shape = make_shape(name, seed=11)
    assert isinstance(shape, Mesh)
    points = sample_surface(shape, 800, seed=0).points.astype(np.float64)
    fast = dict(zip(CUES, upright_cues(points), strict=True))
    for cue, value in slow_cues(points).items():
        assert fast[cue] == pytest.approx(value, abs=1e-6), cue


def test_balance_of_a_square_is_half_its_side() -> None:
    """The middle of a square of side a lies a/2 inside, and sqrt of its area is a."""
    flat = np.array([(x, y, 0.0) for x in np.linspace(0, 1, 9) for y in np.linspace(0, 1, 9)])
    tower = np.concatenate([flat, flat + [0, 0, 1]])
    assert dict(zip(CUES, upright_cues(tower), strict=True))["balance"] == pytest.approx(0.5, abs=1e-6)


def test_an_overhanging_shape_is_unstable() -> None:
    foot = np.array([(x, y, 0.0) for x in np.linspace(0, 0.2, 5) for y in np.linspace(0, 0.2, 5)])
    head = np.array([(x, y, 1.0) for x in np.linspace(0.5, 3, 20) for y in np.linspace(0, 0.2, 5)])
    assert dict(zip(CUES, upright_cues(np.concatenate([foot, head])), strict=True))["balance"] < 0
