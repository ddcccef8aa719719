"""A local web page for a library: search it, view shapes, classify uploads, index folders, review tags; works offline."""

from basrelief.web.server import Address, serve, serve_until_interrupted
from basrelief.web.service import LibraryService

__all__ = ["Address", "LibraryService", "serve", "serve_until_interrupted"]
