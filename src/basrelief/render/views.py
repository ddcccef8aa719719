"""Render shapes as the depth maps and images that encoders take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basrelief import geometry
from basrelief.errors import GeometryError
from basrelief.geometry import normalise_unit_sphere, sample_surface, subsample
from basrelief.render.base import Cameras, PointBatch, Projection
from basrelief.render.registry import get_projection, with_options
from basrelief.types import Mesh, PointCloud, Shape

DEFAULT_POINTS = 10_000  # sampled from a mesh: what OpenDlign's paper uses for its ShapeNet, ModelNet40 and Objaverse clouds


@dataclass(frozen=True, eq=False)
class DepthViews:
    """Depth maps and images of a shape from V views.

    Attributes:
        depth: (V, H, W) float32 in the projection's own unit, `inf` for background.
        image: (V, S, S) float32 depth images for the encoder, before any mean and std.
        cameras: The V cameras, world frame.
        projection: Name of the projection.

    Raises:
        GeometryError: If the dimensions do not fit together.
    """

    depth: Float[Tensor, "views height width"]
    image: Float[Tensor, "views image image"]
    cameras: Cameras
    projection: str

    def __post_init__(self) -> None:
        """Check the dimensions."""
        views = len(self.cameras)
        if self.depth.ndim != 3 or len(self.depth) != views:
            raise GeometryError(f"depth has shape {tuple(self.depth.shape)}; expected ({views}, H, W), one map for each camera.")
        if self.image.ndim != 3 or len(self.image) != views or self.image.shape[1] != self.image.shape[2]:
            raise GeometryError(f"image has shape {tuple(self.image.shape)}; expected ({views}, S, S), one square for each camera.")

    def __len__(self) -> int:
        return len(self.depth)


def render_depth(
    shape: Shape,
    projection: str | Projection = "opendlign",
    *,
    size: int | None = None,
    points: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> DepthViews:
    """Render depth maps of a shape from every view of a projection.

    The shape is centred at the mean of its points and scaled to the unit sphere, as in all four papers.

    Args:
        shape: Mesh or point cloud, world frame (+Z up), any scale.
        projection: Key in `basrelief.render.PROJECTIONS`, or a projection.
        size: Side of the depth map, pixels; the projection's own when None.
        points: Number of points: sampled from a mesh's surface (10,000 when None), or chosen from a cloud's points (all when None).
        seed: Seed of the sampling.
        device: Device to render on.

    Raises:
        ConfigError: If the projection or a number is wrong.
        GeometryError: If the shape cannot be used.

    Example:
        >>> import basrelief as br
        >>> br.render_depth(br.load("examples/shapes/chair.glb"), "clip2point").depth.shape
        torch.Size([10, 224, 224])
    """
    chosen = get_projection(projection) if isinstance(projection, str) else projection
    if size is not None:
        chosen = with_options(chosen, size=size)
    cloud = sample_points(shape, points, seed=seed)
    with torch.no_grad():
        depth = chosen.depth(_pack([cloud.points], chosen, device))
        image = chosen.image(depth)
    return DepthViews(depth[0], image[0], chosen.cameras, chosen.name)


def sample_points(shape: Shape, points: int | None = None, *, seed: int = 0, remove_outliers: bool = False) -> PointCloud:
    """Sample the points for a projection from a mesh's surface or a larger point cloud.

    Args:
        shape: Mesh or point cloud.
        points: Number of points; None means 10,000 for a mesh and all for a cloud. A smaller cloud is not padded.
        seed: Seed of the sampling.
        remove_outliers: Whether isolated points of a cloud are removed, see `basrelief.geometry.remove_outliers`.

    Raises:
        GeometryError: If the shape cannot be sampled, e.g. a mesh without area.
    """
    if isinstance(shape, Mesh):
        return sample_surface(shape, DEFAULT_POINTS if points is None else points, seed=seed)
    cloud = shape if points is None or points >= len(shape.points) else subsample(shape, points, seed=seed)
    return geometry.remove_outliers(cloud) if remove_outliers else cloud


def render_batch(
    clouds: Sequence[Float[np.ndarray, "points 3"]], projection: str | Projection, *, device: torch.device | str = "cpu"
) -> Float[Tensor, "clouds views image image"]:
    """Render depth images of many clouds as `render_depth` does, a few at a time, so that memory stays bounded.

    Args:
        clouds: B clouds of any sizes, world frame, any scale.
        projection: Key in `basrelief.render.PROJECTIONS`, or a projection.
        device: Device to render on and of the result.

    Raises:
        ConfigError: If there is no such projection.
        GeometryError: If there is no cloud or one cannot be used.
    """
    chosen = get_projection(projection) if isinstance(projection, str) else projection
    device = torch.device(device)
    pixels = len(chosen.cameras) * max(chosen.size, chosen.image_size) ** 2
    step = max(1, 2 ** (21 if device.type == "cpu" else 26) // pixels)
    images = torch.empty(len(clouds), len(chosen.cameras), chosen.image_size, chosen.image_size, device=device)
    with torch.no_grad():
        for start in range(0, max(len(clouds), 1), step):
            images[start : start + step] = chosen.image(chosen.depth(_pack(clouds[start : start + step], chosen, device)))
    return images


def _pack(clouds: Sequence[np.ndarray], projection: Projection, device: torch.device | str) -> PointBatch:
    turned = [normalise_unit_sphere(np.asarray(cloud, dtype=np.float32)) @ projection.frame.T for cloud in clouds]
    return PointBatch.pack(turned, device=device)
