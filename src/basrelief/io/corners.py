"""Polygons whose corners index positions, texture coordinates and colours separately, as in FBX and USD, as parts of one material each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from basrelief.errors import GeometryError
from basrelief.io.polygons import Lists, fan_triangles


@dataclass(frozen=True, eq=False)
class Polygons:
    """P polygons with C corners in all.

    Attributes:
        counts: (P,) corners of each polygon.
        positions: (C,) index of each corner into `vertices`.
        vertices: (V, 3).
        uv: (T, 2) texture coordinates, or None.
        uv_index: (C,) index of each corner into `uv`, or None.
        colors: (K, 3 or 4) colours, or None.
        color_index: (C,) index of each corner into `colors`, or None.
        materials: (P,) index of the material of each polygon, or None for 0.
    """

    counts: np.ndarray
    positions: np.ndarray
    vertices: np.ndarray
    uv: np.ndarray | None = None
    uv_index: np.ndarray | None = None
    colors: np.ndarray | None = None
    color_index: np.ndarray | None = None
    materials: np.ndarray | None = None

    def parts(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Triangulate the polygons and split them by material; a vertex is repeated only where its corners differ.

        Yields:
            The index of a material, and the part of it, see `basrelief.io.mesh.Part`.

        Raises:
            GeometryError: If a corner refers to something that does not exist.
        """
        _check(self.positions, len(self.vertices), "positions")
        triangles, polygon = fan_triangles(Lists(np.arange(len(self.positions)), self.counts))
        material = np.zeros(len(triangles), np.int64) if self.materials is None else np.asarray(self.materials, np.int64)[polygon]
        for number in np.unique(material):
            yield int(number), self._part(triangles[material == number])

    def _part(self, triangles: np.ndarray) -> dict[str, Any]:
        corners = triangles.reshape(-1)
        key, chosen = self.positions[corners].astype(np.int64), {}
        for name, values, index in (("uv", self.uv, self.uv_index), ("vertex_colors", self.colors, self.color_index)):
            if values is None or index is None or not len(values):
                continue
            _check(index, len(values), name)
            chosen[name] = values, index
            key = np.unique(key, return_inverse=True)[1] * len(values) + index[corners]
        first, vertex = np.unique(key, return_index=True, return_inverse=True)[1:]
        of = corners[first]
        part: dict[str, Any] = {"vertices": self.vertices[self.positions[of]], "faces": vertex.reshape(-1, 3)}
        return part | {name: values[index[of]] for name, (values, index) in chosen.items()}


def _check(index: np.ndarray, count: int, what: str) -> None:
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < count:
        raise GeometryError(f"Faces use {what} {index.min()} to {index.max()}, but there are only {count}. The file is probably truncated.")
