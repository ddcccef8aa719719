"""A page for a library: search it, look at hits, name uploads, index folders, review tags; on this machine, offline."""

from basrelief.web.desk import Desk
from basrelief.web.serve import Address, serve

__all__ = ["Address", "Desk", "serve"]
