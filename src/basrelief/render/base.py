"""The interface of depth projections: packed point clouds in, one depth map per view out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from basrelief.errors import GeometryError
from basrelief.types import check_positions_shape


@dataclass(frozen=True, eq=False)
class PointBatch:
    """Point clouds of different sizes in one tensor, so that no loop over clouds is needed.

    Attributes:
        points: (M, 3) float32, all clouds concatenated, in the frame of a projection.
        cloud: (M,) int64, the index of the cloud each point belongs to, ascending.
        size: Number of clouds B.
    """

    points: Float[Tensor, "points 3"]
    cloud: Int[Tensor, " points"]
    size: int

    @classmethod
    def pack(cls, clouds: Sequence[np.ndarray | Tensor], *, device: torch.device | str = "cpu") -> PointBatch:
        """Pack clouds (N_i, 3) of any sizes.

        Args:
            clouds: At least one cloud, each with at least one point.
            device: Device of the packed tensors.

        Raises:
            GeometryError: If there is no cloud, or one is empty or not (N, 3).
        """
        if not clouds:
            raise GeometryError("clouds is empty. Pass a list of (N, 3) arrays.")
        for cloud in clouds:
            check_positions_shape("cloud", tuple(cloud.shape))
        tensors = [torch.as_tensor(np.array(c) if isinstance(c, np.ndarray) else c, dtype=torch.float32) for c in clouds]
        lengths = torch.tensor([len(c) for c in tensors])
        number = torch.repeat_interleave(torch.arange(len(tensors)), lengths)
        return cls(torch.cat([t.to(device) for t in tensors]), number.to(device), len(tensors))


@dataclass(frozen=True, eq=False)
class Cameras:
    """Cameras of all views in the world frame (+Z up) of a normalised shape.

    Attributes:
        rotation: (V, 3, 3) float32; world to camera, `p_camera = rotation @ p_world`; camera frame is OpenCV (+X right, +Y down,
            +Z forward), as drawn: a method that draws mirror images has determinant -1 here.
        distance: Distance of the eye from the origin for a perspective camera; None when orthographic.
    """

    rotation: Float[np.ndarray, "views 3 3"]
    distance: float | None = None

    @property
    def azimuth(self) -> Float[np.ndarray, " views"]:
        """Degrees from world +X towards +Y of the eye's direction, in (-180, 180]."""
        eye = -self.rotation[:, 2]
        degrees: np.ndarray = np.degrees(np.arctan2(eye[:, 1], eye[:, 0]))
        return degrees

    @property
    def elevation(self) -> Float[np.ndarray, " views"]:
        """Degrees of the eye above the horizon, in [-90, 90]."""
        degrees: np.ndarray = np.degrees(np.arcsin(np.clip(-self.rotation[:, 2, 2], -1.0, 1.0)))
        return degrees

    def __len__(self) -> int:
        return len(self.rotation)


class Projection(ABC):
    """Turns points into depth maps: a rig of V views and a rule for each pixel.

    `depth` works in the frame of the original code; `frame` rotates a world cloud (+Z up, unit sphere) into it.

    Attributes:
        name: Key in `basrelief.render.PROJECTIONS`.
        size: Side of the depth map, pixels.
        image_size: Side of the depth image given to the encoder, pixels.
        background: Value of the background in the depth image.
    """

    name: str
    size: int
    image_size: int
    background: float

    @property
    @abstractmethod
    def cameras(self) -> Cameras:
        """The V cameras, world frame."""

    @property
    @abstractmethod
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Rotation F with `p_method = p_world @ F.T`, from the world frame to the frame of the original code."""

    @abstractmethod
    def depth(self, batch: PointBatch) -> Float[Tensor, "clouds views size size"]:
        """Return depth maps of every cloud from every view, float32, `inf` for background.

        Args:
            batch: Clouds in the method's own frame, normalised to the unit sphere.
        """

    @abstractmethod
    def image(self, depth: Float[Tensor, "clouds views size size"]) -> Float[Tensor, "clouds views image image"]:
        """Return depth images for the encoder: one channel (the method's three are equal), before mean and std."""
