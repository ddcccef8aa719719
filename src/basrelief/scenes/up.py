"""Which way is up in a scan: its planes, what stands on them, and how a camera is held."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from basrelief.geometry.transforms import axis_rotation
from basrelief.geometry.voxels import connected_cells
from basrelief.scenes.frame import Surface, find_yaw, footprint, rotation_between
from basrelief.types import Finding

_SAME_AXIS = np.cos(np.radians(15))
_MODES, _MODE_ANGLE = 4, np.cos(np.radians(6))
_LEAST_SHARE = 0.06  # of all normals, for a direction that counts
_MARGIN = 0.35  # by which another axis must be better than that of the file
_ENOUGH_FLOOR = 0.4  # share of the footprint; more of a floor or of a ceiling is no better evidence
_SKIN = 0.08  # metres; what is nearer to the bounds of a room belongs to them
_TOUCH = 0.15  # metres from the bounds at which a thing touches them
_LEAST_THING = 10  # voxels
_LEAST_PLANE = 0.03  # of all voxels, for a bound to be a plane
_VIEW_CONE, _AHEAD = np.cos(np.radians(50)), np.cos(np.radians(30))
_PIXELS, _SPREAD, _LAYERED = 60, 1.15, 0.15  # directions across a view, ratio of distances in one, share of directions with more
_LEAST_UPRIGHT = 0.3  # cosine between the up of a camera and that of its scene
_UP = np.array([0.0, 0.0, 1.0])
_REMEDY = "Pass the up axis if that is wrong."


def find_up(surface: Surface, *, given: bool = False, level: bool = True) -> tuple[Float[np.ndarray, " 3"], Finding]:
    """Find which way is up in a scan.

    A scan by one camera, at the origin, is taken to be held upright, and its most visible plane that faces the camera from below is
    level. Otherwise the six directions of the walls are rated by a plane at the bottom, things that touch it, and openness at the top;
    the axis of the file stays unless another one is much better.

    Args:
        surface: The scan in metres, +Z up as far as is known.
        given: Whether the user said so, in which case only a tilt up to 15 degrees is removed.
        level: Whether to remove such a tilt.

    Returns:
        The direction that points up, unit length, and what was found.
    """
    axes = dominant_normals(surface.normals)
    near = np.abs(axes @ _UP) > _SAME_AXIS
    kept = axes[near][0] * np.sign(axes[near][0] @ _UP) if near.any() else _UP
    if not given and len(axes):
        camera = camera_up(surface.points)
        if camera is not None:
            return _of_view(surface, axes, camera)
        frame = _frame(surface, kept if near.any() else axes[0])
        scores = _scores(surface, frame)
        best = int(scores.argmax())
        direction = (frame[2], -frame[2], frame[0], -frame[0], frame[1], -frame[1])[best]
        if not near.any() or scores[best] > scores[0] + _MARGIN:
            return direction, Finding(
                "up axis", "warning", f"{_named(direction)} is up by the planes of the scan, not the assumed axis.", _REMEDY
            )
    tilt = float(np.degrees(np.arccos(min(1.0, float(kept @ _UP)))))
    if not level or tilt < 0.05:
        return _UP, Finding("up axis", "ok", "The floor is level." if near.any() else "No plane contradicts the up axis.")
    return kept, Finding("up axis", "ok", f"Levelled: horizontal planes are tilted by {tilt:.1f} degrees.")


def dominant_normals(normals: Float[np.ndarray, "voxels 3"], *, seed: int = 0) -> Float[np.ndarray, "axes 3"]:
    """Return the axes that most normals share, most frequent first."""
    rng = np.random.default_rng(seed)
    left = normals[rng.permutation(len(normals))[:20_000]]
    total = len(left)
    axes: list[np.ndarray] = []
    while len(axes) < _MODES and len(left) > _LEAST_SHARE * total:
        tried = left[:400]
        votes = (np.abs(left[:3000] @ tried.T) > _MODE_ANGLE).sum(axis=0)
        axis = tried[int(votes.argmax())]
        for _ in range(3):
            inside = left[np.abs(left @ axis) > _MODE_ANGLE]
            axis = np.linalg.svd(inside.T @ inside)[0][:, 0]
        near = np.abs(left @ axis)
        if float((near > _MODE_ANGLE).sum()) < _LEAST_SHARE * total:
            break
        axes.append(axis)
        left = left[near < _SAME_AXIS]
    return np.array(axes).reshape(-1, 3)


def camera_up(points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, " 3"] | None:
    """Return the up direction of an upright camera at the origin that looks along z, if the points are one view of such a camera."""
    distance = np.linalg.norm(points, axis=1)
    if np.percentile(distance, 0.1) < 0.05 * distance.max():
        return None
    rays = points / np.maximum(distance, 1e-12)[:, None]
    middle = rays.mean(axis=0)
    middle /= max(float(np.linalg.norm(middle)), 1e-12)
    if abs(middle[2]) < _AHEAD or np.percentile(rays @ middle, 1) < _VIEW_CONE:
        return None
    if _layered(rays, distance) > _LAYERED:
        return None
    return np.array([0.0, -np.sign(middle[2]), 0.0])


def _layered(rays: np.ndarray, distance: np.ndarray) -> float:
    """Return the share of directions in which there are points at different distances, unlike what one camera sees."""
    flat = rays[:, :2] / rays[:, 2:]
    low = flat.min(axis=0)
    cells = ((flat - low) / max(float((flat.max(axis=0) - low).max()), 1e-12) * _PIXELS).astype(np.int64) @ np.array([_PIXELS + 1, 1])
    farthest, nearest = np.zeros(cells.max() + 1), np.full(cells.max() + 1, np.inf)
    np.maximum.at(farthest, cells, distance)
    np.minimum.at(nearest, cells, distance)
    seen = farthest > 0
    return float((farthest[seen] > _SPREAD * nearest[seen]).mean())


def _of_view(surface: Surface, axes: np.ndarray, camera: np.ndarray) -> tuple[np.ndarray, Finding]:
    """Choose among the planes that face the camera the most visible one that may be level."""
    best, chosen = 0.0, camera
    solid_angle = 1 / np.maximum((surface.points**2).sum(axis=1), 1e-6)
    for axis in axes:
        on = np.abs(surface.normals @ axis) > _MODE_ANGLE
        side = -np.sign(float(np.median(surface.points[on] @ axis)))
        cosine = float(side * axis @ camera)
        visible = float(solid_angle[on].sum() / solid_angle.sum())
        if cosine > _LEAST_UPRIGHT and cosine + 2 * visible > best:
            best, chosen = cosine + 2 * visible, side * axis
    fact = f"The scan is one view of a camera; {_named(chosen)} is up if it was held upright."
    return chosen, Finding("up axis", "warning", fact, _REMEDY)


def _frame(surface: Surface, axis: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) to a frame with this axis as z and the planes around it along x and y."""
    turn = rotation_between(axis, _UP)
    rotation: np.ndarray = axis_rotation("z", -find_yaw(surface.rotated(turn))[0]) @ turn
    return rotation


def _scores(surface: Surface, frame: np.ndarray) -> np.ndarray:
    """Rate +z, -z, +x, -x, +y and -y of a frame as up."""
    turned = surface.rotated(frame)
    contacts = _contacts(turned)
    spans = np.ptp(np.percentile(turned.points, [1, 99], axis=0), axis=0)
    scores = []
    for axis in (2, 0, 1):
        for side in (1, -1):
            others = turned.points[:, [other for other in range(3) if other != axis]]
            plane = _plane_score(side * turned.points[:, axis], np.abs(turned.normals[:, axis]) > 0.9, others, surface.size)
            low = 0.3 if spans[axis] < 0.9 * np.delete(spans, axis).min() else 0.0
            scores.append(plane + low + contacts[axis, 0 if side == 1 else 1])
    return np.array(scores)


def _plane_score(height: np.ndarray, flat: np.ndarray, across: np.ndarray, size: float) -> float:
    """Rate a direction: a plane below everything, less covered above, and level surfaces between, nearer to the lower plane."""
    low, high = np.percentile(height, [0.5, 99.5])
    rows = np.clip(((height - low) / size).astype(np.int64), 0, max(int((high - low) / size), 1))
    areas = np.convolve(np.bincount(rows[flat], minlength=rows.max() + 1), np.ones(3), mode="same")
    ground = footprint(across, size)
    strong = np.flatnonzero(areas >= 0.25 * max(areas.max(), 1))
    if not len(strong):
        return -1.0
    floor, top = int(strong[0]), int(strong[-1])
    lidded = top > floor + 4
    between = rows[flat & (rows > floor + 2) & ((rows < top - 2) | (not lidded))]
    lean = 0.5 - float((between - floor).mean()) / max(int(rows.max()) - floor, 1) if len(between) else 0.0
    bottom = min(areas[floor] / ground, _ENOUGH_FLOOR)
    lid = min(areas[top] / ground, _ENOUGH_FLOOR) if lidded else 0.0
    return float(bottom - 0.5 * lid + lean - 2 * (rows < floor - 1).mean())


def _contacts(surface: Surface) -> np.ndarray:
    """Return for the lower and the upper bound along x, y and z (3, 2) the share of what is inside that touches it, if it is a plane."""
    bounds = np.percentile(surface.points, [1, 99], axis=0)
    skin = max(_SKIN, 1.5 * surface.size)
    inside = ((surface.points > bounds[0] + skin) & (surface.points < bounds[1] - skin)).all(axis=1)
    if not inside.any():
        return np.zeros((3, 2))
    points = surface.points[inside]
    cells = np.floor((points - points.min(axis=0)) / surface.size).astype(np.int64)
    of = connected_cells(cells)
    counts = np.bincount(of)
    things = counts * (counts >= _LEAST_THING)
    touched = np.zeros((3, 2))
    for axis in range(3):
        for side, sign in enumerate((1, -1)):
            nearest = np.full(len(counts), np.inf)
            np.minimum.at(nearest, of, sign * (points[:, axis] - bounds[side, axis]))
            flat = (np.abs(surface.normals[:, axis]) > 0.9) & (np.abs(surface.points[:, axis] - bounds[side, axis]) < skin)
            if flat.mean() > _LEAST_PLANE:
                touched[axis, side] = things[nearest < skin + _TOUCH].sum() / max(things.sum(), 1)
    return touched


def _named(direction: np.ndarray) -> str:
    """Name a direction by its axis, else by its coordinates."""
    axis = int(np.abs(direction).argmax())
    if abs(direction[axis]) > np.cos(np.radians(1)):
        return f"{'-' if direction[axis] < 0 else '+'}{'XYZ'[axis]}"
    return "({:.2f}, {:.2f}, {:.2f})".format(*direction)
