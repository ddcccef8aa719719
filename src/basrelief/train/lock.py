"""File locks: one process at a time per folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from basrelief.errors import ConfigError
from basrelief.output import make_folder, output_errors

RUN_LOCK = ".run.lock"
"""Lock file in the folder of a training run."""


@contextmanager
def hold_lock(path: Path, *, busy: str) -> Iterator[None]:
    """Hold a lock file; the system releases it when the process ends, even by a kill.

    Args:
        path: Lock file; its folder is created if missing.
        busy: Error message if another process holds it.

    Yields:
        None.

    Raises:
        ConfigError: If another process holds the lock.
        OutputError: If the file cannot be made.
    """
    make_folder(path.parent)
    lock = FileLock(path, timeout=0)
    with output_errors(path):
        try:
            lock.acquire()
        except Timeout as error:
            raise ConfigError(busy) from error
    try:
        yield
    finally:
        with suppress(OSError):  # some systems cannot delete an open file
            path.unlink()  # still held: filelock does not lock a deleted file
        lock.release()


@contextmanager
def lock_run(out: Path, *, writes: bool = True) -> Iterator[None]:
    """Lock the folder of a training run.

    Args:
        out: Folder of the run.
        writes: Whether this process writes to it; of several that train together, only one does, and only that one locks.

    Yields:
        None.

    Raises:
        ConfigError: If another training is running in it.
        OutputError: If the folder cannot be written.
    """
    busy = f"Another training is running in {str(out)!r}. Wait for it, stop it, or name another folder with --out."
    with hold_lock(out / RUN_LOCK, busy=busy) if writes else nullcontext():
        yield
