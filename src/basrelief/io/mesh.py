"""Join the parts of a scene, each with its transforms, into one list of vertices and faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.checks import check_count
from basrelief.io.colors import part_colors
from basrelief.io.source import RawShape
from basrelief.limits import limits

UNCOLORED = (0.8, 0.8, 0.8)  # for parts without colour in a file where others have some
_CHUNK = 1 << 18  # vertices transformed at a time

Part = Mapping[str, Any]
"""A part as read: `vertices` (N, 3) and, where present, `faces` (F, 3), `vertex_colors` (N, 3 or more), `face_colors` (F, 3 or more),
`texture` with coordinates `uv` (N, 2) of the vertices, and `color`, the base colour of the material, in [0, 1]."""

Instance = tuple[Part, np.ndarray]  # a part and the 4 x 4 transform of one instance


def check_size(path: Path, counts: Iterable[tuple[int, int, int]]) -> None:
    """Reject a scene that would be too large, before building any of it.

    Args:
        path: The file, for messages.
        counts: For each part its number of instances, vertices and faces.

    Raises:
        FileFormatError: If the scene is empty, or has more instances, vertices or faces than the limits.
    """
    places, vertices, faces = (sum(column) for column in zip((0, 0, 0), *((n, n * v, n * f) for n, v, f in counts), strict=True))
    if not vertices:
        raise FileFormatError(f"{path.name} contains no triangles or points. Check the export settings.")
    check_count(path, places, limits().instances, of="parts of a scene")
    check_count(path, vertices, limits().points, of="vertices")
    check_count(path, faces, limits().faces, of="faces")


def join_parts(instances: Sequence[Instance], *, with_faces: bool, linear: bool = False) -> RawShape:
    """Transform parts and join them into one list of vertices and faces.

    Args:
        instances: Each part with a 4 x 4 matrix; a part may occur several times.
        with_faces: Whether the parts have faces.
        linear: Whether material and vertex colours are linear light, as in glTF, and not sRGB.

    Returns:
        Vertices and faces in the axes of the file.

    Raises:
        GeometryError: If a face refers to a vertex that does not exist.
    """
    groups = _grouped(instances)
    points = np.empty((sum(len(part["vertices"]) for part, _ in instances), 3))
    faces = np.empty((sum(len(part["faces"]) for part, _ in instances), 3), dtype=np.int64) if with_faces else None
    vertex = face = 0
    for part, matrices in groups:
        first, vertex = vertex, vertex + len(matrices) * len(part["vertices"])
        _move(np.asarray(part["vertices"]).reshape(-1, 3), matrices, points[first:vertex])
        if faces is not None:
            start, face = face, face + len(matrices) * len(part["faces"])
            _shift(np.asarray(part["faces"]).reshape(-1, 3), matrices, faces[start:face], vertices=len(part["vertices"]), first=first)
    return RawShape(points=points, faces=faces, colors=_joined_colors(groups, len(points), linear=linear))


def _grouped(instances: Sequence[Instance]) -> list[tuple[Part, np.ndarray]]:
    """List each part once, with the matrices (instances, 4, 4) of all its instances."""
    matrices: dict[int, list[np.ndarray]] = {}
    for part, matrix in instances:
        matrices.setdefault(id(part), []).append(matrix)
    parts = {id(part): part for part, _ in instances}
    return [(parts[key], np.stack(places)) for key, places in matrices.items()]


def _joined_colors(groups: list[tuple[Part, np.ndarray]], count: int, *, linear: bool) -> np.ndarray | None:
    """Compute the colours of each part once and repeat them for each instance."""
    found = [part_colors(part, linear=linear) for part, _ in groups]
    if all(colors is None for colors in found):
        return None
    if len(groups) == 1 and len(groups[0][1]) == 1:
        return found[0]
    joined, at = np.empty((count, 3), dtype=np.float32), 0
    for i, (part, matrices) in enumerate(groups):
        start, at = at, at + len(matrices) * len(part["vertices"])
        colors, found[i] = found[i], None
        joined[start:at].reshape(len(matrices), -1, 3)[:] = UNCOLORED if colors is None else colors
    return joined


def _move(vertices: np.ndarray, matrices: np.ndarray, moved: np.ndarray) -> None:
    """Transform the vertices of a part by each matrix, a bounded number at a time."""
    moved = moved.reshape(len(matrices), len(vertices), 3)
    places = max(_CHUNK // max(len(vertices), 1), 1)
    for place in range(0, len(matrices), places):
        some = matrices[place : place + places]
        for start in range(0, len(vertices), _CHUNK):
            chunk = vertices[start : start + _CHUNK].astype(np.float64)
            moved[place : place + places, start : start + _CHUNK] = chunk @ some[:, :3, :3].swapaxes(1, 2) + some[:, None, :3, 3]


def _shift(faces: np.ndarray, matrices: np.ndarray, shifted: np.ndarray, *, vertices: int, first: int) -> None:
    """Offset the faces of a part to its vertices in the joined list, which start at `first`, instance after instance."""
    if len(faces) and (faces.min() < 0 or faces.max() >= vertices):
        raise GeometryError(
            f"Faces use vertices {faces.min()} to {faces.max()}, but there are only {vertices}. The file is probably truncated."
        )
    shifted = shifted.reshape(len(matrices), len(faces), 3)
    mirrored = np.linalg.det(matrices[:, :3, :3]) < 0
    shifted[~mirrored], shifted[mirrored] = faces, faces[:, ::-1]
    shifted += first + vertices * np.arange(len(matrices))[:, None, None]
