"""Meshes of FBX files: polygons with their layers, and the pose that bones give them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.corners import Polygons
from basrelief.io.formats.fbx_document import FbxNode
from basrelief.io.formats.fbx_objects import FbxObjects

_POINTS = ("ByVertice", "ByVertex")


def polygon_corners(node: FbxNode) -> np.ndarray | None:
    """Return the corners of all polygons as stored, the last of each as its complement; None if a geometry holds no mesh."""
    corners = node.array("PolygonVertexIndex", np.int64)
    return corners if corners is not None and len(corners) and node.first("Vertices") is not None else None


def read_polygons(objects: FbxObjects, mesh: int, world: Callable[[int], np.ndarray]) -> tuple[Polygons, bool]:
    """Read a mesh.

    Args:
        objects: All objects.
        mesh: Number of the geometry.
        world: Returns the matrix from a model to the scene.

    Returns:
        Its polygons, and whether bones have moved its vertices to the scene.

    Raises:
        GeometryError: If a corner refers to something that does not exist.
    """
    node = objects.nodes[mesh]
    corners = polygon_corners(node)
    if corners is None:
        raise GeometryError("An FBX geometry holds no polygons.")
    ends = np.flatnonzero(corners < 0)
    counts = np.diff(ends, prepend=-1)
    corners = np.where(corners < 0, ~corners, corners)[: int(counts.sum())]
    vertices = _rows(node.array("Vertices", np.float64), 3)
    posed = _posed(objects, mesh, vertices, world)
    uv, uv_index = _layer(node, "LayerElementUV", "UV", 2, corners, counts)
    colors, color_index = _layer(node, "LayerElementColor", "Colors", 4, corners, counts, index="ColorIndex")
    polygons = Polygons(
        counts=counts,
        positions=corners,
        vertices=vertices if posed is None else posed,
        uv=uv,
        uv_index=uv_index,
        colors=colors,
        color_index=color_index,
        materials=_materials(node, counts),
    )
    return polygons, posed is not None


def _rows(values: np.ndarray | None, width: int) -> np.ndarray:
    return np.zeros((0, width)) if values is None else values[: len(values) // width * width].reshape(-1, width)


def _layer(
    node: FbxNode, layer: str, name: str, width: int, corners: np.ndarray, counts: np.ndarray, *, index: str = ""
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the values of a layer, and which of them each corner has; None for both if the layer is missing or does not fit."""
    found = node.first(layer)
    values = None if found is None else _rows(found.array(name, np.float64), width)
    if found is None or values is None or not len(values):
        return None, None
    mapping = found.value("MappingInformationType", "")
    places = {
        "ByPolygonVertex": np.arange(len(corners)),
        **dict.fromkeys(_POINTS, corners),
        "ByPolygon": np.repeat(np.arange(len(counts)), counts),
        "AllSame": np.zeros(len(corners), np.int64),
    }.get(str(mapping))
    listed = found.array(index or f"{name}Index", np.int64) if found.value("ReferenceInformationType") != "Direct" else None
    if places is None or (len(places) and int(places.max()) >= (len(values) if listed is None else len(listed))):
        return None, None
    chosen = places if listed is None else listed[places]
    return (values, chosen) if not len(chosen) or 0 <= int(chosen.min()) <= int(chosen.max()) < len(values) else (None, None)


def _materials(node: FbxNode, counts: np.ndarray) -> np.ndarray | None:
    """Return the number of the material of each polygon, among those of its model; None for the first."""
    layer = node.first("LayerElementMaterial")
    numbers = None if layer is None else layer.array("Materials", np.int64)
    if layer is None or numbers is None or not len(numbers):
        return None
    if layer.value("MappingInformationType") == "AllSame":
        return np.full(len(counts), max(int(numbers[0]), 0))
    return np.maximum(numbers[: len(counts)], 0) if len(numbers) >= len(counts) else None


def _posed(objects: FbxObjects, mesh: int, vertices: np.ndarray, world: Callable[[int], np.ndarray]) -> np.ndarray | None:
    """Return where the bones of a skin move the vertices, in the scene; None without a skin.

    A vertex moves by the weighted mean of its bones, each of which takes it from the pose in which it was bound (linear blend skinning).
    """
    clusters = [c for skin in objects.below(mesh, "Deformer") if objects.kind(skin) == "Skin" for c in objects.below(skin, "Deformer")]
    moved, total = np.zeros_like(vertices), np.zeros(len(vertices))
    for cluster in clusters:
        node, bones = objects.nodes[cluster], objects.below(cluster, "Model")
        places, weights = node.array("Indexes", np.int64), node.array("Weights", np.float64)
        bind = node.array("Transform", np.float64)
        if not bones or places is None or weights is None or bind is None or bind.size != 16 or len(places) != len(weights):
            continue
        if len(places) and not 0 <= int(places.min()) <= int(places.max()) < len(vertices):
            raise FileFormatError("A skin moves vertices that do not exist. The file is probably damaged; export it again.")
        matrix = world(bones[0]) @ bind.reshape(4, 4).T
        by = vertices[places] @ matrix[:3, :3].T + matrix[:3, 3]
        np.add.at(moved, places, by * weights[:, None])
        np.add.at(total, places, weights)
    if not (total > 0).any():
        return None
    still = total <= 0
    moved[still], total[still] = moved[~still].sum(axis=0) / total[~still].sum(), 1.0  # loose vertices, usually none
    result: np.ndarray = moved / total[:, None]
    return result
