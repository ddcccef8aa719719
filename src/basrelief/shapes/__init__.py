"""Procedural 3D shapes of everyday objects, for training `tiny`, examples and tests."""

from basrelief.shapes.library import write_library
from basrelief.shapes.procedural import CATEGORIES, make_shape

__all__ = ["CATEGORIES", "make_shape", "write_library"]
