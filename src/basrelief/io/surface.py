"""Join the materials, textures and vertex colours of the parts of a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from basrelief.appearance import Appearance, Material
from basrelief.io.colors import base_color, part_colors, unit_range, vertex_tints
from basrelief.io.textures import REPEAT
from basrelief.limits import limits

UNCOLORED = (0.8, 0.8, 0.8)  # for parts without colour in a file where others have some
_WHITE = (1.0, 1.0, 1.0, 1.0)
_BLEND_CUTOFF = 0.25  # of blended materials whose alpha varies
_INVISIBLE = 0.02  # alpha of blended materials that nobody would see
_MAX_FACE_COLORS = 1024  # materials made of the colours of faces
_FARTHEST = 1e6  # texture coordinate

Group = tuple[Mapping[str, Any], int]  # a part and the number of its instances


def is_invisible(part: Mapping[str, Any]) -> bool:
    """Return whether the alpha of a part is so low that nothing of it is drawn."""
    if not part.get("blend") and not part.get("cutoff"):
        return False
    return _opacity(part)[1] < max(float(part.get("cutoff", 0)), _INVISIBLE)


def join_colors(groups: Sequence[Group], count: int, *, linear: bool) -> np.ndarray | None:
    """Compute the vertex colours of each part once and repeat them for each of its instances.

    Args:
        groups: Each part and its number of instances.
        count: Number of vertices of all instances.
        linear: Whether material and vertex colours are linear light, as in glTF, and not sRGB.

    Returns:
        (count, 3) float32 in [0, 1], sRGB; None if no part has a colour.
    """
    found = [part_colors(part, linear=linear) for part, _ in groups]
    if all(colors is None for colors in found):
        return None
    if len(groups) == 1 and groups[0][1] == 1:
        return found[0]
    joined, at = np.empty((count, 3), dtype=np.float32), 0
    for i, (part, instances) in enumerate(groups):
        start, at = at, at + instances * len(part["vertices"])
        colors, found[i] = found[i], None
        joined[start:at].reshape(instances, -1, 3)[:] = UNCOLORED if colors is None else colors
    return joined


def join_appearance(groups: Sequence[Group], *, vertices: int, faces: int, linear: bool) -> Appearance | None:
    """Join materials, each different one once, with texture coordinates and vertex colours.

    Args:
        groups: Each part and its number of instances.
        vertices: Number of vertices of all instances.
        faces: Number of faces of all instances.
        linear: Whether material and vertex colours are linear light, as in glTF, and not sRGB.

    Returns:
        The appearance; None if colours of vertices say the same.
    """
    textured = [_is_textured(part) for part, _ in groups]
    if not any(textured) and not any(_cutoff(part) or _has_flat_faces(part) for part, _ in groups):
        return None
    materials = _Materials()
    tints = [_tints(part, linear=linear) for part, _ in groups]
    ids = np.empty(faces, dtype=np.int32)
    uv = np.zeros((vertices, 2), dtype=np.float32) if any(textured) else None
    joined = np.ones((vertices, 4), dtype=np.float32) if any(tint is not None for tint in tints) else None
    vertex = face = 0
    for (part, instances), has_texture, tint in zip(groups, textured, tints, strict=True):
        rows = slice(vertex, vertex := vertex + instances * len(part["vertices"]))
        of = slice(face, face := face + instances * len(part["faces"]))
        ids[of].reshape(instances, -1)[:] = materials.of(part, textured=has_texture, linear=linear)
        if uv is not None and has_texture:
            uv[rows].reshape(instances, -1, 2)[:] = np.nan_to_num(part["uv"], posinf=0, neginf=0).clip(-_FARTHEST, _FARTHEST)
        if joined is not None and tint is not None:
            joined[rows].reshape(instances, -1, 4)[:] = np.nan_to_num(tint, nan=1).clip(0, 1)
    return Appearance(materials=materials.reduced(), material_ids=ids, uv=uv, tints=joined)


class _Materials:
    """Materials, each different one once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._materials: list[Material] = []
        self._pixels: list[np.ndarray | None] = []  # the texture of each

    def of(self, part: Mapping[str, Any], *, textured: bool, linear: bool) -> int | np.ndarray:
        """Return the number of the material of a part, or (F,) numbers where its faces have colours of their own."""
        if _has_flat_faces(part):
            packed, which = np.unique(_packed(part["face_colors"]), return_inverse=True)
            colors = [(*((color >> shift & 255) / 255 for shift in (16, 8, 0)), 1.0) for color in packed.tolist()]
            return np.array([self._number(color) for color in colors], dtype=np.int32)[which]
        plain = all(part.get(name) is None for name in ("color", "vertex_colors", "face_colors")) and not textured
        return self._number((*UNCOLORED, 1.0) if plain else base_color(part, linear=linear) or _WHITE, part, textured=textured)

    def reduced(self) -> tuple[Material, ...]:
        """Return the materials, with textures halved until all together are within the limit."""
        textures = {id(pixels): pixels for pixels in self._pixels if pixels is not None}
        while sum(pixels.size // 4 for pixels in textures.values()) > max(limits().kept_texture_pixels, len(textures)):
            textures = {key: _halved(pixels) for key, pixels in textures.items()}
        return tuple(
            replace(material, texture=None if pixels is None else textures[id(pixels)])
            for material, pixels in zip(self._materials, self._pixels, strict=True)
        )

    def _number(self, color: tuple[float, ...], part: Mapping[str, Any] | None = None, *, textured: bool = False) -> int:
        part = part or {}
        pixels = part["texture"].pixels if textured else None
        wrap = part.get("wrap", REPEAT) if textured else REPEAT
        material = Material(color, None, _cutoff(part), wrap, str(part.get("material", ""))[:200])  # type: ignore[arg-type]
        key = (id(pixels), *color, material.cutoff, wrap)
        if key not in self._numbers:
            self._numbers[key] = len(self._materials)
            self._materials.append(material)
            self._pixels.append(pixels)
        return self._numbers[key]


def _is_textured(part: Mapping[str, Any]) -> bool:
    uv, texture = part.get("uv"), part.get("texture")
    return texture is not None and uv is not None and np.shape(uv) == (len(part["vertices"]), 2) and texture.pixels is not None


def _has_flat_faces(part: Mapping[str, Any]) -> bool:
    """Return whether the faces have colours of their own, few enough for a material each."""
    colors, faces = part.get("face_colors"), part.get("faces")
    if colors is None or faces is None or np.ndim(colors) != 2 or len(colors) != len(faces) or np.shape(colors)[1] < 3:
        return False
    if part.get("color") is not None or part.get("vertex_colors") is not None or _is_textured(part):
        return False
    rgb = np.asarray(colors)[:, :3]
    return bool(rgb.dtype.kind in "uif" and np.isfinite(rgb).all() and 1 < len(np.unique(_packed(rgb))) <= _MAX_FACE_COLORS)


def _packed(colors: np.ndarray) -> np.ndarray:
    """Return each colour as one integer of 24 bits."""
    red, green, blue = np.rint(unit_range(colors).clip(0, 1) * 255).astype(np.int32).T
    packed: np.ndarray = red << 16 | green << 8 | blue
    return packed


def _tints(part: Mapping[str, Any], *, linear: bool) -> np.ndarray | None:
    """Return the colours of the vertices (N, 4), or those of the faces where they are too many for a material each."""
    count = len(part["vertices"])
    with suppress(Exception):  # broken colours raise whatever NumPy raises
        tints = vertex_tints(part, count, linear=linear)
        if tints is not None:
            return tints
        if part.get("face_colors") is not None and not _has_flat_faces(part) and part.get("color") is None and not _is_textured(part):
            colors = part_colors(part, linear=linear)
            return None if colors is None else np.concatenate([colors, np.ones((count, 1), dtype=np.float32)], axis=1)
    return None


def _opacity(part: Mapping[str, Any]) -> tuple[float, float]:
    """Return the lowest and the highest alpha of a part: base colour times texture times vertex colours."""
    low = high = (base_color(part, linear=False) or _WHITE)[3]
    if _is_textured(part):
        lowest, highest = part["texture"].alpha_range
        low, high = low * lowest, high * highest
    stored = part.get("vertex_colors")
    tints = _tints(part, linear=False) if stored is not None and np.shape(stored)[1:] == (4,) else None
    if tints is not None:
        alphas = np.nan_to_num(tints[:, 3], nan=1).clip(0, 1)
        low, high = low * float(alphas.min()), high * float(alphas.max())
    return low, high


def _cutoff(part: Mapping[str, Any]) -> float:
    """Return the alpha below which nothing of a part is drawn; 0 where that cuts nothing.

    A blended material is cut at 0.25, or at half of its highest alpha where that is less: leaves on cards are cut out, and glass of one
    low alpha stays visible.
    """
    if not part.get("blend") and not part.get("cutoff"):
        return 0.0
    low, high = _opacity(part)
    cutoff = min(_BLEND_CUTOFF, high / 2) if part.get("blend") else min(max(float(part["cutoff"]), 0.0), 1.0)
    return 0.0 if low >= cutoff or high < cutoff else cutoff


def _halved(texture: np.ndarray) -> np.ndarray:
    """Average blocks of 2 by 2 pixels; a single row or column stays."""
    for axis in (0, 1):
        size = texture.shape[axis] // 2 * 2
        if size:
            first, second = (np.take(texture, range(start, size, 2), axis=axis) for start in (0, 1))
            texture = ((first.astype(np.uint16) + second + 1) // 2).astype(np.uint8)
    return texture
