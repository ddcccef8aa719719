"""Properties of closed surfaces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse.csgraph import connected_components

from basrelief.shapes.primitives import Solid
from basrelief.types import Mesh


def edges_meet_twice(solid: Solid) -> bool:
    """Every directed edge is there once in each direction: the surface is closed and its triangles agree on the outside."""
    faces = solid.faces
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = {tuple(edge) for edge in directed.tolist()}
    return len(forward) == len(directed) and all((b, a) in forward for a, b in forward)


def volume(solid: Solid) -> float:
    """Signed volume; above zero when the triangles face outwards."""
    a, b, c = solid.vertices[solid.faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def extent(shape: Solid | Mesh) -> np.ndarray:
    """Size of the bounding box."""
    return np.asarray(np.ptp(shape.vertices, axis=0), dtype=float)


def slice_extent(mesh: Mesh, low: float, high: float) -> np.ndarray:
    """Size in x and y of the vertices between two heights, given as shares of the whole height."""
    z = mesh.vertices[:, 2]
    bottom, tall = z.min(), np.ptp(z)
    inside = mesh.vertices[(z >= bottom + low * tall) & (z <= bottom + high * tall)]
    return np.asarray(np.ptp(inside[:, :2], axis=0), dtype=float)


def groups(solids: Sequence[Solid], slack: float) -> int:
    """How many groups of solids there are whose bounding boxes, widened by `slack`, do not meet those of another group."""
    low = np.stack([s.vertices.min(axis=0) for s in solids]) - slack
    high = np.stack([s.vertices.max(axis=0) for s in solids]) + slack
    meet = (low[:, None] <= high[None]).all(axis=-1) & (low[None] <= high[:, None]).all(axis=-1)
    return int(connected_components(meet)[0])
