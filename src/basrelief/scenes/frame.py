"""The frame of a scan: its unit, which way is up, and the direction of its walls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from basrelief.errors import ConfigError, unknown_choice
from basrelief.types import Finding

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "ft": 0.3048}
"""Metres per unit."""

_LARGEST_ROOM = 80.0  # metres; more is taken for another unit
_CENTIMETRES = 1500.0  # a scan of a larger extent is in millimetres
_SAME_AXIS = np.cos(np.radians(15))
_MODES, _MODE_ANGLE = 4, np.cos(np.radians(6))
_LEAST_SHARE = 0.06  # of all normals, for a direction that counts
_KEEP_AXIS = 0.35  # by how much another axis must be better than that of the file
_ENOUGH_FLOOR = 0.4  # share of the footprint; more of a floor or of a ceiling is no better evidence
_VIEW_CONE = np.cos(np.radians(50))


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
        size: Edge of a voxel.
    """

    points: Float[np.ndarray, "voxels 3"]
    normals: Float[np.ndarray, "voxels 3"]
    size: float

    def rotated(self, rotation: Float[np.ndarray, "3 3"]) -> Surface:
        """Return the surface in another frame."""
        return Surface(self.points @ rotation.T, self.normals @ rotation.T, self.size)


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


def dominant_normals(normals: Float[np.ndarray, "voxels 3"], *, seed: int = 0) -> Float[np.ndarray, "axes 3"]:
    """Return the axes that most normals share, most frequent first."""
    rng = np.random.default_rng(seed)
    left = normals[rng.permutation(len(normals))[:20_000]]
    total = len(left)
    axes: list[np.ndarray] = []
    while len(axes) < _MODES and len(left) > _LEAST_SHARE * total:
        tried = left[:1000]
        votes = (np.abs(left[:5000] @ tried.T) > _MODE_ANGLE).sum(axis=0)
        axis = tried[int(votes.argmax())]
        for _ in range(3):
            inside = left[np.abs(left @ axis) > _MODE_ANGLE]
            axis = np.linalg.svd(inside.T @ inside)[0][:, 0]
        near = np.abs(left @ axis)
        share = float((near > _MODE_ANGLE).sum()) / total
        if share < _LEAST_SHARE:
            break
        axes.append(axis)
        left = left[near < _SAME_AXIS]
    return np.array(axes).reshape(-1, 3)


def find_up(surface: Surface, *, given: bool = False, level: bool = True) -> tuple[Float[np.ndarray, " 3"], Finding]:
    """Find which way is up in a scan from its planes: a floor below everything else, and things that stand on it.

    Args:
        surface: The scan, +Z up as far as is known.
        given: Whether the user said so, in which case only a tilt up to 15 degrees is removed.
        level: Whether to remove such a tilt.

    Returns:
        The direction that points up, unit length, and what was found.
    """
    up = np.array([0.0, 0.0, 1.0])
    axes = dominant_normals(surface.normals)
    near = np.abs(axes @ up) > _SAME_AXIS if len(axes) else np.zeros(0, dtype=bool)
    kept = axes[near][0] * np.sign(axes[near][0] @ up) if near.any() else up
    tilt = float(np.degrees(np.arccos(min(1.0, float(kept @ up)))))
    if not given and len(axes):
        camera = _camera_up(surface.points)
        candidates = np.concatenate([axes, -axes])
        scores = np.array([_up_score(surface, axis) + (0 if camera is None else 2 * float(axis @ camera)) for axis in candidates])
        best = int(scores.argmax())
        stays = _up_score(surface, kept) + (0 if camera is None else 2 * float(kept @ camera)) + _KEEP_AXIS if near.any() else -np.inf
        if scores[best] > stays:
            reason = "The scan is one view of a camera" if camera is not None else "Planes of the scan"
            x, y, z = candidates[best]
            fact = f"{reason}: ({x:.2f}, {y:.2f}, {z:.2f}) seems to be up, not the assumed axis."
            return candidates[best], Finding("up axis", "warning", fact, "Pass the up axis if that is wrong.")
    if not level or tilt < 0.05:
        return up, Finding("up axis", "ok", "The floor is level." if near.any() else "No plane contradicts the up axis.")
    return kept, Finding("up axis", "ok", f"Levelled: horizontal planes are tilted by {tilt:.1f} degrees.")


def _up_score(surface: Surface, axis: np.ndarray) -> float:
    """Rate a direction as up: a plane below everything, open or less covered above, and most of what is between nearer to the plane."""
    height, size = surface.points @ axis, surface.size
    flat = np.abs(surface.normals @ axis) > 0.9
    low, high = np.percentile(height, [0.5, 99.5])
    rows = np.clip(((height - low) / size).astype(np.int64), 0, max(int((high - low) / size), 1))
    areas = np.convolve(np.bincount(rows[flat], minlength=rows.max() + 1), np.ones(3), mode="same")
    across = surface.points @ np.linalg.svd(axis[None])[2][1:].T
    footprint = len(np.unique(np.floor(across / size).astype(np.int64), axis=0))
    strong = np.flatnonzero(areas > 0.25 * areas.max())
    floor, top = int(strong[0]), int(strong[-1])
    below = float((rows < floor - 1).mean())
    above = float((rows > floor + 2).mean())
    lidded = top > floor + 4
    between = rows[flat & (rows > floor + 2) & ((rows < top - 2) | (not lidded))]
    lean = 0.5 - float((between - floor).mean()) / max(int(rows.max()) - floor, 1) if len(between) else 0.0
    bottom = min(areas[floor] / footprint, _ENOUGH_FLOOR)
    lid = min(areas[top] / footprint, _ENOUGH_FLOOR) if lidded else 0.0
    return float(bottom - 0.5 * lid + lean - 2 * below + 0.3 * min(above, 0.5))


def _camera_up(points: np.ndarray) -> np.ndarray | None:
    """Return the up direction of an upright camera at the origin that looks along z, if the scan is one view of such a camera."""
    distance = np.linalg.norm(points, axis=1)
    if distance.min() < 0.05 * distance.max():
        return None
    rays = points / distance[:, None]
    middle = rays.mean(axis=0)
    middle /= max(float(np.linalg.norm(middle)), 1e-12)
    if abs(middle[2]) < np.cos(np.radians(30)) or np.percentile(rays @ middle, 1) < _VIEW_CONE:
        return None
    return np.array([0.0, -np.sign(middle[2]), 0.0])


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
