"""Colours of vertices from what trimesh's loaders give: vertex colours, face colours, materials or textures. Never a reason to fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from basrelief.limits import limits


def part_colors(part: Mapping[str, Any], *, linear: bool) -> np.ndarray | None:
    """Find the colour of each vertex of a part.

    Vertex colours come first, then the texture at the vertex, then the base colour of the material, then face colours.

    Args:
        part: Keyword arguments for a mesh, as trimesh's loaders return them.
        linear: Whether vertex and material colours are linear light (glTF); textures are sRGB always.

    Returns:
        (N, 3) floats in [0, 1], sRGB, or None where the part has no colour or a broken one.
    """
    count = len(part["vertices"])
    try:
        colors = _vertex_colors(part, linear=linear)
        if colors is None:
            colors = _material_colors(part.get("visual"), count, linear=linear)
        if colors is None:
            colors = _face_colors(part, count)
    except Exception:  # a broken texture raises whatever its decoder raises
        return None
    if colors is None or colors.shape != (count, 3) or not np.isfinite(colors).all():
        return None
    return colors.clip(0, 1)


def unit_range(colors: np.ndarray) -> np.ndarray:
    """Bring colours of any storage type to [0, 1].

    Args:
        colors: (N, 3 or 4) integers (their type's range) or floats (0 to 1, or 0 to 255 when any exceeds 1).

    Returns:
        (N, 3) floats.
    """
    rgb = np.asarray(colors)[:, :3]
    if rgb.dtype.kind in "ui":
        top = 255 if rgb.dtype.itemsize > 2 else np.iinfo(rgb.dtype).max
    else:
        top = 255 if len(rgb) and rgb.max() > 1 else 1
    scaled: np.ndarray = rgb / top
    return scaled


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


def _vertex_colors(part: Mapping[str, Any], *, linear: bool) -> np.ndarray | None:
    stored = part.get("vertex_colors")
    if stored is None:
        extra = getattr(part.get("visual"), "vertex_attributes", None)
        stored = extra["color"] if extra is not None and "color" in extra else None
    if stored is None or not len(stored):
        return None
    colors = unit_range(np.asarray(stored))
    return srgb_from_linear(colors) if linear else colors


def _material_colors(visual: Any, count: int, *, linear: bool) -> np.ndarray | None:  # noqa: ANN401 - trimesh is not typed
    material = getattr(visual, "material", None)
    if material is None:
        return None
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None)
    factor = getattr(material, "diffuse", None) if factor is None else factor
    if image is not None and visual.uv is not None and len(visual.uv) == count and image.width * image.height <= limits().texture_pixels:
        from trimesh.visual.color import uv_to_color

        if image.size != (2, 2):  # trimesh's stand-in for a missing material
            return unit_range(np.asarray(uv_to_color(visual.uv, image)))
    if factor is None or getattr(image, "size", None) == (2, 2):
        return None
    rgb = unit_range(np.atleast_2d(np.asarray(factor)))
    return np.repeat(srgb_from_linear(rgb) if linear else rgb, count, axis=0)


def _face_colors(part: Mapping[str, Any], count: int) -> np.ndarray | None:
    stored, faces = part.get("face_colors"), part.get("faces")
    if stored is None or faces is None or len(stored) != len(faces) or np.ndim(faces) != 2:
        return None
    colors, corners = unit_range(np.asarray(stored)), np.asarray(faces).T
    total, hits = np.zeros((count, 3)), np.zeros((count, 1))
    for corner in corners:
        np.add.at(total, corner, colors)
        np.add.at(hits, corner, 1)
    return np.divide(total, np.maximum(hits, 1))
