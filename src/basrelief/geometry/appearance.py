"""Colours of surfaces: sRGB and linear light, textures."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from basrelief.appearance import Material, Wrap
from basrelief.types import Mesh


def srgb_from_linear(linear: np.ndarray) -> np.ndarray:
    """Encode linear light as sRGB (IEC 61966-2-1).

    Args:
        linear: Values in [0, 1].

    Returns:
        Values in [0, 1].
    """
    light = np.clip(linear, 0, 1)
    encoded: np.ndarray = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return encoded


def linear_from_srgb(encoded: np.ndarray) -> np.ndarray:
    """Decode sRGB to linear light (IEC 61966-2-1).

    Args:
        encoded: Values in [0, 1].

    Returns:
        Values in [0, 1].
    """
    value: np.ndarray = np.clip(encoded, 0, 1)
    decoded: np.ndarray = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return decoded


def surface_colors(
    mesh: Mesh, faces: Int[np.ndarray, " points"], weights: Float[np.ndarray, "points 3"]
) -> Float32[np.ndarray, "points 4"]:
    """Return the colour of points on a mesh: base colour times texture times tint, multiplied as linear light.

    Textures are interpolated between the four nearest texels, in linear light. Where the material has a cutoff, alpha weighs the texels, so
    that hidden ones lend no colour; elsewhere the alpha of a texture is ignored. A mesh without an appearance has the colours of its
    vertices, interpolated as sRGB, or is white.

    Args:
        mesh: F faces.
        faces: Face of each point.
        weights: Barycentric coordinates of each point, rows sum to 1.

    Returns:
        sRGB and alpha, in [0, 1].
    """
    corners = mesh.faces[faces]
    look = mesh.appearance
    if look is None:
        rgb = np.ones((len(corners), 3)) if mesh.colors is None else blend_corners(mesh.colors[corners], weights)
        return np.concatenate([rgb.clip(0, 1), np.ones((len(corners), 1))], axis=1).astype(np.float32)
    light = np.ones((len(corners), 4))
    if look.tints is not None:
        light *= blend_corners(linear_light(look.tints)[corners], weights)
    uv = None if look.uv is None else blend_corners(look.uv[corners], weights)
    numbers = look.material_ids[faces]
    for number in np.unique(numbers):
        rows, material = numbers == number, look.materials[number]
        light[rows] *= linear_light(np.array(material.color, np.float64))
        if uv is not None and material.texture is not None:
            light[rows] *= _texture_light(visible_texture(material), material.wrap, uv[rows])
    return np.concatenate([srgb_from_linear(light[:, :3]), light[:, 3:].clip(0, 1)], axis=1).astype(np.float32)


def visible_texture(material: Material) -> UInt8[np.ndarray, "height width 4"]:
    """Return the texture of a material, white if it has none; opaque where the material has no cutoff."""
    texture = np.full((1, 1, 4), 255, np.uint8) if material.texture is None else material.texture
    if material.cutoff == 0 and (texture[..., 3] < 255).any():
        texture = texture.copy()
        texture[..., 3] = 255
    return texture


def linear_light(rgba: Float[np.ndarray, "*rows 4"]) -> Float[np.ndarray, "*rows 4"]:
    """Decode red, green and blue to linear light and keep alpha; float64."""
    return np.concatenate([linear_from_srgb(rgba[..., :3].astype(np.float64)), rgba[..., 3:]], axis=-1)


def blend_corners(
    values: Float[np.ndarray, "points 3 channels"], weights: Float[np.ndarray, "points 3"]
) -> Float[np.ndarray, "points channels"]:
    """Return weighted sums of the values at three corners."""
    blended: np.ndarray = np.einsum("nk,nkd->nd", weights, values)
    return blended


def _texture_light(
    texture: UInt8[np.ndarray, "height width 4"], wrap: tuple[Wrap, Wrap], uv: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "points 4"]:
    """Sample a texture bilinearly: linear light and alpha."""
    height, width = texture.shape[:2]
    left, right, across = _neighbours(uv[:, 0], width, wrap[0])
    top, bottom, down = _neighbours(1 - uv[:, 1], height, wrap[1])
    total = np.zeros((len(uv), 4))
    for row, column, share in (
        (top, left, (1 - down) * (1 - across)),
        (top, right, (1 - down) * across),
        (bottom, left, down * (1 - across)),
        (bottom, right, down * across),
    ):
        light = linear_light(texture[row, column] / 255)
        total += share * np.concatenate([light[:, :3] * light[:, 3:], light[:, 3:]], axis=1)
    return np.concatenate([total[:, :3] / np.maximum(total[:, 3:], 1e-6), total[:, 3:]], axis=1)


def _neighbours(place: np.ndarray, size: int, wrap: Wrap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the indices of the two texels around each place along an axis, and the share of the second as a column.

    Args:
        place: Texture coordinates; texel i has its centre at (i + 0.5) / size.
        size: Number of texels.
        wrap: What is beyond them.
    """
    period = {"repeat": 1.0, "mirror": 2.0}.get(wrap)
    inside = np.clip(place, 0, 1) if period is None else place % period
    at = inside * size - 0.5
    first = np.floor(at).astype(np.int64)
    indices = []
    for index in (first, first + 1):
        if wrap == "clamp":
            indices.append(index.clip(0, size - 1))
        elif wrap == "repeat":
            indices.append(index % size)
        else:
            folded = index % (2 * size)
            indices.append(np.minimum(folded, 2 * size - 1 - folded))
    return indices[0], indices[1], (at - first)[:, None]
