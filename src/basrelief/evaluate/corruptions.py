"""Corruptions of point clouds for the robustness task: fewer points, noise, yaw, dropped regions."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from basrelief.geometry import normalise_unit_sphere
from basrelief.geometry.transforms import axis_rotation

Cloud = Float32[np.ndarray, "points 3"]


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption at one level.

    Attributes:
        family: `points`, `noise`, `yaw` or `dropped`.
        level: Its strength, in the unit of the family.
        change: Changes a cloud in the unit sphere, given a random generator.
    """

    family: str
    level: float
    change: Callable[[Cloud, np.random.Generator], np.ndarray]

    @property
    def name(self) -> str:
        """Family and level, e.g. `noise 0.02`."""
        return f"{self.family} {self.level:g}"

    def __call__(self, points: Cloud, shape: str, seed: int) -> Float32[np.ndarray, "kept 3"]:
        """Corrupt a cloud; the draw depends on seed, shape id and name alone, so that runs repeat."""
        random = np.random.default_rng([seed, zlib.crc32(shape.encode(errors="replace")), zlib.crc32(self.name.encode())])
        return self.change(normalise_unit_sphere(points), random).astype(np.float32)


def corruptions() -> tuple[Corruption, ...]:
    """Return the sweep of the robustness task.

    | family    | level                                             | effect                                                   |
    |-----------|---------------------------------------------------|----------------------------------------------------------|
    | `points`  | 2,048 to 128                                      | a random subset of so many points                        |
    | `noise`   | 0.01 to 0.04 of the unit sphere's radius          | Gaussian noise on every coordinate                       |
    | `yaw`     | 15 to 180 degrees                                 | rotation about +Z by an angle from [-level, level]       |
    | `dropped` | 10 to 50 % of the points                          | the points nearest to a random point are removed         |
    """
    return (
        *(Corruption("points", n, _thinned(n)) for n in (2048, 1024, 512, 256, 128)),
        *(Corruption("noise", s, _noisy(s)) for s in (0.01, 0.02, 0.04)),
        *(Corruption("yaw", a, _turned(a)) for a in (15, 45, 180)),
        *(Corruption("dropped", p, _dropped(p)) for p in (10, 25, 50)),
    )


def _thinned(count: int) -> Callable[[Cloud, np.random.Generator], np.ndarray]:
    return lambda points, random: points[random.permutation(len(points))[:count]]


def _noisy(sigma: float) -> Callable[[Cloud, np.random.Generator], np.ndarray]:
    return lambda points, random: points + random.normal(0, sigma, points.shape)


def _turned(degrees: float) -> Callable[[Cloud, np.random.Generator], np.ndarray]:
    return lambda points, random: points @ axis_rotation("z", np.radians(random.uniform(-degrees, degrees))).T


def _dropped(percent: float) -> Callable[[Cloud, np.random.Generator], np.ndarray]:
    def drop(points: Cloud, random: np.random.Generator) -> np.ndarray:
        far = np.argsort(np.linalg.norm(points - points[random.integers(len(points))], axis=1), kind="stable")
        return points[np.sort(far[int(len(points) * percent / 100) :])]

    return drop
