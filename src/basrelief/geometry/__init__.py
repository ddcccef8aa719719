"""Sampling, normalising and turning shapes; numpy only."""

from basrelief.geometry.sampling import farthest_points, sample_surface, subsample
from basrelief.geometry.transforms import (
    UP_AXES,
    axis_rotation,
    normalise_unit_cube,
    normalise_unit_sphere,
    rotate,
    rotation_to_z_up,
)

__all__ = [
    "UP_AXES",
    "axis_rotation",
    "farthest_points",
    "normalise_unit_cube",
    "normalise_unit_sphere",
    "rotate",
    "rotation_to_z_up",
    "sample_surface",
    "subsample",
]
