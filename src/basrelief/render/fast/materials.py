"""Materials and textures, compiled; like `basrelief.render.textures`."""

# mypy: disable-error-code="arg-type, call-overload, no-any-return, operator, return-value"
# Numba knows the types of numbers, mypy does not.
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from basrelief.render.fast.compile import inlined


class MaterialArrays(NamedTuple):
    """The fields of `MaterialTable` and of an appearance that kernels read; arrays without rows where a mesh has none.

    Attributes:
        texels: (T, 4) uint8.
        first: (M, L) int64.
        width: (M, L) int32.
        height: (M, L) int32.
        levels: (M,) int32.
        wrap: (M, 2) int32.
        factor: (M, 4) float32.
        cutoff: (M,) float32.
        material: (F,) int32, material of each face.
        uv: (V, 2) float32.
        tints: (V, 4) float32, linear light and alpha.
        linear: (256,) float32, linear light of 8-bit sRGB values.
    """

    texels: np.ndarray
    first: np.ndarray
    width: np.ndarray
    height: np.ndarray
    levels: np.ndarray
    wrap: np.ndarray
    factor: np.ndarray
    cutoff: np.ndarray
    material: np.ndarray
    uv: np.ndarray
    tints: np.ndarray
    linear: np.ndarray


@inlined
def neighbours(place: float, size: int, wrap: int) -> tuple[int, int, float]:
    """Return the indices of the two texels around a place along an axis, and the share of the second."""
    if wrap == 2:
        place = min(max(place, 0.0), 1.0)
    else:
        period = 2.0 if wrap == 1 else 1.0
        place = min(max(place - np.floor(place * (1 / period)) * period, 0.0), period)
    at = place * size - 0.5
    first = int(np.floor(at))
    return wrapped(first, size, wrap), wrapped(first + 1, size, wrap), at - first


@inlined
def wrapped(index: int, size: int, wrap: int) -> int:
    """Return the texel that is shown at an index from -1 to twice the size."""
    if wrap == 2:
        return min(max(index, 0), size - 1)
    if wrap == 0:
        return index + size if index < 0 else (index - size if index >= size else index)
    index = index + 2 * size if index < 0 else (index - 2 * size if index >= 2 * size else index)
    return min(index, 2 * size - 1 - index)


@inlined
def texel(materials: MaterialArrays, at: int) -> tuple[float, float, float, float]:
    """Return light times alpha, and alpha."""
    texels, linear = materials.texels, materials.linear
    r, g, b = linear[texels[at, 0]], linear[texels[at, 1]], linear[texels[at, 2]]
    if texels[at, 3] == 255:
        return r, g, b, np.float32(1)
    alpha = texels[at, 3] * np.float32(1 / 255)
    return r * alpha, g * alpha, b * alpha, alpha


@inlined
def mixed(p: tuple[float, float, float, float], q: tuple[float, float, float, float], share: float) -> tuple[float, float, float, float]:
    """Interpolate between two texels."""
    return (
        p[0] + (q[0] - p[0]) * share,
        p[1] + (q[1] - p[1]) * share,
        p[2] + (q[2] - p[2]) * share,
        p[3] + (q[3] - p[3]) * share,
    )


@inlined
def surface_light(
    materials: MaterialArrays, corners: tuple[int, int, int], weights: tuple[float, float, float], material: int, level: int
) -> tuple[float, float, float, float]:
    """Return linear light and alpha of a point on a face."""
    i, j, k = corners
    p, q, s = weights
    red, green, blue, alpha = (
        float(materials.factor[material, 0]),
        float(materials.factor[material, 1]),
        float(materials.factor[material, 2]),
        float(materials.factor[material, 3]),
    )
    if len(materials.tints):
        t = materials.tints
        red *= p * t[i, 0] + q * t[j, 0] + s * t[k, 0]
        green *= p * t[i, 1] + q * t[j, 1] + s * t[k, 1]
        blue *= p * t[i, 2] + q * t[j, 2] + s * t[k, 2]
        alpha *= p * t[i, 3] + q * t[j, 3] + s * t[k, 3]
    first = materials.first[material, level]
    if len(materials.uv) and first > 0:
        u = p * materials.uv[i, 0] + q * materials.uv[j, 0] + s * materials.uv[k, 0]
        v = p * materials.uv[i, 1] + q * materials.uv[j, 1] + s * materials.uv[k, 1]
        width, height = materials.width[material, level], materials.height[material, level]
        left, right, across = neighbours(u, width, materials.wrap[material, 0])
        top, bottom, down = neighbours(1 - v, height, materials.wrap[material, 1])
        upper, lower = first + top * width, first + bottom * width
        r, g, b, a = mixed(
            mixed(texel(materials, upper + left), texel(materials, upper + right), across),
            mixed(texel(materials, lower + left), texel(materials, lower + right), across),
            down,
        )
        if a < 1:
            over = 1 / max(a, 1e-6)
            r, g, b = r * over, g * over, b * over
        red, green, blue, alpha = red * r, green * g, blue * b, alpha * a
    return red, green, blue, alpha


@inlined
def texture_level(materials: MaterialArrays, corners: tuple[int, int, int], material: int, area: float, footprint: float) -> int:
    """Return the mip level for a face whose parallelogram has `area`, at a pixel that shows `footprint` of it."""
    levels = materials.levels[material]
    if levels <= 1 or not len(materials.uv):
        return 0
    i, j, k = corners
    uv = materials.uv
    u1, v1 = float(uv[j, 0]) - float(uv[i, 0]), float(uv[j, 1]) - float(uv[i, 1])
    u2, v2 = float(uv[k, 0]) - float(uv[i, 0]), float(uv[k, 1]) - float(uv[i, 1])
    texels = abs(u1 * v2 - u2 * v1) * float(materials.width[material, 0]) * float(materials.height[material, 0])
    density = min(texels / max(area, 1e-30), 1e30)
    shown, level = density * footprint, 0
    while shown > 2 and level < levels - 1:  # the level at which a texel is nearest in area to what the pixel shows
        shown, level = shown / 4, level + 1
    return level
