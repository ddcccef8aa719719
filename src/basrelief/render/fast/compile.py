"""Compile functions with numba; the machine code is kept in the user's cache folder."""

# mypy: disable-error-code="attr-defined, call-overload"
# Numba's stubs lack these options.
from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config

from basrelief.folders import cache_folder

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function at its first call; it runs without Python's lock, so threads run it at the same time.

    Args:
        function: Takes and returns numbers, arrays and tuples of these.
    """
    return _compiled(function)


def inlined(function: Function) -> Function:
    """Compile a function into those that call it: handing over many arrays would cost more than a small function does."""
    return _compiled(function, forceinline=True)


def _compiled(function: Function, **options: bool) -> Function:
    folder = _folder()
    plain = inspect.unwrap(function)  # without the type checks that tests add
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder or "")
    try:
        return cast("Function", numba.njit(plain, nogil=True, error_model="numpy", cache=folder is not None, _nrt=False, **options))
    finally:
        config.CACHE_DIR = before


@cache
def _folder() -> Path | None:
    """Return the private folder for machine code of this version of the sources, or None if there cannot be one."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources) + numba.__version__.encode()).hexdigest()[:16]
    folder = cache_folder() / "compiled" / digest
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError:
        return None
    # Machine code is loaded without a check of its content, so nobody else may have put it there.
    private = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
    return folder if private and os.access(folder, os.W_OK) else None
