"""Vertex colours from vertex attributes, textures, materials or faces. Broken colours are dropped, never an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from basrelief.geometry.appearance import linear_from_srgb, srgb_from_linear
from basrelief.io.textures import REPEAT

_CHUNK = 1 << 20  # rows computed at a time


def part_colors(part: Mapping[str, Any], *, linear: bool) -> np.ndarray | None:
    """Return the colour of each vertex of a part: texture times base colour times vertex colour, multiplied as linear light.

    Without any of them, the mean colour of the faces at the vertex.

    Args:
        part: See `basrelief.io.mesh.Part`.
        linear: Whether vertex and material colours are linear light (glTF); textures are always sRGB.

    Returns:
        (N, 3) float32 in [0, 1], sRGB, or None if the part has no usable colours.
    """
    count = len(part["vertices"])
    found: list[np.ndarray] = []
    for read in (_texture_colors, vertex_tints, _base_color):
        with suppress(Exception):  # broken colours raise whatever NumPy raises
            colors = read(part, count, linear=linear)
            if colors is not None and colors.shape[0] in (1, count) and np.isfinite(colors).all():
                found.append(colors[:, :3].clip(0, 1))
    if not found:
        with suppress(Exception):
            colors = _face_colors(part, count)
            return colors if colors is None or not np.isfinite(colors).all() else colors.clip(0, 1)
        return None
    return _product(found, count)


def base_color(part: Mapping[str, Any], *, linear: bool) -> tuple[float, float, float, float] | None:
    """Return the base colour of a part, sRGB and alpha in [0, 1]; None if it has none that is usable."""
    with suppress(Exception):
        stored = part.get("color")
        found = None if stored is None else np.asarray(stored, dtype=np.float64).clip(0, 1)
        if found is not None and found.ndim == 1 and len(found) in (3, 4) and np.isfinite(found).all():
            red, green, blue = (round(float(value), 6) for value in (srgb_from_linear(found[:3]) if linear else found[:3]))
            return red, green, blue, float(found[3]) if len(found) == 4 else 1.0
    return None


def vertex_tints(part: Mapping[str, Any], count: int, *, linear: bool) -> np.ndarray | None:
    """Return the colours stored for vertices.

    Args:
        part: See `basrelief.io.mesh.Part`.
        count: Number of vertices.
        linear: Whether the colours are linear light.

    Returns:
        (N, 4) float32, sRGB and alpha, not clipped; None if there are none.
    """
    stored = part.get("vertex_colors")
    if stored is None or not len(stored):
        return None
    values = np.asarray(stored)[:, :4]
    if values.shape not in ((count, 3), (count, 4)):
        return None
    tints, top = np.ones((count, 4), dtype=np.float32), _top(values)
    for rows in _chunks(count):
        light = values[rows].astype(np.float64) / top
        tints[rows, : values.shape[1]] = light
        if linear:
            tints[rows, :3] = srgb_from_linear(light[:, :3])
    return tints


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


def _product(factors: list[np.ndarray], count: int) -> np.ndarray:
    """Multiply sRGB colours, each of (N, 3) or (1, 3), as linear light; white ones change nothing."""
    factors = [factor for factor in factors if len(factor) > 1 or (factor < 1).any()] or factors[:1]
    if len(factors) == 1:
        return np.broadcast_to(factors[0], (count, 3)).astype(np.float32)
    colors = np.empty((count, 3), dtype=np.float32)
    for rows in _chunks(count):
        light = np.ones(3)
        for factor in factors:
            light = light * linear_from_srgb(factor if len(factor) == 1 else factor[rows])
        colors[rows] = srgb_from_linear(light)
    return colors


def _texture_colors(part: Mapping[str, Any], count: int, *, linear: bool) -> np.ndarray | None:
    texture, uv = part.get("texture"), part.get("uv")
    if texture is None or uv is None or len(uv) != count:
        return None
    found = texture.colors_at(uv, part.get("wrap", REPEAT))
    return None if found is None else found.astype(np.float32) / 255


def _base_color(part: Mapping[str, Any], _count: int, *, linear: bool) -> np.ndarray | None:
    color = base_color(part, linear=linear)
    return None if color is None else np.array([color], dtype=np.float32)


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
