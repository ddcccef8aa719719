"""glTF 2.0, binary: the points of the scan, and each box as a named object of lines."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from basrelief.geometry import rotation_to_z_up
from basrelief.geometry.appearance import linear_from_srgb
from basrelief.markup import visible
from basrelief.output import replace_file, to_json
from basrelief.scenes.export.colors import label_colors, point_colors
from basrelief.scenes.export.coordinates import BOX_EDGES, in_file, origin_near, up_axis
from basrelief.scenes.export.records import scene_record
from basrelief.version import __version__

if TYPE_CHECKING:
    from basrelief.scenes.detections import Detections

_POINTS, _LINES = 0, 1  # modes of primitives
_BYTES, _SHORTS, _FLOATS = 5121, 5123, 5126  # types of accessors
_VERTICES, _INDICES = 34962, 34963  # targets of buffer views
_UNLIT = "KHR_materials_unlit"
_THINNEST = 1e-6  # share of a box's longest side; a side of 0 would make a matrix singular


def save_glb(detections: Detections, path: Path) -> None:
    """Write a binary glTF: node `scan` with a primitive of points, and one node of lines for each box.

    A node has the name of its label and the record of the box as `extras`. Blender shows it as an object with custom properties.
    glTF is +Y up: the axis that is up in the file is turned to +Y, as `basrelief.io.save` does; a file with +Y up keeps its coordinates.
    The unit stays that of the file. Positions are float32 relative to the node `basrelief`, whose translation is exact for scans far from
    the origin.

    Raises:
        OutputError: If the file cannot be written.
    """
    data = _Buffer()
    document = _document(detections, data)
    text = to_json(document).encode("ascii")
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(data.content)
    with replace_file(path) as part, part.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, size))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", len(data.content), b"BIN\0") + data.content)


class _Buffer:
    """The binary part of the file and what describes it.

    Attributes:
        content: Its bytes.
        views: glTF buffer views.
        accessors: glTF accessors.
    """

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, rows: np.ndarray, kind: str, component: int, **more: Any) -> int:  # noqa: ANN401 - fields of an accessor
        """Append an array, whose rows take a multiple of 4 bytes; return its accessor."""
        stored = rows.tobytes()
        target = _INDICES if kind == "SCALAR" else _VERTICES
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(stored), "target": target}
        self.content += stored + b"\0" * (-len(stored) % 4)
        self.accessors.append({"bufferView": len(self.views), "componentType": component, "count": len(rows), "type": kind, **more})
        self.views.append(view)
        return len(self.accessors) - 1

    def positions(self, points: np.ndarray) -> int:
        """Append positions with their bounds, which glTF requires."""
        rows = np.ascontiguousarray(points, dtype="<f4")
        return self.add(rows, "VEC3", _FLOATS, min=rows.min(axis=0).tolist(), max=rows.max(axis=0).tolist())


def _document(detections: Detections, data: _Buffer) -> dict[str, Any]:
    scene = detections.scene
    points = in_file(scene, scene.cloud.points)
    origin = origin_near(points)
    frame = rotation_to_z_up("y").T @ rotation_to_z_up(up_axis(scene))
    colors, of_label = _line_colors(detections)
    meshes = [{"name": "points", "primitives": [_points(detections, data, points - origin)]}, *_cubes(data, len(colors))]
    nodes = [
        {"name": "basrelief", "matrix": _matrix(frame, frame @ origin), "children": [1, *range(2, 2 + len(detections))]},
        {"name": "scan", "mesh": 0, "extras": scene_record(detections)},
        *_box_nodes(detections, origin, of_label),
    ]
    return {
        "asset": {"version": "2.0", "generator": f"basrelief {__version__}"},
        "extensionsUsed": [_UNLIT],
        "scene": 0,
        "scenes": [{"nodes": [0], "extras": {"model": detections.model, "labels": list(detections.labels)}}],
        "nodes": nodes,
        "meshes": meshes,
        "materials": [_material((1.0, 1.0, 1.0)), *map(_material, colors)],
        "accessors": data.accessors,
        "bufferViews": data.views,
        "buffers": [{"byteLength": len(data.content)}],
    }


def _points(detections: Detections, data: _Buffer, local: Float64[np.ndarray, "points 3"]) -> dict[str, Any]:
    linear = linear_from_srgb(point_colors(detections.scene).astype(np.float32) / 255)
    rgba = np.concatenate([np.round(linear * 255), np.full((len(linear), 1), 255)], axis=1).astype(np.uint8)
    attributes = {"POSITION": data.positions(local), "COLOR_0": data.add(rgba, "VEC4", _BYTES, normalized=True)}
    return {"mode": _POINTS, "attributes": attributes, "material": 0}


def _cubes(data: _Buffer, labels: int) -> Iterator[dict[str, Any]]:
    """Yield one mesh for each colour: the edges of a cube of side 1."""
    if not labels:
        return
    corners = [(x, y, z) for z in (-0.5, 0.5) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]
    position = data.positions(np.array(corners))
    indices = data.add(np.array(BOX_EDGES, dtype="<u2").reshape(-1), "SCALAR", _SHORTS)
    for number in range(labels):
        primitive = {"mode": _LINES, "attributes": {"POSITION": position}, "indices": indices, "material": 1 + number}
        yield {"name": f"box {number}", "primitives": [primitive]}


def _line_colors(detections: Detections) -> tuple[list[tuple[float, ...]], list[int]]:
    """Return the colours in use, linear light, and which one each box has."""
    colors, of_label = np.unique(label_colors(detections), axis=0, return_inverse=True)
    linear = linear_from_srgb(colors.astype(np.float32) / 255)
    return [tuple(float(value) for value in color) for color in linear], [int(i) for i in of_label.reshape(-1)]


def _box_nodes(detections: Detections, origin: Float64[np.ndarray, " 3"], of_label: Sequence[int]) -> Iterator[dict[str, Any]]:
    centers, sizes, rotations = detections.scene.boxes_in_file(detections.boxes)
    thinnest = np.maximum(sizes.max(axis=1, initial=0) * _THINNEST, np.finfo(np.float32).tiny)
    sides = np.maximum(sizes, thinnest[:, None])
    for number, record in enumerate(detections.records()):
        yield {
            "name": f"{visible(record['label'])} {record['score']:.2f}",
            "mesh": 1 + of_label[number],
            "matrix": _matrix(rotations[number] * sides[number], centers[number] - origin),
            "extras": record,
        }


def _matrix(linear: Float64[np.ndarray, "3 3"], translation: Float64[np.ndarray, " 3"]) -> list[float]:
    """Return the 4 x 4 matrix column by column."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, translation
    values: list[float] = matrix.T.reshape(-1).tolist()
    return values


def _material(color: Sequence[float]) -> dict[str, Any]:
    return {"pbrMetallicRoughness": {"baseColorFactor": [*color, 1.0], "metallicFactor": 0.0}, "extensions": {_UNLIT: {}}}
