"""Read stored depth maps, and say how their values are stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from basrelief.datasets.benchmark import open_depth_maps
from basrelief.errors import FileFormatError, GeometryError
from basrelief.io import load
from basrelief.types import Mesh

EMPTY = 0.999  # depth above which a pixel is background; the palest foreground of the known projections is about 0.992
_COARSE = {"float16": 1 / 255}
_LEVEL = 1e-4


@dataclass(frozen=True)
class MapFormat:
    """How depth maps are stored.

    Attributes:
        dtype: Type of the numbers.
        shape: (V, H, W), and C if there is an axis of channels.
        scale: What stands for 1: `1`, `255` or `65535`.
        levels: Whether all values are multiples of 1/255, as after a conversion to 8 bits.
        near: `dark` or `bright`; `unknown` in colour.
        colored: Whether the three channels differ.
        background: Stored value of the border, the first channel's.
    """

    dtype: str
    shape: tuple[int, ...]
    scale: int
    levels: bool
    near: str
    colored: bool
    background: float

    @property
    def tolerance(self) -> float:
        """Difference from an exact map that its storage explains."""
        return 1 / 255 + 1e-5 if self.levels else _COARSE.get(self.dtype, 1e-5)

    def __str__(self) -> str:
        """Describe it in a few words."""
        size = " x ".join(map(str, self.shape))
        values = "8-bit" if self.dtype == "uint8" else f"{self.dtype}{' of 256 levels' if self.levels else ''} up to {self.scale}"
        kind = "in colour" if self.colored else f"near {self.near}, background {self.background:g}"
        return f"{size}, {values}, {kind}"


@dataclass(frozen=True, eq=False)
class StoredMaps:
    """Depth maps of a file.

    Attributes:
        image: (V, S, S) depth in [0, 1], near dark, background 1, whatever is stored; of coloured maps 0 on the shape.
        colors: (V, S, S, 3) in [0, 1] of coloured maps.
        format: How they are stored.
    """

    image: Float32[np.ndarray, "views size size"]
    colors: Float32[np.ndarray, "views size size 3"] | None
    format: MapFormat


def read_maps(path: Path) -> StoredMaps:
    """Read depth maps.

    Raises:
        FileFormatError: If the file holds no square maps of numbers in [0, 1] or up to 255.
    """
    stored = open_depth_maps(path)
    if stored.shape[1] != stored.shape[2] or not stored.shape[1]:
        raise FileFormatError(
            f"{path.name} holds maps of {stored.shape[1]} x {stored.shape[2]} pixels; expected squares. Render them again."
        )
    scale = _scale(path, stored)
    values = np.asarray(stored, dtype=np.float32) / np.float32(scale)
    channels = values if values.ndim == 4 else values[..., None]
    colored = bool(np.abs(channels - channels[..., :1]).max() > 1.5 / 255)
    first = channels[..., 0]
    border = _border(channels)
    background = np.median(border, axis=0)
    dark = bool(background[0] >= 0.5)
    value = background[0] if colored else border.max() if dark else border.min()
    multiples = first * np.float32(255)
    form = MapFormat(
        dtype=str(stored.dtype),
        shape=stored.shape,
        scale=scale,
        levels=bool(np.abs(multiples - multiples.round()).max() < 255 * _LEVEL),
        near="unknown" if colored else "dark" if dark else "bright",
        colored=colored,
        background=round(float(value) * scale, 4),
    )
    if colored:
        empty = np.abs(channels - background).max(-1) <= 1.5 / 255
        return StoredMaps(empty.astype(np.float32), channels, form)
    return StoredMaps(np.ascontiguousarray(first if dark else 1 - first), None, form)


def read_cloud(path: Path) -> Float32[np.ndarray, "points 3"]:
    """Read the points of a cloud in the axes and the order of the file.

    Raises:
        FileFormatError: If the file cannot be read, or holds a mesh.
        GeometryError: If its points cannot be used.
    """
    shape = load(path, up="z")
    if isinstance(shape, Mesh):
        raise GeometryError(f"{path.name} holds a mesh; the maps were drawn from points. Use the point cloud.")
    return np.ascontiguousarray(shape.points, dtype=np.float32)


def foreground(image: Float32[np.ndarray, "*views size size"]) -> Bool[np.ndarray, "*views size size"]:
    """Return which pixels show the shape."""
    return image < EMPTY


def _scale(path: Path, stored: Shaped[np.ndarray, "views height width *channels"]) -> int:
    """Return what stands for 1."""
    low, high = float(stored.min()), float(stored.max())
    limit = 255 if stored.dtype.kind == "f" else np.iinfo(np.uint16).max
    if not (low >= -1e-6 and high <= limit):  # NaN is refused, too
        remedy = "If they were normalised with a mean and standard deviation, undo that."
        raise FileFormatError(f"{path.name} holds values from {low:g} to {high:g}; expected [0, 1] or 0 to 255. {remedy}")
    if stored.dtype.kind == "f":
        return 255 if high > 1 + 1e-3 else 1
    return 255 if high <= 255 else 65535


def _border(channels: Float32[np.ndarray, "views size size channels"]) -> Float32[np.ndarray, "pixels channels"]:
    rows, columns = channels[:, [0, -1]], channels[:, :, [0, -1]]
    return np.concatenate([side.reshape(-1, channels.shape[-1]) for side in (rows, columns)])
