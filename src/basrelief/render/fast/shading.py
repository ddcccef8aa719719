"""Light at each pixel, compiled; like `basrelief.render.shade`."""

# mypy: disable-error-code="arg-type, call-overload, no-any-return, operator, return-value"
# Numba knows the types of numbers, mypy does not.
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from basrelief.render.fast.compile import compiled, inlined
from basrelief.render.fast.geometry import View, barycentric, sight_line
from basrelief.render.fast.materials import MaterialArrays, surface_light, texture_level
from basrelief.render.fast.normals import Surface, corner_normals

STEPS = 4096
DEEPEST = 16.0


class Lights(NamedTuple):
    """A `Lighting`, and tables for its curves.

    Attributes:
        strength: (8,) float32: ambient, sky, headlight, directional, specular, shininess, occlusion, reflection.
        direction: (3,) float32, unit, towards the distant light, in the world frame.
        background: (S, S, 3) float32 or (1, 1, 3), sRGB.
        lines: (L, 2) int64, half lengths of the lines of ambient occlusion along rows and columns, pixels.
        border: The largest of these.
        steepness: (L,) float32, pixels per scene unit over half the length of each line.
        fold: (STEPS + 1,) float32, the darkening for depths from 0 to `DEEPEST`.
        gloss: (STEPS + 1,) float32, the highlight by the cosine.
        decode: (STEPS + 1,) float32, light of display values.
        encode: (STEPS + 1,) float32, display values by the square root of light.
        display: (STEPS + 1,) float32, light of the display by the square root of linear light that is encoded as sRGB.
    """

    strength: np.ndarray
    direction: np.ndarray
    background: np.ndarray
    lines: np.ndarray
    border: int
    steepness: np.ndarray
    fold: np.ndarray
    gloss: np.ndarray
    decode: np.ndarray
    encode: np.ndarray
    display: np.ndarray


@compiled
def shade_mesh(
    surface: Surface,
    materials: MaterialArrays,
    colors: np.ndarray,
    view: View,
    lights: Lights,
    depth: np.ndarray,
    item: np.ndarray,
    smooth: np.ndarray,
    ready: np.ndarray,
    picture: np.ndarray,
) -> None:
    """Light a rasterized mesh.

    Args:
        surface: The mesh.
        materials: Its materials; without faces if it has no appearance.
        colors: (V, 3) or (1, 3) float32 sRGB, used without an appearance.
        view: The camera.
        lights: The lights.
        depth: (S, S) float32.
        item: (S, S) int32.
        smooth: (F, 3, 3) float32, corner normals of the faces that are `ready`; more are written.
        ready: (F,) bool.
        picture: (P, P, 3) float32, is written to; S is a multiple of P.
    """
    fine = view.size // len(picture)
    share = np.float32(1 / (fine * fine))
    for up, across in np.ndindex((len(picture), len(picture))):
        red, green, blue = np.float32(0), np.float32(0), np.float32(0)
        for row in range(up * fine, (up + 1) * fine):
            for column in range(across * fine, (across + 1) * fine):
                face = item[row, column]
                if face < 0:
                    r, g, b = ground(lights, row, column)
                else:
                    if not ready[face]:
                        corner_normals(surface, face, smooth[face])
                        ready[face] = True
                    r, g, b = mesh_pixel(surface, materials, colors, view, lights, depth, face, smooth, row, column)
                red, green, blue = red + r, green + g, blue + b
        picture[up, across, 0], picture[up, across, 1], picture[up, across, 2] = red * share, green * share, blue * share


@inlined
def mesh_pixel(
    surface: Surface,
    materials: MaterialArrays,
    colors: np.ndarray,
    view: View,
    lights: Lights,
    depth: np.ndarray,
    face: int,
    n: np.ndarray,
    row: int,
    column: int,
) -> tuple[float, float, float]:
    """Return the display values of a pixel that sees a face whose corner normals are ready in `n`."""
    line = sight_line(view, row, column)
    i, j, k = surface.faces[face, 0], surface.faces[face, 1], surface.faces[face, 2]
    p, q, s = barycentric(surface.vertices, i, j, k, line)
    flat = surface.normals[face, 0] * line[3] + surface.normals[face, 1] * line[4] + surface.normals[face, 2] * line[5]
    side = -1.0 if flat > 0 else 1.0
    normal = (
        side * (p * n[face, 0, 0] + q * n[face, 1, 0] + s * n[face, 2, 0]),
        side * (p * n[face, 0, 1] + q * n[face, 1, 1] + s * n[face, 2, 1]),
        side * (p * n[face, 0, 2] + q * n[face, 1, 2] + s * n[face, 2, 2]),
    )
    if len(materials.material):
        material = materials.material[face]
        level = 0
        if materials.levels[material] > 1:
            area = surface.normals[face, 3]
            away = math.sqrt(line[3] * line[3] + line[4] * line[4] + line[5] * line[5])
            cosine = max(abs(flat) / max(area * away, 1e-30), 1e-6)
            nearness = depth[row, column] / view.distance if view.distance < math.inf else 1.0
            pixel = nearness / view.scale
            level = texture_level(materials, (i, j, k), material, area, pixel * pixel / cosine)
        red, green, blue, _ = surface_light(materials, (i, j, k), (p, q, s), material, level)
        light = rooted(lights.display, red), rooted(lights.display, green), rooted(lights.display, blue)
    elif len(colors) == 1:
        light = lookup(lights.decode, colors[0, 0]), lookup(lights.decode, colors[0, 1]), lookup(lights.decode, colors[0, 2])
    else:
        light = (
            lookup(lights.decode, p * colors[i, 0] + q * colors[j, 0] + s * colors[k, 0]),
            lookup(lights.decode, p * colors[i, 1] + q * colors[j, 1] + s * colors[k, 1]),
            lookup(lights.decode, p * colors[i, 2] + q * colors[j, 2] + s * colors[k, 2]),
        )
    return lit(lights, depth, row, column, normal, line, light)


@compiled
def shade_balls(
    centres: np.ndarray, colors: np.ndarray, view: View, lights: Lights, depth: np.ndarray, item: np.ndarray, picture: np.ndarray
) -> None:
    """Light rasterized balls, see `shade_mesh`; `colors` is (N, 3) or (1, 3)."""
    fine = view.size // len(picture)
    share = np.float32(1 / (fine * fine))
    for up, across in np.ndindex((len(picture), len(picture))):
        red, green, blue = np.float32(0), np.float32(0), np.float32(0)
        for row in range(up * fine, (up + 1) * fine):
            for column in range(across * fine, (across + 1) * fine):
                ball = item[row, column]
                if ball < 0:
                    r, g, b = ground(lights, row, column)
                else:
                    line, z, shown = sight_line(view, row, column), depth[row, column], min(ball, len(colors) - 1)
                    normal = (
                        line[0] + line[3] * z - centres[ball, 0],
                        line[1] + line[4] * z - centres[ball, 1],
                        line[2] + line[5] * z - centres[ball, 2],
                    )
                    light = (
                        lookup(lights.decode, colors[shown, 0]),
                        lookup(lights.decode, colors[shown, 1]),
                        lookup(lights.decode, colors[shown, 2]),
                    )
                    r, g, b = lit(lights, depth, row, column, normal, line, light)
                red, green, blue = red + r, green + g, blue + b
        picture[up, across, 0], picture[up, across, 1], picture[up, across, 2] = red * share, green * share, blue * share


@inlined
def lit(
    lights: Lights,
    depth: np.ndarray,
    row: int,
    column: int,
    normal: tuple[float, float, float],
    line: tuple[float, float, float, float, float, float],
    light: tuple[float, float, float],
) -> tuple[float, float, float]:
    """Return the display values of a point of linear colour `light`; its normal need not have unit length."""
    x, y, z = np.float32(normal[0]), np.float32(normal[1]), np.float32(normal[2])
    over = np.float32(1) / max(math.sqrt(x * x + y * y + z * z), np.float32(1e-12))
    x, y, z = x * over, y * over, z * over
    ex, ey, ez = np.float32(-line[3]), np.float32(-line[4]), np.float32(-line[5])
    over = np.float32(1) / math.sqrt(ex * ex + ey * ey + ez * ez)
    ex, ey, ez = ex * over, ey * over, ez * over
    direction, strength, none, half = lights.direction, lights.strength, np.float32(0), np.float32(0.5)
    lx, ly, lz = direction[0], direction[1], direction[2]
    lambert, facing = x * lx + y * ly + z * lz, x * ex + y * ey + z * ez
    white = strength[0] + strength[1] * (half + half * z) + strength[2] * max(facing, none) + strength[3] * max(lambert, none)
    shine = none
    if strength[4] > 0 and lambert > 0:  # the mirrored light against the eye
        shine = strength[4] * lookup(lights.gloss, (lambert + lambert) * facing - (lx * ex + ly * ey + lz * ez))
    if strength[6] > 0:
        white *= np.float32(1) - strength[6] * concavity(lights, depth, row, column)
    return (
        rooted(lights.encode, (light[0] + strength[7]) * white + shine),
        rooted(lights.encode, (light[1] + strength[7]) * white + shine),
        rooted(lights.encode, (light[2] + strength[7]) * white + shine),
    )


@inlined
def ground(lights: Lights, row: int, column: int) -> tuple[float, float, float]:
    """Return the background at a pixel."""
    picture = lights.background
    if len(picture) == 1:
        return picture[0, 0, 0], picture[0, 0, 1], picture[0, 0, 2]
    return picture[row, column, 0], picture[row, column, 1], picture[row, column, 2]


@inlined
def concavity(lights: Lights, depth: np.ndarray, row: int, column: int) -> float:
    """Estimate how concave the surface is at a pixel, in [0, 1]."""
    here, total, size = depth[row, column], np.float32(0), len(depth)
    border = lights.border
    inside = row >= border and row + border < size and column >= border and column + border < size
    for line in range(len(lights.lines)):
        y, x = lights.lines[line, 0], lights.lines[line, 1]
        if not inside and (row - y < 0 or row + y >= size or column - abs(x) < 0 or column + abs(x) >= size):
            continue
        t = (here - (depth[row - y, column - x] + depth[row + y, column + x]) * np.float32(0.5)) * lights.steepness[line]
        if t > 0:  # not where an end sees the background, whose depth is infinite
            total += lookup(lights.fold, t * np.float32(1 / DEEPEST))
    return total / np.float32(len(lights.lines))


@inlined
def rooted(table: np.ndarray, value: float) -> float:
    """Interpolate in a table over the square root of [0, 1]."""
    return lookup(table, math.sqrt(min(max(np.float32(value), np.float32(0)), np.float32(1))))


@inlined
def lookup(table: np.ndarray, place: float) -> float:
    """Interpolate in a table over [0, 1]."""
    at = min(max(np.float32(place), np.float32(0)), np.float32(1)) * np.float32(STEPS)
    first = min(np.int64(at), STEPS - 1)
    share = at - np.float32(first)
    return table[first] + (table[first + 1] - table[first]) * share
