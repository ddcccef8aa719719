"""Shapes made from numbers and public fakes: for tests, the demo, the documentation and the training of `tiny`."""

from basrelief.testing.procedural import CATEGORIES, make_shape

__all__ = ["CATEGORIES", "make_shape"]
