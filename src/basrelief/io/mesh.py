"""Mesh formats, parsed by trimesh and flattened to one list of vertices and faces."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError, GeometryError
from basrelief.io.checks import check_count
from basrelief.io.colors import part_colors
from basrelief.io.resolver import FolderResolver
from basrelief.io.source import Raw, Source
from basrelief.limits import limits

_BETWEEN_SOLIDS = re.compile(rb"^\s*endsolid\b[^\n]*\n\s*solid\b[^\n]*\n", re.MULTILINE)
UNCOLORED = (0.8, 0.8, 0.8)  # for what has no colour in a file where the rest has

Part = Mapping[str, Any]


def read_stl(source: Source) -> Raw:
    """Read .stl, binary or text; the solids of a text file become one.

    Args:
        source: The file.

    Returns:
        Three vertices for each face, in the axes of the file.
    """
    data = source.read()
    binary = len(data) == 84 + 50 * int.from_bytes(data[80:84], "little")
    return parse(source, data if binary else _BETWEEN_SOLIDS.sub(b"\n", data))


def parse(source: Source, data: bytes, *, linear: bool = False) -> Raw:
    """Parse with trimesh, apply the transforms of the scene and join its parts.

    Args:
        source: The file; its folder is where side files are sought.
        data: Its content.
        linear: Whether material and vertex colours are linear light, as in glTF, and not sRGB.

    Returns:
        Vertices and faces in the axes of the file; points alone where there is no face.

    Raises:
        FileFormatError: If there is neither a face nor a point, or there are too many.
        GeometryError: If a face refers to a vertex that does not exist.
    """
    from trimesh.exchange.load import mesh_loaders

    resolver = FolderResolver(source.path.parent)
    loader: Callable[..., Part] = mesh_loaders[source.format]
    scene = loader(file_obj=BytesIO(data), file_type=source.format, resolver=resolver)
    placed = _placed_parts(scene)
    meshes = [(part, matrix) for part, matrix in placed if part.get("faces") is not None and len(part["faces"])]
    chosen = meshes or [(part, matrix) for part, matrix in placed if part.get("vertices") is not None and len(part["vertices"])]
    if not chosen:
        raise FileFormatError(f"path must hold triangles or points, but got {source.path.name} without any. Check the export.")
    check_count(source.path, sum(len(part["vertices"]) for part, _ in chosen), limits().points, of="vertices")
    check_count(source.path, sum(len(part["faces"]) for part, _ in meshes), limits().faces, of="faces")
    raw = join_parts(chosen, with_faces=bool(meshes), linear=linear)
    return dataclasses.replace(raw, notes=resolver.notes)


def _placed_parts(scene: Part) -> list[tuple[Part, np.ndarray]]:
    """List each part once for every place that the scene graph gives it, with its 4 x 4 matrix."""
    from trimesh.scene.transforms import SceneGraph

    if "geometry" not in scene:
        return [(scene, np.eye(4))]
    parts = scene["geometry"]
    graph: Any = SceneGraph(base_frame=scene.get("base_frame") or "world")
    seen: set[str] = set()
    for edge in scene.get("graph") or ():
        name = edge["frame_to"] if edge["frame_to"] not in seen else f"{edge['frame_to']} {len(seen)}"  # the loader's random names can meet
        seen.add(name)
        graph.update(**{**edge, "frame_to": name})
    placed = [(parts[name], np.asarray(matrix)) for matrix, name in (graph[node] for node in graph.nodes_geometry) if name in parts]
    return placed or [(part, np.eye(4)) for part in parts.values()]


def join_parts(placed: list[tuple[Part, np.ndarray]], *, with_faces: bool, linear: bool = False) -> Raw:
    """Move parts to their places and make one list of vertices and faces of them.

    Args:
        placed: Each part (keyword arguments for a mesh, as trimesh's loaders return them) with a 4 x 4 matrix.
        with_faces: Whether the parts have faces.
        linear: Whether material and vertex colours are linear light, as in glTF, and not sRGB.

    Returns:
        Vertices and faces in the axes of the file.

    Raises:
        GeometryError: If a face refers to a vertex that does not exist.
    """
    vertices, faces, colors, offset = [], [], [], 0
    for part, matrix in placed:
        points = np.asarray(part["vertices"], dtype=np.float64).reshape(-1, 3)
        vertices.append(points @ matrix[:3, :3].T + matrix[:3, 3])
        colors.append(part_colors(part, linear=linear))
        if with_faces:
            faces.append(_triangles(part["faces"], len(points), mirrored=bool(np.linalg.det(matrix[:3, :3]) < 0)) + offset)
        offset += len(points)
    return Raw(
        points=np.concatenate(vertices),
        faces=np.concatenate(faces) if with_faces else None,
        colors=_joined_colors(colors, [len(points) for points in vertices]),
    )


def _triangles(faces: Any, vertices: int, *, mirrored: bool) -> np.ndarray:  # noqa: ANN401 - arrays or ragged lists, as the loaders give them
    from trimesh.geometry import triangulate_quads

    triangles = np.asarray(triangulate_quads(faces), dtype=np.int64).reshape(-1, 3)
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= vertices):
        raise GeometryError(
            f"faces must index the {vertices} vertices, but got {triangles.min()} to {triangles.max()}. The file is likely truncated."
        )
    return triangles[:, ::-1] if mirrored else triangles


def _joined_colors(colors: list[np.ndarray | None], lengths: list[int]) -> np.ndarray | None:
    if all(color is None for color in colors):
        return None
    return np.concatenate([np.tile(UNCOLORED, (n, 1)) if color is None else color for color, n in zip(colors, lengths, strict=True)])
