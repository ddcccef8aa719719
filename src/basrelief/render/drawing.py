"""Draw the views of shapes that an image encoder takes: depth images or shaded colour images, by one interface."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError, unknown_choice
from basrelief.render.base import Cameras, Projection
from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.registry import get_projection
from basrelief.render.rigs import get_rig
from basrelief.render.shade import LIGHTINGS, WHITE, Lighting, drawn_positions, moved, shade
from basrelief.render.spheres import ball_radius
from basrelief.render.views import render_batch, sample_points
from basrelief.types import Mesh, Shape

FITS = ("sphere", "frame")
"""How a shape fills a shaded view: its bounding sphere touches the border, or the shape itself does in at least one view."""

MARGIN = 0.03  # of half the image, left free by `frame`


class ViewDrawer(ABC):
    """Draws V views of a shape for an image encoder. Can be pickled, so that worker processes draw."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the kind of view: a projection, or `shaded`."""

    @property
    @abstractmethod
    def cameras(self) -> Cameras:
        """The V cameras, world frame."""

    @property
    @abstractmethod
    def image_size(self) -> int:
        """Side of an image, pixels."""

    @property
    @abstractmethod
    def channels(self) -> Literal[1, 3]:
        """1 for depth images, 3 for colour images."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that decides what is drawn, as plain data; drawers of equal settings draw the same."""

    @abstractmethod
    def draw(
        self, shapes: Sequence[Shape], *, seed: int = 0, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "shapes views *channels size size"]:
        """Draw all views of some shapes.

        Args:
            shapes: At least one mesh or point cloud, world frame (+Z up), any scale.
            seed: Seed of the sampling of points.
            device: Device to draw on and of the result.

        Returns:
            float32, before mean and standard deviation: (B, V, S, S) depth images, in [0, 1] except for projections that give raw depths,
            or (B, V, 3, S, S) colour images, sRGB in [0, 1].

        Raises:
            GeometryError: If there is no shape, or one cannot be drawn.
        """


@dataclass(frozen=True)
class DepthDrawer(ViewDrawer):
    """Draws depth images by a projection.

    Attributes:
        projection: How points become depth images.
        options: Options of the projection, as the recipe names them.
        points: Points sampled from a mesh; larger clouds are thinned to that.
        remove_outliers: Whether isolated points of clouds are removed; see `basrelief.geometry.remove_outliers`.
    """

    projection: Projection
    options: Mapping[str, Any]
    points: int
    remove_outliers: bool = False

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any], points: int, *, remove_outliers: bool = False) -> DepthDrawer:
        """Build it from the name of a projection and its options."""
        return cls(get_projection(name, **options), dict(options), points, remove_outliers)

    @property
    def name(self) -> str:
        """Name of the projection."""
        return self.projection.name

    @property
    def cameras(self) -> Cameras:
        """The cameras of the projection."""
        return self.projection.cameras

    @property
    def image_size(self) -> int:
        """Side of a depth image, pixels."""
        return self.projection.image_size

    @property
    def channels(self) -> Literal[1, 3]:
        """One: the three channels of a depth image are equal."""
        return 1

    @property
    def settings(self) -> dict[str, Any]:
        """Projection, its options, points, and whether outliers are removed."""
        return {
            "projection": self.projection.name,
            "projection options": dict(self.options),
            "points": self.points,
            "outliers": "removed" if self.remove_outliers else "kept",
        }

    def draw(
        self, shapes: Sequence[Shape], *, seed: int = 0, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "shapes views size size"]:
        """Sample points and draw depth images."""
        clouds = [sample_points(shape, self.points, seed=seed, remove_outliers=self.remove_outliers).points for shape in shapes]
        return render_batch(clouds, self.projection, device=device)


@dataclass(frozen=True)
class ShadedDrawer(ViewDrawer):
    """Draws shaded colour images; all options are plain data, as a recipe holds them.

    Attributes:
        rig: Name of a rig, see `basrelief.render.rigs.get_rig`, or (azimuth, elevation) of each view in degrees.
        distance: Distance of the eye from the centre for perspective views, in radii of the bounding sphere; None for orthographic views.
        size: Side of an image, pixels.
        fit: One of `FITS`.
        lighting: Name of a preset in `basrelief.render.shade.LIGHTINGS`, or values for fields of `Lighting`.
        background: sRGB in [0, 1].
        supersample: Samples per pixel along each side.
        points: Larger clouds are thinned to so many points.
        remove_outliers: Whether isolated points of clouds are removed; see `basrelief.geometry.remove_outliers`.

    Raises:
        ConfigError: If an option is unknown or out of range.
    """

    rig: str | Sequence[Sequence[float]] = "turntable10"
    distance: float | None = None
    size: int = 224
    fit: str = "sphere"
    lighting: str | Mapping[str, Any] = "studio"
    background: Sequence[float] = WHITE
    supersample: int = 2
    points: int = 200_000
    remove_outliers: bool = False
    _cameras: Cameras = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check every option and build the cameras."""
        check_at_least("supersample", self.supersample, 1, "Use 1 for hard edges.")
        check_at_least("points", self.points, 1, "Pass the most points of a cloud to draw.")
        if self.fit not in FITS:
            raise ConfigError(unknown_choice("fit", self.fit, FITS))
        if len(self.background) != 3 or not all(0 <= value <= 1 for value in self.background):
            raise ConfigError(f"background is {self.background}; expected red, green and blue in [0, 1].")
        if self.distance is not None and not self.distance > 1:
            raise ConfigError(f"distance is {self.distance}; the eye must be outside the bounding sphere. Pass a distance above 1.")
        object.__setattr__(self, "_cameras", self._rig())
        Viewport(self._cameras, self.size)
        self._light()

    def _rig(self) -> Cameras:
        if isinstance(self.rig, str):
            return dataclasses.replace(get_rig(self.rig), distance=self.distance)
        angles = np.asarray(self.rig, dtype=np.float64)
        if angles.ndim != 2 or angles.shape[1] != 2:
            raise ConfigError(
                f"rig has shape {angles.shape}; expected (V, 2). Pass azimuth and elevation of each view, or the name of a rig."
            )
        return look_at_cameras(angles[:, 0], angles[:, 1], distance=self.distance)

    def _light(self) -> Lighting:
        if isinstance(self.lighting, str):
            if self.lighting not in LIGHTINGS:
                raise ConfigError(unknown_choice("lighting", self.lighting, LIGHTINGS))
            return LIGHTINGS[self.lighting]
        return Lighting.of(self.lighting)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ShadedDrawer:
        """Build it from options by name.

        Raises:
            ConfigError: If an option is unknown or out of range.
        """
        names = [each.name for each in dataclasses.fields(cls) if each.init]
        for option in options:
            if option not in names:
                raise ConfigError(unknown_choice("option", option, names, where=" of shaded views"))
        return cls(**options)

    @property
    def name(self) -> str:
        """`shaded`."""
        return "shaded"

    @property
    def cameras(self) -> Cameras:
        """The cameras of the rig."""
        return self._cameras

    @property
    def image_size(self) -> int:
        """Side of an image, pixels."""
        return self.size

    @property
    def channels(self) -> Literal[1, 3]:
        """Three: red, green, blue."""
        return 3

    @property
    def settings(self) -> dict[str, Any]:
        """All options."""
        plain = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.init}
        rig = self.rig if isinstance(self.rig, str) else [list(map(float, pair)) for pair in self.rig]
        light = self.lighting if isinstance(self.lighting, str) else dict(self.lighting)
        return {"views": "shaded", **plain, "rig": rig, "lighting": light, "background": list(map(float, self.background))}

    def draw(
        self, shapes: Sequence[Shape], *, seed: int = 0, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "shapes views 3 size size"]:
        """Scale each shape to fill the views and draw it."""
        if not shapes:
            raise ConfigError("shapes is empty. Pass at least one mesh or point cloud.")
        viewport = Viewport(self._cameras, self.size)
        images = torch.empty(len(shapes), len(self._cameras), 3, self.size, self.size, device=device)
        for i, shape in enumerate(shapes):
            ready = shape if isinstance(shape, Mesh) else sample_points(shape, self.points, seed=seed, remove_outliers=self.remove_outliers)
            picture = shade(
                self._placed(ready),
                viewport,
                lighting=self._light(),
                background=(float(self.background[0]), float(self.background[1]), float(self.background[2])),
                supersample=self.supersample,
                device=device,
            )
            images[i] = picture.permute(0, 3, 1, 2)
        return images

    def _placed(self, shape: Shape) -> Shape:
        """Return the shape with its bounding box around the origin, scaled to the unit sphere or to the border of the views."""
        drawn = drawn_positions(shape)
        low, high = drawn.min(0), drawn.max(0)
        centre = (low + high) / 2
        radius = max(float(np.linalg.norm(drawn - centre, axis=1).max()), float(np.finfo(np.float32).tiny))
        edge = 0.0 if isinstance(shape, Mesh) else ball_radius((drawn - centre) / radius)
        scale = (1 - edge) / radius
        if self.fit == "frame":
            scale *= self._enlargement((drawn - centre) * scale, edge)
        return moved(shape, centre, scale)

    def _enlargement(self, points: Float[np.ndarray, "points 3"], edge: float) -> float:
        """Return the factor by which points of the unit sphere can grow until one touches the border of a view."""
        distance, most = self._cameras.distance, 1 - MARGIN - edge
        half = 1.0 if distance is None else np.sqrt(1 - 1 / distance**2)
        seen = points @ self._cameras.rotation.astype(np.float64).reshape(-1, 3).T
        seen = seen.reshape(len(points), -1, 3)
        across = np.abs(seen[..., :2]).max(-1) * half
        reach = across if distance is None else across - most * seen[..., 2] / distance
        nearest = 0.0 if distance is None else float(-seen[..., 2].min()) / (0.9 * distance)  # keeps the eye outside
        return most / max(float(reach.max()), most * nearest, 1e-6)
