"""Libraries of shapes: index folders, search them by words, images and shapes, find duplicates, write tags."""

from basrelief.index.add import IndexOptions, Report
from basrelief.index.gallery import describe_file, save_gallery
from basrelief.index.library import Index
from basrelief.index.query import Query, read_image
from basrelief.index.search import Hit
from basrelief.index.tags import ProposalFile, TagProposal

__all__ = [
    "Hit",
    "Index",
    "IndexOptions",
    "ProposalFile",
    "Query",
    "Report",
    "TagProposal",
    "describe_file",
    "read_image",
    "save_gallery",
]
