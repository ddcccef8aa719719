"""One scan of ScanNet v2: mesh, segments, the objects made of segments, and the alignment of the walls with the axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from basrelief.datasets.layouts.base import read_json, read_list
from basrelief.datasets.scans.arrays import check_rigid, extents, transform
from basrelief.datasets.scans.classes import ScanClasses
from basrelief.datasets.scans.scan_set import AnnotatedScan
from basrelief.errors import FileFormatError
from basrelief.geometry.boxes import Boxes
from basrelief.io.checks import check_count, parser_errors
from basrelief.io.formats.ply import read_ply
from basrelief.io.source import open_source
from basrelief.limits import limits
from basrelief.types import Finding, Mesh, PointCloud

MESH = "_vh_clean_2.ply"
OBJECTS = ".aggregation.json"
SEGMENTS = "_vh_clean_2.0.010000.segs.json"
META = ".txt"


@dataclass(frozen=True)
class _Group:
    """An annotated object: its number, that of its class, and its segments, as places among the sorted segment ids."""

    instance: int
    label: int
    segments: Int64[np.ndarray, " segments"]


def beside(mesh: Path, suffix: str) -> Path:
    """Return another file of the scan that a mesh belongs to."""
    return mesh.with_name(mesh.name.removesuffix(MESH) + suffix)


def read_scannet_scan(mesh: Path, numbers: Mapping[str, int], classes: ScanClasses) -> AnnotatedScan:
    """Read a scan; its boxes are the extents of the aligned vertices of each object.

    Where objects share a segment, the later one has it. The class of an object is that of its first segment's vertices.

    Args:
        mesh: The `_vh_clean_2.ply` file; the others lie beside it.
        numbers: Class number of each raw category.
        classes: Classes to keep.

    Raises:
        FileFormatError: If a file is missing or broken, or an object has an unknown raw category.
        GeometryError: If the mesh cannot be used.
    """
    source = open_source(mesh)
    with parser_errors(mesh, "ply"):
        raw = read_ply(source)
    matrix, findings = _alignment(beside(mesh, META))
    points = transform(raw.points, matrix)
    shape = PointCloud(points, raw.colors) if raw.faces is None else Mesh(points, raw.faces, raw.colors)
    names, segment_of = _segments(beside(mesh, SEGMENTS), len(points))
    groups = _groups(beside(mesh, OBJECTS), names, numbers)
    label, instance = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    for number in dict.fromkeys(group.label for group in groups):  # as VoteNet: class by class, in the order of their first object
        label[np.concatenate([group.segments for group in groups if group.label == number])] = number
    last = {group.instance: group for group in groups}
    for group in last.values():
        instance[group.segments] = group.instance
    ids, low, high = extents(points, instance[segment_of])
    found = np.array([label[last[i].segments[0]] if i else 0 for i in ids.tolist()], dtype=np.int64)
    places = classes.places(found)
    kept = np.flatnonzero(places >= 0)
    rows = np.full(len(ids), -1, dtype=np.int64)
    rows[kept] = np.arange(len(kept))
    instances: np.ndarray = rows[np.searchsorted(ids, instance[segment_of])]
    return AnnotatedScan(shape, Boxes.from_bounds(low[kept], high[kept]), places[kept], instances, findings)


def _alignment(path: Path) -> tuple[Float[np.ndarray, "4 4"], tuple[Finding, ...]]:
    """Read the matrix that aligns the walls; the identity, with a finding, if the file or the line is missing."""
    lines = read_list(path).decode("utf-8", errors="replace").splitlines() if path.is_file() else []
    text = next((line.partition("=")[2] for line in lines if line.strip().startswith("axisAlignment")), None)
    if text is None:
        fact = f"{path.name} {'does not say' if lines else 'is missing, which says'} how the walls lie; the scan is used as it is."
        return np.eye(4), (Finding("alignment", "warning", fact, "Download the .txt files: published boxes follow the walls."),)
    try:
        values = [float(word) for word in text.split()[:17]]
    except ValueError as error:
        raise FileFormatError(f"axisAlignment of {path.name} is {text.strip()[:60]!r}; expected 16 numbers. Download it again.") from error
    if len(values) != 16:
        raise FileFormatError(f"axisAlignment of {path.name} has {len(values)} numbers; expected 16. Download it again.")
    matrix = np.array(values).reshape(4, 4)
    check_rigid(path, matrix)
    return matrix, ()


def _segments(path: Path, count: int) -> tuple[Int64[np.ndarray, " segments"], Int64[np.ndarray, " points"]]:
    """Read the segment of every vertex: the ids of all segments, sorted, and the place of each vertex's among them."""
    listed = _list(path, _json(path), "segIndices")
    ids = _integers(path, listed)
    if len(ids) != count:
        raise FileFormatError(f"{path.name} has segments of {len(ids):,} vertices, but the mesh has {count:,}. Download both again.")
    names, places = np.unique(ids, return_inverse=True)
    return names, places


def _groups(path: Path, names: Int64[np.ndarray, " segments"], numbers: Mapping[str, int]) -> list[_Group]:
    groups = []
    for entry in _list(path, _json(path), "segGroups"):
        number, label = (entry.get("objectId"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        if type(number) is not int or not 0 <= number < 1 << 31 or not isinstance(label, str):
            raise FileFormatError(f"{path.name} has an object without objectId or label. Download it again.")
        if label not in numbers:
            raise FileFormatError(
                f"{path.name} has an object of the unknown category {label[:80]!r}. Fetch the table of labels that belongs to it."
            )
        ids = _integers(path, _list(path, entry, "segments"))
        places = np.searchsorted(names, ids).clip(max=max(len(names) - 1, 0))
        if len(ids) and (names[places] != ids).any():
            raise FileFormatError(f"{path.name} names a segment that no vertex has. It belongs to another mesh.")
        if len(ids):
            groups.append(_Group(number + 1, numbers[label], places))
    return groups


def _json(path: Path) -> Any:  # noqa: ANN401 - anything may stand in a file
    if not path.is_file():
        raise FileFormatError(f"{path.name} is missing. Download it; scans of the test split have no annotations.")
    data = read_list(path)
    check_count(path, data.count(b",") + data.count(b"[") + data.count(b"{"), limits().json_values, of="values of JSON")
    return read_json(path, data)


def _list(path: Path, record: Any, key: str) -> list[Any]:  # noqa: ANN401 - anything may stand in a file
    found = record.get(key) if isinstance(record, dict) else None
    if not isinstance(found, list):
        raise FileFormatError(f"{path.name} has no list {key}. Download it again.")
    return found


def _integers(path: Path, values: list[Any]) -> Int64[np.ndarray, " values"]:
    if any(type(value) is not int or not -(1 << 62) < value < 1 << 62 for value in values):
        raise FileFormatError(f"{path.name} has segment ids that are not whole numbers. Download it again.")
    return np.array(values, dtype=np.int64)
