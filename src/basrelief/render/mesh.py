"""Triangles to depth maps without a GPU driver or display: a z-buffer in plain tensor operations, the same on CPU and CUDA.

Each triangle is cut into the picture rows it meets and each row into pixels. On a row a triangle is the stretch between the crossings
of its edges. Corners are first rounded to 1/4096 pixel, so that crossings are exact in float64 and a pixel centre on a shared edge or
corner belongs to one of the triangles around it: the one to its right, else the one below. Edges are planes through the eye
(2D homogeneous rasterization, Olano & Greer 1997), so triangles that reach behind the eye need no clipping.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from basrelief.errors import GeometryError
from basrelief.limits import limits
from basrelief.render.cameras import Frame
from basrelief.render.ops import dot
from basrelief.render.zbuffer import CHUNK, Raster, ZBuffer, expand, pieces
from basrelief.types import Mesh

SUBPIXELS = 4096


def rasterize_mesh(mesh: Mesh, frame: Frame, *, device: torch.device | str = "cpu") -> Raster:
    """Find the nearest face in every pixel of every view; both sides of a face are seen.

    Args:
        mesh: F faces, world frame, scene units.
        frame: The pictures: cameras, size and extent.
        device: Where the work is done and the answer lives.

    Raises:
        GeometryError: If so many faces lie behind each other that the picture would take minutes, see `Limits.overdraw`.
    """
    vertices, faces = mesh_tensors(mesh, device)
    numbers = torch.arange(len(faces), device=device)
    buffer = ZBuffer(frame, device)
    left = limits().overdraw * len(frame.cameras) * frame.size**2
    step = max(1, CHUNK // max(len(vertices), len(faces)))
    for first in range(0, len(frame.cameras), step):
        screen = _Screen.of(vertices, frame, slice(first, first + step))
        for part in torch.split(numbers, CHUNK):
            triangles = screen.triangles(faces[part], part, first)
            for piece in pieces(triangles.rows):
                left -= _draw_rows(triangles, piece, buffer, frame.size)
                if left < 0:
                    raise GeometryError(
                        f"More than {limits().overdraw:,} of the {len(faces):,} faces lie behind each other at a pixel, on average. "
                        "Remove duplicate faces."
                    )
    return buffer.resolve()


def mesh_tensors(mesh: Mesh, device: torch.device | str) -> tuple[Float[Tensor, "vertices 3"], Int64[Tensor, "faces 3"]]:
    """Vertices (float64) and faces of a mesh on a device."""
    return torch.tensor(mesh.vertices, dtype=torch.float64, device=device), torch.tensor(mesh.faces, device=device)


def barycentric(mesh: Mesh, frame: Frame, raster: Raster) -> Float32[Tensor, "pixels 3"]:
    """Weights of the corners of the seen face where each pixel's sight line meets it.

    Args:
        mesh: The mesh that was drawn.
        frame: The pictures it was drawn in.
        raster: What `rasterize_mesh` gave for both.

    Returns:
        In [0, 1], rows sum to 1, in the order of `raster.seen`.
    """
    vertices, faces = mesh_tensors(mesh, raster.item.device)
    weights = [torch.empty(0, 3, device=raster.item.device)]
    for pixels in torch.split(raster.seen, CHUNK):
        origin, direction = frame.rays(pixels)
        a, b, c = (vertices[faces[raster.item[tuple(pixels.T)]]] - origin[:, None]).unbind(1)
        volume = torch.stack([dot(direction, torch.linalg.cross(*pair)) for pair in ((b, c), (c, a), (a, b))])
        inside = (volume / (volume[0] + volume[1] + volume[2])).clamp(0, 1)
        weights.append((inside / (inside[0] + inside[1] + inside[2])).float().T)
    return torch.cat(weights)


@dataclass(frozen=True, eq=False)
class _Triangles:
    """Triangles in views, ready to be cut into rows.

    Attributes:
        edges: (coefficient, edge, n): a, b, c of a x + b y + c, which is positive inside.
        planes: (2, coefficient, n): two such sums whose ratio is the depth.
        top: First row.
        rows: Number of rows.
        view: Number of the view.
        face: Number of the face.
    """

    edges: Float[Tensor, "3 3 n"]
    planes: Float[Tensor, "2 3 n"]
    top: Int64[Tensor, " n"]
    rows: Int64[Tensor, " n"]
    view: Int64[Tensor, " n"]
    face: Int64[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class _Screen:
    """Vertices as some views see them, float64.

    Attributes:
        exact: Homogeneous pixel coordinates.
        position: The same; those in front of the eye are divided by w and rounded.
        inverse: 1/w of those that were divided, 1 for the others.
        depth: Along the view axis.
        front: Whether the vertex is in front of the eye.
        size: Side of a picture, pixels.
    """

    exact: Float[Tensor, "3 views vertices"]
    position: Float[Tensor, "3 views vertices"]
    inverse: Float[Tensor, "views vertices"]
    depth: Float[Tensor, "views vertices"]
    front: Bool[Tensor, "views vertices"]
    size: int

    @classmethod
    def of(cls, vertices: Float[Tensor, "vertices 3"], frame: Frame, views: slice) -> _Screen:
        *xyw, depth = frame.project(vertices, views)
        exact = torch.stack(xyw)
        front = depth > frame.near
        inverse = torch.where(front, 1 / exact[2], 1.0)
        divided = torch.round(exact * (inverse * SUBPIXELS)) / SUBPIXELS
        return cls(exact, torch.where(front, divided, exact), inverse, depth, front, frame.size)

    def triangles(self, faces: Int64[Tensor, "faces 3"], number: Int64[Tensor, " faces"], first: int) -> _Triangles:
        """Every face in every view, without those that meet no pixel centre.

        Args:
            faces: Their corners.
            number: Their numbers.
            first: Number of the first of these views.
        """
        views = torch.arange(len(self.depth), device=faces.device)
        corner = (faces.T[:, None] + views[:, None] * self.depth.shape[1]).flatten(1)
        front = self.front.flatten()[corner]
        whole, none = ~front.all(0), ~front.any(0)
        top, rows = _span(self.position[1].flatten()[corner], whole, self.size)
        _, columns = _span(self.position[0].flatten()[corner], whole, self.size)
        keep = ((rows > 0) & (columns > 0) & ~none).nonzero().squeeze(1)
        edges, planes = self._equations(corner[:, keep], whole[keep])
        view, face = first + keep // len(faces), number[keep % len(faces)]
        return _Triangles(edges, planes, top[keep], rows[keep], view, face)

    def _equations(self, corner: Int64[Tensor, "3 n"], whole: Bool[Tensor, " n"]) -> tuple[Float[Tensor, "3 3 n"], Float[Tensor, "2 3 n"]]:
        """Edges and planes. Of a triangle that reaches behind the eye pixels are not between the corners, where rounding would grow."""
        position, inverse, depth = self.position.flatten(1)[:, corner], self.inverse.flatten()[corner], self.depth.flatten()[corner]
        edges = _opposite_edges(position)
        edges = edges * (position[:, 0] * edges[:, 0]).sum(0).sign()
        planes = torch.stack([(edges * (inverse * depth)).sum(1), (edges * inverse).sum(1)])
        behind = whole.nonzero().squeeze(1)
        exact = _opposite_edges(self.exact.flatten(1)[:, corner[:, behind]])
        planes[:, :, behind] = torch.stack([(exact * depth[:, behind]).sum(1), exact.sum(1)])
        return edges, planes


def _opposite_edges(position: Float[Tensor, "3 3 n"]) -> Float[Tensor, "3 3 n"]:
    """For (coordinate, corner, n) the line through the other two corners: (coefficient, corner, n)."""
    edges: Tensor = torch.linalg.cross(position.roll(-1, 1), position.roll(-2, 1), dim=0)
    return edges


def _span(value: Float[Tensor, "3 n"], whole: Bool[Tensor, " n"], size: int) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """First row (or column) between the least and the greatest value, and how many there are; all of them for `whole`."""
    first = value.amin(0).ceil().clamp(0, size).masked_fill(whole, 0)
    last = value.amax(0).floor().clamp(-1, size - 1).masked_fill(whole, size - 1)
    return first.long(), (last - first + 1).clamp(min=0).long()


def _draw_rows(triangles: _Triangles, piece: slice, buffer: ZBuffer, size: int) -> int:
    """Cut triangles into rows and those into pixels, and put these into the buffer; gives how many rows and pixels there were."""
    triangle, below = expand(triangles.rows[piece])
    triangle = triangle + piece.start
    y = triangles.top[triangle] + below
    a, b, c = triangles.edges[:, :, triangle]
    height = b * y + c
    crossing = -height / a
    beside = (height > 0) | ((height == 0) & (b > 0))  # for a level edge: is the row on its inner side
    left = torch.where(a > 0, crossing, torch.where((a < 0) | beside, -torch.inf, torch.inf)).amax(0)
    right = torch.where(a < 0, crossing, torch.inf).amin(0)
    x = left.ceil().clamp(0, size)
    count = (right.ceil().clamp(0, size) - x).clamp(min=0).long()
    keep = count.nonzero().squeeze(1)
    triangle, x, y, count = triangle[keep], x[keep], y[keep], count[keep]

    slope, down, level = triangles.planes[:, :, triangle].unbind(1)
    start = slope * x + down * y + level
    line = torch.stack([start[0], *slope]).div(start[1]).float().T.contiguous()
    pixel = (triangles.view[triangle] * size + y) * size + x.long()
    for part in pieces(count):
        row, offset = expand(count[part])
        row = row + part.start
        level, rise, fall = line[row].unbind(1)
        depth = (level + rise * offset) / (1 + fall * offset)
        buffer.add(pixel[row] + offset, depth, triangles.face[triangle[row]])
    return len(below) + int(count.sum())
