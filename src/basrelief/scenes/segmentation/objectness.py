"""How likely each candidate is one whole thing: measurements of boxes and regions, and a logistic model of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Float, Float32, Int

from basrelief.geometry.box_iou import box_iou
from basrelief.geometry.boxes import Boxes
from basrelief.scenes.segmentation.occupancy import Occupancy
from basrelief.scenes.segmentation.regions import Regions

Features = dict[str, np.ndarray]
"""(R,) values of each measurement."""

_SLAB = 2  # cells that count as just inside or just outside a face
_BLOCK = 512
_SPANS = 0.4  # of the footprint that a level surface covers to divide a box
_FARTHEST = 3.0  # standard deviations
_ALIKE = (0.5, 0.7, 0.85)


@dataclass(frozen=True, eq=False)
class Objectness:
    """Logistic regression of standardised measurements and their squares.

    Attributes:
        names: The measurements.
        mean: Of each over the candidates it was fitted to.
        scale: Standard deviation of each.
        weights: Coefficients.
        squares: Coefficients of the squares.
        bias: Constant.
    """

    names: tuple[str, ...]
    mean: Float[np.ndarray, " features"]
    scale: Float[np.ndarray, " features"]
    weights: Float[np.ndarray, " features"]
    squares: Float[np.ndarray, " features"]
    bias: float

    def score(self, features: Mapping[str, np.ndarray]) -> Float32[np.ndarray, " regions"]:
        """Return the probability that each candidate is one whole thing; measurements count up to three deviations."""
        values = ((np.stack([features[name] for name in self.names], axis=1) - self.mean) / self.scale).clip(-_FARTHEST, _FARTHEST)
        scores: np.ndarray = (1 / (1 + np.exp(-(values @ self.weights + values**2 @ self.squares + self.bias)))).astype(np.float32)
        return scores


@cache
def load_objectness() -> Objectness:
    """Load the model that ships; `objectness.json` says what it was fitted to."""
    data = json.loads((resources.files("basrelief.scenes.segmentation") / "objectness.json").read_text())
    rows = data["measurements"].values()
    mean, scale, weights, squares = (np.array([row[name] for row in rows]) for name in ("mean", "scale", "weight", "square"))
    return Objectness(tuple(data["measurements"]), mean, scale, weights, squares, data["bias"])


def box_features(low: Float[np.ndarray, "regions 3"], high: Float[np.ndarray, "regions 3"], occupancy: Occupancy, floor: float) -> Features:
    """Measure boxes: how full they are, what is at each face and just outside, what they stand on.

    Args:
        low: (R, 3) lowest corners.
        high: (R, 3) highest corners.
        occupancy: Of `object`, `structure` and `level` (horizontal) cells.
        floor: Height of the floor in metres.
    """
    first, last = occupancy.cells(low, high)
    cells, size = last - first, np.maximum(high - low, 1e-3)
    count = occupancy.count("object", first, last)
    area = np.stack([cells[:, (axis + 1) % 3] * cells[:, (axis + 2) % 3] for axis in (0, 0, 1, 1, 2, 2)])
    outside, inside, wall = np.empty((3, 6, len(low)))
    for side in range(6):
        outer, inner = _slabs(first, last, side)
        outside[side] = occupancy.count("object", *outer)
        inside[side] = occupancy.count("object", *inner)
        wall[side] = occupancy.count("structure", *outer)
    leak, cover = outside / (outside + inside + 2), np.minimum(inside / area, 1.5)
    leaks, covers = np.sort(leak[:4], axis=0), np.sort(cover[:4], axis=0)
    under = np.stack([first, last])
    under[0, :, 2], under[1, :, 2] = first[:, 2] - _SLAB, first[:, 2] + 1
    around = outside[:4].sum(axis=0)
    return {
        "count": np.log(count + 1),
        "fill": np.log((count + 1) / area.sum(axis=0)),
        "solid": count / cells.prod(axis=1),
        "leak_most": leaks[3],
        "leak_second": leaks[2],
        "leak_least": leaks[:2].mean(axis=0),
        "leak_all": around / (around + count + 2),
        "leak_top": leak[5],
        "leak_bottom": leak[4],
        "cover_most": covers[3],
        "cover_second": covers[2],
        "cover_third": covers[1],
        "cover_least": covers[0],
        "cover_top": cover[5],
        "cover_bottom": cover[4],
        "wall": np.minimum((wall[:4] / area[:4]).max(axis=0), 1.0),
        "above_floor": np.log1p(np.maximum(low[:, 2] - floor, 0) / occupancy.cell),
        "thin": np.log(size.min(axis=1) / size.max(axis=1)),
        "on_level": occupancy.count("level", under[0], under[1]) / area[4],
        **_shelf_features(first, last, count, occupancy),
    }


def _shelf_features(first: np.ndarray, last: np.ndarray, count: np.ndarray, occupancy: Occupancy) -> Features:
    """Measure what is above the highest level surface that spans a box: a desk and what stands on it are two things, a chair is one."""
    cells = last - first
    footprint = cells[:, 0] * cells[:, 1]
    split, level = np.zeros(len(first)), np.zeros(len(first), dtype=np.int64)
    for height in range(1, int(cells[:, 2].max(initial=0)) - _SLAB):
        rows = np.flatnonzero(cells[:, 2] - _SLAB > height)
        low, high = first[rows], last[rows]
        low[:, 2], high[:, 2] = first[rows, 2] + height, first[rows, 2] + height + 2
        share = np.minimum(occupancy.count("level", low, high) / footprint[rows], 1)
        spans = share > np.maximum(_SPANS, split[rows] - 0.1)
        split[rows[spans]], level[rows[spans]] = share[spans], height
    above = first.copy()
    above[:, 2] += np.minimum(level + 2, cells[:, 2])
    tops = occupancy.count("object", above, last) * (split > 0)
    return {
        "split": split,
        "top_share": tops / np.maximum(count, 1),
        "top_height": (split > 0) * (1 - (level + 2) / cells[:, 2]).clip(0),
        "top_cover": np.minimum(tops / footprint, 2),
    }


def _slabs(first: np.ndarray, last: np.ndarray, side: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Cells just outside and just inside one face; faces are -x, +x, -y, +y, -z, +z."""
    axis, upper = divmod(side, 2)
    outer, inner = (first.copy(), last.copy()), (first.copy(), last.copy())
    if upper:
        outer[0][:, axis], outer[1][:, axis] = last[:, axis], last[:, axis] + _SLAB
        inner[0][:, axis] = np.maximum(last[:, axis] - _SLAB, first[:, axis])
    else:
        outer[0][:, axis], outer[1][:, axis] = first[:, axis] - _SLAB, first[:, axis]
        inner[1][:, axis] = np.minimum(first[:, axis] + _SLAB, last[:, axis])
    return outer, inner


def region_features(
    regions: Regions, pairs: Int[np.ndarray, "edges 2"], weights: Float[np.ndarray, " edges"], cells: Float[np.ndarray, " voxels"]
) -> Features:
    """Measure regions: the share of edges that leave them, the contrast of those and of the inner ones.

    Args:
        regions: R sets of voxels.
        pairs: Edges between the voxels.
        weights: Contrast of each edge.
        cells: Cells of the occupancy that each voxel stands for.
    """
    from scipy.sparse import coo_array, csr_array

    nodes = len(cells)
    belongs = csr_array((np.ones(len(regions.members), dtype=np.float32), regions.members, regions.starts), shape=(len(regions), nodes))
    both = np.concatenate([pairs, pairs[:, ::-1]]).T
    cut, inner = [], []
    for values in (np.ones(len(pairs)), weights):
        matrix = coo_array((np.concatenate([values, values]).astype(np.float32), (both[0], both[1])), shape=(nodes, nodes)).tocsr()
        within = np.asarray((belongs @ matrix).multiply(belongs).sum(axis=1)).ravel()
        cut.append(belongs @ np.asarray(matrix.sum(axis=1)).ravel() - within)
        inner.append(within / 2)
    return {
        "cells": belongs @ cells,
        "voxels": np.log(regions.sizes),
        "cut": cut[0] / (cut[0] + inner[0] + 1),
        "cut_contrast": cut[1] / np.maximum(cut[0], 1),
        "inner_contrast": inner[1] / np.maximum(inner[0], 1),
        "uncut": (cut[0] == 0).astype(np.float64),
    }


def agreement_features(boxes: Boxes, families: Float[np.ndarray, "regions families"]) -> Features:
    """Measure how many candidates have nearly the same box, and how many families of them.

    Args:
        boxes: R boxes.
        families: (R, F) how often each family of candidates made this box.
    """
    alike, kinds = np.zeros((2, len(_ALIKE), len(boxes)))
    made = families.astype(np.float32)
    for start in range(0, len(boxes), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(boxes)))
        overlap = box_iou(boxes[rows], boxes)
        for number, least in enumerate(_ALIKE):
            counts = (overlap > least).astype(np.float32) @ made
            alike[number, rows], kinds[number, rows] = counts.sum(axis=1), (counts > 0).sum(axis=1)
    features: Features = {}
    for number, least in enumerate(_ALIKE):
        features[f"alike_{least:.0%}"] = np.log(alike[number] + 1)
        features[f"kinds_{least:.0%}"] = kinds[number]
    return features
