"""PLY, binary or text: points, or polygons, which are triangulated."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.formats.ply_colors import is_splats, splat_points, vertex_colors
from basrelief.io.formats.ply_header import HEADER_BYTES, read_header
from basrelief.io.formats.ply_rows import COLOR_COLUMNS, TEXTURE_COLUMNS, Body, Table
from basrelief.io.mesh import join_parts
from basrelief.io.polygons import Lists, degenerate_note, fan_triangles, strip_triangles
from basrelief.io.resolver import FolderResolver
from basrelief.io.source import RawShape, Source
from basrelief.io.textures import Textures
from basrelief.limits import limits

_CORNERS = ("vertex_indices", "vertex_index")


def read_ply(source: Source) -> RawShape:
    """Read .ply, binary or text: a mesh, or points if there is no face. Polygons are triangulated.

    Args:
        source: The file; a texture named in a comment is read from its folder only.

    Returns:
        Vertices and faces in the axes of the file.

    Raises:
        FileFormatError: If the header is invalid, or declares more than the file holds.
        GeometryError: If a face refers to a vertex that does not exist.
    """
    header = read_header(source.path, source.head(HEADER_BYTES))
    if header.encoding == "ascii":
        source.check_size(limits().text_bytes)
    check_count(source.path, header.count("vertex"), limits().points, of="vertices")
    check_count(source.path, header.count("face"), limits().faces, of="faces")
    with source.path.open("rb") as file:
        body = Body(source.path, header, file)
    tables = {name: body.read(element) for name, element in header.elements.items()}
    vertex, face = tables["vertex"], tables.get("face", Table())
    if vertex.stack("x", "y", "z") is None:
        raise FileFormatError(f"{source.path.name} contains no triangles or points. Check the export settings.")
    part: dict[str, Any] = {"vertices": vertex.stack("x", "y", "z"), "vertex_colors": vertex_colors(vertex)}
    notes = [f"{body.left} after the last element were ignored."] if body.left else []
    resolver, textures = FolderResolver(source.path.parent), Textures()
    if header.count("face"):
        polygons = _corners(source, face)
        check_count(source.path, int(np.maximum(polygons.counts - 2, 0).sum()), limits().faces, of="faces")
        part["faces"], of = fan_triangles(polygons)
        colors = next((colors for colors in (face.stack(*names) for names in COLOR_COLUMNS) if colors is not None), None)
        part["face_colors"] = None if colors is None else colors[of]
        notes += degenerate_note(polygons.counts)
        if header.textures:
            part["texture"] = textures.from_file(resolver, header.textures[0])
            part["uv"] = _texture_places(vertex, face, polygons)
    elif header.count("tristrips"):
        part["faces"] = strip_triangles(_corners(source, tables["tristrips"]))
        check_count(source.path, len(part["faces"]), limits().faces, of="faces")
    elif is_splats(vertex):
        part = splat_points(part, vertex, notes)
    raw = join_parts([(part, np.eye(4))], with_faces=len(part.get("faces", ())) > 0)
    return dataclasses.replace(raw, notes=(*notes, *resolver.notes, *textures.notes))


def _corners(source: Source, face: Table) -> Lists:
    name = next((name for name in _CORNERS if name in face.lists), next(iter(face.lists)) if len(face.lists) == 1 else "")
    if name not in face.lists or face.lists[name].values.dtype.kind not in "iu":
        raise FileFormatError(
            f"Faces of {source.path.name} need a list of integers named vertex_indices; the lists are: {', '.join(face.lists) or 'none'}. "
            "Export it again."
        )
    return face.lists[name]


def _texture_places(vertex: Table, face: Table, polygons: Lists) -> np.ndarray | None:
    """Return the texture coordinates of each vertex; on a seam, those of the last face."""
    uv = next((uv for uv in (vertex.stack(*axes) for axes in TEXTURE_COLUMNS) if uv is not None), None)
    wedges = face.lists.get("texcoord")
    if uv is None and wedges is not None and np.array_equal(wedges.counts, 2 * polygons.counts):
        inside = polygons.values < len(vertex.columns["x"])
        uv = np.zeros((len(vertex.columns["x"]), 2))
        uv[polygons.values[inside]] = wedges.values.reshape(-1, 2)[inside]
    return uv
