"""Build cameras from angles; project world points to pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError
from basrelief.render.base import Cameras

Angles = Sequence[float] | Float[np.ndarray, " views"]


def look_at_cameras(azimuths: Angles, elevations: Angles | float = 0.0, *, distance: float | None = None) -> Cameras:
    """Build cameras that look at the origin with world +Z up.

    For a view from straight above, the side of the azimuth is at the bottom of the image; from straight below, at the top.

    Args:
        azimuths: Degrees of each eye from world +X towards +Y.
        elevations: Degrees of each eye above the horizon, in [-90, 90]; one number serves all views.
        distance: Eye to origin for perspective views, scene units; None for orthographic ones.

    Raises:
        ConfigError: If there is no view, the two lists differ in length, an angle is out of range or the distance is not positive.
    """
    if len(azimuths) == 0:
        raise ConfigError("azimuths is empty. Pass one angle in degrees for each view.")
    azimuth = np.asarray(azimuths, dtype=np.float64)
    elevation = np.asarray(elevations, dtype=np.float64)
    if elevation.ndim and elevation.shape != azimuth.shape:
        raise ConfigError(f"There are {len(elevation)} elevations, but {len(azimuth)} azimuths. Pass one elevation, or one for each view.")
    if not (np.isfinite(azimuth).all() and (np.abs(elevation) <= 90).all()):
        raise ConfigError("An elevation is outside [-90, 90], or an azimuth is not finite. Pass angles in degrees.")
    if distance is not None and not 0 < distance < math.inf:
        raise ConfigError(f"distance is {distance}; it must be finite and positive. Use None for orthographic views.")
    a, e = np.radians(azimuth), np.radians(np.broadcast_to(elevation, azimuth.shape))
    right = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)], axis=1)
    forward = -np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)
    rotation = np.stack([right, np.cross(forward, right), forward], axis=1)
    return Cameras(rotation.astype(np.float32), distance)


@dataclass(frozen=True, eq=False)
class Viewport:
    """Square images of all cameras, and the mapping from world points to pixels.

    The centre of the pixel in row i and column j is at (x, y) = (j, i).

    Attributes:
        cameras: V cameras.
        size: Side of an image, pixels.
        extent: Half the visible width in the plane of the origin, scene units; None fits the unit sphere to the image.

    Raises:
        ConfigError: If `size` or `extent` is not positive, or `extent` is needed because the eye is inside the unit sphere.
    """

    cameras: Cameras
    size: int
    extent: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_at_least("size", self.size, 1, "Pass the side of the image in pixels.")
        if self.extent is not None and not 0 < self.extent < math.inf:
            raise ConfigError(f"extent is {self.extent}; it must be finite and positive. Give half the visible width in scene units.")
        distance = self.cameras.distance
        if self.extent is None and distance is not None and distance <= 1:
            raise ConfigError(f"The eye is inside the unit sphere (distance {distance}). Pass an extent, or a distance above 1.")

    @property
    def scale(self) -> float:
        """Pixels per scene unit in the plane of the origin."""
        if self.extent is not None:
            return self.size / 2 / self.extent
        distance = self.cameras.distance
        return self.size / 2 if distance is None else self.size / 2 * math.sqrt(1 - 1 / distance**2)

    @property
    def near(self) -> float:
        """Smallest depth that is rendered: a thousandth of the eye's distance; no limit when orthographic."""
        return -math.inf if self.cameras.distance is None else self.cameras.distance * 1e-3

    def project(self, points: Float[Tensor, "points 3"], views: slice = slice(None)) -> Float[Tensor, "4 views points"]:
        """Project world points into views.

        Args:
            points: World frame, float64.
            views: Which views.

        Returns:
            Homogeneous pixel coordinates (x, y, w), to be divided by w, and the depth along the view axis, measured from the eye
            (perspective, where w is depth / distance) or from the plane of the origin (orthographic, where w is 1).
        """
        rotation = torch.as_tensor(np.array(self.cameras.rotation[views]), dtype=torch.float64, device=points.device)
        # Written out so that equal points get equal results at any position in the list, which a matrix product does not guarantee.
        x, y, z = (
            rotation[:, i, :1] * points[:, 0] + rotation[:, i, 1:2] * points[:, 1] + rotation[:, i, 2:] * points[:, 2] for i in range(3)
        )
        distance = self.cameras.distance
        depth = z if distance is None else z + distance
        w = torch.ones_like(z) if distance is None else depth / distance
        middle = (self.size - 1) / 2
        return torch.stack([x * self.scale + middle * w, y * self.scale + middle * w, w, depth])

    def rays(self, pixels: Int[Tensor, "pixels 3"]) -> tuple[Float[Tensor, "pixels 3"], Float[Tensor, "pixels 3"]]:
        """Return the origin and direction of the ray through each pixel centre; world frame, float64.

        The point at depth t is `origin + t * direction`.

        Args:
            pixels: View, row and column of each.
        """
        rotation = torch.as_tensor(np.array(self.cameras.rotation), dtype=torch.float64, device=pixels.device)
        across = (pixels[:, [2, 1]] - (self.size - 1) / 2) / self.scale
        right, down, forward = rotation[pixels[:, 0]].unbind(1)
        offset = across[:, :1] * right + across[:, 1:] * down
        distance = self.cameras.distance
        return (offset, forward) if distance is None else (-distance * forward, forward + offset / distance)
