"""Libraries of shapes: folders indexed once and kept up to date, searched by words, pictures and shapes, tagged, rid of copies."""

from basrelief.index.add import Report, Work
from basrelief.index.gallery import facts, gallery_page
from basrelief.index.library import Index
from basrelief.index.query import Hit, Query, read_picture
from basrelief.index.tags import TagAnswer

__all__ = ["Hit", "Index", "Query", "Report", "TagAnswer", "Work", "facts", "gallery_page", "read_picture"]
