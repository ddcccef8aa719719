"""Text files in blocks of whole lines, so that a large file takes no more memory than a block."""

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
    """A binary file, or what reads like one."""

    def read(self, size: int, /) -> bytes:
        """Read the next bytes, at most `size`; empty at the end."""


def line_blocks(path: Path, file: Readable, *, continued: bool = False) -> Iterator[bytes]:
    """Read text block by block.

    Args:
        path: The file, for messages.
        file: Where the text begins; its lines may end in any of the three ways.
        continued: Whether a backslash continues a line, which then stays in one block with what follows.

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
    """Read the lines of a model file (.obj, .stl) block by block, as `line_blocks` does.

    Args:
        source: The file, in UTF-16 when it begins with its mark.

    Yields:
        Blocks of whole lines, UTF-8 without a mark; a line that a backslash continues stays in one block with what follows.

    Raises:
        FileFormatError: If a line is longer than 16 MB.
    """
    head = source.head(3)
    with source.path.open("rb") as file:
        if head == codecs.BOM_UTF8:
            file.seek(len(head))
        wide = head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        yield from line_blocks(source.path, codecs.EncodedFile(file, "utf-8", "utf-16", "replace") if wide else file, continued=True)
