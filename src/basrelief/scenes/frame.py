"""The frame of a scan: its unit and the direction of its walls; `up` finds which way is up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.errors import ConfigError, unknown_choice
from basrelief.types import Finding

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "ft": 0.3048}
"""Metres per unit."""

_LARGEST_ROOM = 80.0  # metres; more is taken for another unit
_CENTIMETRES = 1500.0  # a scan of a larger extent is in millimetres


def find_unit(extent: float, unit: str = "auto") -> tuple[float, Finding]:
    """Return the metres per unit of a scan, and what was assumed.

    Args:
        extent: Largest extent of the scan without outliers, in its unit.
        unit: One of `UNITS`, or `auto`: metres unless the scan would be larger than 80 m, else centimetres up to 1,500 and millimetres
            above.

    Raises:
        ConfigError: If the unit is unknown.
    """
    if unit != "auto":
        if unit not in UNITS:
            raise ConfigError(unknown_choice("unit", unit, ("auto", *UNITS)))
        return UNITS[unit], Finding("unit", "ok", f"{unit}, given by the caller: the scan is {extent * UNITS[unit]:.2f} m long.")
    found = "m" if extent <= _LARGEST_ROOM else "cm" if extent < _CENTIMETRES else "mm"
    size = extent * UNITS[found]
    fact = f"{found}: the scan is {extent:.4g} units long, so {size:.2f} m."
    if 0.2 <= size <= 30 and (found != "cm" or size > 3):
        return UNITS[found], Finding("unit", "ok", fact)
    return UNITS[found], Finding("unit", "warning", f"Assumed {fact}", f"Pass the unit if that is wrong: {', '.join(UNITS)}.")


@dataclass(frozen=True, eq=False)
class Surface:
    """A scan reduced to voxels with normals, in whatever frame.

    Attributes:
        points: (V, 3).
        normals: (V, 3), unit length, without a consistent sign.
        counts: (V,) points in each voxel.
        size: Edge of a voxel.
    """

    points: Float[np.ndarray, "voxels 3"]
    normals: Float[np.ndarray, "voxels 3"]
    counts: Int[np.ndarray, " voxels"]
    size: float

    def rotated(self, rotation: Float[np.ndarray, "3 3"]) -> Surface:
        """Return the surface in another frame."""
        return Surface(self.points @ rotation.T, self.normals @ rotation.T, self.counts, self.size)


def footprint(across: Float[np.ndarray, "voxels 2"], size: float) -> int:
    """Return how many cells of the ground have anything above them."""
    cells = np.floor((across - across.min(axis=0)) / size).astype(np.int64)
    return len(np.unique(cells[:, 0] * (int(cells[:, 1].max()) + 1) + cells[:, 1]))


def rotation_between(source: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Return the smallest rotation that maps one unit vector to another."""
    axis = np.cross(source, target)
    cosine = float(source @ target)
    if cosine < -1 + 1e-9:  # opposite: half a turn about any axis across
        across = np.linalg.svd(source[None])[2][1]
        return 2 * np.outer(across, across) - np.eye(3)
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation: np.ndarray = np.eye(3) + skew + skew @ skew / (1 + cosine)
    return rotation


def find_yaw(surface: Surface) -> tuple[float, Finding]:
    """Find the angle of the walls.

    Args:
        surface: The scan, +Z up.

    Returns:
        Radians in (-pi/4, pi/4] that the walls are turned counter-clockwise out of the axes, and what was found; 0 without clear walls.
    """
    level = np.abs(surface.normals[:, 2]) < 0.25
    quarter = np.pi / 2
    angles = np.arctan2(surface.normals[level, 1], surface.normals[level, 0]) % quarter
    bins = np.bincount((angles / quarter * 180).astype(np.int64) % 180, minlength=180).astype(np.float64)
    smooth = np.convolve(np.concatenate([bins[-4:], bins, bins[:4]]), np.ones(9) / 9, mode="valid")
    mode = (int(smooth.argmax()) + 0.5) / 180 * quarter
    for width in (np.radians(4), np.radians(2)):
        offsets = (angles - mode + quarter / 2) % quarter - quarter / 2
        inside = np.abs(offsets) < width
        mode += float(np.median(offsets[inside])) if inside.any() else 0.0
    strength = float(smooth.max() / max(smooth.mean(), 1e-12))
    if level.sum() < 50 or strength < 2:
        return 0.0, Finding(
            "walls", "warning", "No direction of walls stands out; the scan was not turned.", "Boxes may be larger than things."
        )
    yaw = (mode + quarter / 2) % quarter - quarter / 2
    degrees = float(np.degrees(yaw))
    fact = "Walls are along x and y." if abs(degrees) < 0.1 else f"Turned by {-degrees:.1f} degrees, so that walls are along x and y."
    return yaw, Finding("walls", "ok", fact)
