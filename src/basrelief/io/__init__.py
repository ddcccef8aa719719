"""Files to shapes and back; every reader takes its file for hostile."""

from basrelief.io.load import FORMATS, load

__all__ = ["FORMATS", "load"]
