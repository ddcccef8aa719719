"""Keep native libraries from printing what they think of a file, which would end up among the answers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.RLock()


@contextmanager
def silenced() -> Iterator[None]:
    """Send what this process prints, natively or not, to nowhere until the block ends; one thread at a time."""
    with _LOCK:
        kept = os.dup(1), os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            for stream in (1, 2):
                os.dup2(nowhere, stream)
            yield
        finally:
            for stream, old in zip((1, 2), kept, strict=True):
                os.dup2(old, stream)
                os.close(old)
            os.close(nowhere)
