"""Parse numbers from text in blocks, so that memory stays close to that of the numbers."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.limits import limits

_BYTES_PER_NUMBER = 24  # memory per number until the shape exists
_COMMENT = re.compile(rb"#[^\n]*")


def number_blocks(path: Path, blocks: Iterator[bytes]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parse the numbers of text; `#` starts a comment.

    Args:
        path: The file, for messages.
        blocks: Blocks of whole lines.

    Yields:
        The numbers of a block, float64, and their count in each line that has any, int32.

    Raises:
        FileFormatError: If the text holds anything but numbers.
    """
    for block in blocks:
        text = _COMMENT.sub(b"", block) if b"#" in block else block
        data = np.frombuffer(text, dtype=np.uint8)
        printed = data > ord(" ")
        printed[1:] &= ~printed[:-1]  # now true at the start of each word
        counts = np.diff(np.searchsorted(np.flatnonzero(printed), np.flatnonzero(data == ord("\n"))), prepend=0)
        counts = counts[counts > 0].astype(np.int32)
        if not len(counts):
            continue
        try:
            values = np.fromstring(text, sep=" ")
        except ValueError:
            values = np.empty(0)
        if len(values) != counts.sum():
            raise FileFormatError(f"{path.name} contains {_first_non_number(text)}; expected numbers. Check its lines.")
        yield values, counts


def all_numbers(path: Path, blocks: Iterator[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Parse all numbers of text.

    Args:
        path: The file, for messages.
        blocks: Blocks of whole lines.

    Returns:
        The numbers, float64, and their count in each line that has any, int32.

    Raises:
        FileFormatError: If the text holds anything but numbers, or more than fit into `Limits.memory_bytes`.
    """
    values, counts, most = array("d"), array("i"), limits().memory_bytes // _BYTES_PER_NUMBER
    for more, widths in number_blocks(path, blocks):
        values.frombytes(more.tobytes())
        counts.frombytes(widths.tobytes())
        check_count(path, len(values), most, of="numbers")
    return np.frombuffer(values, dtype=np.float64), np.frombuffer(counts, dtype=np.int32)


def _first_non_number(text: bytes) -> str:
    for word in text.split():
        try:
            float(word)
        except ValueError:
            return repr(word.decode("ascii", "replace"))[:40]
    return "numbers that are not separated"
