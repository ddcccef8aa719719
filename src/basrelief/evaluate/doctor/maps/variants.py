"""The ways in which a depth map may have been drawn: projection, scale, axes of the cloud, choice of points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32

from basrelief.encoders.points.operators import farthest_points
from basrelief.geometry import rotation_to_z_up
from basrelief.render import Projection, get_projection
from basrelief.render.base import PointBatch

Sampling = Literal["first", "farthest", "random"]
SAMPLINGS: tuple[Sampling, ...] = ("first", "farthest", "random")
POINT_COUNTS = (10_000, 4096, 2048, 1024)
RATIOS = (0.9, 0.8)
AUTHORS = {"opendlign": "the authors' program", "opendlign-paper": "the text of the paper", "pointclip-v2": "PointCLIP V2"}
"""Where each known projection comes from."""
_RIGS = {"opendlign": ("opendlign-original",), "opendlign-paper": ("opendlign-30", "opendlign-33"), "pointclip-v2": ("",)}
_OWN_RATIO = {"opendlign": 0.9, "opendlign-paper": 0.8, "pointclip-v2": 0.8}
_UP = ("y", "z", "x", "-y", "-z", "-x")


@dataclass(frozen=True)
class Orientation:
    """How the axes of a file lie in the world (+Z up): one of 24 rotations, or of their 24 mirror images.

    Attributes:
        up: Axis of the file that points up.
        turn: Degrees about world +Z afterwards, counter-clockwise seen from above.
        mirrored: Whether world x changes its sign before the turn; two axes that are swapped mirror a shape, too.
    """

    up: str = "y"
    turn: int = 0
    mirrored: bool = False

    @property
    def matrix(self) -> Float32[np.ndarray, "3 3"]:
        """R with `p_world = R @ p_file`, of determinant -1 if mirrored."""
        cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[self.turn]
        turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.diag([-1 if self.mirrored else 1, 1, 1])
        matrix: np.ndarray = (turned @ rotation_to_z_up(self.up)).astype(np.float32)
        return matrix

    @property
    def axes(self) -> str:
        """The file's axes that become world x, y and z, e.g. `x, -z, y`."""
        return ", ".join(("-" if row.sum() < 0 else "") + "xyz"[int(np.abs(row).argmax())] for row in self.matrix)

    def __str__(self) -> str:
        """Describe it: the up axis, and the turn if there is one."""
        turn = f", turned by {self.turn} degrees" if self.turn else ""
        return f"up axis {self.up}{turn}{', mirrored' if self.mirrored else ''}"


ORIENTATIONS = tuple(Orientation(up, turn, mirrored) for mirrored in (False, True) for up in _UP for turn in (0, 90, 180, 270))
"""All 48, the simplest first."""


@dataclass(frozen=True)
class Variant:
    """One way to draw a cloud.

    Attributes:
        projection: Key in `basrelief.render.PROJECTIONS`.
        rig: Its rig; empty where it has no other.
        ratio: Share of the width that the longest side covers.
        median: Whether the 7x7 median follows.
        orientation: How the axes of the file lie in the world.
        points: Number of points; None for all.
        sampling: How these points are chosen: the first in the file, the farthest from each other, starting with the first, or at random.
    """

    projection: str = "opendlign"
    rig: str = "opendlign-original"
    ratio: float = 0.9
    median: bool = False
    orientation: Orientation = Orientation()
    points: int | None = None
    sampling: Sampling = "first"

    def projector(self, size: int) -> Projection:
        """Return the projection for images of `size` pixels."""
        if not self.rig:
            return get_projection(self.projection, ratio=self.ratio, image_size=size)
        return get_projection(self.projection, ratio=self.ratio, rig=self.rig, median=self.median, size=size)

    def draw(self, cloud: Float32[np.ndarray, "points 3"], size: int, *, seed: int = 0) -> Float32[np.ndarray, "views size size"]:
        """Draw all views of a cloud given in the axes of its file.

        Args:
            cloud: N points.
            size: Side of the images, pixels.
            seed: Seed of a random choice of points.
        """
        projection = self.projector(size)
        axes = projection.frame @ self.orientation.matrix
        batch = PointBatch.pack([self._choose(cloud, seed) @ axes.T])
        with torch.inference_mode():
            drawn: np.ndarray = projection.image(projection.depth(batch))[0].numpy()
        return drawn

    def _choose(self, cloud: Float32[np.ndarray, "points 3"], seed: int) -> Float32[np.ndarray, "chosen 3"]:
        if self.points is None or self.points >= len(cloud):
            return cloud
        chosen = np.arange(len(cloud))
        if self.sampling == "farthest":
            chosen = farthest_points(torch.tensor(cloud[None]), self.points)[0].numpy()
        elif self.sampling == "random":
            chosen = np.random.default_rng(seed).permutation(len(cloud))
        return np.ascontiguousarray(cloud[chosen[: self.points]])

    @property
    def choice(self) -> str:
        """The choice of points in words."""
        if self.points is None:
            return "all points of the files"
        return {
            "first": f"the first {self.points:,} points",
            "farthest": f"the {self.points:,} farthest points",
            "random": f"{self.points:,} random points",
        }[self.sampling]

    def __str__(self) -> str:
        """Describe the whole variant in one line."""
        rig = f" with {self.rig}" if self.rig == "opendlign-33" else ""
        return f"{self.projection}{rig}, scale {self.ratio:g}, {self.orientation}, {self.choice}{', 7x7 median' if self.median else ''}"


def known_cameras() -> list[Variant]:
    """Return a variant for each known projection, rig and scale, its own scale first; axes and points are still to be found."""
    found = []
    for projection, rigs in _RIGS.items():
        ratios = sorted(RATIOS, key=lambda ratio: ratio != _OWN_RATIO[projection])
        found += [Variant(projection, rig, ratio) for rig in rigs for ratio in ratios]
    return found


def refinements(variant: Variant, fewest: int) -> list[Variant]:
    """Return a variant with other scales, with the median, and with every choice of points.

    Args:
        variant: A variant that draws all points.
        fewest: Number of points of the smallest cloud; choices are smaller.
    """
    scales = [replace(variant, ratio=ratio) for ratio in RATIOS]
    median = [replace(variant, median=True)] if variant.rig else []
    counts = [count for count in POINT_COUNTS if count < fewest]
    choices = [replace(variant, points=count, sampling=sampling) for count in counts for sampling in SAMPLINGS]
    return list(dict.fromkeys([variant, *scales, *median, *choices]))


def cameras(variant: Variant) -> Float[np.ndarray, "views 3 3"]:
    """Return the rotations of the cameras of a variant, world frame."""
    return variant.projector(224).cameras.rotation
