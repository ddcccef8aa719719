"""PLY, binary or text: points, or polygons, which are triangulated."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.formats.ply_colors import is_splats, splat_points, vertex_colors
from basrelief.io.formats.ply_header import HEADER_BYTES, read_header
from basrelief.io.formats.ply_rows import COLOR_COLUMNS, TEXTURE_COLUMNS, Body, Table
from basrelief.io.mesh import join_parts
from basrelief.io.polygons import Lists, degenerate_note, strip_triangles
from basrelief.io.resolver import FolderResolver
from basrelief.io.source import RawShape, Source
from basrelief.io.split import check_corners, distinct_corners, split_corners
from basrelief.io.textures import Texture, Textures
from basrelief.io.triangulate import triangulate
from basrelief.limits import limits

_CORNERS = ("vertex_indices", "vertex_index")
_MAX_TEXTURES = 64


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
    parts, notes = [part], [f"{body.left} after the last element were ignored."] if body.left else []
    notes += ["Lines hold more numbers than the header declares; the last ones were ignored."] if body.surplus else []
    resolver, textures = FolderResolver(source.path.parent), Textures()
    if header.count("face"):
        polygons = _corners(source, face)
        check_count(source.path, int(np.maximum(polygons.counts - 2, 0).sum()), limits().faces, of="faces")
        notes += degenerate_note(polygons.counts)
        images = [textures.from_file(resolver, name) for name in header.textures[:_MAX_TEXTURES]]
        parts = list(_surface(part, vertex, face, polygons, images))
    elif header.count("tristrips"):
        part["faces"] = strip_triangles(_corners(source, tables["tristrips"]))
        check_count(source.path, len(part["faces"]), limits().faces, of="faces")
    elif is_splats(vertex):
        parts = [splat_points(part, vertex, notes)]
    check_count(source.path, sum(len(part["vertices"]) for part in parts), limits().points, of="vertices")
    raw = join_parts([(part, np.eye(4)) for part in parts], with_faces=any(len(part.get("faces", ())) for part in parts))
    return dataclasses.replace(raw, notes=(*notes, *resolver.notes, *textures.notes))


def _surface(part: Mapping[str, Any], vertex: Table, face: Table, polygons: Lists, images: Sequence[Texture]) -> Iterator[dict[str, Any]]:
    """Yield the faces with their colours, one part for each image; an image replaces the colours of vertices."""
    check_corners(polygons.values, len(part["vertices"]))
    corners, of = triangulate(polygons.counts, polygons.values, part["vertices"])
    faces = polygons.values[corners]
    colors = next((colors for colors in (face.stack(*names) for names in COLOR_COLUMNS) if colors is not None), None)
    base = {**part, "face_colors": None if colors is None else colors[of]}
    uv = next((uv for uv in (vertex.stack(*axes) for axes in TEXTURE_COLUMNS) if uv is not None), None)
    wedges = face.lists.get("texcoord")
    by_corner = uv is None and wedges is not None and np.array_equal(wedges.counts, 2 * polygons.counts)
    if (uv is None and not by_corner) or not any(image.pixels is not None for image in images):
        yield {**base, "faces": faces}
        return
    number = face.columns.get("texnumber", np.zeros(len(polygons.counts)))[of] if len(images) > 1 else np.zeros(len(of))
    for i, image in enumerate(images):
        rows = np.flatnonzero(number == i)
        if not len(rows):
            continue
        corner = faces[rows].reshape(-1)
        places = wedges.values.reshape(-1, 2)[corners[rows].reshape(-1)] if by_corner and wedges is not None else None
        chosen, index = distinct_corners(corner) if places is None else split_corners(corner, places)
        used = corner[chosen]
        own = {"vertices": part["vertices"][used], "faces": index.reshape(-1, 3), "texture": image}
        own["uv"] = places[chosen] if places is not None else uv[used] if uv is not None else None
        if image.pixels is None:
            own["vertex_colors"] = None if part["vertex_colors"] is None else part["vertex_colors"][used]
            own["face_colors"] = None if colors is None else base["face_colors"][rows]
        yield own


def _corners(source: Source, face: Table) -> Lists:
    name = next((name for name in _CORNERS if name in face.lists), next(iter(face.lists)) if len(face.lists) == 1 else "")
    if name not in face.lists or face.lists[name].values.dtype.kind not in "iu":
        raise FileFormatError(
            f"Faces of {source.path.name} need a list of integers named vertex_indices; the lists are: {', '.join(face.lists) or 'none'}. "
            "Export it again."
        )
    return face.lists[name]
