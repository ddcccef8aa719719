"""Check the sizes that files declare; convert exceptions of parsers to `FileFormatError`."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from basrelief.errors import BasreliefError, FileFormatError

_NOISY = ("trimesh", "collada", "laspy", "PIL", "h5py")


def check_count(path: Path, count: int, limit: int, *, of: str) -> None:
    """Reject a declared count before anything of that size is allocated.

    Args:
        path: The file that declares it.
        count: Declared count.
        limit: Largest count that is accepted.
        of: What is counted, in the plural, e.g. `points`.

    Raises:
        FileFormatError: If `count` is negative or above `limit`.
    """
    if not 0 <= count <= limit:
        raise FileFormatError(
            f"{path.name} declares {count:,} {of}; at most {limit:,} are read. Simplify it, or raise the limit (see basrelief.Limits)."
        )


class _Silence(logging.Filter):
    """Drops log lines and warnings raised inside `parser_errors`, and no others.

    The object is both a logging filter and, through `match`, the message pattern of a warning filter.
    """

    def __init__(self) -> None:
        super().__init__()
        self._inside: ContextVar[bool] = ContextVar("inside parser_errors", default=False)
        self._lock = threading.Lock()
        self._count = 0
        self._loggers: list[logging.Logger] = []
        self._entry: Any = ("ignore", self, Warning, None, 0)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to keep a log line."""
        return not self._inside.get()

    def match(self, _: str) -> bool:
        """Return whether to ignore a warning."""
        return self._inside.get()

    @contextmanager
    def here(self) -> Iterator[None]:
        """Silence this context until the block ends; the last block of all threads removes the filters."""
        token = self._inside.set(True)
        with self._lock:
            self._count += 1
            self._add()
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if not self._count:
                    self._remove()
            self._inside.reset(token)

    def _add(self) -> None:
        known = [logging.getLogger(name) for name in _NOISY]
        below = [logger for name, logger in list(logging.root.manager.loggerDict.items()) if name.partition(".")[0] in _NOISY]
        for logger in {*known, *(logger for logger in below if isinstance(logger, logging.Logger))}.difference(self._loggers):
            logger.addFilter(self)
            self._loggers.append(logger)
        if self._entry not in warnings.filters:
            warnings.filters.insert(0, self._entry)  # type: ignore[attr-defined]

    def _remove(self) -> None:
        for logger in self._loggers:
            logger.removeFilter(self)
        self._loggers.clear()
        while self._entry in warnings.filters:
            warnings.filters.remove(self._entry)  # type: ignore[attr-defined]


_SILENCE = _Silence()


@contextmanager
def parser_errors(path: Path, kind: str) -> Iterator[None]:
    """Convert any exception of a parser to `FileFormatError`, and drop its warnings and log lines.

    Args:
        path: The file being read.
        kind: Format name for the message, e.g. `glb`.

    Yields:
        Nothing; call the parser inside the `with` block.

    Raises:
        FileFormatError: In place of any exception that is not basrelief's own, which becomes its cause.
    """
    try:
        with _SILENCE.here():
            yield
    except BasreliefError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise FileFormatError(
            f"{path.name} cannot be read as {kind} ({type(error).__name__}: {reason}). "
            "The file is probably truncated or damaged; export it again."
        ) from error
