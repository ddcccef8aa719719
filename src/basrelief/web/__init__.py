"""A page for a library: search it, look at hits, name uploads, index folders, review tags; on this machine, offline."""

from basrelief.web.serve import Address, RunningPage, serve
from basrelief.web.service import LibraryService

__all__ = ["Address", "LibraryService", "RunningPage", "serve"]
