"""A shape descriptor that is invariant to rotation, translation, scale and file format."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from basrelief.types import Mesh, Shape

_RADII = 64
DESCRIPTOR_SIZE = _RADII + 8
_MERGE = 1e-5  # of the largest extent: corners this close count as one


def shape_descriptor(shape: Shape) -> Float32[np.ndarray, " numbers"]:
    """Compute a descriptor from the corners and the surface of a shape.

    It holds quantiles of the distances of the distinct corners (or points) from their centroid, relative to the root mean square distance;
    the spread of corners and of the surface along their principal axes; and the logarithms of the number of corners and of the area. It
    does not depend on the order of corners, duplicates, triangulation, position, rotation or scale. A mirror image has the same
    descriptor; a decimated mesh has another.

    Args:
        shape: Mesh or point cloud.

    Returns:
        `DESCRIPTOR_SIZE` numbers.
    """
    places = (_used_vertices(shape) if isinstance(shape, Mesh) else shape.points).astype(np.float64)
    corners = _distinct(places)
    centred = corners - corners.mean(axis=0)
    scale = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
    radii = np.quantile(np.linalg.norm(centred / scale, axis=1), (np.arange(_RADII) + 0.5) / _RADII)
    area, spread = _surface(shape) if isinstance(shape, Mesh) else (0.0, np.zeros(3))
    size = [0.1 * np.log(len(corners)), 0.1 * np.log1p(area / scale**2)]
    return np.concatenate([radii, _axes(centred.T @ centred / len(centred)) / scale, spread / scale, size]).astype(np.float32)


def _used_vertices(mesh: Mesh) -> Float32[np.ndarray, "used 3"]:
    used = np.zeros(len(mesh.vertices), dtype=bool)
    used[mesh.faces] = True
    return mesh.vertices[used]


def _distinct(places: Float[np.ndarray, "places 3"]) -> Float[np.ndarray, "corners 3"]:
    """Return distinct places: the first in each cell of a fine grid."""
    low = places.min(axis=0)
    cell = _MERGE * (float((places - low).max()) or 1.0)
    x, y, z = np.round((places - low) / cell).astype(np.int64).T
    _, first = np.unique((x << 34) | (y << 17) | z, return_index=True)  # at most 100,000 cells along an axis: 17 bits
    return places[first]


def _surface(mesh: Mesh) -> tuple[float, Float[np.ndarray, "3"]]:
    """Return the exact area, and the exact spread of the surface along its principal axes."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    total = float(areas.sum())
    if total == 0:
        return 0.0, np.zeros(3)
    share = areas / total
    middle = share @ ((a + b + c) / 3)
    a, b, c = a - middle, b - middle, c - middle
    corner_sum = a + b + c
    # the second moment of a triangle: (a a' + b b' + c c' + s s') / 12 with s the sum of its corners
    moment = sum(np.einsum("f,fi,fj->ij", share, x, x) for x in (a, b, c, corner_sum)) / 12
    return total, _axes(np.asarray(moment))


def _axes(moment: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    spread: np.ndarray = np.sqrt(np.maximum(np.linalg.eigvalsh(moment), 0))
    return spread
