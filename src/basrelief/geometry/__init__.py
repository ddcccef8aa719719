"""Sample, normalise, rotate and describe shapes; arrays in, arrays out."""

from basrelief.geometry.descriptor import shape_descriptor
from basrelief.geometry.sampling import remove_outliers, sample_surface, subsample
from basrelief.geometry.transforms import UP_AXES, normalise_unit_sphere, rotate, rotation_to_z_up

__all__ = [
    "UP_AXES",
    "normalise_unit_sphere",
    "remove_outliers",
    "rotate",
    "rotation_to_z_up",
    "sample_surface",
    "shape_descriptor",
    "subsample",
]
