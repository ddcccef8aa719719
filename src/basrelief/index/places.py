"""Where the boxes of a library lie: columns of their rows, overlaps among hits, and the part of a file inside a box."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from basrelief.errors import GeometryError
from basrelief.geometry import rotation_to_z_up
from basrelief.geometry.box_iou import suppress
from basrelief.geometry.boxes import Boxes
from basrelief.types import Mesh, Origin, PointCloud, Shape

PLACE_COLUMNS = ("scan", "center", "rotation", "width", "depth", "height")
"""Columns that place a box in the coordinates of its scan; the first three are null for a file."""

_OVERLAP = 0.25  # intersection over union from which two hits are the same thing
_MARGIN = 0.05  # share of its longest side by which a box is larger when a file is cut


def place_row(
    center: Float[np.ndarray, "3"], size: Float[np.ndarray, "3"], rotation: Float[np.ndarray, "3 3"]
) -> dict[str, float | list[float]]:
    """Return the columns of a box that place it, `scan` excepted."""
    width, depth, height = size.tolist()
    return {"center": center.tolist(), "rotation": rotation.ravel().tolist(), "width": width, "depth": depth, "height": height}


def without_overlaps(order: Sequence[str], places: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Leave out boxes that overlap a better one of the same scan.

    Args:
        order: Paths of rows, best first.
        places: `PLACE_COLUMNS` of the rows that are known, by path; other rows stay.
    """
    ranks: dict[str, list[int]] = {}
    for rank, path in enumerate(order):
        scan = places[path]["scan"] if path in places else None
        if scan is not None:
            ranks.setdefault(scan, []).append(rank)
    dropped: set[int] = set()
    for of_scan in ranks.values():
        boxes = _boxes([places[order[rank]] for rank in of_scan])
        kept = suppress(boxes, -np.arange(len(of_scan), dtype=np.float64), iou=_OVERLAP)
        dropped.update(set(of_scan).difference(np.array(of_scan)[kept].tolist()))
    return [path for rank, path in enumerate(order) if rank not in dropped]


def cut_box(shape: Shape, place: Mapping[str, Any]) -> Shape:
    """Return the part of a scan inside a box, a little enlarged: of a mesh a mesh, of a cloud a cloud.

    Args:
        shape: The scan as `load` returns it.
        place: `PLACE_COLUMNS` of the box.

    Raises:
        GeometryError: If nothing of the scan lies in the box.
    """
    size = _size(place)
    own = (_in_file(shape) - np.array(place["center"])) @ _rotation(place)
    inside: Bool[np.ndarray, " points"] = (np.abs(own) <= size / 2 + _MARGIN * size.max()).all(axis=1)
    if not inside.any():
        raise GeometryError("Nothing of the scan lies in this box. Index the folder again.")
    if isinstance(shape, PointCloud):
        return PointCloud(shape.points[inside], None if shape.colors is None else shape.colors[inside])
    corners = inside[shape.faces]
    faces = shape.faces[corners.all(axis=1) if corners.all(axis=1).any() else corners.any(axis=1)]
    used, places = np.unique(faces, return_inverse=True)
    if not len(used):
        raise GeometryError("Nothing of the scan lies in this box. Index the folder again.")
    return Mesh(shape.vertices[used], places.reshape(-1, 3), None if shape.colors is None else shape.colors[used])


def _in_file(shape: Shape) -> Float[np.ndarray, "points 3"]:
    """Return the points of a shape in the coordinates of its file."""
    origin = shape.origin or Origin("", "")
    points = shape.vertices if isinstance(shape, Mesh) else shape.points
    moved: np.ndarray = points.astype(np.float64) @ rotation_to_z_up(origin.up) + origin.offset
    return moved


def _boxes(places: Iterable[Mapping[str, Any]]) -> Boxes:
    """Return the boxes of one scan in a frame in which they stand upright: that of the first one."""
    rows = list(places)
    turns = [_rotation(row) for row in rows]
    centers = np.array([row["center"] for row in rows]) @ turns[0]
    relative = [turns[0].T @ turn for turn in turns]
    yaws = np.array([np.arctan2(turn[1, 0], turn[0, 0]) for turn in relative])
    yaws[np.abs(yaws) < 1e-9] = 0.0
    return Boxes(centers, np.array([_size(row) for row in rows]), yaws)


def _rotation(place: Mapping[str, Any]) -> Float[np.ndarray, "3 3"]:
    return np.array(place["rotation"], dtype=np.float64).reshape(3, 3)


def _size(place: Mapping[str, Any]) -> Float[np.ndarray, "3"]:
    return np.array([place[name] for name in ("width", "depth", "height")], dtype=np.float64)
