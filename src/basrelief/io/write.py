"""Write shapes to files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError, unknown_choice
from basrelief.geometry import rotate, rotation_to_z_up
from basrelief.geometry.appearance import linear_from_srgb
from basrelief.output import replace_file
from basrelief.types import Mesh, PointCloud

MESH_FORMATS = ("ply", "obj", "glb", "off", "stl")
CLOUD_FORMATS = ("ply", "glb", "xyz")
_MARK = b"basrelief, +Z up"
_STL_HEADER = 80


def save(shape: PointCloud | Mesh, path: str | os.PathLike[str]) -> Path:
    """Write a shape to a file; `load` reads it back.

    Formats with colours (ply, obj, glb) store them with 8 bits. A .glb is rotated to +Y up and its colours are converted to linear light,
    as its specification says; the other formats keep the world frame, +Z up, and those with comments say so.

    Args:
        shape: Mesh (`MESH_FORMATS`) or point cloud (`CLOUD_FORMATS`).
        path: Where to write; the suffix chooses the format. An existing file is replaced, a missing folder is created.

    Returns:
        The path.

    Raises:
        FileFormatError: If the format cannot hold such a shape.
        OutputError: If the file cannot be written.
    """
    file = Path(path)
    kind = file.suffix.lower().lstrip(".")
    choices = MESH_FORMATS if isinstance(shape, Mesh) else CLOUD_FORMATS
    if kind not in choices:
        raise FileFormatError(unknown_choice("file format", kind, choices))
    data = _geometry(shape, kind).export(file_type=kind)
    with replace_file(file) as part:
        part.write_bytes(_marked(data.encode() if isinstance(data, str) else data, kind))
    return file


def _marked(data: bytes, kind: str) -> bytes:
    """Add the comment that says which axis is up, see `exporters.json`."""
    if kind == "stl":
        return _MARK.ljust(_STL_HEADER, b"\0") + data[_STL_HEADER:]
    if kind == "obj":
        return b"# " + _MARK + b"\n" + data
    if kind in ("ply", "off"):
        first, comment = (2, b"comment ") if kind == "ply" else (1, b"# ")
        lines = data.split(b"\n", first)
        return b"\n".join([*lines[:first], comment + _MARK, lines[first]])
    return data


def _geometry(shape: PointCloud | Mesh, kind: str) -> Any:  # noqa: ANN401 - trimesh is not typed
    import trimesh

    colors = shape.colors
    if kind == "glb":
        shape = rotate(shape, rotation_to_z_up("y").T)
        colors = None if colors is None else linear_from_srgb(colors)
    rgb = None if colors is None else np.round(colors * 255).astype(np.uint8)
    if isinstance(shape, Mesh):
        return trimesh.Trimesh(vertices=shape.vertices, faces=shape.faces, vertex_colors=rgb, process=False)
    cloud: Any = trimesh.PointCloud
    return cloud(vertices=shape.points, colors=rgb)
