"""Triangulation of polygons that need not be convex."""

from __future__ import annotations

import numpy as np

from basrelief.io.polygons import Lists, fan_triangles, list_positions

_CHUNK = 1 << 17  # corners of polygons examined at a time
_BENT = 1e-3  # sine of the angle from which a corner is reflex
MOST_TRIES = 20_000
"""Ears examined in a file; polygons beyond that stay fans."""
_TRIES_PER_CORNER = 4
_MOST_CORNERS = 512  # of a polygon; larger ones stay fans


def triangulate(counts: np.ndarray, corners: np.ndarray, vertices: np.ndarray, *, tries: int = MOST_TRIES) -> tuple[np.ndarray, np.ndarray]:
    """Triangulate polygons: convex ones as fans, others by clipping ears. Self-intersecting ones give some triangulation.

    Args:
        counts: (P,) corners of each polygon; fewer than three give no triangle.
        corners: (C,) vertex of each corner, polygon after polygon.
        vertices: (V, 3) positions.
        tries: Ears to examine.

    Returns:
        Triangles (F, 3) as positions in `corners`, in the order of the polygons, and the polygon (F,) that each came from.
    """
    triangles, polygon = fan_triangles(Lists(np.arange(len(corners), dtype=np.int32), counts))
    counts = counts.astype(np.int64)
    starts, places = np.cumsum(counts) - counts, np.cumsum(np.maximum(counts - 2, 0)) - np.maximum(counts - 2, 0)
    left, large = tries, np.flatnonzero((counts > 3) & (counts <= _MOST_CORNERS))
    chunk = np.cumsum(counts[large]) // _CHUNK
    for some in np.split(large, np.flatnonzero(np.diff(chunk)) + 1):
        if not len(some):
            continue
        bent = _reflex_corners(counts[some], starts[some], corners, vertices)
        inner = list_positions(np.zeros(len(some), dtype=np.int64), counts[some])
        owner = np.repeat(np.arange(len(some)), counts[some])
        quads = some[np.unique(owner[bent & (inner % 2 == 1) & (counts[some][owner] == 4)])]
        triangles[places[quads], 0], triangles[places[quads] + 1] = (
            starts[quads] + 3,
            np.stack([starts[quads] + 1, starts[quads] + 2, starts[quads] + 3], axis=1),
        )
        triangles[places[quads], 1:] = np.stack([starts[quads], starts[quads] + 1], axis=1)
        for number in some[np.unique(owner[bent & (counts[some][owner] > 4)])].tolist():
            if left <= 0:
                return triangles, polygon
            start, count = int(starts[number]), int(counts[number])
            ears, used = _clip_ears(_flattened(vertices[corners[start : start + count]]), left)
            triangles[places[number] : places[number] + count - 2] = ears + start
            left -= used
    return triangles, polygon


def _reflex_corners(counts: np.ndarray, starts: np.ndarray, corners: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Return for each corner of some polygons, one after another, whether the polygon turns the wrong way there."""
    inner = list_positions(np.zeros(len(counts), dtype=np.int64), counts)
    first, size = np.repeat(starts, counts), np.repeat(counts, counts)
    here = vertices[corners[first + inner]].astype(np.float64)
    after = vertices[corners[first + (inner + 1) % size]].astype(np.float64) - here
    before = here - vertices[corners[first + (inner - 1) % size]].astype(np.float64)
    origin = np.repeat(vertices[corners[starts]].astype(np.float64), counts, axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        normal = np.add.reduceat(np.cross(here - origin, after), np.cumsum(counts) - counts, axis=0)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        turn = (np.cross(before, after) * np.repeat(normal, counts, axis=0)).sum(axis=1)
        bent: np.ndarray = turn < -_BENT * np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return bent


def _flattened(points: np.ndarray) -> np.ndarray:
    """Project a polygon (N, 3) onto its plane, so that it runs counter-clockwise: (N, 2)."""
    points = points.astype(np.float64) - points[0]
    normal = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)
    axis = int(np.abs(normal).argmax())
    kept = [(1, 2), (2, 0), (0, 1)][axis]
    flat: np.ndarray = points[:, kept if normal[axis] >= 0 else kept[::-1]]
    return flat


def _clip_ears(points: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Triangulate a counter-clockwise polygon (N, 2); return (N - 2, 3) triangles and the number of ears examined.

    What is left after `most` or four tries per corner becomes a fan.
    """
    left, triangles = np.arange(len(points)), []
    tries, at, failed = 0, 0, 0
    most = min(most, _TRIES_PER_CORNER * len(points))
    while len(left) > 3 and tries < most and failed < len(left):
        at %= len(left)
        tries += 1
        if _is_ear(points, at):
            triangles.append((left[at - 1], left[at], left[(at + 1) % len(left)]))
            left, points = np.delete(left, at), np.delete(points, at, axis=0)
            failed, at = 0, at + (len(triangles) % 2) - 1  # alternate sides, for triangles of similar size
        else:
            failed, at = failed + 1, at + 1
    triangles += [(left[0], left[i], left[i + 1]) for i in range(1, len(left) - 1)]
    return np.array(triangles, dtype=np.int32), tries


def _is_ear(points: np.ndarray, at: int) -> bool:
    """Return whether a corner turns to the left and no other corner lies inside its triangle."""
    a, b, c = points[at - 1], points[at], points[(at + 1) % len(points)]
    (ax, ay), (bx, by), (cx, cy) = a.tolist(), b.tolist(), c.tolist()
    if (bx - ax) * (cy - by) - (by - ay) * (cx - bx) <= 0:
        return False
    x, y = points[:, 0], points[:, 1]
    inside = ((bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0) & ((cx - bx) * (y - by) - (cy - by) * (x - bx) >= 0)
    inside &= (ax - cx) * (y - cy) - (ay - cy) * (x - cx) >= 0
    same = ((x == ax) & (y == ay)) | ((x == bx) & (y == by)) | ((x == cx) & (y == cy))
    return not bool((inside & ~same).any())
