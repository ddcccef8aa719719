"""Autodesk FBX (7.0 and later), binary or text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.formats.fbx_document import FbxNode, parse_fbx
from basrelief.io.formats.fbx_materials import FbxMaterials
from basrelief.io.formats.fbx_mesh import polygon_corners, read_polygons
from basrelief.io.formats.fbx_objects import SCENE, FbxObjects, number, properties
from basrelief.io.formats.fbx_transforms import geometry_matrix, local_matrix
from basrelief.io.graph import count_uses
from basrelief.io.mesh import Instance, check_size, join_parts
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits


def read_fbx(source: Source) -> RawShape:
    """Read .fbx: all visible meshes with node transforms applied, skins in the pose of their bones, colours and textures.

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


class _Scene:
    """The models of a file that are shown, with their meshes."""

    def __init__(self, source: Source, objects: FbxObjects) -> None:
        self._source, self._objects = source, objects
        self._worlds: dict[int, np.ndarray] = {}
        self.materials = FbxMaterials(source.path.parent, objects)

    def instances(self) -> Iterator[Instance]:
        """Yield the parts of all meshes that are shown.

        Raises:
            FileFormatError: If there are none, or too many.
        """
        objects, sizes = self._objects, dict[int, int]()
        for mesh, node in objects.nodes.items():
            corners = polygon_corners(node) if node.name == "Geometry" else None
            if corners is not None:
                sizes[mesh] = len(corners)
        uses = [(model, mesh) for model in self._shown() for mesh in objects.below(model, "Geometry") if mesh in sizes]
        if not uses:
            raise FileFormatError(f"{self._source.path.name} contains no mesh that is shown. Export the model with its geometry.")
        check_size(self._source.path, [(1, sizes[mesh], sizes[mesh]) for _, mesh in uses])
        parts: dict[int, tuple[list[tuple[int, dict[str, Any]]], bool]] = {}
        for model, mesh in uses:
            if mesh not in parts:
                polygons, posed = read_polygons(objects, mesh, self._world)
                parts[mesh] = list(polygons.parts()), posed
            matrix = np.eye(4) if parts[mesh][1] else self._world(model) @ geometry_matrix(objects.vectors(model))
            materials = objects.below(model, "Material")
            for number_, part in parts[mesh][0]:
                look = self.materials.look(materials[number_]) if number_ < len(materials) else {}
                yield {**part, **look, "name": objects.name(model)}, matrix

    def _shown(self) -> list[int]:
        """Models that are visible, with all above them; of each group of levels of detail the first."""
        objects = self._objects
        models = [number for number, node in objects.nodes.items() if node.name == "Model"]
        tree = {model: objects.below(model, "Model") for model in (SCENE, *models)}
        count_uses(self._source.path, {str(m): list(map(str, below)) for m, below in tree.items()}, [str(SCENE)])
        shown, waiting = dict[int, None](), list(tree[SCENE])
        while waiting:
            model = waiting.pop()
            found = properties(objects.nodes[model])
            if number(found, "Show", 1) == 0 or number(found, "Visibility", 1) == 0:
                continue
            shown[model] = None
            waiting.extend(tree[model][:1] if objects.kind(model) == "LodGroup" else tree[model])
        return [model for model in models if model in shown]

    def _world(self, model: int) -> np.ndarray:
        """The matrix from a model to the scene; models above a model have no cycles, see `_shown`."""
        if model not in self._worlds:
            above = self._objects.above(model, "Model")
            order = int(number(properties(self._objects.nodes[model]), "RotationOrder", 0))
            local = local_matrix(self._objects.vectors(model), order)
            self._worlds[model] = self._world(above[0]) @ local if above else local
        return self._worlds[model]
