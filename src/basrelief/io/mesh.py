"""Join the parts of a scene, each with its transforms, into one list of vertices and faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.helper_geometry import PlacedPart, shown_parts
from basrelief.io.source import RawShape
from basrelief.io.split import check_corners
from basrelief.io.surface import is_invisible, join_appearance, join_colors
from basrelief.limits import limits

_CHUNK = 1 << 18  # vertices transformed at a time
_NAME = 240  # characters of a name that are looked at

Part = Mapping[str, Any]
"""A part as read: `vertices` (N, 3) and, where present,

- `faces` (F, 3);
- `name`: of its node, object or group, after those above it, joined by `/`; `hidden`: whether the file marks it as not visible;
- `color`: base colour of the material, 3 or 4 numbers in [0, 1]; `material`: its name;
- `texture`: a `basrelief.io.textures.Texture`, with coordinates `uv` (N, 2) of the vertices, (0, 0) at the lower left, and `wrap`;
- `vertex_colors` (N, 3 or 4), which multiply the material; `face_colors` (F, 3 or more), used if there is no other colour;
- `cutoff`: alpha below which nothing is drawn; `blend`: whether alpha is blended, see `basrelief.io.surface`.
"""

Instance = tuple[Part, np.ndarray]  # a part and the 4 x 4 transform of one instance


class NamedInstance(NamedTuple):
    """An instance with a name of its own, for parts that occur under several names.

    Attributes:
        part: The part.
        matrix: Its 4 x 4 transform.
        name: As `name` of `Part`.
        hidden: As `hidden` of `Part`.
    """

    part: Part
    matrix: np.ndarray
    name: str
    hidden: bool = False


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


def join_parts(instances: Sequence[Instance | NamedInstance], *, with_faces: bool, linear: bool = False) -> RawShape:
    """Transform parts and join them into one list of vertices and faces, without those that a viewer would not show.

    Args:
        instances: Each part with a 4 x 4 matrix; a part may occur several times.
        with_faces: Whether the parts have faces.
        linear: Whether material and vertex colours are linear light, as in glTF, and not sRGB.

    Returns:
        Vertices and faces in the axes of the file, their colours, and notes on what was left out.

    Raises:
        GeometryError: If a face refers to a vertex that does not exist.
    """
    shown, notes = _shown(instances, with_faces=with_faces)
    groups = _grouped(shown)
    points = np.empty((sum(len(part["vertices"]) * len(matrices) for part, matrices in groups), 3))
    count = sum(len(part["faces"]) * len(matrices) for part, matrices in groups) if with_faces else 0
    faces = np.empty((count, 3), dtype=np.int64) if with_faces else None
    vertex = face = 0
    for part, matrices in groups:
        first, vertex = vertex, vertex + len(matrices) * len(part["vertices"])
        _move(np.asarray(part["vertices"]).reshape(-1, 3), matrices, points[first:vertex])
        if faces is not None:
            start, face = face, face + len(matrices) * len(part["faces"])
            _shift(np.asarray(part["faces"]).reshape(-1, 3), matrices, faces[start:face], vertices=len(part["vertices"]), first=first)
    uses = [(part, len(matrices)) for part, matrices in groups]
    colors = join_colors(uses, len(points), linear=linear)
    appearance = join_appearance(uses, vertices=len(points), faces=count, linear=linear) if with_faces else None
    return RawShape(points=points, faces=faces, colors=colors, appearance=appearance, notes=notes)


def _shown(instances: Sequence[Instance | NamedInstance], *, with_faces: bool) -> tuple[list[Instance], tuple[str, ...]]:
    """Return the instances that a viewer would show, and notes on the others."""
    if len(instances) < 2:
        return [(found[0], found[1]) for found in instances], ()
    invisible = {id(found[0]): is_invisible(found[0]) for found in instances}
    arrays: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
    for found in instances:
        if id(found[0]) not in arrays:
            faces = np.asarray(found[0]["faces"]).reshape(-1, 3) if with_faces else None
            arrays[id(found[0])] = np.asarray(found[0]["vertices"]).reshape(-1, 3), faces
    parts = []
    for found in instances:
        named = (
            found if isinstance(found, NamedInstance) else NamedInstance(*found, found[0].get("name", ""), found[0].get("hidden", False))
        )
        vertices, faces = arrays[id(named.part)]
        parts.append(PlacedPart(str(named.name)[-_NAME:], vertices, faces, named.matrix, named.hidden or invisible[id(named.part)]))
    kept, notes = shown_parts(parts)
    return [(instances[i][0], instances[i][1]) for i in kept], notes


def _grouped(instances: Sequence[Instance]) -> list[tuple[Part, np.ndarray]]:
    """List each part once, with the matrices (instances, 4, 4) of all its instances."""
    matrices: dict[int, list[np.ndarray]] = {}
    for part, matrix in instances:
        matrices.setdefault(id(part), []).append(matrix)
    parts = {id(part): part for part, _ in instances}
    return [(parts[key], np.stack(places)) for key, places in matrices.items()]


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
    check_corners(faces, vertices)
    shifted = shifted.reshape(len(matrices), len(faces), 3)
    mirrored = np.linalg.det(matrices[:, :3, :3]) < 0
    shifted[~mirrored], shifted[mirrored] = faces, faces[:, ::-1]
    shifted += first + vertices * np.arange(len(matrices))[:, None, None]
