"""Checks of what files declare, and the one place where other libraries' exceptions become ours."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from basrelief.errors import BasreliefError, FileFormatError

_NOISY = ("trimesh", "collada", "laspy", "PIL", "h5py")


def check_count(path: Path, count: int, limit: int, *, of: str) -> None:
    """Refuse a declared count before anything of that size is made.

    Args:
        path: The file that declares it.
        count: What the file declares.
        limit: The most that is read.
        of: What is counted, in the plural, e.g. `points`.

    Raises:
        FileFormatError: If `count` is negative or above `limit`.
    """
    if not 0 <= count <= limit:
        raise FileFormatError(
            f"path must hold at most {limit:,} {of}, but got {count:,} declared in {path.name}. Thin it out or check the file."
        )


@contextmanager
def border(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises into a FileFormatError, and keep its warnings and log lines to itself.

    Args:
        path: The file being read.
        kind: Format name for the message, e.g. `glb`.

    Yields:
        Nothing; parse inside the `with` block.

    Raises:
        FileFormatError: In place of any exception that is not basrelief's own; that one is its cause.
    """
    loggers = [(logger := logging.getLogger(name), logger.level) for name in _NOISY]
    for logger, _ in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BasreliefError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise FileFormatError(
            f"path must be a readable {kind} file, but got {path.name}, which breaks with {type(error).__name__}: {reason}. "
            "The file is likely truncated or damaged; export it again."
        ) from error
    finally:
        for logger, level in loggers:
            logger.setLevel(level)
