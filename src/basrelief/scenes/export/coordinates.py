"""Boxes and points in the coordinates of the scan's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64

from basrelief.geometry import UP_AXES, rotation_to_z_up

if TYPE_CHECKING:
    from basrelief.scenes.scene import Scene

BOX_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
"""Edges of a box, as rows of `Boxes.corners`."""

_NEAR = 16  # distance over extent up to which float32 rounds to a millionth of the extent


def in_file(scene: Scene, positions: Float[np.ndarray, "*rows 3"]) -> Float64[np.ndarray, "*rows 3"]:
    """Map positions of the scene frame to the coordinates of the file, in float64."""
    moved: np.ndarray = np.asarray(positions, dtype=np.float64) @ scene.to_file[:3, :3].T + scene.to_file[:3, 3]
    return moved


def up_axis(scene: Scene) -> str:
    """Return the axis of the file that is closest to up: one of `UP_AXES`."""
    up = scene.to_file[:3, 2]
    return max(UP_AXES, key=lambda axis: float(rotation_to_z_up(axis)[2] @ up))


def upright_axes(scene: Scene, rotations: Float64[np.ndarray, "boxes 3 3"]) -> Float64[np.ndarray, "boxes 3 3"]:
    """Return the axes of boxes after the axis of the file that is closest to up was turned to +Z.

    Args:
        scene: The scan.
        rotations: Axes of the boxes as columns, in the coordinates of the file; see `Scene.boxes_in_file`.
    """
    axes: np.ndarray = rotation_to_z_up(up_axis(scene)) @ rotations
    return axes


def file_yaws(scene: Scene, rotations: Float64[np.ndarray, "boxes 3 3"]) -> Float64[np.ndarray, " boxes"]:
    """Return the angle of boxes about the axis that is up in the file, radians in (-pi, pi], counter-clockwise seen from above.

    It is 0 for a box along the file's axes, once that axis is turned to +Z as `rotation_to_z_up` does.
    """
    axes = upright_axes(scene, rotations)
    yaws: np.ndarray = np.arctan2(axes[:, 1, 0], axes[:, 0, 0])
    return yaws


def origin_near(points: Float64[np.ndarray, "points 3"]) -> Float64[np.ndarray, " 3"]:
    """Return a point with whole coordinates near the middle, so that float32 offsets from it stay exact; 0 if that is close enough."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max())
    if float(np.abs([low, high]).max()) <= _NEAR * extent:
        return np.zeros(3)
    middle: np.ndarray = np.round((low + high) / 2)
    return middle
