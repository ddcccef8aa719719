"""Text files in blocks of whole lines, so that a large file takes no more memory than a block."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from basrelief.errors import FileFormatError
from basrelief.io.source import Source

_BLOCK = 1 << 22  # bytes


def line_blocks(source: Source) -> Iterator[bytes]:
    """Read a text file block by block.

    Args:
        source: The file, in UTF-16 when it begins with its mark; its lines may end in any of the three ways.

    Yields:
        Blocks of whole lines that end with a newline; a line that a backslash continues stays in one block with what follows.

    Raises:
        FileFormatError: If a line is longer than 4 MB.
    """
    wide = source.head(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    with source.path.open("rb") as file:
        rest = b""
        while data := file.read(_BLOCK):
            block = decoder.decode(data).encode() if wide else data.removeprefix(codecs.BOM_UTF8)
            text = rest + block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            end = text.rfind(b"\n")
            while end > 0 and text[end - 1] == ord("\\"):
                end = text.rfind(b"\n", 0, end)
            if end < 0 and len(text) > _BLOCK:
                raise FileFormatError(f"path must hold lines of at most {_BLOCK:,} bytes, but got longer in {source.path.name}. Check it.")
            if end >= 0:
                yield text[: end + 1]
            rest = text[end + 1 :]
        yield rest + b"\n"
