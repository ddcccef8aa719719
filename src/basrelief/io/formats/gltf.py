"""glTF 2.0, binary (.glb) and text (.gltf)."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.draco import FACES
from basrelief.io.formats.gltf_data import GltfData, Item
from basrelief.io.formats.gltf_header import Header, json_span, parse_header
from basrelief.io.formats.gltf_materials import Materials
from basrelief.io.formats.gltf_nodes import Skeletons, copies, count_copies, is_hidden, morphed, placed, weights_of
from basrelief.io.graph import count_uses
from basrelief.io.mesh import NamedInstance, check_size, join_parts
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

_DRACO = "KHR_draco_mesh_compression"
_TRIANGLES, _STRIP, _FAN = 4, 5, 6  # modes of primitives
_SURFACES, _CLOUDS = (_TRIANGLES, _STRIP, _FAN), (0, 1)  # points and single lines

_MAX_LIGHT = 16  # vertex colours up to it are light above white
_NAME, _NAMES = 60, 4  # characters of the name of a node, and nodes above each other, that are kept


class Use(NamedTuple):
    """A mesh as a node shows it.

    Attributes:
        mesh: Index of the mesh.
        skin: Index of the skin that moves it, or None.
        node: Index of the node where that has weights of morph targets, else None.
    """

    mesh: int
    skin: int | None = None
    node: int | None = None


Primitive = tuple[Use, int]  # a mesh, and which of its primitives


def read_gltf(source: Source) -> RawShape:
    """Read .glb or .gltf: all triangle primitives with node transforms applied, or points if there is no triangle.

    Shapes are read at rest, as a viewer shows them before any animation runs: skins in the pose of their joints, morph targets by their
    default weights. Sparse accessors, quantised attributes, instances, strips, fans, Draco and meshopt compression are supported.

    Args:
        source: The file; buffers and textures are read from its folder only.

    Returns:
        Vertices and faces, +Y up as the specification says.

    Raises:
        FileFormatError: If it declares more than it holds or than the limits allow, nodes form a cycle, or a feature is not supported.
        MissingExtraError: If the mesh is compressed with Draco and its decoder is not installed.
    """
    header, end = _read_header(source)
    _check_extensions(source, header)
    with closing(GltfData(source, header, end)) as data:
        scene = _Scene(data)
        raw = join_parts(scene.instances(), with_faces=scene.triangles, linear=True)
        notes = (*raw.notes, *data.resolver.notes, *scene.materials.textures.notes)
    return dataclasses.replace(raw, up="y", up_reason="glTF is +Y up by its specification", notes=notes)


def _read_header(source: Source) -> tuple[Header, int]:
    """Return the header and its end."""
    if source.format == "gltf":
        return parse_header(source.path, source.read(limits().text_bytes)), source.size
    start, end = json_span(source.path, source.head())
    if end > source.size:
        raise FileFormatError(f"{source.path.name} is truncated. Download it again.")
    with source.path.open("rb") as file:
        file.seek(start)
        return parse_header(source.path, file.read(min(end - start, limits().text_bytes + 1))), end


def _check_extensions(source: Source, header: Header) -> None:
    used = {*header.get("extensionsUsed", []), *header.get("extensionsRequired", [])}
    if _DRACO in used and importlib.util.find_spec("DracoPy") is None:
        raise MissingExtraError(f"{source.path.name} is compressed with Draco, which needs DracoPy. Run `pip install 'basrelief[draco]'`.")


class _Scene:
    """The default scene: its primitives and their transforms.

    Attributes:
        triangles: Whether it has triangles; if so, points and lines are ignored.
        materials: Its materials.
    """

    def __init__(self, data: GltfData) -> None:
        self.data, self.materials, self.skeletons = data, Materials(data), Skeletons(data)
        self.nodes: Sequence[Item] = data.header.get("nodes", [])
        self.meshes: Sequence[Item] = data.header.get("meshes", [])
        self.roots = self._roots()
        shown = self._shown()
        self.shows_all = not shown  # the scene shows no mesh: each is read once, untransformed
        if self.shows_all:
            shown = {Use(mesh): 1 for mesh in range(len(self.meshes))}
        uses = {(use, i): n for use, n in shown.items() for i in range(len(self.meshes[use.mesh]["primitives"]))}
        uses = {key: n for key, n in uses.items() if "POSITION" in self._item(key).get("attributes", {})}
        self.triangles = any(self._mode(key) in _SURFACES for key in uses)
        self.chosen = {key: n for key, n in uses.items() if self._mode(key) in (_SURFACES if self.triangles else _CLOUDS)}
        check_size(data.source.path, [(n, *self._size(self._item(key))) for key, n in self.chosen.items()])

    def instances(self) -> list[NamedInstance]:
        """Read the primitives, and list each with the matrix of each of its instances."""
        parts: dict[Primitive, tuple[dict[str, Any], bool]] = {key: self._part(key) for key in self.chosen}
        if self.shows_all:
            return [NamedInstance(part, np.eye(4), str(self.meshes[key[0].mesh].get("name", ""))) for key, (part, _) in parts.items()]
        by_use: dict[Use, list[tuple[dict[str, Any], bool]]] = {}
        for key, found in parts.items():
            by_use.setdefault(key[0], []).append(found)
        return [
            NamedInstance(part, np.eye(4) if posed else matrix, name, hidden)
            for use, matrix, name, hidden in self._walk()
            for part, posed in by_use.get(use, ())
        ]

    def _roots(self) -> Sequence[int]:
        """Return the nodes of the default scene, else of the first; without scenes, all that are not below another."""
        scenes, number = self.data.header.get("scenes", []), self.data.header.get("scene", 0)
        if scenes:
            roots: Sequence[int] = scenes[number if isinstance(number, int) and 0 <= number < len(scenes) else 0].get("nodes", [])
            return roots
        below = {child for node in self.nodes for child in node.get("children", [])}
        return [i for i in range(len(self.nodes)) if i not in below]

    def _shown(self) -> dict[Use, int]:
        """Count the instances of each mesh in the scene."""
        children = {str(i): [str(child) for child in node.get("children", [])] for i, node in enumerate(self.nodes)}
        below = {child for of in children.values() for child in of}
        if not children.keys() >= below:
            raise FileFormatError(f"The scene of {self.data.source.path.name} refers to nodes that do not exist. Export it again.")
        shown: dict[Use, int] = {}
        for name, n in count_uses(self.data.source.path, children, [str(root) for root in self.roots]).items():
            if n and "mesh" in self.nodes[int(name)]:
                use = self._use(int(name))
                shown[use] = shown.get(use, 0) + n * count_copies(self.data, self.nodes[int(name)])
        return shown

    def _use(self, index: int) -> Use:
        node = self.nodes[index]
        return Use(node["mesh"], node.get("skin"), index if "weights" in node else None)

    def _walk(self) -> Iterator[tuple[Use, np.ndarray, str, bool]]:
        """Walk the nodes from the roots; yield each mesh with its matrix, the names above it, and whether it is hidden."""
        waiting: list[tuple[int, np.ndarray, tuple[str, ...], bool]] = [(root, np.eye(4), (), False) for root in reversed(self.roots)]
        while waiting:
            index, matrix, names, hidden = waiting.pop()
            node = self.nodes[index]
            matrix = placed(matrix, node)
            names = (*names, str(node.get("name", ""))[:_NAME].replace("/", "_"))[-_NAMES:]
            hidden = hidden or is_hidden(node)
            if "mesh" in node:
                own = names if names[-1] else (*names[:-1], str(self.meshes[node["mesh"]].get("name", ""))[:_NAME])
                name, use = "/".join(own), self._use(index)
                yield from ((use, copy, name, hidden) for copy in copies(self.data, node, matrix))
            waiting.extend((child, matrix, names, hidden) for child in reversed(node.get("children", [])))

    def _item(self, key: Primitive) -> Item:
        item: Item = self.meshes[key[0].mesh]["primitives"][key[1]]
        return item

    def _mode(self, key: Primitive) -> int:
        return int(self._item(key).get("mode", _TRIANGLES))

    def _size(self, item: Item) -> tuple[int, int]:
        """Return the numbers of vertices and faces that a primitive declares."""
        vertices = self.data.count(item["attributes"]["POSITION"])
        corners = self.data.count(item["indices"], limit=3 * limits().faces) if "indices" in item else vertices
        mode = item.get("mode", _TRIANGLES)
        return vertices, corners // 3 if mode == _TRIANGLES else max(corners - 2, 0) if mode in _SURFACES else 0

    def _part(self, key: Primitive) -> tuple[dict[str, Any], bool]:
        """Read a primitive; also return whether it is posed by joints, so that its node does not move it."""
        item, (mesh, skin, node) = self._item(key), key[0]
        names: Item = item["attributes"]
        material = self.materials.of(item)
        wanted = ["POSITION", "COLOR_0", material.coordinates]
        if skin is not None:
            wanted += [name for name in names if name.startswith(("JOINTS_", "WEIGHTS_"))]
        compressed = item.get("extensions", {}).get(_DRACO)
        stored = "bufferView" in self.data.header["accessors"][names["POSITION"]]
        arrays, faces = self._compressed(item, compressed) if compressed and not stored else self._plain(item, wanted)
        vertices, uv = arrays["POSITION"], arrays.get(material.coordinates)
        if vertices.shape[1] != 3:
            raise FileFormatError(f"Vertices in {self.data.source.path.name} are not x, y, z. Export it again.")
        if item.get("targets"):
            weights = weights_of(self.meshes[mesh], None if node is None else self.nodes[node])
            vertices = morphed(self.data, vertices, item["targets"], weights)
        posed = None if skin is None else self.skeletons.posed(vertices, skin, arrays)
        part: dict[str, Any] = {"vertices": vertices if posed is None else posed, "vertex_colors": _unit(arrays.get("COLOR_0"))}
        part |= material.part
        if uv is not None and uv.shape[1] == 2:
            part["uv"] = material.place(uv)
        if self.triangles:
            part["faces"] = faces
        return part, posed is not None

    def _plain(self, item: Item, wanted: Sequence[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        names = item["attributes"]
        count = self.data.count(names["POSITION"])
        arrays = {name: self.data.array(names[name]) for name in wanted if name in names and self.data.count(names[name]) == count}
        corners = self.data.array(item["indices"])[:, 0] if "indices" in item else np.arange(count)
        return arrays, _triangles(corners, item.get("mode", _TRIANGLES)) if self.triangles else corners

    def _compressed(self, item: Item, extension: Item) -> tuple[dict[str, np.ndarray], np.ndarray]:
        vertices, faces = self._size(item)
        found = self.data.draco(extension, vertices=vertices, faces=faces)
        return {name: found[number] for name, number in extension["attributes"].items() if number in found}, found[FACES]


def _unit(colors: np.ndarray | None) -> np.ndarray | None:
    """Clip floating point colours a little above 1, which would otherwise be taken for a range of 255."""
    if colors is None or colors.dtype.kind != "f" or not len(colors):
        return colors
    return colors.clip(0, 1) if np.nanmax(colors) <= _MAX_LIGHT else colors


def _triangles(corners: np.ndarray, mode: int) -> np.ndarray:
    if mode == _TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if mode == _FAN:
        return np.stack([np.broadcast_to(corners[:1], len(corners) - 2), corners[1:-1], corners[2:]], axis=1)
    strip = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    strip[1::2] = strip[1::2, [1, 0, 2]]
    return strip
