"""The folder for files that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "BASRELIEF_CACHE"


def cache_folder() -> Path:
    """Return the cache folder: `BASRELIEF_CACHE`, else `basrelief` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "basrelief"
