"""Numbers and transforms of COLLADA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np


def numbers(text: str, kind: type[np.int32] | type[np.float64]) -> np.ndarray:
    """Parse numbers separated by whitespace; some exporters write decimal commas."""
    found: np.ndarray = np.fromstring(text.replace(",", "."), dtype=kind, sep=" ") if text.strip() else np.zeros(0, dtype=kind)
    return found


def _move(numbers: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = numbers
    return matrix


def _rotate(numbers: np.ndarray) -> np.ndarray:
    """Return the rotation about an axis of any length by an angle in degrees."""
    x, y, z = numbers[:3] / max(float(np.linalg.norm(numbers[:3])), 1e-12)
    angle = np.radians(numbers[3])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix


TRANSFORMS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "matrix": lambda numbers: numbers.reshape(4, 4),
        "translate": _move,
        "rotate": _rotate,
        "scale": lambda numbers: np.diag([*numbers, 1]),
    }
)
"""The 4 x 4 matrix of each transform of a node."""
