"""COLLADA (.dae), 1.3 to 1.5."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.formats.dae_document import Array, Document, Geometry, Node, Primitive, read_document
from basrelief.io.graph import count_uses
from basrelief.io.mesh import Instance, check_size, join_parts
from basrelief.io.polygons import Lists, fan_triangles, list_positions
from basrelief.io.resolver import FolderResolver
from basrelief.io.source import RawShape, Source
from basrelief.io.textures import Textures
from basrelief.limits import limits

_UP_AXIS = {"X_UP": "x", "Y_UP": "y", "Z_UP": "z"}
_BLACK, _WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # for an effect without diffuse colour, and one whose texture is missing


def read_dae(source: Source) -> RawShape:
    """Read COLLADA: the triangles and polygons of its scene with transforms applied, three vertices per triangle.

    Skinned geometry is read in its bind shape, without joints. If the scene shows nothing, each geometry is read once, untransformed.

    Args:
        source: The file; textures are read from its folder only.

    Returns:
        Vertices and faces; the up axis is that of `<up_axis>`, +Y when absent, as the specification says.

    Raises:
        FileFormatError: If the XML or the expanded scene exceeds the limits, or there are only lines.
        GeometryError: If a face refers to a vertex that does not exist.
    """
    scene = _Scene(source.path, read_document(source.path, source.read(limits().xml_bytes)))
    raw = join_parts(scene.instances(), with_faces=True)
    stated = scene.document.up_axis
    reason = f"<up_axis> of the file is {stated}" if stated in _UP_AXIS else "COLLADA is +Y up when it has no <up_axis>"
    return dataclasses.replace(raw, up=_UP_AXIS.get(stated, "y"), up_reason=reason, notes=scene.notes)


class _Scene:
    """The geometry that the scene shows, counted before it is built."""

    def __init__(self, path: Path, document: Document) -> None:
        self.path, self.document = path, document
        self._resolver, self._textures = FolderResolver(path.parent), Textures()
        primitives = [primitive for geometry in document.geometries.values() for primitive in geometry.primitives]
        self._faces = {id(primitive): _faces(primitive) for primitive in primitives}
        children = {name: node.children for name, node in document.nodes.items()}
        self._roots = document.scenes[-1:]
        ways = count_uses(path, children, self._roots)
        uses = [(n, use) for name, n in ways.items() if n for use in document.nodes.get(name, Node()).uses]
        sizes = [(n, self._faces[id(primitive)]) for n, use in uses for primitive in self._geometry(use.target)[0].primitives]
        self._alone = not any(faces for _, faces in sizes)
        if self._alone:
            sizes = [(1, faces) for faces in self._faces.values()]
        sizes = [(n, faces) for n, faces in sizes if faces]
        if not sizes and document.lines:
            raise FileFormatError(f"{path.name} contains only lines. Export it with faces.")
        check_size(path, [(n, 3 * faces, faces) for n, faces in sizes])

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was not read."""
        return (*self._resolver.notes, *self._textures.notes)

    def instances(self) -> list[Instance]:
        """Build each part once, and list it with the matrix of each of its instances."""
        parts: dict[tuple[int, str], dict[str, Any]] = {}
        instances: list[Instance] = []
        for geometry, matrix, materials in self._shown():
            for primitive in geometry.primitives:
                key = (id(primitive), materials.get(primitive.material, ""))
                if not self._faces[id(primitive)]:
                    continue
                if key not in parts:
                    parts[key] = self._part(geometry, primitive, key[1])
                instances.append((parts[key], matrix))
        return instances

    def _shown(self) -> Iterator[tuple[Geometry, np.ndarray, Mapping[str, str]]]:
        """Walk the scene; yield each geometry with its matrix and its binding of material symbols."""
        if self._alone:
            yield from (
                (geometry, np.eye(4), {name: name for name in self.document.materials}) for geometry in self.document.geometries.values()
            )
            return
        waiting = [(name, np.eye(4)) for name in self._roots]
        while waiting:
            name, above = waiting.pop()
            node = self.document.nodes.get(name, Node())
            matrix = above @ node.matrix
            for use in node.uses:
                geometry, bound = self._geometry(use.target)
                yield geometry, matrix @ bound, use.materials
            waiting.extend((child, matrix) for child in reversed(node.children))

    def _geometry(self, target: str) -> tuple[Geometry, np.ndarray]:
        """Return a geometry, or the one that a controller deforms, and its bind shape matrix."""
        bound = np.eye(4)
        for _ in range(len(self.document.skins)):
            if target not in self.document.skins:
                break
            target, matrix = self.document.skins[target]
            bound = matrix @ bound
        return self.document.geometries.get(target, Geometry()), bound

    def _part(self, geometry: Geometry, primitive: Primitive, material: str) -> dict[str, Any]:
        """Expand a primitive to three vertices per triangle."""
        inputs = list(_inputs(geometry, primitive))
        corners = _corners(primitive)
        part: dict[str, Any] = {"faces": np.arange(len(corners)).reshape(-1, 3)}
        for semantic, array, offset in inputs:
            if semantic == "POSITION" and "vertices" not in part:
                part["vertices"] = _gather(array.rows(3), corners[:, offset])
            elif semantic == "COLOR" and "vertex_colors" not in part:
                part["vertex_colors"] = _gather(array.rows(3), corners[:, offset])
            elif semantic == "TEXCOORD" and "uv" not in part:
                part["uv"] = _gather(array.rows(2), corners[:, offset])
        if "vertices" not in part:
            raise FileFormatError(f"The geometry in {self.path.name} has no vertex positions. Export it again.")
        return part | self._material(material)

    def _material(self, name: str) -> dict[str, Any]:
        effect = self.document.effects.get(self.document.materials.get(name, ""))
        if effect is None:
            return {}
        if not effect.texture:
            return {"color": effect.color or _BLACK}
        image = effect.texture
        for _ in range(2):  # from a sampler to its surface to the image
            image = effect.names.get(image, image)
        name = self.document.images.get(image, "")
        return {"color": _WHITE, "texture": self._textures.from_file(self._resolver, name) if name else None}


def _inputs(geometry: Geometry, primitive: Primitive) -> Iterator[tuple[str, Array, int]]:
    """Yield semantic, source and offset of each input, with those of `<vertices>` expanded."""
    for given in primitive.inputs:
        if given.semantic == "VERTEX":
            yield from ((inner.semantic, geometry.sources[inner.source], given.offset) for inner in geometry.vertices[given.source])
        elif given.source in geometry.sources:
            yield given.semantic, geometry.sources[given.source], given.offset


def _width(primitive: Primitive) -> int:
    return 1 + max((given.offset for given in primitive.inputs), default=0)


def _faces(primitive: Primitive) -> int:
    """Count the triangles of a primitive from its index lists alone."""
    counts = _counts(primitive)
    return int(counts.sum()) // 3 if primitive.kind == "triangles" else int(np.maximum(counts - 2, 0).sum())


def _counts(primitive: Primitive) -> np.ndarray:
    """Return the number of corners of each polygon, strip or fan; of all triangles together."""
    if primitive.kind == "polylist":
        return primitive.counts
    return np.array([len(numbers) // _width(primitive) for numbers in primitive.lists], dtype=np.int64)


def _corners(primitive: Primitive) -> np.ndarray:
    """Triangulate a primitive: return the indices (3 F, inputs) of the corners."""
    width, counts = _width(primitive), _counts(primitive)
    numbers = [list_[: len(list_) // width * width] for list_ in primitive.lists]
    corners = np.concatenate(numbers).reshape(-1, width)
    if primitive.kind == "triangles":
        return corners[: len(corners) // 3 * 3]
    if len(counts) and (counts.min() < 0 or counts.sum() > len(corners)):
        raise GeometryError(f"The counts in <vcount> add up to {counts.sum()} corners, but there are {len(corners)}. Export it again.")
    index, _ = fan_triangles(Lists(np.arange(counts.sum()), counts.astype(np.int64)))
    if primitive.kind == "tristrips":
        place = list_positions(np.zeros(len(counts), dtype=np.int64), np.maximum(counts - 2, 0))
        first = index[:, 1] - 1
        odd = place % 2
        index = np.stack([first + odd, first + 1 - odd, first + 2], axis=1)
    unfolded: np.ndarray = corners[index.reshape(-1)]
    return unfolded


def _gather(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    if len(index) and (index.min() < 0 or index.max() >= len(rows)):
        raise GeometryError(
            f"Faces use vertices {index.min()} to {index.max()}, but there are only {len(rows)}. The file is probably truncated."
        )
    picked: np.ndarray = rows[index]
    return picked
