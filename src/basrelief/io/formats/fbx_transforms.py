"""Transforms of FBX nodes, from their properties.

The order of the factors is that of Autodesk's page "Computing transformation matrices": T Roff Rp Rpre R Rpost^-1 Rp^-1 Soff Sp S Sp^-1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_ORDERS = ("XYZ", "XZY", "YZX", "YXZ", "ZXY", "ZYX")

Vector = Callable[[str, float], np.ndarray]
"""Returns the three numbers of a property, or a default three times."""


def local_matrix(vector: Vector, order: int) -> np.ndarray:
    """Return the 4 x 4 matrix from a node to its parent.

    Args:
        vector: Reads the node's properties.
        order: Index of the order in which its rotations are applied.
    """
    turn, pivot, scaled = _rotation(vector("Lcl Rotation", 0), order), vector("RotationPivot", 0), vector("ScalingPivot", 0)
    return _product(
        _move(vector("Lcl Translation", 0) + vector("RotationOffset", 0) + pivot),
        _rotation(vector("PreRotation", 0), 0) @ turn @ _rotation(vector("PostRotation", 0), 0).T,
        _move(vector("ScalingOffset", 0) + scaled - pivot),
        np.diag([*vector("Lcl Scaling", 1), 1]),
        _move(-scaled),
    )


def geometry_matrix(vector: Vector) -> np.ndarray:
    """Return the 4 x 4 matrix from a node's mesh to the node, which its children do not inherit."""
    moved, turned = _move(vector("GeometricTranslation", 0)), _rotation(vector("GeometricRotation", 0), 0)
    return _product(moved, turned, np.diag([*vector("GeometricScaling", 1), 1]))


def _product(*matrices: np.ndarray) -> np.ndarray:
    product = np.eye(4)
    for matrix in matrices:
        product = product @ matrix
    return product


def _move(by: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return matrix


def _rotation(degrees: Sequence[float] | np.ndarray, order: int) -> np.ndarray:
    """Return the 4 x 4 matrix of Euler angles; the first axis of the order is applied first."""
    whole = np.eye(4)
    for axis in _ORDERS[order if 0 <= order < len(_ORDERS) else 0]:
        number = "XYZ".index(axis)
        angle = np.radians(degrees[number])
        one, other = (number + 1) % 3, (number + 2) % 3
        turn = np.eye(4)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[other, one] = np.sin(angle)
        turn[one, other] = -turn[other, one]
        whole = turn @ whole
    return whole
