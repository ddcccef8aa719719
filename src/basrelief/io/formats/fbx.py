"""Autodesk FBX (7.0 and later), binary or text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.formats.fbx_document import FbxNode, parse_fbx
from basrelief.io.formats.fbx_materials import FbxMaterials
from basrelief.io.formats.fbx_mesh import polygon_corners, read_polygons
from basrelief.io.formats.fbx_objects import SCENE, FbxObjects, number, properties
from basrelief.io.formats.fbx_transforms import geometry_matrix, local_matrix
from basrelief.io.graph import count_uses
from basrelief.io.mesh import NamedInstance, check_size, join_parts
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits


def read_fbx(source: Source) -> RawShape:
    """Read .fbx: all meshes that are shown with node transforms applied, skins in the pose of their bones, colours and textures.

    Blend shapes stay at rest. Of levels of detail the first is read.

    Args:
        source: The file; textures are read from it and from its folder only.

    Returns:
        Vertices and faces in the axes and units of the file, the up axis as its settings state it.

    Raises:
        FileFormatError: If it is damaged, older than version 7.0, holds no mesh, or more than the limits allow.
    """
    root = parse_fbx(source.path, source.read(limits().text_bytes))
    scene = _Scene(source, FbxObjects(root))
    raw = join_parts(list(scene.instances()), with_faces=True)
    up = _up_axis(root)
    return dataclasses.replace(
        raw, up=up, up_reason="the settings of the FBX file say so" if up else "", notes=(*raw.notes, *scene.materials.notes)
    )


def _up_axis(root: FbxNode) -> str | None:
    settings = properties(root.first("GlobalSettings"))
    axis = number(settings, "UpAxis", -1)
    return None if axis not in (0, 1, 2) else ("" if number(settings, "UpAxisSign", 1) >= 0 else "-") + "xyz"[int(axis)]


class _Model(NamedTuple):
    """A model in the scene.

    Attributes:
        number: Of the object.
        name: After those above it, joined by `/`.
        hidden: Whether it, or one above it, is not visible, or a coarser level of detail.
    """

    number: int
    name: str = ""
    hidden: bool = False


class _Scene:
    """The models of a file with their meshes."""

    def __init__(self, source: Source, objects: FbxObjects) -> None:
        self._source, self._objects = source, objects
        self._worlds: dict[int, np.ndarray] = {}
        self.materials = FbxMaterials(source.path.parent, objects)

    def instances(self) -> Iterator[NamedInstance]:
        """Yield the parts of all meshes.

        Raises:
            FileFormatError: If there are none, or too many.
        """
        objects, sizes = self._objects, dict[int, int]()
        for mesh, node in objects.nodes.items():
            corners = polygon_corners(node) if node.name == "Geometry" else None
            if corners is not None:
                sizes[mesh] = len(corners)
        models = [model for model in self._models() if any(mesh in sizes for mesh in objects.below(model.number, "Geometry"))]
        uses = [(model, mesh) for model in models for mesh in objects.below(model.number, "Geometry") if mesh in sizes]
        if not uses:
            raise FileFormatError(f"{self._source.path.name} contains no mesh. Export the model with its geometry.")
        check_size(self._source.path, [(1, sizes[mesh], sizes[mesh]) for _, mesh in uses])
        parts: dict[int, tuple[list[tuple[int, dict[str, Any]]], bool]] = {}
        for model, mesh in uses:
            if mesh not in parts:
                polygons, posed = read_polygons(objects, mesh, self._world)
                parts[mesh] = list(polygons.parts()), posed
            number_ = model.number
            matrix = np.eye(4) if parts[mesh][1] else self._world(number_) @ geometry_matrix(objects.vectors(number_))
            materials = objects.below(number_, "Material")
            for slot, part in parts[mesh][0]:
                look = self.materials.look(materials[slot]) if slot < len(materials) else {}
                yield NamedInstance({**part, **look}, matrix, model.name, model.hidden)

    def _models(self) -> list[_Model]:
        """The models of the scene in the order of the file."""
        objects = self._objects
        numbers = [number for number, node in objects.nodes.items() if node.name == "Model"]
        tree = {model: objects.below(model, "Model") for model in (SCENE, *numbers)}
        count_uses(self._source.path, {str(m): list(map(str, below)) for m, below in tree.items()}, [str(SCENE)])
        found: dict[int, _Model] = {}
        waiting = [_Model(child) for child in tree[SCENE]]
        while waiting:
            model = waiting.pop()
            properties_ = properties(objects.nodes[model.number])
            hidden = model.hidden or number(properties_, "Show", 1) == 0 or number(properties_, "Visibility", 1) == 0
            name = "/".join(filter(None, (model.name, objects.name(model.number))))
            found[model.number] = _Model(model.number, name, hidden)
            coarser = objects.kind(model.number) == "LodGroup"  # the first of its children is the finest
            waiting += [_Model(child, name, hidden or (coarser and i > 0)) for i, child in enumerate(tree[model.number])]
        return [found[number] for number in numbers if number in found]

    def _world(self, model: int) -> np.ndarray:
        """The matrix from a model to the scene; models above a model have no cycles, see `_models`."""
        if model not in self._worlds:
            above = self._objects.above(model, "Model")
            order = int(number(properties(self._objects.nodes[model]), "RotationOrder", 0))
            local = local_matrix(self._objects.vectors(model), order)
            self._worlds[model] = self._world(above[0]) @ local if above else local
        return self._worlds[model]
