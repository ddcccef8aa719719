"""Cast the rays of virtual scanners against the faces of a room, by a z-buffer, and thin what they hit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.random import Generator

from basrelief.shapes.rooms import Room
from basrelief.types import Mesh

_SMALLEST_IMAGE, _LARGEST_IMAGE = 64, 2048
_RAYS_PER_SPACING = 1.25
_CUBE = 1.2  # side of a cube in spacings: a plane crosses up to 1.7 cubes per side squared


@dataclass(frozen=True, eq=False)
class Hits:
    """Points on faces that were seen from some position.

    Attributes:
        points: (N, 3) float64.
        faces: (N,) index of the face.
        eyes: (N,) index of the position.
    """

    points: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, " n"]
    eyes: Int[np.ndarray, " n"]

    def __getitem__(self, rows: Int[np.ndarray, " kept"] | Bool[np.ndarray, " n"]) -> Hits:
        """Return some of them, by indices or a mask."""
        return Hits(self.points[rows], self.faces[rows], self.eyes[rows])

    @staticmethod
    def concatenate(parts: list[Hits]) -> Hits:
        """Return the hits of all parts."""
        return Hits(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("points", "faces", "eyes")))


def face_normals(mesh: Mesh) -> Float[np.ndarray, "faces 3"]:
    """Return the unit normal of each face, float64; zero for faces without area."""
    a, b, c = mesh.vertices.astype(np.float64)[mesh.faces].swapaxes(0, 1)
    normals = np.cross(b - a, c - a)
    unit: np.ndarray = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return unit


def cast_rays(r: Generator, room: Room, eyes: Float[np.ndarray, "eyes 3"], *, spacing: float) -> Hits:
    """Look in all directions from each position and keep a random hit in each cube of 1.2 times `spacing`.

    Neighbouring rays are less than a spacing apart up to about 4 m from the eye (1.3 m for a tabletop).

    Args:
        r: Random generator.
        room: What is looked at.
        eyes: Positions.
        spacing: Wanted distance between points, metres.
    """
    reach = 1.0 if room.kind == "tabletop" else 3.0
    size = int(np.clip(2 * reach / spacing * _RAYS_PER_SPACING, _SMALLEST_IMAGE, _LARGEST_IMAGE))
    found = [_thin(r, _view(room.mesh, eye, rotation, size, i), spacing) for i, eye in enumerate(eyes) for rotation in _cube()]
    return _thin(r, Hits.concatenate(found), spacing)


def spacing_for(room: Room, eyes: Float[np.ndarray, "eyes 3"], points: int) -> float:
    """Return the spacing that leaves about `points` points, by two coarse trials: their number is proportional to 1 / spacing^2."""
    trial, r = (0.01 if room.kind == "tabletop" else 0.06), np.random.default_rng(0)
    for _ in range(2):
        found = len(cast_rays(r, room, eyes, spacing=trial).points)
        wanted = trial * np.sqrt(max(found, 1) / points)
        trial = float(np.clip(wanted, trial / 4, 1.0))
    return float(np.clip(wanted, 0.001, 1.0))


def _view(mesh: Mesh, eye: np.ndarray, rotation: np.ndarray, size: int, number: int) -> Hits:
    """Cast a ray through each pixel of one face of a cube around the eye."""
    from basrelief.render.base import Cameras
    from basrelief.render.cameras import Viewport
    from basrelief.render.mesh import rasterize_mesh

    viewport = Viewport(Cameras(rotation[None].astype(np.float32), 1.0), size, 1.0)
    moved = mesh.vertices.astype(np.float64) - eye - rotation[2]  # the camera sits one unit behind the origin
    raster = rasterize_mesh(Mesh(moved, mesh.faces), viewport)
    seen = raster.seen
    depth = raster.depth[tuple(seen.T)].numpy().astype(np.float64)[:, None]
    across = (seen[:, [2, 1]].numpy() - (size - 1) / 2) / (size / 2)
    points = eye + depth * (across @ rotation[:2] + rotation[2])
    return Hits(points, raster.item[tuple(seen.T)].numpy(), np.full(len(points), number))


def _cube() -> list[np.ndarray]:
    """World-to-camera rotations (rows right, down, forward) that look along the six directions of the axes."""
    views = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            forward, up = np.zeros(3), np.array([0.0, 0.0, 1.0]) if axis < 2 else np.array([1.0, 0.0, 0.0])
            forward[axis] = sign
            right = np.cross(forward, up)
            views.append(np.stack([right, np.cross(forward, right), forward]))
    return views


def _thin(r: Generator, hits: Hits, spacing: float) -> Hits:
    """Keep one point in each cube; the grid is shifted so that axis-parallel surfaces do not lie on its faces."""
    if not len(hits.points):
        return hits
    cells = np.floor(hits.points / (spacing * _CUBE) + (0.37, 0.41, 0.43)).astype(np.int64)
    cells -= cells.min(axis=0)
    extent = cells.max(axis=0) + 1
    keys = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]
    order = r.permutation(len(keys))
    return hits[order[np.unique(keys[order], return_index=True)[1]]]
