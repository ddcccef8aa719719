"""Wavefront .obj with its materials."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from basrelief.errors import BasreliefError, GeometryError
from basrelief.io.checks import check_count
from basrelief.io.colors import part_colors
from basrelief.io.formats.mtl import Material, library_names, parse_materials
from basrelief.io.formats.obj_lines import Elements
from basrelief.io.lines import model_lines
from basrelief.io.mesh import check_size
from basrelief.io.polygons import Lists, fan_triangles
from basrelief.io.resolver import FolderResolver
from basrelief.io.source import RawShape, Source
from basrelief.io.surface import UNCOLORED
from basrelief.io.textures import Textures
from basrelief.limits import limits

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
        return RawShape(points=vertices, colors=_vertex_colors(vertices, colors))
    index, polygon = fan_triangles(Lists(np.arange(len(corners), dtype=np.int32), counts))
    material = np.repeat(np.concatenate(elements.materials)[polygon], 3)
    corners = corners[index.reshape(-1)]
    if corners[:, 0].min() < 1 or corners[:, 0].max() > len(vertices):
        raise GeometryError(
            f"Faces use vertices {corners[:, 0].min() - 1} to {corners[:, 0].max() - 1}, but there are only {len(vertices)}. "
            "The file is probably truncated."
        )
    places = _joined(elements.places, 2)
    _clear_partial(corners, material, len(elements.names), len(places))
    chosen, index = _distinct(corners, material)
    check_size(source.path, [(1, len(chosen), faces)])
    position, place, material = corners[chosen, 0] - 1, corners[chosen, 1] - 1, material[chosen]
    points, face = vertices[position], index.reshape(-1, 3)
    own = _vertex_colors(vertices, colors)
    if own is not None:
        return RawShape(points=points, faces=face, colors=own[position])
    colorizer = _MaterialColors(source, elements, libraries)
    return RawShape(points=points, faces=face, colors=colorizer.colors(points, places, place, material), notes=colorizer.notes)


def _joined(blocks: list[np.ndarray], width: int) -> np.ndarray:
    joined = np.concatenate(blocks) if blocks else np.zeros((0, width))
    blocks.clear()
    return joined


def _vertex_colors(vertices: np.ndarray, colors: np.ndarray) -> np.ndarray | None:
    return part_colors({"vertices": vertices, "vertex_colors": colors}, linear=False) if len(colors) == len(vertices) else None


def _clear_partial(corners: np.ndarray, material: np.ndarray, materials: int, places: int) -> None:
    """Clear, in place, texture coordinates and normals of each material that lacks them at some corner."""
    for column, top in ((1, places), (2, np.iinfo(np.int32).max)):
        bad = (corners[:, column] < 1) | (corners[:, column] > top)
        if bad.any():
            without = np.bincount(material[bad], minlength=materials) > 0
            corners[without[material], column] = 0


def _distinct(corners: np.ndarray, material: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first of each distinct corner, sorted by material, and for each corner the index of its match."""
    others = [corners[:, i] for i in (1, 2) if corners[:, i].any() and not np.array_equal(corners[:, i], corners[:, 0])]
    first, index = _unique(corners[:, 0])
    for column in (*others, *([material] if material.any() else [])):
        first, index = _unique(column.astype(np.int64) * len(first) + index)
    return first, index


def _unique(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first position of each distinct key, in key order, and for each key the index of its match."""
    order = np.argsort(keys, kind="stable").astype(np.int32)
    new = np.ones(len(keys), dtype=bool)
    sorted_keys = keys[order]
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=new[1:])
    del sorted_keys
    index = np.empty(len(keys), dtype=np.int32)
    index[order] = np.cumsum(new, dtype=np.int32) - 1
    return order[new], index


class _MaterialColors:
    """Computes vertex colours from materials."""

    def __init__(self, source: Source, elements: Elements, libraries: list[str]) -> None:
        self._names = list(elements.names)
        self._resolver, self._textures = FolderResolver(source.path.parent), Textures()
        self._materials: dict[str, Material] = {}
        for name in dict.fromkeys(libraries[: limits().side_files]):
            with suppress(BasreliefError, OSError), self._resolver.open(name) as file:
                self._materials |= parse_materials(file.read(limits().material_bytes))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was not read."""
        return (*self._resolver.notes, *self._textures.notes)

    def colors(self, points: np.ndarray, places: np.ndarray, place: np.ndarray, material: np.ndarray) -> np.ndarray | None:
        """Return colours of vertices that are sorted by material.

        Args:
            points: (N, 3) positions.
            places: Texture coordinates.
            place: (N,) index of each vertex into `places`, -1 for none.
            material: (N,) index of each vertex's material.

        Returns:
            (N, 3) colours, or None if no material has any.
        """
        materials = [self._materials.get(name, Material()) for name in self._names]
        base = np.array([material.color or (np.nan,) * 3 for material in materials])
        colors = np.round(base.clip(0, 1) * 255).astype(np.float32)[material] / 255
        starts = np.searchsorted(material, np.arange(len(materials) + 1))
        for i, found in enumerate(materials):
            rows = slice(starts[i], starts[i + 1])
            if found.texture and rows.start < rows.stop and place[rows].min() >= 0:
                seen = self._textures.from_file(self._resolver, found.texture).colors_at(places[place[rows]])
                colors[rows] = colors[rows] if seen is None else seen.astype(np.float32) / 255
        plain = np.isnan(colors[:, 0])
        colors[plain] = UNCOLORED
        return None if plain.all() else colors
