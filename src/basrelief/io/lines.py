"""Read text files in blocks of whole lines, so that memory does not grow with the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from basrelief.errors import FileFormatError
from basrelief.io.source import Source

_BLOCK = 1 << 22  # bytes
_LONGEST = 1 << 24


@runtime_checkable
class Readable(Protocol):
    """A binary file, or anything with the same `read`."""

    def read(self, size: int, /) -> bytes:
        """Read the next bytes, at most `size`; empty at the end."""


def line_blocks(path: Path, file: Readable, *, continued: bool = False) -> Iterator[bytes]:
    """Read text block by block.

    Args:
        path: The file, for messages.
        file: The open file; lines may end in LF, CR or CRLF.
        continued: Whether a backslash continues a line; continued lines stay in one block.

    Yields:
        Blocks of whole lines that end with a newline.

    Raises:
        FileFormatError: If a line is longer than 16 MB.
    """
    rest = b""
    while block := file.read(max(_BLOCK, len(rest))):
        text = rest + block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = text.rfind(b"\n") + 1
        while continued and end > 1 and text[end - 2] == ord("\\"):
            end = text.rfind(b"\n", 0, end - 1) + 1
        if end:
            yield text[:end]
        rest = text[end:]
        if len(rest) > _LONGEST:
            raise FileFormatError(f"A line of {path.name} is longer than {_LONGEST:,} bytes. Check the file.")
    if rest:
        yield rest + b"\n"


def model_lines(source: Source) -> Iterator[bytes]:
    """Read the lines of a model file (.obj, .stl) in blocks.

    Args:
        source: The file; UTF-16 is recognised by its byte order mark.

    Yields:
        Blocks of whole lines, UTF-8 without a byte order mark; lines continued by a backslash stay in one block.

    Raises:
        FileFormatError: If a line is longer than 16 MB.
    """
    head = source.head(3)
    with source.path.open("rb") as file:
        if head == codecs.BOM_UTF8:
            file.seek(len(head))
        wide = head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        yield from line_blocks(source.path, codecs.EncodedFile(file, "utf-8", "utf-16", "replace") if wide else file, continued=True)
