"""Normals of corners, compiled; like `basrelief.render.normals`, but only for the faces that are asked for."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from basrelief.render.fast.compile import compiled
from basrelief.render.normals import CREASE, MOST_CORNERS

COSINE = math.cos(math.radians(CREASE))


class Surface(NamedTuple):
    """A mesh and which corners meet.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64.
        normals: (F, 4) float64, by the right-hand rule, with twice the area as length, and that length.
        place: (V,) int32, equal for vertices at the same position.
        start: (P + 1,) int64, where the corners of each place begin in `around`.
        around: (3 F,) int32, the face of each corner, by place.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    place: np.ndarray
    start: np.ndarray
    around: np.ndarray


@compiled
def weld(vertices: np.ndarray, bits: np.ndarray, table: np.ndarray, first: np.ndarray, place: np.ndarray) -> int:
    """Number the positions in order of appearance.

    Args:
        vertices: (V, 3) float64.
        bits: The same memory as uint64.
        table: Scratch space for a hash table: int32, a power of two, at least 2 V.
        first: (V,) int32, scratch space.
        place: (V,) int32, the number of each vertex is written to.

    Returns:
        How many there are.
    """
    table[:] = -1
    slots, count = len(table), 0
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        mixed = np.uint64(0)
        for axis in range(3):
            part = bits[i, axis] if vertices[i, axis] != 0 else np.uint64(0)  # 0 and -0 are the same place
            mixed = (mixed ^ (part >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(32)
        slot = np.int64(mixed & np.uint64(slots - 1))
        while True:
            found = table[slot]
            if found < 0:
                table[slot] = count
                first[count] = i
                place[i] = count
                count += 1
                break
            at = first[found]
            if vertices[at, 0] == x and vertices[at, 1] == y and vertices[at, 2] == z:
                place[i] = found
                break
            slot = (slot + 1) & (slots - 1)
    return count


@compiled
def gather_corners(faces: np.ndarray, place: np.ndarray, start: np.ndarray, around: np.ndarray) -> None:
    """Sort the corners of all faces by place into `start` and `around`."""
    start[:] = 0
    for face in range(len(faces)):
        for corner in range(3):
            start[place[faces[face, corner]] + 1] += 1
    for number in range(1, len(start)):
        start[number] += start[number - 1]
    for face in range(len(faces)):
        for corner in range(3):
            at = place[faces[face, corner]]
            around[start[at]] = face
            start[at] += 1
    for number in range(len(start) - 1, 0, -1):
        start[number] = start[number - 1]
    start[0] = 0


@compiled
def face_normals(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> None:
    """Write the normal of each face, with twice its area as length, and that length."""
    for face in range(len(faces)):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        bx, by, bz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        normals[face, 0], normals[face, 1], normals[face, 2], normals[face, 3] = x, y, z, math.sqrt(x * x + y * y + z * z)


@compiled
def corner_normals(surface: Surface, face: int, found: np.ndarray) -> None:
    """Write the unit normals of the corners of one face into `found` (3, 3)."""
    normals = surface.normals
    least = COSINE * normals[face, 3]
    for corner in range(3):
        at = surface.place[surface.faces[face, corner]]
        low, high = surface.start[at], surface.start[at + 1]
        x, y, z = normals[face, 0], normals[face, 1], normals[face, 2]
        if high - low <= MOST_CORNERS:
            x, y, z = 0.0, 0.0, 0.0
            for entry in range(low, high):
                other = surface.around[entry]
                ox, oy, oz = normals[other, 0], normals[other, 1], normals[other, 2]
                inner = normals[face, 0] * ox + normals[face, 1] * oy + normals[face, 2] * oz
                if abs(inner) >= least * normals[other, 3]:
                    sign = 1.0 if inner > 0 else (-1.0 if inner < 0 else 0.0)
                    x, y, z = x + sign * ox, y + sign * oy, z + sign * oz
        size = max(math.sqrt(x * x + y * y + z * z), 1e-12)
        found[corner, 0], found[corner, 1], found[corner, 2] = x / size, y / size, z / size
