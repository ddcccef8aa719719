"""Vertex colours from vertex attributes, textures, materials or faces. Broken colours are dropped, never an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from basrelief.geometry.appearance import srgb_from_linear

_CHUNK = 1 << 20  # rows computed at a time


def part_colors(part: Mapping[str, Any], *, linear: bool) -> np.ndarray | None:
    """Return the colour of each vertex of a part.

    The first that exists wins: vertex colours, the texture at the vertex, the base colour of the material, face colours.

    Args:
        part: See `basrelief.io.mesh.Part`.
        linear: Whether vertex and material colours are linear light (glTF); textures are always sRGB.

    Returns:
        (N, 3) float32 in [0, 1], sRGB, or None if the part has no usable colours.
    """
    count = len(part["vertices"])
    try:
        colors = _vertex_colors(part, count, linear=linear)
        if colors is None:
            colors = _texture_colors(part, count)
        if colors is None:
            colors = _base_color(part, count, linear=linear)
        if colors is None:
            colors = _face_colors(part, count)
    except Exception:  # broken colours raise whatever NumPy raises
        return None
    if colors is None or colors.shape != (count, 3) or not np.isfinite(colors).all():
        return None
    return colors.clip(0, 1, out=colors)


def unit_range(colors: np.ndarray) -> np.ndarray:
    """Scale colours of any storage type to [0, 1].

    Args:
        colors: (N, 3 or 4) integers (their type's range) or floats (0 to 1, or 0 to 255 when any exceeds 1).

    Returns:
        (N, 3) floats.
    """
    rgb = np.asarray(colors)[:, :3]
    scaled: np.ndarray = rgb / _top(rgb)
    return scaled


def _top(rgb: np.ndarray) -> int:
    """Return the value that means full intensity."""
    if rgb.dtype.kind in "ui":
        return 255 if rgb.dtype.itemsize > 2 else int(np.iinfo(rgb.dtype).max)
    return 255 if len(rgb) and rgb.max() > 1 else 1


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


def _vertex_colors(part: Mapping[str, Any], count: int, *, linear: bool) -> np.ndarray | None:
    stored = part.get("vertex_colors")
    if stored is None or not len(stored):
        return None
    rgb = np.asarray(stored)[:, :3]
    if rgb.shape != (count, 3):
        return None
    colors, top = np.empty((count, 3), dtype=np.float32), _top(rgb)
    for rows in _chunks(count):
        light = rgb[rows].astype(np.float64) / top
        colors[rows] = srgb_from_linear(light) if linear else light
    return colors


def _texture_colors(part: Mapping[str, Any], count: int) -> np.ndarray | None:
    texture, uv = part.get("texture"), part.get("uv")
    if texture is None or uv is None or len(uv) != count:
        return None
    found = texture.colors_at(uv)
    return None if found is None else found.astype(np.float32) / 255


def _base_color(part: Mapping[str, Any], count: int, *, linear: bool) -> np.ndarray | None:
    stored = part.get("color")
    if stored is None:
        return None
    rgb = np.round(np.clip(np.asarray(stored[:3], dtype=np.float64), 0, 1) * 255) / 255
    return np.tile((srgb_from_linear(rgb) if linear else rgb).astype(np.float32), (count, 1))


def _face_colors(part: Mapping[str, Any], count: int) -> np.ndarray | None:
    """Return for each vertex the mean colour of its faces."""
    stored, faces = part.get("face_colors"), part.get("faces")
    if stored is None or faces is None or len(stored) != len(faces) or np.ndim(faces) != 2:
        return None
    rgb, corners = np.asarray(stored)[:, :3], np.asarray(faces)
    top = _top(rgb)
    hits = np.bincount(corners.ravel(), minlength=count)[:, None]
    total = np.stack([sum(np.bincount(corner, channel, count) for corner in corners.T) for channel in rgb.T], axis=1)
    mean: np.ndarray = (total / (np.maximum(hits, 1) * top)).astype(np.float32)
    return mean
