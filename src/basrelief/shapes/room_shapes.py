"""Shapes to furnish a generated room with: generated ones of a suitable size, or given ones scaled to a typical size."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int64
from numpy.random import Generator

from basrelief.errors import ConfigError
from basrelief.geometry import sample_surface
from basrelief.io import find_shapes, load
from basrelief.limits import limits
from basrelief.shapes.primitives import Solid, join
from basrelief.shapes.procedural import make_shape
from basrelief.shapes.room_layouts import Piece
from basrelief.shapes.room_sizes import TYPICAL_SIZES
from basrelief.types import Mesh

ShapeFile = Mesh | str | os.PathLike[str]
GivenShapes = Mapping[str, Sequence[ShapeFile]] | str | os.PathLike[str]

HELD_OUT = (500_000, 1_000_000)
"""First seeds of validation and of test rooms; a room takes shapes of its own range only."""

_NOT_STANDING = ("ceiling", "pendant", "wall ", "hanging", "chandelier")
_TRIES = 24
_GREY = 0.6


@dataclass(frozen=True, eq=False)
class Body:
    """A shape in its own frame: the front looks along -y, the footprint is centred at the origin, the base lies at z = 0.

    Attributes:
        vertices: (V, 3) float64, metres.
        faces: (F, 3).
        colors: (V, 3).
        size: (3,) extent along its own axes.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int64[np.ndarray, "faces 3"]
    colors: Float32[np.ndarray, "vertices 3"]
    size: Float[np.ndarray, "3"] = field(init=False)

    def __post_init__(self) -> None:
        """Centre the vertices."""
        low, high = self.vertices.min(axis=0), self.vertices.max(axis=0)
        object.__setattr__(self, "vertices", self.vertices - np.array([*(low + high)[:2] / 2, low[2]]))
        object.__setattr__(self, "size", high - low)

    @classmethod
    def from_mesh(cls, mesh: Mesh, scale: float = 1.0) -> Body:
        """Take over the triangles of a mesh; without colours it becomes grey."""
        colors = np.full((len(mesh.vertices), 3), _GREY, np.float32) if mesh.colors is None else mesh.colors
        return cls(mesh.vertices.astype(np.float64) * scale, mesh.faces, colors)

    @classmethod
    def from_solids(cls, solids: Sequence[Solid]) -> Body:
        """Join solids."""
        return cls.from_mesh(join(solids, name="parts"))

    @cached_property
    def surface(self) -> Float[np.ndarray, "n 3"]:
        """Points spread over the surface."""
        return sample_surface(Mesh(self.vertices, self.faces), 6000).points.astype(np.float64)

    @property
    def hangs(self) -> bool:
        """Whether it is a lamp that hangs from a ceiling: a wide shade below, and a cord above."""
        width = np.hypot(self.vertices[:, 0], self.vertices[:, 1])
        above = self.vertices[:, 2] > 0.7 * self.size[2]
        return bool(self.size[2] > 0.3 and width[above].max() < 0.06 and width[~above].max() > 0.07)

    def fits(self, piece: Piece) -> bool:
        """Return whether the size is in the limits of a piece, and a lamp hangs or stands as wanted."""
        pairs = ((self.size[2], piece.height), (self.size[:2].max(), piece.width), (self.size[1], piece.depth))
        return all(low <= value <= high for value, (low, high) in pairs) and self.hangs == (piece.place == "hanging")


@dataclass(frozen=True, eq=False)
class ShapeSource:
    """Where the shapes of a room come from.

    Attributes:
        first: Smallest seed of a generated shape.
        count: Seeds to choose from.
        given: Shapes by label, to use instead of generated ones.
    """

    first: int
    count: int
    given: Mapping[str, Sequence[ShapeFile]]

    @classmethod
    def of(cls, seed: int, shapes: GivenShapes | None) -> ShapeSource:
        """Choose the seeds for a room and list the given shapes.

        Raises:
            ConfigError: If a folder does not exist or holds no shapes, or a label has no shape.
        """
        end = min((start for start in HELD_OUT if start > seed), default=seed + 100_000)
        return cls(seed, min(end - seed, 100_000), _given(shapes))

    def choose(self, r: Generator, label: str, piece: Piece) -> Body | None:
        """Return a shape that fits a piece, or None if none of several tries does.

        Raises:
            ConfigError: If a given file is not a mesh.
        """
        files = self.given.get(label, ())
        for _ in range(_TRIES):
            if files:
                body = _scaled(r, label, _mesh(files[int(r.integers(len(files)))]))
            else:
                body = Body.from_mesh(make_shape(label, seed=self.first + int(r.integers(self.count))))
            if body.fits(piece) and not (files and piece.place == "hanging"):
                return body
        return None


def _given(shapes: GivenShapes | None) -> Mapping[str, Sequence[ShapeFile]]:
    if shapes is None:
        return {}
    if isinstance(shapes, Mapping):
        empty = [label for label, files in shapes.items() if not len(files)]
        if empty:
            raise ConfigError(f"There is no shape for {empty[0]!r}. Pass at least one mesh or file, or leave the label out.")
        return shapes
    root = Path(shapes)
    root = root / "shapes" if (root / "shapes").is_dir() else root
    if not root.is_dir():
        raise ConfigError(f"Folder '{shapes}' not found. Pass a folder with one folder of shapes for each label.")
    skipped = _wall_and_ceiling_pieces(Path(shapes) / "shapes.csv")
    folders = {folder.name.replace("_", " "): find_shapes([folder]) for folder in sorted(root.iterdir()) if folder.is_dir()}
    found = {label: kept for label, files in folders.items() if (kept := [file for file in files if file.stem not in skipped])}
    if not found:
        raise ConfigError(f"Folder '{shapes}' holds no folders of shapes. Make one folder for each label, e.g. chair/1.ply.")
    return found


def _wall_and_ceiling_pieces(table: Path) -> set[str]:
    """Names of files that cannot stand, by the column `fine_name` of a table of the shapes, if there is one."""
    if not table.is_file() or table.stat().st_size > limits().list_bytes:
        return set()
    with table.open(newline="", encoding="utf-8") as file:
        return {
            row["id"]
            for row in csv.DictReader(file)
            if any(word in (row.get("fine_name") or "") for word in _NOT_STANDING) and row.get("id")
        }


def _mesh(file: ShapeFile) -> Mesh:
    shape = file if isinstance(file, Mesh) else load(file)
    if not isinstance(shape, Mesh):
        raise ConfigError(f"{file} is a point cloud; a room is built from meshes. Pass files with faces.")
    return shape


def _scaled(r: Generator, label: str, mesh: Mesh) -> Body:
    """Scale a mesh to a typical size and turn its longer side along x, unless it is something that is longer from front to back."""
    body = Body.from_mesh(mesh)
    axis, low, high = TYPICAL_SIZES.get(label, ("height", float(body.size[2]), float(body.size[2])))
    scale = r.uniform(low, high) / max(body.size[2] if axis == "height" else body.size[:2].max(), 1e-6)
    vertices = body.vertices * scale
    deep = label in ("bed", "toilet", "chair")
    if body.size[1] > 1.15 * body.size[0] and not deep:
        vertices = vertices[:, [1, 0, 2]] * (-1, 1, 1)
    return Body(vertices, body.faces, body.colors)
