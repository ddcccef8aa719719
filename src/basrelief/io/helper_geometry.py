"""Find the parts of a scene that a viewer would not show: collision meshes, coarse levels of detail, skies, ground planes, hidden parts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

_COLLISION = re.compile(r"colli(?:der|sion)|^(?:UCX|UBX|USP|UCP)_|-(?:conv)?colonly\b", re.IGNORECASE)
_SKY = re.compile(r"(?:^|[^a-z])sky[ _-]?(?:box|dome|sphere|ball)?(?:$|[^a-z])", re.IGNORECASE)
_DETAIL = re.compile(r"^(?P<stem>.*?)[ _.-]?LOD[ _-]?(?P<level>\d+)(?:[._]\d+)?$", re.IGNORECASE)

_FLAT = 0.02  # thickness of a plane over its length
_GROUND_SIZE = 4  # sides of a ground plane over those of the rest
_SKY_SIZE = 8  # longest side of a sky over that of the rest
_INWARD = -0.6  # mean direction of the faces of a sky: -1 when all face its centre, 1 when all face away
_GAP = 0.02  # distance between two objects over the size of the scene
_MAX_COMPARED = 2000  # parts compared with each other
_MAX_OBJECT = 0.7  # longest side of one of several objects over that of the scene
_MIN_OBJECTS = 3
_MAX_FACES = 50_000  # faces of which the direction is computed
_CHUNK = 1 << 20  # faces marked at a time

_WORDS: Mapping[str, tuple[str, str]] = {
    "hidden": ("hidden part", "hidden parts"),
    "collision": ("collision mesh", "collision meshes"),
    "detail": ("coarser level of detail", "coarser levels of detail"),
    "sky": ("sky around the scene", "skies around the scene"),
    "ground": ("ground plane far larger than the rest", "ground planes far larger than the rest"),
}


@dataclass(frozen=True, eq=False)
class PlacedPart:
    """One instance of a part of a scene.

    Attributes:
        name: Names of its node and of the nodes above it, from the root down, joined by `/`; may be empty.
        vertices: (N, 3) positions.
        faces: (F, 3) indices, or None for points.
        matrix: (4, 4) transform of `vertices`.
        hidden: Whether the file marks it as not visible.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray | None
    matrix: np.ndarray
    hidden: bool = False

    def local_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners of the box around the vertices that faces use; NaN if there are none."""
        used = self.vertices
        if self.faces is not None:
            mask = np.zeros(len(self.vertices), dtype=bool)
            for start in range(0, len(self.faces), _CHUNK):
                faces = self.faces[start : start + _CHUNK]
                mask[faces[(faces >= 0) & (faces < len(mask))]] = True
            used = self.vertices if mask.all() else self.vertices[mask]
        if not len(used):
            return np.full(3, np.nan), np.full(3, np.nan)
        return used.min(axis=0).astype(np.float64), used.max(axis=0).astype(np.float64)

    def faces_inward(self) -> bool:
        """Return whether nearly all faces are turned to the centre of the part."""
        if self.faces is None or not len(self.faces):
            return False
        corners = self.vertices[self.faces[:: max(1, len(self.faces) // _MAX_FACES)]].astype(np.float64)
        corners -= (corners.min(axis=(0, 1)) + corners.max(axis=(0, 1))) / 2
        flow = np.linalg.det(corners) * np.sign(np.linalg.det(self.matrix[:3, :3]))
        return bool(flow.sum() < _INWARD * np.abs(flow).sum())


def shown_parts(parts: Sequence[PlacedPart]) -> tuple[list[int], tuple[str, ...]]:
    """Find the parts that a viewer would show.

    Left out are parts that the file hides; collision meshes (`*_collider`, `*collision*`, `UCX_*`, `UBX_*`, `USP_*`, `UCP_*`); coarser
    levels of detail (`*_LOD1` where `*_LOD0` or the name alone exists); a shell around everything that faces inward (a sky); and a flat
    part at one end of the scene, many times larger than everything else (a ground plane). A rule that would leave nothing is not applied.

    Args:
        parts: The parts; the same arrays may occur several times.

    Returns:
        Positions in `parts` of those that are shown, at least one, and a sentence for each kind of part that is not. One more sentence
        says if what is shown consists of several separate objects.
    """
    if len(parts) < 2:
        return list(range(len(parts))), ()
    scene = _Scene(parts)
    scene.leave_out("hidden", (i for i, part in enumerate(parts) if part.hidden))
    scene.leave_out("collision", (i for i, part in enumerate(parts) if any(_COLLISION.search(name) for name in part.name.split("/"))))
    scene.leave_out("detail", _coarse([part.name for part in parts], scene.left))
    scene.leave_out("sky", scene.one_of(scene.is_sky))
    scene.leave_out("ground", scene.one_of(scene.is_ground))
    return scene.left, scene.notes()


class _Scene:
    """The parts of a scene that are left.

    Attributes:
        helpers: Kind of each part that is left out.
    """

    def __init__(self, parts: Sequence[PlacedPart]) -> None:
        self.parts = parts
        self.helpers: dict[int, str] = {}

    @property
    def left(self) -> list[int]:
        """Positions of the parts that are not left out."""
        return [i for i in range(len(self.parts)) if i not in self.helpers]

    @cached_property
    def bounds(self) -> list[tuple[np.ndarray, np.ndarray] | None]:
        """The corners of each part, None if not finite; those of arrays that several parts share are computed once."""
        local: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        for part in self.parts:
            key = id(part.vertices), id(part.faces)
            if key not in local:
                local[key] = part.local_bounds()
        corners = np.array([local[id(part.vertices), id(part.faces)] for part in self.parts])
        matrices = np.array([part.matrix for part in self.parts])
        with np.errstate(invalid="ignore", over="ignore"):
            middle, half = corners.mean(axis=1), (corners[:, 1] - corners[:, 0]) / 2
            middle = np.einsum("nij,nj->ni", matrices[:, :3, :3], middle) + matrices[:, :3, 3]
            half = np.einsum("nij,nj->ni", np.abs(matrices[:, :3, :3]), half)
            low, high = middle - half, middle + half
            finite = np.isfinite(low).all(axis=1) & np.isfinite(high).all(axis=1)
        return [(low[i], high[i]) if finite[i] else None for i in range(len(low))]

    def leave_out(self, kind: str, found: Iterable[int]) -> None:
        """Leave out parts unless nothing would be left."""
        new = {i: kind for i in found if i not in self.helpers}
        if len(self.helpers) + len(new) < len(self.parts):
            self.helpers |= new

    def notes(self) -> tuple[str, ...]:
        """Say what is left out, and whether several objects are left."""
        notes = []
        for kind, count in Counter(self.helpers.values()).items():
            names = dict.fromkeys(self.parts[i].name.rpartition("/")[2][:60] for i, found in self.helpers.items() if found == kind)
            named = [name for name in names if name]
            listed = f": {', '.join(named[:3])}{', ...' if len(named) > 3 else ''}" if named else ""
            notes.append(f"{count:,} {_WORDS[kind][count > 1]} {'were' if count > 1 else 'was'} left out{listed}.")
        objects = self.count_objects()
        if objects >= _MIN_OBJECTS:
            notes.append(f"This file holds {objects:,} separate objects, which are read as one shape.")
        return tuple(notes)

    def one_of(self, test: Callable[[int, np.ndarray], bool]) -> list[int]:
        """Return the part that passes a test against the corners (N, 2, 3) of all others; at most one, because only the largest can."""
        left = [i for i in self.left if self.bounds[i] is not None]
        if len(left) < 2:
            return []
        corners = np.array([self.bounds[i] for i in left])
        largest = int(np.argmax(np.sort(corners[:, 1] - corners[:, 0], axis=1)[:, 1]))
        return [left[largest]] if test(left[largest], np.delete(corners, largest, axis=0)) else []

    def is_sky(self, index: int, others: np.ndarray) -> bool:
        """Return whether a part is a shell around all others; a ground plane may reach as far as it."""
        mine = self.bounds[index]
        if mine is None or (mine[0] > others[:, 0]).any() or (mine[1] < others[:, 1]).any():
            return False
        sizes = others[:, 1] - others[:, 0]
        flat = sizes.min(axis=1) <= _FLAT * np.median(sizes, axis=1)
        solid = others[~flat] if not flat.all() else others
        size, rest = mine[1] - mine[0], solid[:, 1].max(axis=0) - solid[:, 0].min(axis=0)
        if any(_SKY.search(name) for name in self.parts[index].name.split("/")):
            return bool((size > 1.5 * rest).all())
        large = size.max() > _SKY_SIZE * rest.max() and (size > _SKY_SIZE / 2 * rest).all() and size.min() > size.max() / 4
        return bool(large and self.parts[index].faces_inward())

    def is_ground(self, index: int, others: np.ndarray) -> bool:
        """Return whether a part is flat, lies at one end of the box of all others, and is many times as large."""
        mine, low, high = self.bounds[index], others[:, 0].min(axis=0), others[:, 1].max(axis=0)
        if mine is None or not (high - low).max() > 0:
            return False
        size, rest = mine[1] - mine[0], high - low
        axis = int(size.argmin())
        sides = np.delete(size, axis)
        if size[axis] > _FLAT * sides.min() or (sides < _GROUND_SIZE * np.delete(rest, axis)).any():
            return False
        sunk = 0.1 * rest[axis]
        return bool(mine[1][axis] <= low[axis] + sunk or mine[0][axis] >= high[axis] - sunk)

    def count_objects(self) -> int:
        """Count the groups of parts with a gap between them; 1 where one of them is most of the scene or there are too many parts."""
        left = [i for i in self.left if self.bounds[i] is not None]
        if not _MIN_OBJECTS <= len(left) <= _MAX_COMPARED:
            return 1
        corners = np.array([self.bounds[i] for i in left])
        low, high = corners[:, 0], corners[:, 1]
        extent = float((high.max(axis=0) - low.min(axis=0)).max())
        groups = _touching(low - _GAP * extent / 2, high + _GAP * extent / 2)
        largest = max(float((high[groups == group].max(axis=0) - low[groups == group].min(axis=0)).max()) for group in np.unique(groups))
        return len(np.unique(groups)) if largest < _MAX_OBJECT * extent else 1


def _coarse(names: Sequence[str], left: Sequence[int]) -> list[int]:
    """Return the parts whose name states a level of detail for which a finer one exists."""
    levels: dict[tuple[str, str], set[int]] = {}
    known: set[str] = set()
    found: dict[int, list[tuple[tuple[str, str], int]]] = {}
    for i in left:
        path = names[i].split("/")
        for depth, name in enumerate(path):
            above = "/".join(path[:depth])
            match = _DETAIL.match(name)
            if match is None:
                known.add(f"{above}/{name}".casefold())
                continue
            key, level = (above, match["stem"].casefold()), int(match["level"][:9])
            levels.setdefault(key, set()).add(level)
            found.setdefault(i, []).append((key, level))

    def finer(key: tuple[str, str], level: int) -> bool:
        return min(levels[key]) < level or (level > 0 and bool(key[1]) and f"{key[0]}/{key[1]}".casefold() in known)

    return [i for i, stated in found.items() if any(finer(key, level) for key, level in stated)]


def _touching(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return a group number for each of N boxes, the same for boxes that overlap directly or through others."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    overlap = np.ones((len(low), len(low)), dtype=bool)
    for axis in range(3):
        overlap &= (low[:, None, axis] <= high[None, :, axis]) & (high[:, None, axis] >= low[None, :, axis])
    groups: np.ndarray = connected_components(csr_matrix(overlap), directed=False)[1]
    return groups
