"""Augmentation of coloured clouds as OpenShape, ULIP and Uni3D publish it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from basrelief.geometry import normalise_unit_sphere
from basrelief.geometry.transforms import axis_rotation
from basrelief.train.point.settings import CloudAugmentation, PointSettings


def training_cloud(
    cloud: Float32[np.ndarray, "points 6"], settings: PointSettings, generator: np.random.Generator
) -> Float32[np.ndarray, "kept 6"]:
    """Thin, normalise and augment a cloud.

    Args:
        cloud: Positions in the network's axes, any scale, then colours in [0, 1].
        settings: Number of points, missing colour and augmentation.
        generator: All randomness.
    """
    how = settings.augmentation
    if len(cloud) > settings.points or how.shuffle:
        cloud = cloud[generator.permutation(len(cloud))[: settings.points]]
    xyz, rgb = augment_positions(normalise_unit_sphere(cloud[:, :3]), how, generator=generator, up=up_axis(settings.frame)), cloud[:, 3:]
    if generator.random() < how.drop_colors:
        rgb = np.full_like(rgb, settings.missing_color)
    return np.concatenate([xyz, rgb], axis=1).astype(np.float32)


def plain_cloud(cloud: Float32[np.ndarray, "points 6"], settings: PointSettings) -> Float32[np.ndarray, "kept 6"]:
    """Normalise a cloud without augmentation; the first points are kept.

    Args:
        cloud: Positions in the network's axes, any scale, then colours in [0, 1].
        settings: Number of points.
    """
    cloud = cloud[: settings.points]
    return np.concatenate([normalise_unit_sphere(cloud[:, :3]), cloud[:, 3:]], axis=1)


def up_axis(frame: str) -> str:
    """Return the axis that points up in a frame of `FRAMES`."""
    return frame[0]


def augment_positions(
    xyz: Float32[np.ndarray, "points 3"], how: CloudAugmentation, *, generator: np.random.Generator, up: str
) -> Float32[np.ndarray, "points 3"]:
    """Drop points, scale, shift, tilt and turn a cloud, in this order.

    A dropped point moves to the first one and keeps its colour, as in the published code.

    Args:
        xyz: Normalised positions.
        how: Strength of each.
        generator: All randomness.
        up: Axis to turn about.
    """
    dropped = generator.random(len(xyz)) <= generator.random() * how.dropout if how.dropout else np.zeros(len(xyz), dtype=bool)
    xyz = np.where(dropped[:, None], xyz[:1], xyz).astype(np.float64)
    xyz = xyz * generator.uniform(how.scale_low, how.scale_high) + generator.uniform(-how.shift, how.shift, 3)
    x, y, z = np.clip(how.tilt * generator.standard_normal(3), -how.tilt_limit, how.tilt_limit)
    xyz = xyz @ (axis_rotation("z", z) @ axis_rotation("y", y) @ axis_rotation("x", x))
    if how.spin:
        xyz = xyz @ axis_rotation(up, generator.uniform(0, 2 * np.pi))
    found: np.ndarray = xyz.astype(np.float32)
    return found
