"""A local web page for a library: search it, view shapes, classify uploads, index folders, review tags; works offline."""

from basrelief.web.server import Address, serve_until_interrupted

__all__ = ["Address", "serve_until_interrupted"]
