"""KITTI labels: one line for each box in a camera frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from basrelief.geometry import rotation_to_z_up
from basrelief.output import write_text
from basrelief.scenes.export.coordinates import file_yaws, up_axis, upright_axes

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections

CAMERA_FROM_LIDAR = ((0.0, -1.0, 0.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0))
"""Rotation of KITTI's lidar frame (x forward, y left, z up) to its camera frame (x right, y down, z forward)."""


def save_kitti(detections: Detections, path: Path) -> None:
    """Write `type truncated occluded alpha left top right bottom h w l x y z rotation_y score`, one line for each box.

    A scan has no camera. The file's coordinates, in metres and with the axis that is up turned to +Z, take the place of the lidar frame;
    `CAMERA_FROM_LIDAR` maps them to the camera frame, without an offset. The fields of an image are unknown: truncated, occluded and the
    four of the rectangle are -1, alpha is -10. x, y, z is the middle of the lower face; l is the length along the box's own x axis, w along
    its y axis. rotation_y is -yaw - pi/2 in (-pi, pi], as in KITTI. White space in a label becomes `_`.

    Raises:
        OutputError: If the file cannot be written.
    """
    locations, sizes, angles = kitti_boxes(detections)
    lines = [
        f"{_word(name)} -1 -1 -10 -1 -1 -1 -1 {height:.4f} {width:.4f} {length:.4f} {x:.4f} {y:.4f} {z:.4f} {angle:.6f} {score:.4f}\n"
        for name, (length, width, height), (x, y, z), angle, score in zip(
            detections.names, sizes, locations, angles, detections.scores, strict=True
        )
    ]
    write_text(path, "".join(lines))


def kitti_boxes(
    detections: Detections,
) -> tuple[Float64[np.ndarray, "boxes 3"], Float64[np.ndarray, "boxes 3"], Float64[np.ndarray, " boxes"]]:
    """Return the middle of the lower face in the camera frame, length, width and height in metres, and rotation_y of each box."""
    scene = detections.scene
    centers, _, rotations = scene.boxes_in_file(detections.boxes)
    upright = rotation_to_z_up(up_axis(scene))
    sizes = detections.boxes.sizes
    lidar = centers @ upright.T / scene.scale
    lowest = lidar - upright_axes(scene, rotations)[:, :, 2] * sizes[:, 2:] / 2
    angles = -file_yaws(scene, rotations) - np.pi / 2
    wrapped = np.pi - np.mod(np.pi - angles, 2 * np.pi)  # in (-pi, pi]
    return lowest @ np.array(CAMERA_FROM_LIDAR).T, sizes, wrapped


def _word(label: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f]+", "_", label) or "_"
