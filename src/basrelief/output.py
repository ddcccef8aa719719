"""Write files whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from basrelief.errors import OutputError


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a fresh file beside `path` to write to; on success it takes the place of `path`, on failure it is removed.

    A reader, or a run that was killed, finds the old content or the new one, never a part. The fresh file has a random name and is never an
    existing file or link; a link at `path` itself is replaced, not followed. Devices and pipes are written to directly.

    Args:
        path: The file to write; its folder is made where it is missing.

    Yields:
        The path to write to, with the suffix of `path`. Only the writing belongs in the `with` block.

    Raises:
        OutputError: If the file cannot be written: read-only folder, disk full, a folder of that name.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise IsADirectoryError("it is a folder")
        if target.exists() and not target.is_file():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.stem[:100]}.{secrets.token_hex(6)}{target.suffix}")
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield part
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except (OSError, ValueError, RuntimeError) as error:  # torch and safetensors raise RuntimeError where the disk is full
        if isinstance(error, OutputError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise OutputError(f"Cannot write {str(target)!r}: {reason}. Free some space or choose another place.") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    with replace_file(path) as part:
        part.write_text(text, encoding="utf-8")
