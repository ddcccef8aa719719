"""Boxes that stand upright: centre, size and an angle about the vertical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from basrelief.errors import GeometryError

_SIGNS = np.array([(x, y, z) for z in (-1, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]) / 2


@dataclass(frozen=True, eq=False)
class Boxes:
    """N boxes in a frame with +Z up.

    Attributes:
        centers: (N, 3) float64.
        sizes: (N, 3) float64, full lengths along each box's own x, y and z, >= 0.
        yaws: (N,) float64, radians counter-clockwise seen from above; 0 if the box is aligned with the frame. All 0 when None.

    Raises:
        GeometryError: If a dimension is wrong, a value is not finite or a size is negative.
    """

    centers: Float[np.ndarray, "boxes 3"]
    sizes: Float[np.ndarray, "boxes 3"]
    yaws: Float[np.ndarray, " boxes"] = None  # type: ignore[assignment] # filled in below

    def __post_init__(self) -> None:
        """Convert every field to float64, check it and make it read-only."""
        count = len(self.centers)
        yaws = np.zeros(count) if self.yaws is None else self.yaws
        expected: tuple[tuple[str, np.ndarray, tuple[int, ...]], ...] = (
            ("centers", self.centers, (count, 3)),
            ("sizes", self.sizes, (count, 3)),
            ("yaws", yaws, (count,)),
        )
        for name, value, shape in expected:
            array = np.array(value, dtype=np.float64).reshape(shape if count == 0 else np.shape(value))
            if array.shape != shape or not np.isfinite(array).all():
                raise GeometryError(f"{name} of boxes has shape {array.shape} or values that are not finite; expected {shape}. Check them.")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if (self.sizes < 0).any():
            raise GeometryError("A box has a negative size. Pass full lengths along x, y and z.")

    @staticmethod
    def from_bounds(low: Float[np.ndarray, "boxes 3"], high: Float[np.ndarray, "boxes 3"]) -> Boxes:
        """Return aligned boxes from their lowest and highest corners."""
        low, high = np.asarray(low, dtype=np.float64).reshape(-1, 3), np.asarray(high, dtype=np.float64).reshape(-1, 3)
        return Boxes((low + high) / 2, high - low)

    @staticmethod
    def concatenate(parts: Sequence[Boxes]) -> Boxes:
        """Return the boxes of several, in order; none for an empty sequence."""
        if not parts:
            return Boxes(np.zeros((0, 3)), np.zeros((0, 3)))
        return Boxes(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("centers", "sizes", "yaws")))

    def __len__(self) -> int:
        """Return N."""
        return len(self.centers)

    def __getitem__(self, rows: Int[np.ndarray, " kept"] | Sequence[int] | slice) -> Boxes:
        """Return some of the boxes, by indices, a mask or a slice."""
        chosen = rows if isinstance(rows, slice) else np.asarray(rows, dtype=None if len(rows) else np.int64)
        return Boxes(self.centers[chosen], self.sizes[chosen], self.yaws[chosen])

    def __repr__(self) -> str:
        """Return the number of boxes and whether they are aligned."""
        return f"Boxes({len(self)}{', aligned' if self.aligned else ''})"

    @property
    def aligned(self) -> bool:
        """Whether every box is aligned with the frame."""
        return not self.yaws.any()

    def corners(self) -> Float[np.ndarray, "boxes 8 3"]:
        """Return the corners: the lower face counter-clockwise seen from above, starting at the box's own (-x, -y); then the upper face."""
        corners: np.ndarray = self.centers[:, None] + np.einsum("nij,nkj->nki", self.rotations(), _SIGNS * self.sizes[:, None])
        return corners

    def rotations(self) -> Float[np.ndarray, "boxes 3 3"]:
        """Return the rotation of each box; its columns are the box's own axes."""
        cos, sin, zero, one = np.cos(self.yaws), np.sin(self.yaws), np.zeros(len(self)), np.ones(len(self))
        return np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], axis=1).reshape(-1, 3, 3)

    def bounds(self) -> Float[np.ndarray, "boxes 2 3"]:
        """Return the lowest and highest corner of the aligned box around each box."""
        half = np.einsum("nij,nj->ni", np.abs(self.rotations()), self.sizes / 2)
        return np.stack([self.centers - half, self.centers + half], axis=1)

    def volumes(self) -> Float[np.ndarray, " boxes"]:
        """Return the volume of each box."""
        volumes: np.ndarray = self.sizes.prod(axis=1)
        return volumes
