"""A scan that is ready for detection: metres, +Z up, walls along x and y, floor and walls found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from basrelief.errors import GeometryError
from basrelief.geometry.boxes import Boxes
from basrelief.types import Finding, PointCloud

OBJECT, FLOOR, WALL, CEILING = range(4)
"""Kinds of points in `Scene.structure`. The support of a table top counts as `FLOOR`."""

SceneKind = Literal["room", "tabletop", "object"]


@dataclass(frozen=True, eq=False)
class Scene:
    """A scan in the scene frame.

    Attributes:
        cloud: N points in metres, +Z up, walls along x and y, without outliers.
        to_file: (4, 4) float64, maps scene coordinates to those of the file, its unit included: a rotation and reflection-free scale.
        structure: (N,) int8, one of `OBJECT`, `FLOOR`, `WALL`, `CEILING` for each point.
        kind: What it shows: a `room`, things on a `tabletop`, or a single `object`.
        floor: Height of the floor or the support, metres; None if there is none.
        findings: What was decided about unit, axes and structure, and why.
        source: File or name of the scan.

    Raises:
        GeometryError: If a dimension is wrong or `to_file` is no rotation with a uniform scale.
    """

    cloud: PointCloud
    to_file: Float[np.ndarray, "4 4"]
    structure: Int[np.ndarray, " points"]
    kind: SceneKind = "room"
    floor: float | None = None
    findings: tuple[Finding, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        """Check the arrays."""
        matrix = np.asarray(self.to_file, dtype=np.float64)
        if self.structure.shape != (len(self.cloud.points),):
            raise GeometryError(
                f"structure has shape {self.structure.shape}; expected one value for each of {len(self.cloud.points)} points."
            )
        scale = np.cbrt(np.linalg.det(matrix[:3, :3])) if matrix.shape == (4, 4) else 0.0
        if not (scale > 0 and np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, scale**2 * np.eye(3), rtol=1e-6, atol=scale**2 * 1e-6)):
            raise GeometryError("to_file is not a rotation with a positive scale (4 x 4). Mirrored scans cannot be used.")
        object.__setattr__(self, "to_file", matrix)

    def __repr__(self) -> str:
        """Return source, kind and size."""
        size = " x ".join(f"{length:.1f}" for length in np.ptp(self.cloud.points, axis=0))
        return f"Scene({self.source!r}, {self.kind}, {len(self.cloud.points):,} points, {size} m)"

    @property
    def scale(self) -> float:
        """Units of the file per metre."""
        return float(np.cbrt(np.linalg.det(self.to_file[:3, :3])))

    @property
    def objects(self) -> Bool[np.ndarray, " points"]:
        """Which points belong to neither floor, walls nor ceiling."""
        mask: np.ndarray = self.structure == OBJECT
        return mask

    def select(self, rows: Int[np.ndarray, " kept"]) -> PointCloud:
        """Return some of the points with their colours."""
        colors = None if self.cloud.colors is None else self.cloud.colors[rows]
        return dataclasses.replace(self.cloud, points=self.cloud.points[rows], colors=colors)

    def boxes_in_file(
        self, boxes: Boxes
    ) -> tuple[Float[np.ndarray, "boxes 3"], Float[np.ndarray, "boxes 3"], Float[np.ndarray, "boxes 3 3"]]:
        """Return boxes in the coordinates of the file.

        Args:
            boxes: N boxes in the scene frame.

        Returns:
            Centres (N, 3), sizes (N, 3) along each box's own axes, and rotations (N, 3, 3) whose columns are those axes.
        """
        rotation = self.to_file[:3, :3] / self.scale
        return (
            boxes.centers @ self.to_file[:3, :3].T + self.to_file[:3, 3],
            boxes.sizes * self.scale,
            np.einsum("ij,njk->nik", rotation, boxes.rotations()),
        )
