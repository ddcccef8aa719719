"""Write files atomically: completely or not at all."""

from __future__ import annotations

import glob
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from basrelief.errors import BasreliefError, OutputError

if TYPE_CHECKING:
    from PIL import Image


@contextmanager
def output_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Convert errors raised while writing into an `OutputError` that names the file.

    Args:
        path: The file being written. Keep everything else out of the `with` block.

    Yields:
        Nothing.

    Raises:
        OutputError: If the file cannot be written: read-only folder, disk full, a folder of that name.
    """
    try:
        yield
    except BasreliefError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # torch and safetensors raise RuntimeError where the disk is full
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).split("\n")[0] or type(error).__name__
        raise OutputError(f"Cannot write {str(path)!r}: {reason}. Free some space or choose another path.") from error


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write to a temporary file beside `path`, which replaces `path` on success and is removed on failure.

    Readers see the old content or the new content, never a mixture, even if the process is killed. The temporary file has a random name and
    is never an existing file or link; a link at `path` is replaced, not followed. Devices and pipes are written to directly.

    Args:
        path: The file to write; a missing folder is created.

    Yields:
        The path to write to, with the suffix of `path`. Keep everything but writing out of the `with` block.

    Raises:
        OutputError: If the file cannot be written: read-only folder, disk full, a folder of that name.
    """
    target = Path(path)
    with output_errors(path):
        if target.is_dir():
            raise IsADirectoryError("it is a folder")
        if target.exists() and not target.is_file():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.stem[:100]}.{secrets.token_hex(_HEX // 2)}{target.suffix}")
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield part
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def remove_temporary_files(path: str | os.PathLike[str]) -> None:
    """Remove temporary files that killed processes left beside `path`. Call it only while no other process writes `path`."""
    target = Path(path)
    with output_errors(path):
        for part in target.parent.glob(f".{glob.escape(target.stem[:100])}.{'[0-9a-f]' * _HEX}{glob.escape(target.suffix)}"):
            part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically; lone surrogates, as in undecodable file names, become `?`.

    Raises:
        OutputError: If it cannot be written.
    """
    with replace_file(path) as part:
        part.write_text(text, encoding="utf-8", errors="replace")


def append_text(path: str | os.PathLike[str], text: str) -> None:
    """Append UTF-8 text to a file.

    Raises:
        OutputError: If it cannot be written.
    """
    with output_errors(path), Path(path).open("a", encoding="utf-8", errors="replace") as file:
        file.write(text)


def write_picture(path: str | os.PathLike[str], picture: Image.Image) -> None:
    """Write an image atomically, in the format of the suffix.

    Raises:
        OutputError: If it cannot be written.
    """
    with replace_file(path) as part:
        picture.save(part)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder and its parents if they are missing.

    Raises:
        OutputError: If it cannot be created.
    """
    with output_errors(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def size_text(size: int) -> str:
    """Format a number of bytes: `3.9 GB`, `605 MB`, `2.2 MB`, `12 KB`."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if size >= unit:
            value = size / unit
            return f"{value:.0f} {name}" if value >= 10 and name != "GB" else f"{value:.1f} {name}"
    return f"{size} bytes"


def to_json(value: object, *, indent: int | None = None, ascii: bool = True) -> str:
    """Return plain data as standard JSON; NaN and infinity, which JSON does not have, become null.

    Args:
        value: Numbers, strings, lists and mappings.
        indent: Spaces per level; one line when None.
        ascii: Whether to escape non-ASCII characters, so that any terminal can show the result.
    """
    return json.dumps(_defined(value), indent=indent, ensure_ascii=ascii, allow_nan=False)


def _defined(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _defined(inner) for name, inner in value.items()}
    return [_defined(inner) for inner in value] if isinstance(value, list | tuple) else value


_HEX = 12
"""Random hexadecimal digits in the name of a temporary file."""
