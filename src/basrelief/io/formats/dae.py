"""COLLADA (.dae), 1.3 to 1.5."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.formats.dae_document import Array, Document, Geometry, Input, Node, Primitive, Use, read_document
from basrelief.io.formats.dae_effects import Effect, Reference
from basrelief.io.graph import count_uses
from basrelief.io.mesh import NamedInstance, check_size, join_parts
from basrelief.io.polygons import Lists, fan_triangles, list_positions
from basrelief.io.side_textures import SideTextures
from basrelief.io.source import RawShape, Source
from basrelief.io.split import check_corners
from basrelief.io.triangulate import triangulate
from basrelief.limits import limits

_UP_AXIS = {"X_UP": "x", "Y_UP": "y", "Z_UP": "z"}
_WHITE = (1.0, 1.0, 1.0)  # for an effect whose texture is missing
_POLYGONS = ("polylist", "polygons")
_EXACT = 1e-6  # of a unit of one metre
_NAMES = 4  # nodes above each other whose names are kept


def read_dae(source: Source) -> RawShape:
    """Read COLLADA: the triangles and polygons of its scene with transforms applied, three vertices per triangle.

    Skinned geometry is read in its bind shape, without joints. If the scene shows nothing, each geometry is read once, untransformed.

    Args:
        source: The file; textures are read from its folder only.

    Returns:
        Vertices and faces; the up axis is that of `<up_axis>`, open when absent.

    Raises:
        FileFormatError: If the XML or the expanded scene exceeds the limits, or there are only lines.
        GeometryError: If a face refers to a vertex that does not exist.
    """
    scene = _Scene(source.path, read_document(source.path, source.read(limits().xml_bytes)))
    raw = join_parts(scene.instances(), with_faces=True)
    stated = scene.document.up_axis
    reason = f"<up_axis> of the file is {stated}" if stated in _UP_AXIS else ""
    return dataclasses.replace(raw, up=_UP_AXIS.get(stated), up_reason=reason, notes=(*raw.notes, *scene.notes))


class _Scene:
    """The geometry that the scene shows, counted before it is built."""

    def __init__(self, path: Path, document: Document) -> None:
        self.path, self.document = path, document
        self._textures = SideTextures(path.parent)
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
        meter = self.document.meter
        unit = (f"The file says that its unit is {meter:g} m; the numbers were kept.",) if meter > 0 and abs(meter - 1) > _EXACT else ()
        return (*unit, *self._textures.notes)

    def instances(self) -> list[NamedInstance]:
        """Build each part once, and list it with the matrix and the name of each of its instances."""
        parts: dict[tuple[int, str, str], dict[str, Any]] = {}
        instances: list[NamedInstance] = []
        for geometry, matrix, use, name, hidden in self._shown():
            for primitive in geometry.primitives:
                material = use.materials.get(primitive.material, primitive.material)
                effect = self.document.effects.get(self.document.materials.get(material, ""))
                channel = "" if effect is None or effect.texture is None else effect.texture.channel
                uv_set = use.channels.get(primitive.material, {}).get(channel, "")
                key = id(primitive), material, uv_set
                if not self._faces[id(primitive)]:
                    continue
                if key not in parts:
                    parts[key] = self._part(geometry, primitive, effect, uv_set)
                instances.append(NamedInstance(parts[key], matrix, name, hidden))
        return instances

    def _shown(self) -> Iterator[tuple[Geometry, np.ndarray, Use, str, bool]]:
        """Walk the scene; yield each geometry with its matrix, its instance, the names above it, and whether it is hidden."""
        if self._alone:
            yield from ((geometry, np.eye(4), Use(""), geometry.name, False) for geometry in self.document.geometries.values())
            return
        waiting: list[tuple[str, np.ndarray, tuple[str, ...], bool]] = [(name, np.eye(4), (), False) for name in self._roots]
        while waiting:
            name, matrix, names, hidden = waiting.pop()
            node = self.document.nodes.get(name, Node())
            matrix = matrix @ node.matrix
            names = (*names, node.name.replace("/", "_"))[-_NAMES:] if node.name else names
            hidden = hidden or node.hidden
            for use in node.uses:
                geometry, bound = self._geometry(use.target)
                own = (*names, geometry.name.replace("/", "_")) if geometry.name and not names else names
                yield geometry, matrix @ bound, use, "/".join(own), hidden
            waiting.extend((child, matrix, names, hidden) for child in reversed(node.children))

    def _geometry(self, target: str) -> tuple[Geometry, np.ndarray]:
        """Return a geometry, or the one that a controller deforms, and its bind shape matrix."""
        bound = np.eye(4)
        for _ in range(len(self.document.skins)):
            if target not in self.document.skins:
                break
            target, matrix = self.document.skins[target]
            bound = matrix @ bound
        return self.document.geometries.get(target, Geometry()), bound

    def _part(self, geometry: Geometry, primitive: Primitive, effect: Effect | None, uv_set: str) -> dict[str, Any]:
        """Expand a primitive to three vertices per triangle."""
        corners = _corners(geometry, primitive)
        part: dict[str, Any] = {"faces": np.arange(len(corners)).reshape(-1, 3)}
        colors, places = None, None
        for given, array in _inputs(geometry, primitive):
            if given.semantic == "POSITION" and "vertices" not in part:
                part["vertices"] = _gather(array.rows(3), corners[:, given.offset])
            elif given.semantic == "COLOR" and colors is None:
                colors = _gather(array.rows(4), corners[:, given.offset])
            elif given.semantic == "TEXCOORD" and (places is None or given.set == uv_set):
                places = _gather(array.rows(2), corners[:, given.offset])
        if "vertices" not in part:
            raise FileFormatError(f"The geometry in {self.path.name} has no vertex positions. Export it again.")
        if colors is not None and colors.shape[1] >= 3 and not _says_nothing(colors[:, :3]):
            part["vertex_colors"] = colors
        look = {} if effect is None else self._material(effect)
        if places is not None and places.shape[1] == 2:
            part["uv"] = places
        if "vertex_colors" in part and look.get("texture") is None and "color" in look:
            look["color"] = (*_WHITE, look["color"][3])  # colours of vertices win over that of the material
        return part | look

    def _material(self, effect: Effect) -> dict[str, Any]:
        image, mask = effect.texture, effect.images.get("transparent")
        alpha = effect.alpha if mask is None else 1.0
        if image is None and mask is None:
            return {} if effect.color is None else {"color": (*effect.color, alpha), "blend": alpha < 1}
        name, opacity = (self._file(effect, reference) for reference in (image, mask))
        texture = self._textures.get(name, opacity)
        wrap = effect.wrap((image or mask or Reference("", "")).name)
        color = _WHITE if image is not None else effect.color or _WHITE
        blend = alpha < 1 or (texture is not None and texture.alpha_range[0] < 1)
        return {"color": (*color, alpha), "texture": texture, "wrap": wrap, "blend": blend}

    def _file(self, effect: Effect, reference: Reference | None) -> str:
        return "" if reference is None else self.document.images.get(effect.image(reference.name), "")


def _says_nothing(colors: np.ndarray) -> bool:
    """Return whether all colours are white, or all are black, as programs write that have none."""
    return bool((colors == 0).all() or (colors == (255 if colors.max(initial=0) > 1 else 1)).all())


def _inputs(geometry: Geometry, primitive: Primitive) -> Iterator[tuple[Input, Array]]:
    """Yield each input with its source, those of `<vertices>` in place of it."""
    for given in primitive.inputs:
        if given.semantic == "VERTEX":
            for inner in geometry.vertices[given.source]:
                yield dataclasses.replace(inner, offset=given.offset), geometry.sources[inner.source]
        elif given.source in geometry.sources:
            yield given, geometry.sources[given.source]


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


def _corners(geometry: Geometry, primitive: Primitive) -> np.ndarray:
    """Triangulate a primitive: return the indices (3 F, inputs) of the corners."""
    width, counts = _width(primitive), _counts(primitive)
    numbers = [list_[: len(list_) // width * width] for list_ in primitive.lists]
    corners = np.concatenate(numbers).reshape(-1, width)
    if primitive.kind == "triangles":
        return corners[: len(corners) // 3 * 3]
    if len(counts) and (counts.min() < 0 or counts.sum() > len(corners)):
        raise GeometryError(f"The counts in <vcount> add up to {counts.sum()} corners, but there are {len(corners)}. Export it again.")
    corners = corners[: counts.sum()]
    positions = next(((given.offset, array) for given, array in _inputs(geometry, primitive) if given.semantic == "POSITION"), None)
    if primitive.kind in _POLYGONS and positions is not None:
        offset, rows = positions[0], positions[1].rows(3)
        check_corners(corners[:, offset], len(rows))
        index, _ = triangulate(counts, corners[:, offset], rows)
    else:
        index, _ = fan_triangles(Lists(np.arange(len(corners)), counts.astype(np.int64)))
    if primitive.kind == "tristrips":
        place = list_positions(np.zeros(len(counts), dtype=np.int64), np.maximum(counts - 2, 0))
        first = index[:, 1] - 1
        odd = place % 2
        index = np.stack([first + odd, first + 1 - odd, first + 2], axis=1)
    unfolded: np.ndarray = corners[index.reshape(-1)]
    return unfolded


def _gather(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    check_corners(index, len(rows))
    picked: np.ndarray = rows[index]
    return picked
