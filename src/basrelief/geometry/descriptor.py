"""A shape's form in a few numbers that turning, moving, scaling and writing it in another format do not change."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from basrelief.types import Mesh, Shape

_RADII = 64
DESCRIPTOR_SIZE = _RADII + 8
_SAME = 1e-5  # of the largest extent: corners this near are one


def shape_descriptor(shape: Shape) -> Float32[np.ndarray, " numbers"]:
    """Describe the form of a shape by its corners and its surface.

    Quantiles of the distances of the different corners (or points) from their middle, in units of the root mean square of them; the
    spread of corners and of the surface along their principal axes; the logarithms of the number of corners and of the area. None
    depends on the order of corners, on doubled ones, on how faces are cut into triangles, on place, turn or scale. A mirror image has
    the same numbers; one with fewer triangles has others.

    Args:
        shape: Mesh or point cloud.

    Returns:
        `DESCRIPTOR_SIZE` numbers.
    """
    places = (_used_vertices(shape) if isinstance(shape, Mesh) else shape.points).astype(np.float64)
    corners = _different(places)
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


def _different(places: Float[np.ndarray, "places 3"]) -> Float[np.ndarray, "corners 3"]:
    """Each place once: the first of those that lie in one cell of a fine grid."""
    low = places.min(axis=0)
    cell = _SAME * (float((places - low).max()) or 1.0)
    x, y, z = np.round((places - low) / cell).astype(np.int64).T
    _, first = np.unique((x << 34) | (y << 17) | z, return_index=True)  # at most 100,000 cells along an axis: 17 bits
    return places[first]


def _surface(mesh: Mesh) -> tuple[float, Float[np.ndarray, "3"]]:
    """Area, and the spread of the surface along its principal axes, both exactly."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    total = float(areas.sum())
    if total == 0:
        return 0.0, np.zeros(3)
    share = areas / total
    middle = share @ ((a + b + c) / 3)
    a, b, c = a - middle, b - middle, c - middle
    whole = a + b + c
    # the second moment of a triangle: (a a' + b b' + c c' + s s') / 12 with s the sum of its corners
    moment = sum(np.einsum("f,fi,fj->ij", share, x, x) for x in (a, b, c, whole)) / 12
    return total, _axes(np.asarray(moment))


def _axes(moment: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    spread: np.ndarray = np.sqrt(np.maximum(np.linalg.eigvalsh(moment), 0))
    return spread
