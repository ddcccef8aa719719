"""How boxes overlap each other and which points they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from basrelief.errors import ConfigError, GeometryError, unknown_choice
from basrelief.geometry.boxes import Boxes

Relative = Literal["union", "smaller", "lower"]
"""What an overlap is divided by: the union of two boxes, the smaller of them, or the one with the lower score."""

_RELATIVE = ("union", "smaller", "lower")
_BLOCK = 2_000_000  # values of a matrix block
_PAIRS = 50_000  # pairs of rotated boxes clipped at a time


def box_iou(first: Boxes, second: Boxes) -> Float[np.ndarray, "first second"]:
    """Return the volume of the intersection over that of the union, for every pair.

    Aligned boxes use the closed form. Otherwise the footprints are clipped against each other, as in `box3d_iou` of VoteNet and 3DETR.

    Args:
        first: N boxes.
        second: M boxes in the same frame.

    Returns:
        (N, M) float64 in [0, 1]; 0 for boxes without volume.
    """
    return _share(overlap_volumes(first, second), first, second, "union")


def overlap_volumes(first: Boxes, second: Boxes) -> Float[np.ndarray, "first second"]:
    """Return the volume of the intersection of every pair of boxes, (N, M) float64."""
    volumes = np.zeros((len(first), len(second)))
    aligned = first.aligned and second.aligned
    for rows in _blocks(len(first), len(second)):
        part = first[rows]
        lengths = _common_lengths(part.bounds(), second.bounds())
        if aligned:
            volumes[rows] = np.prod(lengths, axis=0)
            continue
        near = np.flatnonzero((lengths[0] > 0) & (lengths[1] > 0) & (lengths[2] > 0))
        for start in range(0, len(near), _PAIRS):
            pairs = near[start : start + _PAIRS]
            left, right = np.divmod(pairs, len(second))
            volumes[rows].flat[pairs] = _footprint_overlap(part[left], second[right]) * lengths[2].flat[pairs]
    return volumes


def flatten(boxes: Boxes) -> Boxes:
    """Return boxes of height 1 around z = 0: their IoU is that of the footprints."""
    return Boxes(boxes.centers * (1, 1, 0), np.column_stack([boxes.sizes[:, :2], np.ones(len(boxes))]), boxes.yaws)


def suppress(
    boxes: Boxes,
    scores: Float[np.ndarray, " boxes"],
    labels: Int[np.ndarray, " boxes"] | None = None,
    *,
    iou: float,
    over: Relative = "union",
) -> Int[np.ndarray, " kept"]:
    """Keep the best of boxes that overlap (greedy non-maximum suppression).

    Args:
        boxes: N boxes.
        scores: (N,), higher is better; among equal scores the first box wins.
        labels: (N,); only boxes of the same label suppress each other. All do when None.
        iou: A box goes if its overlap with a better one is larger than this.
        over: What the volume of the overlap is divided by. `smaller` also removes a box inside a larger one; `lower` divides by the volume
            of the box with the lower score, which is 3DETR's `use_old_type_nms`.

    Returns:
        Indices of the kept boxes, best first.

    Raises:
        GeometryError: If there is not one score (and label) for each box.
        ConfigError: If `over` is unknown.
    """
    if over not in _RELATIVE:
        raise ConfigError(unknown_choice("measure of overlap", over, _RELATIVE))
    if len(scores) != len(boxes) or (labels is not None and len(labels) != len(boxes)):
        raise GeometryError(f"There are {len(boxes)} boxes but {len(scores)} scores. Pass one score, and one label, for each box.")
    order = np.argsort(-np.asarray(scores), kind="stable")
    alive = np.ones(len(boxes), dtype=bool)
    kept: list[int] = []
    for block in _blocks(len(boxes), len(boxes)):
        rows = order[block]
        rows = rows[alive[rows]]
        others = order[block.start :]
        others = others[alive[others]]
        hits = _share(overlap_volumes(boxes[rows], boxes[others]), boxes[rows], boxes[others], over) > iou
        if labels is not None:
            hits &= labels[rows][:, None] == labels[others]
        for row, hit in zip(rows, hits, strict=True):
            if alive[row]:
                kept.append(int(row))
                alive[others[hit]] = False
    return np.array(kept, dtype=np.int64)


def points_in_boxes(points: Float[np.ndarray, "points 3"], boxes: Boxes) -> list[Int[np.ndarray, " inside"]]:
    """Return for each box the rows of the points inside it, its faces included, in increasing order.

    Faces are a billionth of the coordinates wider than given, so that a box made from the bounds of points holds all of them.
    Memory beyond the answer is that of a few copies of the points.
    """
    order = np.argsort(points[:, 0], kind="stable")
    columns = np.ascontiguousarray(points[order].T, dtype=np.float64)
    bounds = boxes.bounds()
    slack = 1e-9 * np.maximum(1.0, np.abs(bounds).max(axis=(1, 2), initial=0.0))
    starts = np.searchsorted(columns[0], bounds[:, 0, 0] - slack, side="left")
    ends = np.searchsorted(columns[0], bounds[:, 1, 0] + slack, side="right")
    found = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        inside = np.arange(start, end)
        for axis in (1, 2):
            column = columns[axis, inside]
            inside = inside[(column >= bounds[number, 0, axis] - slack[number]) & (column <= bounds[number, 1, axis] + slack[number])]
        if boxes.yaws[number]:
            own = (columns[:, inside].T - boxes.centers[number]) @ boxes[[number]].rotations()[0]
            inside = inside[(np.abs(own) <= boxes.sizes[number] / 2 + slack[number]).all(axis=1)]
        found.append(np.sort(order[inside]))
    return found


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows whose matrix block has at most `_BLOCK` values, at least one row each."""
    step = max(1, _BLOCK // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _share(volumes: np.ndarray, first: Boxes, second: Boxes, over: Relative) -> np.ndarray:
    """Divide overlaps by what `over` says; rows are the boxes with the higher score."""
    one, two = first.volumes()[:, None], second.volumes()[None, :]
    whole = one + two - volumes if over == "union" else np.broadcast_to(np.minimum(one, two) if over == "smaller" else two, volumes.shape)
    share: np.ndarray = np.divide(volumes, whole, out=np.zeros_like(volumes), where=whole > 0)
    return share


def _common_lengths(first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Length that the intervals of each pair share along x, y and z, each (N, M); 0 if none."""
    return [
        np.maximum(np.minimum(first[:, None, 1, axis], second[:, 1, axis]) - np.maximum(first[:, None, 0, axis], second[:, 0, axis]), 0.0)
        for axis in range(3)
    ]


def _footprint_overlap(first: Boxes, second: Boxes) -> Float[np.ndarray, " pairs"]:
    """Area that the footprints of row-wise pairs share.

    Each second footprint is moved into the frame of the first and clipped at its four sides (Sutherland-Hodgman).
    """
    away = second.corners()[:, :4] - first.centers[:, None]
    polygon = np.einsum("nij,nki->nkj", first.rotations()[:, :2, :2], away[..., :2])
    half = first.sizes[:, None, :2] / 2
    slack = 1e-13 * (1.0 + np.abs(polygon).max(axis=(1, 2)) + half.max(axis=(1, 2)))
    for axis in (0, 1):
        for sign in (1, -1):
            inner = half[..., axis] - sign * polygon[..., axis]
            polygon = _clip(polygon, np.where(np.abs(inner) <= slack[:, None], 0.0, inner))
    following = np.roll(polygon, -1, axis=1)
    area: np.ndarray = np.abs((polygon[..., 0] * following[..., 1] - polygon[..., 1] * following[..., 0]).sum(axis=1)) / 2
    return area


def _clip(polygon: Float[np.ndarray, "pairs corners 2"], inner: Float[np.ndarray, "pairs corners"]) -> Float[np.ndarray, "pairs wider 2"]:
    """Keep the part of convex polygons where `inner` (signed distance to one line) is not negative.

    A line adds at most one corner. Polygons with fewer corners than the array repeat their last one; those wholly outside become a point.
    """
    following, beyond = np.roll(polygon, -1, axis=1), np.roll(inner, -1, axis=1)
    crosses: Bool[np.ndarray, "pairs corners"] = (inner >= 0) != (beyond >= 0)
    at = np.divide(inner, inner - beyond, out=np.zeros_like(inner), where=crosses)[..., None]
    width = polygon.shape[1]
    corners = np.stack([polygon, polygon + at * (following - polygon)], axis=2).reshape(len(polygon), 2 * width, 2)
    valid = np.stack([inner >= 0, crosses], axis=2).reshape(len(polygon), 2 * width)
    order = np.argsort(~valid, axis=1, kind="stable")[:, : width + 2]
    last = np.maximum(valid.sum(axis=1), 1) - 1
    order = np.take_along_axis(order, np.minimum(np.arange(order.shape[1]), last[:, None]), axis=1)
    clipped: np.ndarray = np.take_along_axis(corners, order[..., None], axis=1)
    return clipped
