"""Find surfaces of furniture that small things can stand on, and places on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.random import Generator

from basrelief.shapes.room_shapes import Body

_CELL = 0.02
_LEVEL_STEP = 0.005
_SMALLEST_AREA = 0.01


@dataclass(frozen=True, eq=False)
class Support:
    """Horizontal surfaces of a body on a grid of 2 cm cells, in the body's own frame.

    Attributes:
        origin: (2,) centre of the first cell.
        levels: Heights of the surfaces.
        covered: (levels, X, Y), the cells of each surface.
        obstacles: (N, 3) points on the whole surface of the body.
    """

    origin: Float[np.ndarray, "2"]
    levels: Float[np.ndarray, " levels"]
    covered: Bool[np.ndarray, "levels x y"]
    obstacles: Float[np.ndarray, "n 3"]

    @classmethod
    def of(cls, body: Body) -> Support:
        """Find the upper faces that are level, and the cells below their triangles."""
        corners = body.vertices[body.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normals, axis=1)
        level = (normals[:, 2] > 0.99 * length) & (length > 1e-8)
        corners, heights = corners[level], np.round(corners[level][:, :, 2].mean(axis=1) / _LEVEL_STEP).astype(np.int64)
        shape = np.maximum(np.ceil(body.size[:2] / _CELL).astype(int), 1)
        origin = -(shape - 1) * _CELL / 2
        x, y = (origin[i] + np.arange(shape[i]) * _CELL for i in (0, 1))
        grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
        found, masks = [], []
        for height in np.unique(heights):
            mask = _covered(grid, corners[heights == height])
            if mask.sum() * _CELL**2 >= _SMALLEST_AREA:
                found.append(corners[heights == height][:, :, 2].max())
                masks.append(mask.reshape(shape))
        covered = np.stack(masks) if masks else np.zeros((0, *shape), dtype=bool)
        return cls(origin, np.array(found, dtype=np.float64), covered, body.surface)

    def place(
        self, r: Generator, size: Float[np.ndarray, "3"], *, yaw: float, spot: str, tries: int = 40
    ) -> list[tuple[float, float, float]]:
        """Suggest positions for the base of a thing.

        Args:
            r: Random generator.
            size: Extent of the thing along its own axes.
            yaw: Its angle in the frame of the body.
            spot: `back`, `front` or `any`.
            tries: Positions to look at on each surface.

        Returns:
            x, y and z of positions where the whole footprint is supported and nothing is in the way, in random order.
        """
        count = np.maximum(np.ceil(size[:2] / _CELL).astype(int), 1) + 1
        x, y = (np.linspace(-size[i] / 2, size[i] / 2, count[i]) for i in (0, 1))
        local = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
        c, s = np.cos(yaw), np.sin(yaw)
        footprint = local @ np.array([[c, s], [-s, c]])
        places = []
        for i in r.permutation(len(self.levels)):
            free = self.covered[i] & ~self._blocked(float(self.levels[i]), float(size[2]))
            cells = np.argwhere(free)
            if not len(cells):
                continue
            chosen = self.origin + cells[r.integers(len(cells), size=tries)] * _CELL
            if spot != "any":
                chosen = chosen[np.argsort(chosen[:, 1] * (-1 if spot == "back" else 1) + r.uniform(0, 0.05, len(chosen)))]
            index = np.round((chosen[:, None] + footprint - self.origin) / _CELL).astype(int)
            inside = ((index >= 0) & (index < self.covered.shape[1:])).all(axis=2)
            index = np.clip(index, 0, np.array(self.covered.shape[1:]) - 1)
            good = (inside & free[index[..., 0], index[..., 1]]).all(axis=1)
            places += [(float(px), float(py), float(self.levels[i])) for px, py in chosen[good]]
        return places

    def _blocked(self, level: float, height: float) -> Bool[np.ndarray, "x y"]:
        """Cells in which the body itself is in the way of a thing of some height on a surface."""
        z = self.obstacles[:, 2]
        index = np.round((self.obstacles[(z > level + 0.006) & (z < level + height + 0.01)][:, :2] - self.origin) / _CELL).astype(int)
        index = np.clip(index, 0, np.array(self.covered.shape[1:]) - 1)
        blocked = np.zeros(self.covered.shape[1:], dtype=bool)
        blocked[index[:, 0], index[:, 1]] = True
        return blocked


def _covered(grid: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Whether each point (N, 2) lies below one of the triangles (T, 3, 3)."""
    covered = np.zeros(len(grid), dtype=bool)
    for a, b, c in corners[:, :, :2]:
        rest = grid[~covered]
        sides = [(q[0] - p[0]) * (rest[:, 1] - p[1]) - (q[1] - p[1]) * (rest[:, 0] - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        covered[~covered] = np.min(sides, axis=0) >= -1e-9
    return covered
