"""Procedural 3D shapes of everyday objects and furnished rooms, for training `tiny`, examples and tests."""

from basrelief.shapes.library import write_library
from basrelief.shapes.procedural import CATEGORIES, make_shape
from basrelief.shapes.rooms import make_room, write_rooms
from basrelief.shapes.virtual_scan import scan_room

__all__ = ["CATEGORIES", "make_room", "make_shape", "scan_room", "write_library", "write_rooms"]
