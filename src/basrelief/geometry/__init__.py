"""Sampling, normalising and turning shapes; arrays in, arrays out."""

from basrelief.geometry.form import FORM_SIZE, form_numbers
from basrelief.geometry.sampling import drop_strays, farthest_points, sample_surface, subsample
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
    "FORM_SIZE",
    "UP_AXES",
    "axis_rotation",
    "cue_scores",
    "drop_strays",
    "farthest_points",
    "form_numbers",
    "guess_up",
    "normalise_unit_cube",
    "normalise_unit_sphere",
    "rotate",
    "rotation_to_z_up",
    "sample_surface",
    "subsample",
    "up_candidates",
    "upright_cues",
]
