"""The z-buffer of triangles, compiled: the same pixels as `basrelief.render.mesh`, one triangle after the other."""

# mypy: disable-error-code="arg-type, call-overload, no-any-return, operator, return-value"
# Numba knows the types of numbers, mypy does not.
from __future__ import annotations

import math

import numpy as np

from basrelief.render.fast.compile import compiled, inlined
from basrelief.render.fast.geometry import View, barycentric, sight_line
from basrelief.render.fast.materials import MaterialArrays, surface_light


@compiled
def draw_triangles(
    vertices: np.ndarray,
    faces: np.ndarray,
    screen: np.ndarray,
    view: View,
    materials: MaterialArrays,
    depth: np.ndarray,
    item: np.ndarray,
    most: int,
) -> int:
    """Draw triangles in ascending order; return the number of rows and pixels, and stop when it exceeds `most`.

    Args:
        vertices: (V, 3) float64.
        faces: (F, 3) int64.
        screen: From `project`.
        view: The camera.
        materials: Materials; those with a cutoff are tested at each pixel.
        depth: (S, S) float32, is written to.
        item: (S, S) int32, is written to.
        most: Limit.
    """
    size, used = view.size, 0
    depth[:] = np.inf
    item[:] = -1
    for face in range(len(faces)):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        top, bottom, crosses = rows(screen, i, j, k, view)
        if top > bottom:
            continue
        used += bottom - top + 1
        edges = edge(screen, j, k), edge(screen, k, i), edge(screen, i, j)
        side = screen[i, 0] * edges[0][0] + screen[i, 1] * edges[0][1] + screen[i, 2] * edges[0][2]
        if used > most:
            return used
        if side == 0:
            continue
        if side < 0:
            edges = negative(edges[0]), negative(edges[1]), negative(edges[2])
        over, under = planes(screen, i, j, k, crosses, edges)
        test = len(materials.material) > 0 and materials.cutoff[materials.material[face]] > 0
        for row in range(top, bottom + 1):
            left, right = span(edges, float(row))
            first, last = min(max(np.ceil(left), 0.0), float(size)), min(max(np.ceil(right), 0.0), float(size))
            if not last > first:
                continue
            used += int(last - first)
            level, rise, fall = depth_along(over, under, first, row)
            start = int(first)
            for column in range(start, int(last)):
                offset = np.float32(column - start)
                z = (level + rise * offset) / (np.float32(1) + fall * offset)
                nearer = z < depth[row, column] and not (view.near > 0 and not z >= view.near)
                if nearer and not (test and hidden(vertices, i, j, k, face, view, materials, row, column)):
                    depth[row, column] = z
                    item[row, column] = face
    return used


@inlined
def rows(screen: np.ndarray, i: int, j: int, k: int, view: View) -> tuple[int, int, bool]:
    """Return the first and last row of a triangle, and whether it reaches behind the eye; nothing is drawn if the last comes first."""
    size = view.size
    if view.near > -math.inf:
        behind = int(screen[i, 4] <= view.near) + int(screen[j, 4] <= view.near) + int(screen[k, 4] <= view.near)
        if behind == 3:
            return 1, 0, True
        if behind > 0:
            return 0, size - 1, True
    x0, x1, x2 = screen[i, 0], screen[j, 0], screen[k, 0]
    if max(np.ceil(min(x0, x1, x2)), 0.0) > min(np.floor(max(x0, x1, x2)), size - 1.0):
        return 1, 0, False
    y0, y1, y2 = screen[i, 1], screen[j, 1], screen[k, 1]
    top, bottom = max(np.ceil(min(y0, y1, y2)), 0.0), min(np.floor(max(y0, y1, y2)), size - 1.0)
    return (int(top), int(bottom), False) if top <= bottom else (1, 0, False)


Line = tuple[float, float, float]
"""a, b, c of a x + b y + c."""


@inlined
def edge(screen: np.ndarray, p: int, q: int) -> Line:
    """Return the line through two corners."""
    return (
        screen[p, 1] * screen[q, 2] - screen[p, 2] * screen[q, 1],
        screen[p, 2] * screen[q, 0] - screen[p, 0] * screen[q, 2],
        screen[p, 0] * screen[q, 1] - screen[p, 1] * screen[q, 0],
    )


@inlined
def exact_edge(screen: np.ndarray, p: int, q: int) -> Line:
    """Return the line through two corners that are neither divided nor rounded."""
    return (
        screen[p, 6] * screen[q, 7] - screen[p, 7] * screen[q, 6],
        screen[p, 7] * screen[q, 5] - screen[p, 5] * screen[q, 7],
        screen[p, 5] * screen[q, 6] - screen[p, 6] * screen[q, 5],
    )


@inlined
def negative(line: Line) -> Line:
    """Return the line with its other side positive."""
    return -line[0], -line[1], -line[2]


@inlined
def weighted(lines: tuple[Line, Line, Line], a: float, b: float, c: float) -> Line:
    """Return a weighted sum of lines."""
    p, q, s = lines
    return p[0] * a + q[0] * b + s[0] * c, p[1] * a + q[1] * b + s[1] * c, p[2] * a + q[2] * b + s[2] * c


@inlined
def planes(screen: np.ndarray, i: int, j: int, k: int, crosses: bool, edges: tuple[Line, Line, Line]) -> tuple[Line, Line]:
    """Return two sums whose ratio is the depth."""
    if crosses:
        lines = exact_edge(screen, j, k), exact_edge(screen, k, i), exact_edge(screen, i, j)
        return weighted(lines, screen[i, 4], screen[j, 4], screen[k, 4]), weighted(lines, 1.0, 1.0, 1.0)
    a, b, c = screen[i, 3], screen[j, 3], screen[k, 3]
    return weighted(edges, a * screen[i, 4], b * screen[j, 4], c * screen[k, 4]), weighted(edges, a, b, c)


@inlined
def depth_along(over: Line, under: Line, first: float, row: int) -> tuple[float, float, float]:
    """Return a, b, c of the depth (a + b n) / (1 + c n) at the n-th pixel from `first` in a row, float32."""
    here = under[0] * first + under[1] * row + under[2]
    return np.float32((over[0] * first + over[1] * row + over[2]) / here), np.float32(over[0] / here), np.float32(under[0] / here)


@inlined
def span(edges: tuple[Line, Line, Line], row: float) -> tuple[float, float]:
    """Return where a row enters and leaves a triangle."""
    left, right = -math.inf, math.inf
    for a, b, c in edges:
        height = b * row + c
        if a > 0:
            left = max(left, -height / a)
        elif a < 0:
            right = min(right, -height / a)
        elif not (height > 0 or (height == 0 and b > 0)):  # horizontal, and the row is on its outer side
            left = math.inf
    return left, right


@inlined
def hidden(vertices: np.ndarray, i: int, j: int, k: int, face: int, view: View, materials: MaterialArrays, row: int, column: int) -> bool:
    """Return whether alpha is below the cutoff at a pixel."""
    material = materials.material[face]
    weights = barycentric(vertices, i, j, k, sight_line(view, row, column))
    return surface_light(materials, (i, j, k), weights, material, 0)[3] < materials.cutoff[material]
