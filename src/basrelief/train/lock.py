"""One process at a time in a folder."""

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
    """Hold a lock file; the system releases it when this process ends in any way, a kill included.

    Args:
        path: The lock file; its folder is made where it is missing.
        busy: Message of the error when another process holds it.

    Yields:
        Nothing.

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
        with suppress(OSError):  # some systems keep a file that is open
            path.unlink()  # held: filelock takes no lock on a file that has lost its name
        lock.release()


@contextmanager
def lock_run(out: Path, *, writes: bool = True) -> Iterator[None]:
    """Keep a second training from the folder of this one.

    Args:
        out: Folder of the run.
        writes: Whether this process writes there; of several that train together one does, and the others hold nothing.

    Yields:
        Nothing.

    Raises:
        ConfigError: If another training is at work in it.
        OutputError: If the folder cannot be written.
    """
    busy = f"Another training is at work in {str(out)!r}. Wait for it, stop it, or name another folder with --out."
    with hold_lock(out / RUN_LOCK, busy=busy) if writes else nullcontext():
        yield
