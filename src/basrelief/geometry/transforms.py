"""Rotate and scale positions, in float64, so that coordinates up to the float32 limit stay exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Float, Real

from basrelief.errors import ConfigError, GeometryError, unknown_choice
from basrelief.types import Mesh, PointCloud, check_positions

ShapeT = TypeVar("ShapeT", bound=PointCloud | Mesh)
Centre = Literal["mean", "bbox"]

# Rows of each rotation: which file axis, with which sign, becomes world x, y and z.
_TO_Z_UP: Mapping[str, tuple[tuple[int, int, int], ...]] = MappingProxyType(
    {
        "x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
        "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
        "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
        "-y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
        "-z": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    }
)
UP_AXES: tuple[str, ...] = tuple(_TO_Z_UP)


def rotation_to_z_up(up: str) -> Float[np.ndarray, "3 3"]:
    """Return the rotation that maps an up axis to world +Z.

    It is a proper rotation (determinant +1), so nothing is mirrored; `y` maps (x, y, z) to (x, -z, y).

    Args:
        up: One of `UP_AXES`: `x`, `y`, `z`, `-x`, `-y`, `-z`.

    Returns:
        R (3, 3), float64; rotate rows with `points @ R.T`.

    Raises:
        ConfigError: If `up` is not one of `UP_AXES`.
    """
    if up not in _TO_Z_UP:
        raise ConfigError(unknown_choice("up axis", up, UP_AXES))
    return np.array(_TO_Z_UP[up], dtype=np.float64)


def axis_rotation(axis: str, angle: float) -> Float[np.ndarray, "3 3"]:
    """Return the rotation about a coordinate axis.

    Args:
        axis: `x`, `y` or `z`.
        angle: Radians, counter-clockwise when the axis points at the viewer.

    Returns:
        R (3, 3), float64; rotate rows with `points @ R.T`.

    Raises:
        ConfigError: If `axis` is not `x`, `y` or `z`.
    """
    if axis not in ("x", "y", "z"):
        raise ConfigError(unknown_choice("axis", axis, ("x", "y", "z")))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    rotation = np.eye(3)
    rotation[first, first] = rotation[second, second] = np.cos(angle)
    rotation[second, first] = np.sin(angle)
    rotation[first, second] = -np.sin(angle)
    return rotation


def rotate(shape: ShapeT, rotation: Float[np.ndarray, "3 3"]) -> ShapeT:
    """Rotate a shape about the world origin.

    Args:
        shape: Point cloud or mesh; faces, colours and origin are kept.
        rotation: R (3, 3), orthonormal with determinant +1.

    Returns:
        A new shape of the same kind.

    Raises:
        GeometryError: If `rotation` is not a proper rotation, or a rotated coordinate does not fit in float32.
    """
    matrix = np.asarray(rotation, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6) or np.linalg.det(matrix) < 0:
        raise GeometryError("rotation is not a 3 x 3 rotation matrix (orthonormal, determinant +1). Apply scale and reflection separately.")
    field = "vertices" if isinstance(shape, Mesh) else "points"
    return dataclasses.replace(shape, **{field: getattr(shape, field).astype(np.float64) @ matrix.T})


def normalise_unit_sphere(points: Real[np.ndarray, "points 3"], *, centre: Centre = "mean") -> Float[np.ndarray, "points 3"]:
    """Centre a cloud at the origin and scale its farthest point to radius 1.

    Args:
        points: (N, 3), any finite coordinates; any scale.
        centre: What moves to the origin: the `mean` of the points, as CLIP2Point, OpenShape and ULIP do, or the middle
            of the bounding box, `bbox`.

    Returns:
        (N, 3) in the floating type of `points` (float32 for integers). Points that all coincide become the origin, where the
        originals divide 0 by 0.

    Raises:
        GeometryError: If `points` is empty, not (N, 3), or holds NaN or infinity.
        ConfigError: If `centre` is not `mean` or `bbox`.
    """
    centred = _centred(points, centre)
    return _scaled(points, centred, float(np.linalg.norm(centred, axis=1).max()))


def _centred(points: np.ndarray, centre: str) -> np.ndarray:
    array = check_positions("points", points).astype(np.float64)
    if centre not in ("mean", "bbox"):
        raise ConfigError(unknown_choice("centre", centre, ("mean", "bbox")))
    largest = float(np.abs(array).max())
    array = array / largest if largest > 1e100 else array  # only float64 input can be this large; squares must not overflow
    middle: np.ndarray = array.mean(axis=0) if centre == "mean" else (array.min(axis=0) + array.max(axis=0)) / 2
    centred: np.ndarray = array - middle
    return centred


def _scaled(points: np.ndarray, centred: np.ndarray, radius: float) -> np.ndarray:
    kind = np.asarray(points).dtype
    scaled: np.ndarray = centred / radius if radius > 0 else np.zeros_like(centred)
    return scaled.astype(kind if np.issubdtype(kind, np.floating) else np.float32)
