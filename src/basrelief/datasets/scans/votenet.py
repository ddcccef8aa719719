"""ScanNet as VoteNet exports it for detectors, which 3DETR reads, too; and MMDetection3D's variant with a matrix beside."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from basrelief.datasets.layouts.base import files, subfolders
from basrelief.datasets.scans.arrays import check_rigid, extents, read_numbers, read_whole_numbers, transform, whole_numbers
from basrelief.datasets.scans.classes import ScanClasses
from basrelief.datasets.scans.layout import ScanLayout
from basrelief.datasets.scans.scan_set import AnnotatedScan, ScanItem
from basrelief.datasets.scans.split_lists import choose_scans
from basrelief.errors import FileFormatError
from basrelief.geometry.boxes import Boxes
from basrelief.types import Finding, PointCloud

_POINTS = "_vert.npy"
_SLACK = 1e-3  # metres by which points may leave their box, which was computed in another precision


def _home(root: Path) -> Path | None:
    return next((folder for folder in (root, *subfolders(root)) if _scans(folder)), None)


def _scans(folder: Path) -> list[Path]:
    return [path for path in files(folder, ".npy") if path.name.endswith(_POINTS)]


def _find(home: Path, split: str, classes: ScanClasses) -> tuple[tuple[ScanItem, ...], tuple[Finding, ...]]:
    found = {}
    for path in _scans(home):
        name = path.name.removesuffix(_POINTS)
        found[name] = ScanItem(name, path, functools.partial(_read, path, classes))
    scans, findings = choose_scans(home, split, found)
    if scans:
        return scans, findings
    return choose_scans(home.parent, split, found)  # lists may lie beside the folder of arrays


def _read(path: Path, classes: ScanClasses) -> AnnotatedScan:
    name = path.name.removesuffix(_POINTS)
    table = read_numbers(path, columns=6, least=3)
    points = table[:, :3].astype(np.float32)
    own = path.with_name(f"{name}_axis_align_matrix.npy")
    boxes_path = path.with_name(f"{name}_bbox.npy")
    if own.is_file():
        matrix = read_numbers(own, columns=4).astype(np.float64)
        if matrix.shape != (4, 4):
            raise FileFormatError(f"{own.name} has shape {matrix.shape}; expected (4, 4). Export the scan again.")
        check_rigid(own, matrix)
        points, boxes_path = transform(points, matrix), path.with_name(f"{name}_aligned_bbox.npy")
    shape = PointCloud(points, _colors(table[:, 3:6]))
    stored = read_numbers(boxes_path, columns=7)
    if (stored[:, 3:6] < 0).any():
        raise FileFormatError(f"{boxes_path.name} has negative sizes. Export the scan again.")
    places = classes.places(whole_numbers(boxes_path, stored[:, 6]))
    kept = places >= 0
    boxes = Boxes(stored[kept, :3], stored[kept, 3:6])
    ids = read_whole_numbers(path.with_name(f"{name}_ins_label.npy"), len(points))
    numbers = read_whole_numbers(path.with_name(f"{name}_sem_label.npy"), len(points))
    return AnnotatedScan(shape, boxes, places[kept], _instances(points, ids, classes.places(numbers), boxes, places[kept]))


def _colors(values: np.ndarray) -> np.ndarray | None:
    """Return colours in [0, 1] from bytes stored as floats; None if there are none."""
    usable = values.shape[1] == 3 and len(values) and np.isfinite(values).all() and values.min() >= 0 and values.max() <= 255
    return (values / 255).astype(np.float32) if usable else None


def _instances(
    points: Float32[np.ndarray, "points 3"],
    ids: Int64[np.ndarray, " points"],
    labels: Int64[np.ndarray, " points"],
    boxes: Boxes,
    box_labels: Int64[np.ndarray, " boxes"],
) -> Int64[np.ndarray, " points"]:
    """Return the row of each point's box: of the boxes of an instance's class that hold it, the smallest.

    The files do not say which box belongs to which instance, and boxes were computed from more points than were kept.
    """
    names, low, high = extents(points, ids)
    _, first = np.unique(ids, return_index=True)
    bounds, volumes = boxes.bounds(), boxes.volumes()
    row_of = np.full(len(names), -1, dtype=np.int64)
    for row in range(len(names)) if len(boxes) else ():
        inside = (low[row] >= bounds[:, 0] - _SLACK).all(axis=1) & (high[row] <= bounds[:, 1] + _SLACK).all(axis=1)
        fits = inside & (box_labels == labels[first[row]])
        if names[row] > 0 and fits.any():
            row_of[row] = np.where(fits, volumes, np.inf).argmin()
    found: np.ndarray = row_of[np.searchsorted(names, ids)]
    return found


EXPORT = ScanLayout("scannet-votenet", "scannet", _home, _find, "ID_vert.npy, ID_ins_label.npy, ID_sem_label.npy and ID_bbox.npy")
