"""Lists of different lengths in flat arrays; triangulation of polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CHUNK = 1 << 17  # polygons triangulated at a time


@dataclass(frozen=True, eq=False)
class Lists:
    """One list of values per row.

    Attributes:
        values: The values of all rows, one after another.
        counts: (N,) integers, the length of each list.
    """

    values: np.ndarray
    counts: np.ndarray


def list_positions(starts: np.ndarray, counts: np.ndarray, *, step: int = 1) -> np.ndarray:
    """Return the positions of all entries of lists that start at different positions.

    Args:
        starts: (N,) position of the first entry of each list.
        counts: (N,) length of each list.
        step: Distance from one entry to the next.

    Returns:
        (sum of counts,) int64 positions, list after list.
    """
    within = np.arange(counts.sum(dtype=np.int64)) - np.repeat(np.cumsum(counts, dtype=np.int64) - counts, counts)
    places: np.ndarray = np.repeat(starts, counts) + within * step
    return places


def fan_triangles(polygons: Lists) -> tuple[np.ndarray, np.ndarray]:
    """Triangulate polygons as fans around their first corner, which is exact for convex ones.

    Args:
        polygons: Corners of each polygon; fewer than three give no triangle.

    Returns:
        Triangles (F, 3) in the order of the polygons, and the polygon (F,) that each came from.
    """
    shares = np.maximum(polygons.counts - 2, 0)
    total = int(shares.sum(dtype=np.int64))
    triangles, polygon = np.empty((total, 3), dtype=polygons.values.dtype), np.empty(total, dtype=np.int32)
    corner = done = 0
    for begin in range(0, len(shares), _CHUNK):
        share, counts = shares[begin : begin + _CHUNK], polygons.counts[begin : begin + _CHUNK]
        starts = corner + np.cumsum(counts, dtype=np.int64) - counts
        second = list_positions(starts + 1, share)
        rows = slice(done, done + len(second))
        triangles[rows, 0] = polygons.values[np.repeat(starts, share)]
        triangles[rows, 1] = polygons.values[second]
        triangles[rows, 2] = polygons.values[second + 1]
        polygon[rows] = np.repeat(np.arange(begin, begin + len(share), dtype=np.int32), share)
        corner, done = corner + int(counts.sum(dtype=np.int64)), rows.stop
    return triangles, polygon


def strip_triangles(strips: Lists) -> np.ndarray:
    """Return the triangles of strips, every second one reversed so that all face the same way.

    Args:
        strips: Corners of each strip; a negative corner ends a strip inside a list.

    Returns:
        (F, 3) triangles; those with two equal corners, which only join strips, are left out.
    """
    corners = strips.values
    first = np.zeros(len(corners), dtype=bool)
    ends = np.cumsum(strips.counts, dtype=np.int64)
    first[(ends - strips.counts)[strips.counts > 0]] = True
    cut = corners < 0
    first[1:] |= cut[:-1]
    start = np.maximum.accumulate(np.where(first, np.arange(len(corners)), 0))
    third = np.flatnonzero((np.arange(len(corners)) - start >= 2) & ~cut)
    triangles = np.stack([corners[third - 2], corners[third - 1], corners[third]], axis=1)
    odd = (third - start[third]) % 2 == 1
    triangles[odd, :2] = triangles[odd, 1::-1]
    a, b, c = triangles.T
    distinct: np.ndarray = triangles[(a != b) & (b != c) & (a != c)]
    return distinct


def degenerate_note(counts: np.ndarray) -> tuple[str, ...]:
    """Return a note on polygons with fewer than three corners, if there are any."""
    thin = int((counts < 3).sum())
    return (f"{thin:,} of {len(counts):,} faces have fewer than three corners and were dropped.",) if thin else ()
