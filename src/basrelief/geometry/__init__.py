"""Sampling, normalising and turning shapes; arrays in, arrays out."""

from basrelief.geometry.descriptor import DESCRIPTOR_SIZE, shape_descriptor
from basrelief.geometry.sampling import farthest_points, remove_outliers, sample_surface, subsample
from basrelief.geometry.transforms import (
    UP_AXES,
    axis_rotation,
    normalise_unit_cube,
    normalise_unit_sphere,
    rotate,
    rotation_to_z_up,
)
from basrelief.geometry.upright import CUES, cue_scores, guess_up, up_candidates, upright_cues

__all__ = [
    "CUES",
    "DESCRIPTOR_SIZE",
    "UP_AXES",
    "axis_rotation",
    "cue_scores",
    "farthest_points",
    "guess_up",
    "normalise_unit_cube",
    "normalise_unit_sphere",
    "remove_outliers",
    "rotate",
    "rotation_to_z_up",
    "sample_surface",
    "shape_descriptor",
    "subsample",
    "up_candidates",
    "upright_cues",
]
