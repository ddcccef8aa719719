"""Procedural 3D shapes of everyday things: for examples, tests and the training of `tiny`."""

from basrelief.shapes.library import write_library
from basrelief.shapes.procedural import CATEGORIES, make_shape

__all__ = ["CATEGORIES", "make_shape", "write_library"]
