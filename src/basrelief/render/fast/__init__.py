"""The renderer compiled by numba, for CPUs, used when the `fast` extra is installed. The torch versions are the references."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch

VARIABLE = "BASRELIEF_NUMBA"
"""Environment variable: 0 draws with torch even where numba is installed."""

_off: ContextVar[bool] = ContextVar("off", default=False)


def usable(device: torch.device | str) -> bool:
    """Return whether compiled code draws on a device."""
    return not _off.get() and torch.device(device).type == "cpu" and os.environ.get(VARIABLE) != "0" and _installed()


@contextmanager
def without_numba() -> Iterator[None]:
    """Draw with torch within a `with` block, in the current thread only.

    Yields:
        Nothing.
    """
    token = _off.set(True)
    try:
        yield
    finally:
        _off.reset(token)


@cache
def _installed() -> bool:
    return importlib.util.find_spec("numba") is not None
