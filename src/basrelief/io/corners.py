"""Polygons whose corners index positions, texture coordinates and colours separately, as in FBX and USD, as parts of one material each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from basrelief.io.split import check_corners, distinct_corners
from basrelief.io.triangulate import triangulate


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
        check_corners(self.positions, len(self.vertices))
        for _, values, index in self._layers():
            check_corners(index, len(values))
        triangles, polygon = triangulate(self.counts, self.positions, self.vertices)
        material = np.zeros(len(triangles), np.int64) if self.materials is None else np.asarray(self.materials, np.int64)[polygon]
        order = np.argsort(material, kind="stable")
        numbers, starts = np.unique(material[order], return_index=True)
        for number, rows in zip(numbers, np.split(order, starts[1:]), strict=True):
            yield int(number), self._part(triangles[rows])

    def _layers(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Name, values and corners' indices of each layer that there is."""
        layers = (("uv", self.uv, self.uv_index), ("vertex_colors", self.colors, self.color_index))
        return [(name, values, index) for name, values, index in layers if values is not None and index is not None and len(values)]

    def _part(self, triangles: np.ndarray) -> dict[str, Any]:
        corners = triangles.reshape(-1)
        first, vertex = distinct_corners(self.positions[corners], *(index[corners] for _, _, index in self._layers()))
        of = corners[first]
        part: dict[str, Any] = {"vertices": self.vertices[self.positions[of]], "faces": vertex.reshape(-1, 3)}
        return part | {name: values[index[of]] for name, values, index in self._layers()}
