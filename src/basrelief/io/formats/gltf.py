"""glTF 2.0, binary (.glb) and text (.gltf)."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.draco import FACES
from basrelief.io.formats.gltf_data import GltfData, Item
from basrelief.io.formats.gltf_header import Header, json_span, parse_header
from basrelief.io.graph import count_uses
from basrelief.io.mesh import Instance, check_size, join_parts
from basrelief.io.source import RawShape, Source
from basrelief.io.textures import Texture, Textures
from basrelief.limits import limits

_DRACO = "KHR_draco_mesh_compression"
_UNREADABLE = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_GLOSS = "KHR_materials_pbrSpecularGlossiness"
_WEBP = "EXT_texture_webp"
_TRIANGLES, _STRIP, _FAN = 4, 5, 6  # modes of primitives
_SURFACES, _CLOUDS = (_TRIANGLES, _STRIP, _FAN), (0, 1)  # points and single lines

Primitive = tuple[int, int]  # a mesh, and which of its primitives
_ROOT = "scene"


def read_gltf(source: Source) -> RawShape:
    """Read .glb or .gltf: all triangle primitives with node transforms applied, or points if there is no triangle.

    Sparse accessors, quantised attributes, strips, fans and Draco are supported; skins, morph targets and animations are not applied.

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
        notes = (*data.resolver.notes, *scene.textures.notes)
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
    unreadable = [name for name in _UNREADABLE if name in header.get("extensionsRequired", [])]
    if unreadable:
        raise FileFormatError(f"{source.path.name} uses {unreadable[0]}, which is not supported. Export it without that extension.")


class _Scene:
    """The default scene: its primitives and their transforms.

    Attributes:
        triangles: Whether it has triangles; if so, points and lines are ignored.
        textures: Its textures.
    """

    def __init__(self, data: GltfData) -> None:
        self.data, self.textures = data, Textures()
        self.nodes: Sequence[Item] = data.header.get("nodes", [])
        self.meshes: Sequence[Item] = data.header.get("meshes", [])
        scenes = data.header.get("scenes", [])
        self.roots: Sequence[int] = scenes[data.header.get("scene", 0)].get("nodes", []) if scenes else []
        shown = self._shown()
        self.shows_all = not any(shown.values())  # the scene shows no mesh: each is read once, untransformed
        uses = {(mesh, i): n or 1 for mesh, n in shown.items() if n or self.shows_all for i in range(len(self.meshes[mesh]["primitives"]))}
        self.triangles = any(self._mode(key) in _SURFACES for key in uses)
        self.chosen = {key: n for key, n in uses.items() if self._mode(key) in (_SURFACES if self.triangles else _CLOUDS)}
        check_size(data.source.path, [(n, *self._size(self._item(key))) for key, n in self.chosen.items()])

    def instances(self) -> list[Instance]:
        """Read the primitives, and list each with the matrix of each of its instances."""
        parts = {key: self._part(self._item(key)) for key in self.chosen}
        if self.shows_all:
            return [(part, np.eye(4)) for part in parts.values()]
        return [
            (parts[key], matrix)
            for mesh, matrix in self._walk()
            for key in ((mesh, i) for i in range(len(self.meshes[mesh]["primitives"])))
            if key in parts
        ]

    def _shown(self) -> dict[int, int]:
        """Count the instances of each mesh in the scene."""
        children = {str(i): [str(child) for child in node.get("children", [])] for i, node in enumerate(self.nodes)}
        below = {child for of in children.values() for child in of}
        if not children.keys() >= below:
            raise FileFormatError(f"The scene of {self.data.source.path.name} refers to nodes that do not exist. Export it again.")
        shown = dict.fromkeys(range(len(self.meshes)), 0)
        for name, n in count_uses(self.data.source.path, children, [str(root) for root in self.roots]).items():
            if n and "mesh" in self.nodes[int(name)]:
                shown[self.nodes[int(name)]["mesh"]] += n
        return shown

    def _walk(self) -> Iterator[tuple[int, np.ndarray]]:
        """Walk the nodes from the roots; yield each mesh with its matrix."""
        waiting = [(root, np.eye(4)) for root in reversed(self.roots)]
        while waiting:
            index, above = waiting.pop()
            matrix = above @ node_matrix(self.nodes[index])
            if "mesh" in self.nodes[index]:
                yield self.nodes[index]["mesh"], matrix
            waiting.extend((child, matrix) for child in reversed(self.nodes[index].get("children", [])))

    def _item(self, key: Primitive) -> Item:
        item: Item = self.meshes[key[0]]["primitives"][key[1]]
        return item

    def _mode(self, key: Primitive) -> int:
        return int(self._item(key).get("mode", _TRIANGLES))

    def _size(self, item: Item) -> tuple[int, int]:
        """Return the numbers of vertices and faces that a primitive declares."""
        vertices = self.data.count(item["attributes"]["POSITION"])
        corners = self.data.count(item["indices"], limit=3 * limits().faces) if "indices" in item else vertices
        mode = item.get("mode", _TRIANGLES)
        return vertices, corners // 3 if mode == _TRIANGLES else max(corners - 2, 0) if mode in _SURFACES else 0

    def _part(self, item: Item) -> dict[str, Any]:
        names: Item = item["attributes"]
        compressed = item.get("extensions", {}).get(_DRACO)
        stored = "bufferView" in self.data.header["accessors"][names["POSITION"]]
        arrays, faces = self._compressed(item, compressed) if compressed and not stored else self._plain(item)
        vertices, uv = arrays["POSITION"], arrays.get("TEXCOORD_0")
        if vertices.shape[1] != 3:
            raise FileFormatError(f"Vertices in {self.data.source.path.name} are not x, y, z. Export it again.")
        part: dict[str, Any] = {"vertices": vertices, "vertex_colors": arrays.get("COLOR_0")}
        with suppress(LookupError, TypeError, AttributeError):  # ignore a broken material
            part |= self._material(self.data.header["materials"][item["material"]])
        if uv is not None:
            part["uv"] = np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1)
        if self.triangles:
            part["faces"] = faces
        return part

    def _plain(self, item: Item) -> tuple[dict[str, np.ndarray], np.ndarray]:
        names = item["attributes"]
        count = self.data.count(names["POSITION"])
        wanted = [name for name in ("POSITION", "TEXCOORD_0", "COLOR_0") if name in names and self.data.count(names[name]) == count]
        arrays = {name: self.data.array(names[name]) for name in wanted}
        corners = self.data.array(item["indices"])[:, 0] if "indices" in item else np.arange(count)
        return arrays, _triangles(corners, item.get("mode", _TRIANGLES)) if self.triangles else corners

    def _compressed(self, item: Item, extension: Item) -> tuple[dict[str, np.ndarray], np.ndarray]:
        vertices, faces = self._size(item)
        found = self.data.draco(extension, vertices=vertices, faces=faces)
        return {name: found[number] for name, number in extension["attributes"].items() if number in found}, found[FACES]

    def _material(self, item: Item) -> dict[str, Any]:
        gloss = item.get("extensions", {}).get(_GLOSS)
        base = item.get("pbrMetallicRoughness", {})
        if gloss is not None:
            base = {"baseColorTexture": gloss.get("diffuseTexture"), "baseColorFactor": gloss.get("diffuseFactor")}
        texture = base.get("baseColorTexture")
        return {"color": base.get("baseColorFactor"), "texture": None if texture is None else self._texture(texture["index"])}

    def _texture(self, texture: int) -> Texture | None:
        item = self.data.header["textures"][texture]
        image = item.get("extensions", {}).get(_WEBP, item).get("source")
        return None if image is None else self.textures.get(image, lambda: self.data.image_bytes(self.data.header["images"][image]))


def node_matrix(node: Item) -> np.ndarray:
    """Return the 4 x 4 matrix from a node to its parent: its own, or translation, rotation and scale."""
    matrix = np.reshape(np.asarray(node.get("matrix", np.eye(4)), dtype=np.float64), (4, 4)).T
    if "translation" in node:
        moved = np.eye(4)
        moved[:3, 3] = node["translation"]
        matrix = matrix @ moved
    if "rotation" in node:
        turned = np.eye(4)
        turned[:3, :3] = _rotation(np.asarray(node["rotation"], dtype=np.float64))
        matrix = matrix @ turned
    return matrix @ np.diag([*node["scale"], 1]) if "scale" in node else matrix


def _rotation(quaternion: np.ndarray) -> np.ndarray:
    """Return the 3 x 3 matrix of a quaternion x, y, z, w of any length; zero is the identity."""
    length = float(np.linalg.norm(quaternion))
    x, y, z, w = quaternion / length if length > 1e-9 else (0, 0, 0, 1)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _triangles(corners: np.ndarray, mode: int) -> np.ndarray:
    if mode == _TRIANGLES:
        return corners.reshape(-1, 3)
    if mode == _FAN:
        return np.stack([np.broadcast_to(corners[:1], len(corners) - 2), corners[1:-1], corners[2:]], axis=1)
    strip = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    strip[1::2] = strip[1::2, [1, 0, 2]]
    return strip
