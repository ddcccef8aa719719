"""Files to shapes and back; every reader takes its file for hostile."""

from basrelief.io.find import find_shapes
from basrelief.io.load import FORMATS, load
from basrelief.io.sides import side_files
from basrelief.io.source import split_row
from basrelief.io.write import CLOUD_FORMATS, MESH_FORMATS, save

__all__ = ["CLOUD_FORMATS", "FORMATS", "MESH_FORMATS", "find_shapes", "load", "save", "side_files", "split_row"]
