"""How a shape becomes what a network reads: drawn views, a cloud of points, or several of these. Needs no weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from basrelief.errors import ConfigError
from basrelief.geometry import normalise_unit_sphere, subsample
from basrelief.render import render_thumbnail, sample_points
from basrelief.render.base import Cameras
from basrelief.render.drawing import ViewDrawer
from basrelief.render.sheet import camera_captions
from basrelief.types import PointCloud, Shape

Prepared = Any
"""What a network reads of one shape: depth images (V, S, S), views with colour (V, 3, S, S), a cloud (N, 6), or a tuple of these for an
ensemble; tensors or arrays."""

KINDS = ("depth", "colour")
"""Kinds of views, in the order of a model that reads both."""

FRAMES: Mapping[str, tuple[tuple[int, int, int], ...]] = {
    "y-up": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "z-up": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "z-up-mirrored": ((1, 0, 0), (0, -1, 0), (0, 0, 1)),
}
"""Axes that point networks were trained with, as rows in the world frame.

`z-up-mirrored` is what OpenShape and TAMM read: they exchange y and z of a cloud with +Y up, which is a reflection. Their weights know
mirrored shapes only, so the reflection is kept.
"""

_PICTURE = 224  # side of the picture of a cloud, pixels


class ShapeInput(ABC):
    """How a shape becomes what a network reads. Can be pickled, so that worker processes prepare shapes.

    Attributes:
        points: Points sampled from a mesh; larger clouds are thinned to that.
    """

    points: int

    @abstractmethod
    def prepare(self, shapes: Sequence[Shape], *, seed: int = 0, device: torch.device | str = "cpu") -> list[Prepared]:
        """Prepare shapes of the world frame.

        Args:
            shapes: Meshes and point clouds.
            seed: Seed of the surface sampling.
            device: Compute device, and that of the result.

        Raises:
            GeometryError: If a shape cannot be sampled.
        """

    @property
    @abstractmethod
    def captions(self) -> tuple[str, ...]:
        """A few words on each picture of `pictures`."""

    @property
    def view_records(self) -> list[dict[str, Any]]:
        """What tells the views of a prediction apart, as plain data."""
        return [{"view": caption} for caption in self.captions]

    @abstractmethod
    def pictures(self, prepared: Prepared) -> Float32[np.ndarray, "pictures side side *channels"]:
        """Show what a network reads of a shape: grey or RGB pictures, values from 0; `evidence_sheet` scales those above 1."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that decides what is prepared, as plain data; inputs of equal settings prepare the same."""


@dataclass(frozen=True)
class ViewInput(ShapeInput):
    """Drawn views of a shape: depth images, colour images, or depth images followed by colour images.

    Attributes:
        drawers: One, or one of depth images and then one of colour images. With both, depth images get three channels and the size of the
            colour images, as the encoder would do.
        joint: Whether the encoder makes one feature of all views; they are then one picture with one caption.

    Raises:
        ConfigError: If there are other drawers.
    """

    drawers: tuple[ViewDrawer, ...]
    joint: bool = False

    def __post_init__(self) -> None:
        """Check the drawers."""
        if len(self.drawers) != 1 and [drawer.channels for drawer in self.drawers] != [1, 3]:
            names = ", ".join(drawer.name for drawer in self.drawers) or "none"
            raise ConfigError(f"The drawers are {names}; expected one, or one of depth images and then one of colour images.")

    @property
    def points(self) -> int:  # type: ignore[override]
        """The points of a cloud that are drawn; those sampled from a mesh for depth images."""
        return int(self.drawers[0].settings["points"])

    @property
    def views(self) -> int:
        """Number of views."""
        return sum(len(drawer.cameras) for drawer in self.drawers)

    @property
    def depth_views(self) -> int:
        """Number of depth images, which come before the colour images."""
        return sum(len(drawer.cameras) for drawer in self.drawers if drawer.channels == 1)

    @property
    def cameras(self) -> Cameras:
        """The cameras of all views; whether they see in perspective is left out."""
        return Cameras(np.concatenate([drawer.cameras.rotation for drawer in self.drawers]))

    @property
    def kinds(self) -> list[str] | None:
        """The kind of each view, or None if there is one kind."""
        each = zip(KINDS, self.drawers, strict=False)
        return [kind for kind, drawer in each for _ in range(len(drawer.cameras))] if len(self.drawers) > 1 else None

    def prepare(
        self, shapes: Sequence[Shape], *, seed: int = 0, device: torch.device | str = "cpu"
    ) -> list[Float[Tensor, "views *channels side side"]]:
        """Draw shapes, before mean and standard deviation are applied: (V, S, S) depth images, or (V, 3, S, S) with colour images."""
        drawn = [drawer.draw(shapes, seed=seed, device=device) for drawer in self.drawers]
        if len(drawn) == 1:
            return list(drawn[0])
        return [torch.cat([_colored(depth, color.shape[-1]), color]) for depth, color in zip(*drawn, strict=True)]

    @property
    def captions(self) -> tuple[str, ...]:
        """Number and angles of each camera; with the kind of view if there are two."""
        if self.joint:
            return (f"{self.views} views together",)
        each = [camera_captions(drawer.cameras) for drawer in self.drawers]
        if len(each) == 1:
            return tuple(each[0])
        return tuple(f"{kind} {caption}" for kind, captions in zip(KINDS, each, strict=True) for caption in captions)

    @property
    def view_records(self) -> list[dict[str, Any]]:
        """Angles of each camera, degrees; with the kind of view if there are two."""
        if self.joint:
            return super().view_records
        kinds = KINDS if len(self.drawers) > 1 else ("",)
        return [
            {**({"kind": kind} if kind else {}), "azimuth": round(float(azimuth), 1), "elevation": round(float(elevation), 1)}
            for kind, drawer in zip(kinds, self.drawers, strict=True)
            for azimuth, elevation in zip(drawer.cameras.azimuth, drawer.cameras.elevation, strict=True)
        ]

    def pictures(self, prepared: Prepared) -> Float32[np.ndarray, "views side side *channels"]:
        """Return the images; colour images, and depth images beside them, with the channels last. Views that are joint are one picture."""
        images = _array(prepared)
        images = images if images.ndim == 3 else np.ascontiguousarray(np.moveaxis(images, 1, -1))
        return _mosaic(images)[None] if self.joint else images

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the drawer; by kind of view if there are two."""
        if len(self.drawers) == 1:
            return self.drawers[0].settings
        return {kind: drawer.settings for kind, drawer in zip(KINDS, self.drawers, strict=True)}


@dataclass(frozen=True)
class CloudInput(ShapeInput):
    """A cloud of points with colours.

    Attributes:
        points: Points sampled from a mesh; larger clouds are thinned to that, and smaller ones kept.
        frame: Key of `FRAMES`.
        missing_color: Red, green and blue of points without a colour.
        use_colors: Whether the network reads colours of its own; otherwise every point has `missing_color`.
        normalise: Whether the cloud is centred on its mean and scaled to radius 1.
        replace: Whether points are drawn with replacement, so that smaller clouds are filled up to `points`.
        names: A few words on each feature of the network.
    """

    points: int
    frame: str
    missing_color: float = 0.4
    use_colors: bool = True
    normalise: bool = True
    replace: bool = False
    names: tuple[str, ...] = ("points",)

    def prepare(self, shapes: Sequence[Shape], *, seed: int = 0, device: torch.device | str = "cpu") -> list[Float[Tensor, "points 6"]]:
        """Sample, turn and normalise clouds."""
        return [self._one(shape, seed).to(device) for shape in shapes]

    def _one(self, shape: Shape, seed: int) -> Float[Tensor, "points 6"]:
        cloud = sample_points(shape, self.points, seed=seed)
        if self.replace and len(cloud.points) < self.points:
            cloud = subsample(cloud, self.points, seed=seed)
        xyz = cloud.points.astype(np.float64) @ np.array(FRAMES[self.frame], np.float64).T
        xyz = normalise_unit_sphere(xyz) if self.normalise else xyz
        colored = self.use_colors and cloud.colors is not None
        rgb = cloud.colors if colored else np.full_like(xyz, self.missing_color)
        return torch.from_numpy(np.concatenate([xyz, rgb], axis=1).astype(np.float32))

    @property
    def captions(self) -> tuple[str, ...]:
        """The names of the features."""
        return self.names

    def pictures(self, prepared: Prepared) -> Float32[np.ndarray, "features side side 3"]:
        """Draw the cloud as the network reads it, one picture for each feature; turned upright, not mirrored back."""
        cloud = _array(prepared)
        upright = cloud[:, :3] @ np.array(FRAMES["y-up"], np.float32) if self.frame == "y-up" else cloud[:, :3]
        picture = render_thumbnail(PointCloud(upright, cloud[:, 3:].clip(0, 1)), size=_PICTURE, supersample=2)
        return np.stack([picture] * len(self.names))

    @property
    def settings(self) -> dict[str, Any]:
        """Points, frame, colour, scaling."""
        return {
            "points": self.points,
            "frame": self.frame,
            "colour": f"own, else {self.missing_color:g}" if self.use_colors else f"{self.missing_color:g}",
            "scaled": "to radius 1" if self.normalise else "no",
            "sampling": "with replacement" if self.replace else "without replacement",
        }


@dataclass(frozen=True)
class JointInput(ShapeInput):
    """What the members of an ensemble read.

    Attributes:
        members: Input of each member.
        names: Name of each member.
    """

    members: tuple[ShapeInput, ...]
    names: tuple[str, ...]

    @property
    def points(self) -> int:  # type: ignore[override]
        """The most points of any member."""
        return max(member.points for member in self.members)

    def prepare(self, shapes: Sequence[Shape], *, seed: int = 0, device: torch.device | str = "cpu") -> list[tuple[Prepared, ...]]:
        """Prepare each shape for every member."""
        return list(zip(*(member.prepare(shapes, seed=seed, device=device) for member in self.members), strict=True))

    @property
    def captions(self) -> tuple[str, ...]:
        """The names of the members."""
        return self.names

    def pictures(self, prepared: Prepared) -> Float32[np.ndarray, "members side side 3"]:
        """Show the first picture of each member."""
        firsts = [member.pictures(part)[0] for member, part in zip(self.members, prepared, strict=True)]
        return np.stack([_square(picture, _PICTURE) for picture in firsts])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of each member by its name."""
        return {name: member.settings for name, member in zip(self.names, self.members, strict=True)}


def _mosaic(images: np.ndarray) -> Float32[np.ndarray, "side side 3"]:
    """Tile images from left to right and from top to bottom; what is left of the square is white."""
    count, tile = math.isqrt(len(images) - 1) + 1, 2 * _PICTURE // (math.isqrt(len(images) - 1) + 1)
    found = np.ones((count * tile, count * tile, 3), np.float32)
    for number, image in enumerate(images):
        top, left = number // count * tile, number % count * tile
        found[top : top + tile, left : left + tile] = _square(image, tile)
    return found


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def _colored(depth: Float[Tensor, "views size size"], side: int) -> Float[Tensor, "views 3 side side"]:
    """Depth images with three channels and another size, resized as encoders do."""
    images = depth[:, None].expand(-1, 3, -1, -1)
    if depth.shape[-1] == side:
        return images
    return torch.nn.functional.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=True)


def _square(picture: np.ndarray, side: int) -> Float32[np.ndarray, "side side 3"]:
    """Bring a grey or RGB picture to RGB of one size, values in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(picture / max(1.0, float(picture.max()))))
    pixels = pixels[..., None].expand(-1, -1, 3) if pixels.ndim == 2 else pixels
    small = torch.nn.functional.interpolate(pixels.movedim(-1, 0)[None].float(), (side, side), mode="bilinear", antialias=True)
    found: np.ndarray = small[0].movedim(0, -1).numpy()
    return found
