"""SUN RGB-D as VoteNet exports it: a cloud and oriented boxes for each frame."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from basrelief.datasets.layouts.base import files, read_lines, subfolders
from basrelief.datasets.scans.arrays import read_numbers, whole_numbers
from basrelief.datasets.scans.classes import ScanClasses
from basrelief.datasets.scans.layout import ScanLayout
from basrelief.datasets.scans.scan_set import AnnotatedScan, ScanItem
from basrelief.errors import ConfigError, FileFormatError
from basrelief.geometry.boxes import Boxes
from basrelief.io.checks import parser_errors
from basrelief.io.formats.npz import read_npz
from basrelief.io.source import open_source
from basrelief.types import Finding, PointCloud

_POINTS = "_pc.npz"
_SPLITS = ("train", "val")


def _home(root: Path) -> Path | None:
    return root if any(_scans(folder) for folder in (root, *subfolders(root))) else None


def _scans(folder: Path) -> list[Path]:
    return [path for path in files(folder, ".npz") if path.name.endswith(_POINTS)]


def _find(home: Path, split: str, classes: ScanClasses) -> tuple[tuple[ScanItem, ...], tuple[Finding, ...]]:
    if split not in _SPLITS:
        raise ConfigError(f"SUN RGB-D has no {split} split as VoteNet exports it. Use train or val.")
    folder = (
        home if _scans(home) else next((inner for inner in subfolders(home) if inner.name.endswith(f"_{split}") and _scans(inner)), None)
    )
    if folder is None:
        return (), ()
    other = next((name for name in _SPLITS if name != split and folder.name.endswith(f"_{name}")), None)
    if other:
        raise ConfigError(f"{folder.name!r} holds the {other} split. Pass --split {other}, or the folder above.")
    found = {path.name.removesuffix(_POINTS): path for path in _scans(folder)}
    ids, listed = _listed(home, split)
    names = [name for name in ids if name in found] if listed else sorted(found)
    scans = tuple(ScanItem(name, found[name], functools.partial(_read, found[name], classes)) for name in names)
    fact = f"{len(scans)} scans of {split} in {folder.name}{f', by {listed}' if listed else ''}."
    return scans, (Finding("split", "ok", fact),)


def _listed(home: Path, split: str) -> tuple[list[str], str]:
    """Return the ids of `{split}_data_idx.txt` and its name; nothing if there is none."""
    name = f"{split}_data_idx.txt"
    path = next((path for folder in (".", "sunrgbd_trainval") if (path := home / folder / name).is_file()), None)
    if path is None:
        return [], ""
    lines = read_lines(path)
    if not all(line.isascii() and line.isdigit() and len(line) < 10 for line in lines):
        raise FileFormatError(f"{name} has lines that are no whole numbers. Download it again.")
    return [f"{int(line):06d}" for line in lines], name


def _read(path: Path, classes: ScanClasses) -> AnnotatedScan:
    source = open_source(path)
    with parser_errors(path, "npz"):
        raw = read_npz(source)
    boxes_path = path.with_name(path.name.removesuffix(_POINTS) + "_bbox.npy")
    stored = read_numbers(boxes_path, columns=8)
    places = classes.places(whole_numbers(boxes_path, stored[:, 7]))
    if (places < 0).any():
        raise FileFormatError(f"{boxes_path.name} has a class that is not one of 0 to {len(classes) - 1}. This is other data.")
    if (stored[:, 3:6] < 0).any():
        raise FileFormatError(f"{boxes_path.name} has negative sizes. Export the scan again.")
    boxes = Boxes(stored[:, :3], 2 * stored[:, 3:6], -stored[:, 6])  # half lengths; headings run clockwise seen from above
    return AnnotatedScan(PointCloud(np.asarray(raw.points, dtype=np.float32), raw.colors), boxes, places)


EXPORT = ScanLayout("sunrgbd-votenet", "sunrgbd", _home, _find, "sunrgbd_pc_bbox_votes_50k_v1_{train,val}/ID_pc.npz and ID_bbox.npy")
