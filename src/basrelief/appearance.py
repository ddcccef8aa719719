"""How the surface of a mesh looks: materials, textures and vertex colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from basrelief.errors import GeometryError

Wrap = Literal["repeat", "mirror", "clamp"]
"""What a texture shows outside of its image."""


@dataclass(frozen=True, eq=False)
class Material:
    """How a part of a surface looks: a base colour times a texture.

    Attributes:
        color: Red, green, blue (sRGB) and alpha, each in [0, 1].
        texture: (H, W, 4) uint8 red, green, blue (sRGB) and alpha, the first row at the top; None if it has one colour.
        cutoff: Where alpha is below this, nothing is drawn; 0 draws everything.
        wrap: What the texture shows to the left and right, and below and above, of its image.
        name: As in the file.

    Raises:
        GeometryError: If the texture is no image, or a number lies outside [0, 1].
    """

    color: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    texture: UInt8[np.ndarray, "height width 4"] | None = None
    cutoff: float = 0.0
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    name: str = ""

    def __post_init__(self) -> None:
        """Check every field and make the texture read-only."""
        if len(self.color) != 4 or not all(0 <= value <= 1 for value in (*self.color, self.cutoff)):
            raise GeometryError(f"Material {self.name!r} has color {self.color} and cutoff {self.cutoff}; expected values in [0, 1].")
        if self.texture is None:
            return
        image = np.asarray(self.texture)
        if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8 or not image.size:
            raise GeometryError(f"texture has shape {image.shape} and dtype {image.dtype}; expected (H, W, 4) uint8. Convert it to RGBA.")
        object.__setattr__(self, "texture", readonly(image))


@dataclass(frozen=True, eq=False)
class Appearance:
    """The look of a mesh with V vertices and F faces: what is drawn is material times texture times tint, multiplied as linear light.

    Attributes:
        materials: At least one.
        material_ids: (F,) int32, the material of each face.
        uv: (V, 2) float32 texture coordinates, (0, 0) at the lower left of the image and (1, 1) at the upper right; None without textures.
        tints: (V, 4) float32 in [0, 1], vertex colours (sRGB and alpha) that multiply the material; None for white.

    Raises:
        GeometryError: If a dimension is wrong, a value is not finite, or a material does not exist.
    """

    materials: tuple[Material, ...]
    material_ids: Int32[np.ndarray, " faces"]
    uv: Float32[np.ndarray, "vertices 2"] | None = None
    tints: Float32[np.ndarray, "vertices 4"] | None = None

    def __post_init__(self) -> None:
        """Check every field and make the arrays read-only."""
        ids = np.asarray(self.material_ids)
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise GeometryError(f"material_ids has shape {ids.shape} and dtype {ids.dtype}; expected (F,) integers.")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self.materials):
            raise GeometryError(f"Faces use materials {ids.min()} to {ids.max()}, but there are only {len(self.materials)}.")
        object.__setattr__(self, "material_ids", readonly(ids.astype(np.int32, copy=False)))
        for name, width in (("uv", 2), ("tints", 4)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, readonly(_attribute(name, value, width)))

    @property
    def has_textures(self) -> bool:
        """Whether any material has a texture that can be drawn."""
        return self.uv is not None and any(material.texture is not None for material in self.materials)


def readonly(array: np.ndarray) -> np.ndarray:
    """Return a contiguous view of an array that cannot be written to."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _attribute(name: str, value: np.ndarray, width: int) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 2 or array.shape[1] != width or not np.isfinite(array).all():
        raise GeometryError(f"{name} has shape {array.shape}; expected (V, {width}) finite numbers, one row for each vertex.")
    return array.astype(np.float32, copy=False)
