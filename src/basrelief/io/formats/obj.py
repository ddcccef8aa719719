"""Wavefront .obj with its materials."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.colors import part_colors
from basrelief.io.formats.mtl import library_names
from basrelief.io.formats.obj_lines import Elements
from basrelief.io.formats.obj_materials import Looks
from basrelief.io.lines import model_lines
from basrelief.io.mesh import check_size, join_parts
from basrelief.io.source import RawShape, Source
from basrelief.io.split import check_corners, distinct_corners
from basrelief.io.surface import UNCOLORED
from basrelief.io.triangulate import triangulate
from basrelief.limits import limits

_MAX_PARTS = 4096
_CORNER_BYTES = 56  # peak memory per corner of a triangle while reading


def read_obj(source: Source) -> RawShape:
    """Read .obj with its materials, which are read from its folder only. Polygons are triangulated.

    Args:
        source: The file.

    Returns:
        Vertices and faces in the axes of the file, one vertex for each combination of position, material, texture coordinate and normal;
        only points if there is no face.

    Raises:
        FileFormatError: If a line is malformed, or there are more vertices or faces than the limits.
        GeometryError: If a face refers to a vertex that does not exist.
    """
    source.check_size(limits().text_bytes)
    elements, libraries = Elements(), list[str]()
    for block in model_lines(source):
        elements.add(block)
        libraries += library_names(block)
        check_count(source.path, sum(map(len, elements.vertices)), limits().points, of="vertices")
        check_count(source.path, sum(map(len, elements.corners)), limits().memory_bytes // _CORNER_BYTES, of="corners of faces")
    return _shape(source, elements, libraries)


def _shape(source: Source, elements: Elements, libraries: list[str]) -> RawShape:
    vertices = _joined(elements.vertices, 3)
    colors = _joined(elements.colors, 3)
    corners, counts = _joined(elements.corners, 3), np.concatenate([[], *elements.sizes]).astype(np.int64)
    faces = int(np.maximum(counts - 2, 0).sum())
    check_size(source.path, [(1, len(vertices), faces)])
    check_count(source.path, 3 * faces, limits().memory_bytes // _CORNER_BYTES, of="corners of faces")
    if not faces:
        if elements.surfaces:
            raise FileFormatError(f"{source.path.name} holds only free-form curves or surfaces. Export it as a mesh of polygons.")
        return RawShape(points=vertices, colors=_vertex_colors(vertices, colors))
    check_corners(corners[:, 0] - 1, len(vertices))
    index, polygon = triangulate(counts, corners[:, 0] - 1, vertices)
    material, group = np.concatenate(elements.materials)[polygon], np.concatenate(elements.groups)[polygon]
    corners = corners[index.reshape(-1)]
    places = _joined(elements.places, 2)
    _clear_partial(corners, np.repeat(material, 3), len(elements.names), len(places))
    used = np.bincount(material, minlength=len(elements.names)) > 0
    looks = Looks(source.path, [name if used[i] else None for i, name in enumerate(elements.names)], libraries)
    part = _part_of_face(looks.look[material], group)
    order = np.argsort(part, kind="stable")
    bounds = np.flatnonzero(np.diff(part[order], prepend=-1, append=np.iinfo(np.int64).max))
    several = [np.repeat(part, 3)] if len(bounds) > 2 else []
    chosen, index = distinct_corners(*_columns(corners, np.repeat(material, 3)), *several)
    check_size(source.path, [(1, len(chosen), faces)])
    surface = _Surface(vertices, places, _vertex_colors(vertices, colors), corners[chosen], index.reshape(-1, 3), material)
    names = list(elements.group_names)
    parts = []
    for start, end in itertools.pairwise(bounds):
        rows = order[start:end] if several else slice(None)
        first = order[start]
        parts.append(surface.part(rows, int(looks.look[material[first]]), looks) | {"name": names[group[first]]})
    raw = join_parts([(part, np.eye(4)) for part in parts], with_faces=True)
    free_form = ("Free-form curves and surfaces were left out.",) if elements.surfaces else ()
    return dataclasses.replace(raw, notes=(*raw.notes, *free_form, *looks.notes))


def _part_of_face(look: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the part of each face: one for each look in each group, or, where those are too many, for each look, or one."""
    for keys in (group.astype(np.int64) * (int(look.max()) + 1) + look, look.astype(np.int64)):
        if len(np.unique(keys)) <= _MAX_PARTS:
            return keys
    return np.where(look < _MAX_PARTS, look, 0).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Surface:
    """The faces of a file, with one vertex for each distinct corner, sorted by part.

    Attributes:
        vertices: (N, 3) positions.
        places: (T, 2) texture coordinates.
        colors: (N, 3) colours of positions, or None.
        corners: (V, 3) position, texture coordinate and normal of each vertex, counted from 1; 0 for none.
        faces: (F, 3) vertices of each face.
        material: (F,) material of each face.
    """

    vertices: np.ndarray
    places: np.ndarray
    colors: np.ndarray | None
    corners: np.ndarray
    faces: np.ndarray
    material: np.ndarray

    def part(self, rows: np.ndarray | slice, look: int, looks: Looks) -> dict[str, Any]:
        """Return the part that consists of some faces, all of one look."""
        faces = self.faces[rows]
        first, last = int(faces.min()), int(faces.max()) + 1
        corners = self.corners[first:last]
        places = self.places[corners[:, 1] - 1] if looks.is_textured(look) and corners[:, 1].min() > 0 else None
        part: dict[str, Any] = {"vertices": self.vertices[corners[:, 0] - 1], "faces": faces - first}
        part |= looks.part(look, places)
        if "texture" in part:
            return part
        if self.colors is not None:
            return part | {"vertex_colors": self.colors[corners[:, 0] - 1], "color": part.get("color") and (1, 1, 1, part["color"][3])}
        colors = looks.colors[self.material[rows]]
        if look == 0 and np.isfinite(colors).any():
            part["face_colors"] = np.where(np.isfinite(colors), colors, UNCOLORED)
        return part


def _joined(blocks: list[np.ndarray], width: int) -> np.ndarray:
    joined = np.concatenate(blocks) if blocks else np.zeros((0, width))
    blocks.clear()
    return joined


def _vertex_colors(vertices: np.ndarray, colors: np.ndarray) -> np.ndarray | None:
    """Return the colours behind the positions; None if some have none, or all are white."""
    if len(colors) < len(vertices):
        return None
    found = part_colors({"vertices": vertices, "vertex_colors": colors}, linear=False)
    return None if found is None or (found == 1).all() else found


def _clear_partial(corners: np.ndarray, material: np.ndarray, materials: int, places: int) -> None:
    """Clear, in place, texture coordinates and normals of each material that lacks them at some corner."""
    for column, top in ((1, places), (2, np.iinfo(np.int32).max)):
        bad = (corners[:, column] < 1) | (corners[:, column] > top)
        if bad.any():
            without = np.bincount(material[bad], minlength=materials) > 0
            corners[without[material], column] = 0


def _columns(corners: np.ndarray, material: np.ndarray) -> list[np.ndarray]:
    """Return what makes corners different vertices: position, texture coordinate, normal and material, without what says nothing new."""
    others = [corners[:, i] for i in (1, 2) if corners[:, i].any() and not np.array_equal(corners[:, i], corners[:, 0])]
    return [corners[:, 0], *others, *([material] if material.any() else [])]
