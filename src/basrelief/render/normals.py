"""Vertex normals that are smooth on round surfaces and sharp at edges."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from basrelief.render.ops import dot
from basrelief.render.zbuffer import expand, pieces

CREASE = 40.0  # degrees: a nine-sided cylinder is smoothed, a box is not
MOST_CORNERS = 64  # vertices where more corners meet keep face normals, which bounds the number of pairs


def face_normals(vertices: Float[Tensor, "vertices 3"], faces: Int64[Tensor, "faces 3"]) -> Float[Tensor, "faces 3"]:
    """Return the normal of each face by the right-hand rule, with twice its area as length."""
    a, b, c = vertices[faces].unbind(1)
    normals: Tensor = torch.linalg.cross(b - a, c - a)
    return normals


def corner_normals(
    vertices: Float[Tensor, "vertices 3"], faces: Int64[Tensor, "faces 3"], *, crease: float = CREASE
) -> Float[Tensor, "faces 3 3"]:
    """Return the unit normal of each corner: the area-weighted mean over adjacent faces within `crease` of its face.

    Vertices at the same position count as one, so colour seams stay smooth. Normals of faces with opposite winding are flipped first.

    Args:
        vertices: Scene units.
        faces: Corners.
        crease: Largest angle between two faces of one smooth surface, degrees below 90.

    Returns:
        On the side of the face's own normal; zero for a face without area.
    """
    area = face_normals(vertices, faces)
    unit = torch.nn.functional.normalize(area, dim=1)
    place = torch.unique(vertices, dim=0, return_inverse=True)[1][faces].flatten()
    order = place.argsort()
    meeting = place.bincount()
    first = meeting.cumsum(0) - meeting
    counts = meeting[place]
    counts = torch.where(counts <= MOST_CORNERS, counts, 0)
    normals = area.repeat_interleave(3, 0) * (counts == 0)[:, None]
    for piece in pieces(counts):
        corner, offset = expand(counts[piece])
        corner = corner + piece.start
        other = order[first[place[corner]] + offset] // 3
        cosine = dot(unit[corner // 3], unit[other])
        weight = cosine.sign() * (cosine.abs() >= math.cos(math.radians(crease)))
        normals.index_add_(0, corner, area[other] * weight[:, None])
    return torch.nn.functional.normalize(normals, dim=1).view(-1, 3, 3)
