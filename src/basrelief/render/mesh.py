"""Rasterize triangles to depth maps without a GPU driver or display: a z-buffer in plain torch, the same on CPU and CUDA.

Each triangle is split into image rows and each row into pixels: the interval between the crossings of its edges. Corners are first rounded
to 1/4096 pixel, so that crossings are exact in float64 and a pixel centre on a shared edge or corner belongs to exactly one of the
adjacent triangles: the one to its right, else the one below. Edges are planes through the eye (2D homogeneous rasterization, Olano & Greer
1997), so triangles that reach behind the eye need no clipping.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from basrelief.limits import limits
from basrelief.render import fast
from basrelief.render.cameras import Viewport
from basrelief.render.ops import dot
from basrelief.render.textures import SurfaceTable
from basrelief.render.zbuffer import CHUNK, Raster, ZBuffer, expand, overdraw_error, pieces
from basrelief.types import Mesh

SUBPIXELS = 4096


def rasterize_mesh(mesh: Mesh, viewport: Viewport, *, device: torch.device | str = "cpu") -> Raster:
    """Find the nearest face at every pixel of every view; faces are two-sided.

    Where the alpha of a face is below the cutoff of its material, what is behind it shows.

    Args:
        mesh: F faces, world frame, scene units.
        viewport: Cameras, size and extent of the images.
        device: Device to render on and of the result.

    Raises:
        GeometryError: If so many faces overlap that rendering would take minutes, see `Limits.overdraw`.
    """
    if fast.usable(device):
        from basrelief.render.fast.draw import rasterize_mesh as compiled

        return compiled(mesh, viewport)
    vertices, faces = mesh_tensors(mesh, device)
    numbers = torch.arange(len(faces), device=device)
    mask = _AlphaTest.of(mesh, viewport, device)
    buffer = ZBuffer(viewport, device)
    left = limits().overdraw * len(viewport.cameras) * viewport.size**2
    step = max(1, CHUNK // max(len(vertices), len(faces)))
    for first in range(0, len(viewport.cameras), step):
        screen = _Screen.of(vertices, viewport, slice(first, first + step))
        for part in torch.split(numbers, CHUNK):
            triangles = screen.triangles(faces[part], part, first)
            for piece in pieces(triangles.rows):
                left -= _draw_rows(triangles, piece, buffer, viewport.size, mask)
                if left < 0:
                    raise overdraw_error(len(faces))
    return buffer.resolve()


def mesh_tensors(mesh: Mesh, device: torch.device | str) -> tuple[Float[Tensor, "vertices 3"], Int64[Tensor, "faces 3"]]:
    """Return vertices (float64) and faces of a mesh on a device."""
    return torch.tensor(mesh.vertices, dtype=torch.float64, device=device), torch.tensor(mesh.faces, device=device)


def barycentric(mesh: Mesh, viewport: Viewport, raster: Raster) -> Float32[Tensor, "pixels 3"]:
    """Return barycentric coordinates of the point that each pixel sees.

    Args:
        mesh: The rasterized mesh.
        viewport: The images it was rasterized to.
        raster: The result of `rasterize_mesh`.

    Returns:
        In [0, 1], rows sum to 1, in the order of `raster.seen`.
    """
    vertices, faces = mesh_tensors(mesh, raster.item.device)
    weights = [torch.empty(0, 3, device=raster.item.device)]
    for pixels in torch.split(raster.seen, CHUNK):
        weights.append(_weights(vertices[faces[raster.item[tuple(pixels.T)]]], viewport, pixels).float())
    return torch.cat(weights)


def _weights(corners: Float[Tensor, "pixels 3 3"], viewport: Viewport, pixels: Int64[Tensor, "pixels 3"]) -> Float[Tensor, "pixels 3"]:
    """Return barycentric coordinates of the points where the sight lines of pixels meet the planes of triangles."""
    origin, direction = viewport.rays(pixels)
    a, b, c = (corners - origin[:, None]).unbind(1)
    volume = torch.stack([dot(direction, torch.linalg.cross(*pair)) for pair in ((b, c), (c, a), (a, b))])
    inside = (volume / (volume[0] + volume[1] + volume[2])).clamp(0, 1)
    total = inside[0] + inside[1] + inside[2]
    return torch.where(total > 0, inside / total, 1 / 3).T  # a triangle seen edge-on has no such point


class _AlphaTest:
    """Tells which fragments of a mesh are drawn."""

    def __init__(self, mesh: Mesh, viewport: Viewport, surface: SurfaceTable, device: torch.device | str) -> None:
        self._surface, self._viewport, self._masked = surface, viewport, surface.masked
        self._vertices, self._faces = mesh_tensors(mesh, device)

    @classmethod
    def of(cls, mesh: Mesh, viewport: Viewport, device: torch.device | str) -> _AlphaTest | None:
        """Return the test for a mesh, or None if all of it is drawn."""
        if mesh.appearance is None or not any(material.cutoff > 0 for material in mesh.appearance.materials):
            return None
        return cls(mesh, viewport, SurfaceTable(mesh, mesh.appearance, device), device)

    def drawn(self, pixel: Int64[Tensor, " n"], face: Int64[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Return whether fragments are drawn, from flat indices of pixels in (V, S, S) and indices of faces."""
        keep = torch.ones_like(pixel, dtype=torch.bool)
        rows = self._masked[face].nonzero().squeeze(1)
        if len(rows):
            size = self._viewport.size
            flat, chosen = pixel[rows], face[rows]
            pixels = torch.stack([flat // size**2, flat // size % size, flat % size], dim=1)
            weights = _weights(self._vertices[self._faces[chosen]], self._viewport, pixels)
            keep[rows] = ~self._surface.hidden(chosen, weights)
        return keep


@dataclass(frozen=True, eq=False)
class _Triangles:
    """Triangles in views, ready to be split into rows.

    Attributes:
        edges: (coefficient, edge, n): a, b, c of a x + b y + c, which is positive inside.
        planes: (2, coefficient, n): two such sums whose ratio is the depth.
        top: First row.
        rows: Number of rows.
        view: Index of the view.
        face: Index of the face.
    """

    edges: Float[Tensor, "3 3 n"]
    planes: Float[Tensor, "2 3 n"]
    top: Int64[Tensor, " n"]
    rows: Int64[Tensor, " n"]
    view: Int64[Tensor, " n"]
    face: Int64[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class _Screen:
    """Vertices projected into some views, float64.

    Attributes:
        exact: Homogeneous pixel coordinates.
        position: The same, divided by w and rounded for vertices in front of the eye.
        inverse: 1/w for vertices that were divided, 1 for others.
        depth: Along the view axis.
        front: Whether the vertex is in front of the eye.
        size: Side of an image, pixels.
    """

    exact: Float[Tensor, "3 views vertices"]
    position: Float[Tensor, "3 views vertices"]
    inverse: Float[Tensor, "views vertices"]
    depth: Float[Tensor, "views vertices"]
    front: Bool[Tensor, "views vertices"]
    size: int

    @classmethod
    def of(cls, vertices: Float[Tensor, "vertices 3"], viewport: Viewport, views: slice) -> _Screen:
        *xyw, depth = viewport.project(vertices, views)
        exact = torch.stack(xyw)
        front = depth > viewport.near
        inverse = torch.where(front, 1 / exact[2], 1.0)
        divided = torch.round(exact * (inverse * SUBPIXELS)) / SUBPIXELS
        return cls(exact, torch.where(front, divided, exact), inverse, depth, front, viewport.size)

    def triangles(self, faces: Int64[Tensor, "faces 3"], number: Int64[Tensor, " faces"], first: int) -> _Triangles:
        """Return every face in every view, except those that cover no pixel centre.

        Args:
            faces: Their corners.
            number: Their indices.
            first: Index of the first of these views.
        """
        views = torch.arange(len(self.depth), device=faces.device)
        corner = (faces.T[:, None] + views[:, None] * self.depth.shape[1]).flatten(1)
        front = self.front.flatten()[corner]
        crosses, behind = ~front.all(0), ~front.any(0)
        top, rows = _span(self.position[1].flatten()[corner], crosses, self.size)
        _, columns = _span(self.position[0].flatten()[corner], crosses, self.size)
        keep = ((rows > 0) & (columns > 0) & ~behind).nonzero().squeeze(1)
        edges, planes = self._equations(corner[:, keep], crosses[keep])
        view, face = first + keep // len(faces), number[keep % len(faces)]
        return _Triangles(edges, planes, top[keep], rows[keep], view, face)

    def _equations(
        self, corner: Int64[Tensor, "3 n"], crosses: Bool[Tensor, " n"]
    ) -> tuple[Float[Tensor, "3 3 n"], Float[Tensor, "2 3 n"]]:
        """Return edges and planes; those of triangles that cross the eye plane are unrounded, since their pixels lie outside."""
        position, inverse, depth = self.position.flatten(1)[:, corner], self.inverse.flatten()[corner], self.depth.flatten()[corner]
        edges = _opposite_edges(position)
        edges = edges * (position[:, 0] * edges[:, 0]).sum(0).sign()
        planes = torch.stack([(edges * (inverse * depth)).sum(1), (edges * inverse).sum(1)])
        behind = crosses.nonzero().squeeze(1)
        exact = _opposite_edges(self.exact.flatten(1)[:, corner[:, behind]])
        planes[:, :, behind] = torch.stack([(exact * depth[:, behind]).sum(1), exact.sum(1)])
        return edges, planes


def _opposite_edges(position: Float[Tensor, "3 3 n"]) -> Float[Tensor, "3 3 n"]:
    """Return for (coordinate, corner, n) the line through the other two corners: (coefficient, corner, n)."""
    edges: Tensor = torch.linalg.cross(position.roll(-1, 1), position.roll(-2, 1), dim=0)
    return edges


def _span(value: Float[Tensor, "3 n"], crosses: Bool[Tensor, " n"], size: int) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Return the first row (or column) between the extreme values, and how many there are; all of them where `crosses`."""
    first = value.amin(0).ceil().clamp(0, size).masked_fill(crosses, 0)
    last = value.amax(0).floor().clamp(-1, size - 1).masked_fill(crosses, size - 1)
    return first.long(), (last - first + 1).clamp(min=0).long()


def _draw_rows(triangles: _Triangles, piece: slice, buffer: ZBuffer, size: int, mask: _AlphaTest | None) -> int:
    """Split triangles into rows and pixels and add these to the buffer; return the number of rows and pixels."""
    triangle, below = expand(triangles.rows[piece])
    triangle = triangle + piece.start
    y = triangles.top[triangle] + below
    a, b, c = triangles.edges[:, :, triangle]
    height = b * y + c
    crossing = -height / a
    beside = (height > 0) | ((height == 0) & (b > 0))  # for a horizontal edge: whether the row is on its inner side
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
        place, face = pixel[row] + offset, triangles.face[triangle[row]]
        if mask is not None:
            drawn = mask.drawn(place, face)
            place, depth, face = place[drawn], depth[drawn], face[drawn]
        buffer.add(place, depth, face)
    return len(below) + int(count.sum())
