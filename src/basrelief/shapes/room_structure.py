"""Floor, walls with doors and windows, and ceiling of a generated room: floor at z = 0, a corner of its rectangle at the origin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from basrelief.shapes.parts import chance, pick, wood
from basrelief.shapes.primitives import Color, Solid, box

FLOOR, WALL, CEILING = 1, 2, 3
"""Codes of `Room.surfaces`; 0 is everything else."""

_WALLS: tuple[Color, ...] = ((0.9, 0.89, 0.86), (0.82, 0.86, 0.88), (0.88, 0.84, 0.76), (0.78, 0.82, 0.76), (0.93, 0.93, 0.93))
_FLOORS: tuple[Color, ...] = ((0.62, 0.47, 0.33), (0.5, 0.36, 0.25), (0.7, 0.68, 0.65), (0.55, 0.55, 0.56), (0.75, 0.62, 0.46))
_WHITE: Color = (0.94, 0.94, 0.94)
_REVEAL = 0.14


@dataclass(frozen=True)
class Wall:
    """A wall, seen from above.

    Attributes:
        start: (x, y) of its left end as seen from outside.
        end: (x, y) of its other end.
    """

    start: tuple[float, float]
    end: tuple[float, float]

    @property
    def length(self) -> float:
        """Length in metres."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    @property
    def along(self) -> np.ndarray:
        """Unit vector (2,) from start to end."""
        step: np.ndarray = np.array([self.end[0] - self.start[0], self.end[1] - self.start[1]]) / self.length
        return step

    @property
    def normal(self) -> np.ndarray:
        """Unit vector (2,) into the room."""
        x, y = self.along
        return np.array([-float(y), float(x)])

    def at(self, offset: float, away: float = 0.0) -> np.ndarray:
        """Return the point (2,) at a distance from the start and away from the wall."""
        point: np.ndarray = np.array(self.start) + offset * self.along + away * self.normal
        return point


@dataclass(frozen=True)
class Opening:
    """A door or window: the wall's number, left and right edge along the wall, lower and upper edge, metres."""

    wall: int
    left: float
    right: float
    low: float
    high: float

    @property
    def is_door(self) -> bool:
        """Whether it starts at the floor."""
        return self.low == 0


@dataclass(frozen=True)
class Shell:
    """The empty room.

    Attributes:
        size: Extent of the rectangle along x and y.
        notch: (x0, y0, x1, y1) of the missing corner of an L-shaped room, or None.
        height: Of the walls.
        ceiling: Whether there is a ceiling.
        walls: Counter-clockwise seen from above.
        openings: Doors and windows.
    """

    size: tuple[float, float]
    notch: tuple[float, float, float, float] | None
    height: float
    ceiling: bool
    walls: tuple[Wall, ...]
    openings: tuple[Opening, ...]

    @property
    def outline(self) -> Float[np.ndarray, "corners 2"]:
        """Corners of the floor, counter-clockwise."""
        return np.array([wall.start for wall in self.walls])

    def contains(self, points: Float[np.ndarray, "n 2"], margin: float = 0.0) -> bool:
        """Return whether all corners of a convex footprint are inside, and none of it in the missing corner."""
        low, high = points.min(axis=0), points.max(axis=0)
        if (low < margin).any() or (high > np.array(self.size) - margin).any():
            return False
        if self.notch is None:
            return True
        x0, y0, x1, y1 = self.notch
        return not footprints_overlap(points, rectangle(((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0)), gap=margin)


def rectangle(center: tuple[float, float] | np.ndarray, size: tuple[float, float] | np.ndarray, yaw: float = 0.0) -> np.ndarray:
    """Return the corners (4, 2) of a rectangle turned by `yaw`, counter-clockwise."""
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * size
    c, s = np.cos(yaw), np.sin(yaw)
    turned: np.ndarray = corners @ np.array([[c, s], [-s, c]]) + center
    return turned


def footprints_overlap(first: np.ndarray, second: np.ndarray, *, gap: float = 0.0) -> bool:
    """Return whether two rectangles (4, 2) come closer than `gap`, by the axes of both (separating axis theorem)."""
    for corners in (first, second):
        for i in (0, 1):
            axis = corners[i + 1] - corners[i]
            axis = axis / max(float(np.hypot(*axis)), 1e-12)
            a, b = first @ axis, second @ axis
            if a.max() + gap <= b.min() or b.max() + gap <= a.min():
                return False
    return True


def make_shell(r: Generator, *, width: tuple[float, float], windows: tuple[int, int], l_shaped: float) -> Shell:
    """Choose size, outline, doors and windows of a room."""
    x, y = r.uniform(*width), r.uniform(*width)
    notch = None
    corners = [(0.0, 0.0), (x, 0.0), (x, y), (0.0, y)]
    if chance(r, l_shaped) and min(x, y) > 3.4:
        w, d = r.uniform(0.25, 0.45) * x, r.uniform(0.25, 0.45) * y
        corner = int(r.integers(4))
        at_right, at_top = corner in (1, 2), corner in (2, 3)
        notch = (x - w if at_right else 0.0, y - d if at_top else 0.0, x if at_right else w, y if at_top else d)
        inner = (x - w if at_right else w, y - d if at_top else d)
        ends = [(corners[corner][0], inner[1]), (inner[0], corners[corner][1])]
        before, after = ends if corner in (0, 2) else ends[::-1]
        corners[corner : corner + 1] = [before, inner, after]
    walls = tuple(Wall(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True))
    openings = _openings(r, walls, doors=int(r.integers(1, 3)), windows=int(r.integers(windows[0], windows[1] + 1)))
    return Shell((x, y), notch, r.uniform(2.4, 3.0), chance(r, 0.6), walls, openings)


def _openings(r: Generator, walls: tuple[Wall, ...], *, doors: int, windows: int) -> tuple[Opening, ...]:
    found: list[Opening] = []
    for number in range(doors + windows):
        door = number < doors
        wide = r.uniform(0.8, 1.0) if door else r.uniform(0.8, 1.8)
        low, high = (0.0, r.uniform(2.0, 2.12)) if door else (r.uniform(0.8, 1.05), r.uniform(2.0, 2.25))
        for _ in range(8):
            wall = int(r.integers(len(walls)))
            space = walls[wall].length - wide - 0.3
            left = 0.15 + r.uniform(0, 1) * max(space, 0)
            beside = [o for o in found if o.wall == wall and o.left < left + wide + 0.25 and left < o.right + 0.25]
            if space > 0 and not beside:
                found.append(Opening(wall, left, left + wide, low, high))
                break
    return tuple(found)


def build_shell(r: Generator, shell: Shell) -> list[tuple[Solid, int]]:
    """Build the surfaces of the empty room, each with its code: floor, walls, reveals, frames, door leaves, skirting and ceiling."""
    floor, paint = pick(r, _FLOORS), pick(r, _WALLS)
    parts = [(_slab(corners, 0.0, floor, up=True), FLOOR) for corners in _rectangles(shell)]
    if shell.ceiling:
        parts += [(_slab(corners, shell.height, _WHITE, up=False), CEILING) for corners in _rectangles(shell)]
    accent = int(r.integers(len(shell.walls))) if chance(r, 0.3) else -1
    other = pick(r, _WALLS)
    skirting = chance(r, 0.5)
    for number, wall in enumerate(shell.walls):
        openings = sorted((o for o in shell.openings if o.wall == number), key=lambda o: o.left)
        color = other if number == accent else paint
        parts += [(part, WALL) for part in _wall(wall, openings, shell.height, color)]
        for opening in openings:
            parts += [(part, WALL) for part in _filling(r, wall, opening)]
        if skirting:
            edges = [0.0, *(x for o in openings if o.is_door for x in (o.left - 0.04, o.right + 0.04)), wall.length]
            parts += [(_strip(wall, edges[i], edges[i + 1]), WALL) for i in range(0, len(edges), 2) if edges[i + 1] - edges[i] > 0.05]
    return parts


def _rectangles(shell: Shell) -> list[tuple[float, float, float, float]]:
    """The floor as one rectangle, or the two of an L."""
    x, y = shell.size
    if shell.notch is None:
        return [(0, 0, x, y)]
    x0, y0, x1, y1 = shell.notch
    beside = (0.0, x0) if x0 > 0 else (x1, x)
    return [(beside[0], 0, beside[1], y), (x0, 0, x1, y0) if y0 > 0 else (x0, y1, x1, y)]


def _slab(corners: tuple[float, float, float, float], z: float, color: Color, *, up: bool) -> Solid:
    x0, y0, x1, y1 = corners
    ring = np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], dtype=float)
    return _quad(ring if up else ring[::-1], color)


def _quad(corners: np.ndarray, color: Color) -> Solid:
    return Solid(corners, np.array([[0, 1, 2], [0, 2, 3]]), color)


def _panel(wall: Wall, left: float, right: float, low: float, high: float, color: Color) -> Solid:
    a, b = wall.at(left), wall.at(right)
    return _quad(np.array([[*a, low], [*a, high], [*b, high], [*b, low]]), color)


def _wall(wall: Wall, openings: list[Opening], height: float, color: Color) -> list[Solid]:
    """Panels around the openings, and the four sides of each opening, which lead outwards."""
    parts, at = [], 0.0
    for o in openings:
        parts += [_panel(wall, at, o.left, 0, height, color), _panel(wall, o.left, o.right, o.high, height, color)]
        if not o.is_door:
            parts.append(_panel(wall, o.left, o.right, 0, o.low, color))
        at = o.right
        inner = np.array([[*wall.at(u), z] for u, z in ((o.left, o.low), (o.right, o.low), (o.right, o.high), (o.left, o.high))])
        outer = inner - np.array([*wall.normal, 0]) * _REVEAL
        for i in range(4):
            j = (i + 1) % 4
            parts.append(_quad(np.array([inner[i], outer[i], outer[j], inner[j]]), _WHITE))
    return [*parts, _panel(wall, at, wall.length, 0, height, color)]


def _filling(r: Generator, wall: Wall, o: Opening) -> list[Solid]:
    """A frame; bars of a window; the leaf of a door, unless it stands open."""
    middle, wide = wall.at((o.left + o.right) / 2, -0.09), o.right - o.left
    parts: list[Solid] = []
    if o.is_door:
        if chance(r, 0.65):
            parts.append(box((wide, 0.04, o.high), color=wood(r)))
            parts.append(box((0.12, 0.05, 0.02), (wide * 0.4, 0.045, 1.0), color=(0.3, 0.3, 0.3)))
    else:
        across = int(r.integers(1, 3))
        parts += [box((0.05, 0.05, o.high - o.low), (x, 0, o.low), color=_WHITE) for x in np.linspace(-wide / 2, wide / 2, across + 1)]
        parts += [box((wide, 0.05, 0.05), (0, 0, z), color=_WHITE) for z in (o.low, o.high - 0.05)]
        parts.append(box((wide, 0.1, 0.02), (0, 0.1, o.low), color=_WHITE))
    turn = float(np.degrees(np.arctan2(*wall.along[::-1])))
    return [part.turned("z", turn).moved((float(middle[0]), float(middle[1]), 0)) for part in parts]


def _strip(wall: Wall, left: float, right: float) -> Solid:
    """Skirting, 1 cm thick."""
    middle = wall.at((left + right) / 2, 0.005)
    turn = float(np.degrees(np.arctan2(*wall.along[::-1])))
    return box((right - left, 0.01, 0.07), color=_WHITE).turned("z", turn).moved((float(middle[0]), float(middle[1]), 0))
