"""Read shapes from files and write them; readers treat every file as hostile."""

from basrelief.io.find import count_unread, find_shapes, unread_note
from basrelief.io.load import FORMATS, load
from basrelief.io.side_files import side_files
from basrelief.io.source import split_row
from basrelief.io.write import save

__all__ = ["FORMATS", "count_unread", "find_shapes", "load", "save", "side_files", "split_row", "unread_note"]
