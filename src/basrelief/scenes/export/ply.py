"""PLY: the points of the scan with its boxes, or the boxes alone as thin bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from basrelief.errors import ConfigError, unknown_choice
from basrelief.markup import visible
from basrelief.output import replace_file
from basrelief.scenes.export.colors import label_colors, point_boxes, point_colors
from basrelief.scenes.export.coordinates import BOX_EDGES, in_file

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections

_VERTEX = np.dtype([("position", "<f8", 3), ("color", "u1", 3), ("box", "<i4"), ("edge", "u1")])
_PROPERTIES = (
    *("double x", "double y", "double z", "uchar red", "uchar green", "uchar blue"),
    *("int box", "uchar edge"),
)
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
_SPACING = 0.02  # metres between the points of an edge
_MOST = 200  # points of an edge
_THICK = 0.004  # of a bar, as a share of the box's longest side, at least _THINNEST metres
_THINNEST = 0.004
_COMMENTS = 400  # boxes named in the header, which readers bound
_CHARACTERS = 80
_BAR = (
    *((0, 1, 2), (1, 3, 2), (4, 6, 5), (5, 6, 7), (0, 4, 1), (1, 4, 5)),
    *((2, 3, 6), (3, 7, 6), (0, 2, 4), (2, 6, 4), (1, 5, 3), (3, 5, 7)),
)
"""Triangles of a bar; bits of a corner's number are x, y and z."""


def save_ply(detections: Detections, path: Path, *, edges: str = "points", colors: str = "boxes") -> None:
    """Write a binary PLY with float64 coordinates of the file.

    Args:
        detections: From `detect`.
        path: The file to write.
        edges: `points`: the points of the scan, and the edges of the boxes as rows of points, which every program shows. `faces`: only the
            edges, as thin bars, to be shown together with the scan itself.
        colors: `boxes`: points of a box have the colour of its label. `scan`: points keep their colours.

    Each vertex has the number of its box (`box`, -1 for none) and whether it belongs to an edge (`edge`). Comments name the boxes.

    Raises:
        ConfigError: If an option has another value.
        OutputError: If the file cannot be written.
    """
    for name, value, choices in (("edges", edges, ("points", "faces")), ("colors", colors, ("boxes", "scan"))):
        if value not in choices:
            raise ConfigError(unknown_choice(name, value, choices))
    if edges == "faces":
        vertices, faces = _bars(detections)
    else:
        vertices, faces = np.concatenate([_scan(detections, own=colors == "scan"), _edge_points(detections)]), None
    with replace_file(path) as part, part.open("wb") as file:
        file.write(_header(detections, len(vertices), faces))
        vertices.tofile(file)
        if faces is not None:
            faces.tofile(file)


def _header(detections: Detections, count: int, faces: np.ndarray | None) -> bytes:
    named = [
        f"comment box {number} {name[:_CHARACTERS]} {score:.4f}"
        for number, (name, score) in enumerate(zip(map(_ascii, detections.names), detections.scores, strict=True))
    ]
    triangles = [] if faces is None else [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    lines = ["ply", "format binary_little_endian 1.0", *named[:_COMMENTS], f"element vertex {count}"]
    lines += [*(f"property {one}" for one in _PROPERTIES), *triangles, "end_header", ""]
    return "\n".join(lines).encode("ascii")


def _ascii(text: str) -> str:
    return visible(text).encode("ascii", "backslashreplace").decode("ascii")


def _scan(detections: Detections, *, own: bool) -> np.ndarray:
    """Return the points of the scan as vertices."""
    owners = point_boxes(detections)
    found = np.zeros(len(owners), dtype=_VERTEX)
    found["position"] = in_file(detections.scene, detections.scene.cloud.points)
    found["color"] = point_colors(detections.scene)
    found["box"] = owners
    inside = owners >= 0
    if not own:
        found["color"][inside] = label_colors(detections)[owners[inside]]
    return found


def _edge_points(detections: Detections) -> np.ndarray:
    """Return points along the edges of each box as vertices."""
    corners, colors = detections.boxes.corners(), label_colors(detections)
    parts = [np.concatenate([_between(box[a], box[b]) for a, b in BOX_EDGES]) for box in corners]
    return _vertices(detections, parts, colors)


def _between(a: Float64[np.ndarray, " 3"], b: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "points 3"]:
    count = int(np.clip(np.linalg.norm(b - a) / _SPACING, 1, _MOST)) + 1
    return np.linspace(a, b, count)


def _bars(detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of each box as bars: vertices and triangles."""
    boxes = detections.boxes
    ends = boxes.corners()[:, np.array(BOX_EDGES)]  # (N, 12, 2, 3)
    half = np.maximum(_THICK * boxes.sizes.max(axis=1, initial=0), _THINNEST) / 2
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    offsets = np.einsum("nij,kj->nki", boxes.rotations(), signs) * half[:, None, None]  # (N, 8, 3), a small cube at a corner
    forward = np.einsum("nej,nlj->nel", ends[:, :, 1] - ends[:, :, 0], offsets) > 0  # corners of the cube that go to the far end
    bars = np.where(forward[..., None], ends[:, :, 1:], ends[:, :, :1]) + offsets[:, None]  # (N, 12, 8, 3)
    vertices = _vertices(detections, [*bars.reshape(len(boxes), -1, 3)], label_colors(detections))
    faces = np.zeros(len(boxes) * 12 * len(_BAR), dtype=_FACE)
    faces["count"] = 3
    faces["corners"] = (np.arange(len(boxes) * 12)[:, None, None] * 8 + np.array(_BAR)).reshape(-1, 3)
    return vertices, faces


def _vertices(detections: Detections, parts: Sequence[Float64[np.ndarray, "points 3"]], colors: np.ndarray) -> np.ndarray:
    """Return positions of the scene frame, one array for each box, as vertices in its colour."""
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    found = np.zeros(len(owners), dtype=_VERTEX)
    if len(owners):
        found["position"] = in_file(detections.scene, np.concatenate(parts))
        found["color"], found["box"], found["edge"] = colors[owners], owners, 1
    return found
