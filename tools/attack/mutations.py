"""Broken copies of files: bytes and numbers changed, pieces cut, duplicated and moved, also inside ZIP archives."""

from __future__ import annotations

import io
import random
import re
import zipfile
from pathlib import Path

_NUMBERS = (b"-1", b"0", b"1e309", b"nan", b"inf", b"99999999999", b"2147483648", b"-2147483649", b"1e-320", b"0x10", b"1" * 400)
_WORDS = (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f")
_HEAD = 4096


def mutate(path: Path, seed: int) -> bytes:
    """Return a broken copy of a file.

    Args:
        path: The file.
        seed: Which copy; the same seed gives the same bytes.

    Returns:
        The content of the copy.
    """
    dice = random.Random(f"{path.name}~{seed}")
    content = path.read_bytes()
    if content.startswith(b"PK\x03\x04") and dice.random() < 0.8:
        return _repacked(content, dice)
    return _changed(content, dice)


def _changed(content: bytes, dice: random.Random) -> bytes:
    """Change a file in one to four places, mostly where its header is."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        if not data:
            break
        dice.choice((_flip, _flip, _word, _word, _number, _number, _cut, _drop, _double, _swap))(data, dice)
    return bytes(data)


def _repacked(content: bytes, dice: random.Random) -> bytes:
    """Change one member of an archive and pack it again."""
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            names = old.namelist()
            broken = dice.choice(names)
            for name in names:
                member = old.read(name)
                new.writestr(name, _changed(member, dice) if name == broken else member)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, ValueError):
        return _changed(content, dice)
    return out.getvalue()


def _place(data: bytearray, dice: random.Random) -> int:
    """Choose a position, more often in the header, which holds sizes."""
    return dice.randrange(min(len(data), _HEAD) if dice.random() < 0.6 else len(data))


def _flip(data: bytearray, dice: random.Random) -> None:
    data[_place(data, dice)] ^= 1 << dice.randrange(8)


def _word(data: bytearray, dice: random.Random) -> None:
    at = _place(data, dice)
    data[at : at + 4] = dice.choice(_WORDS)


def _number(data: bytearray, dice: random.Random) -> None:
    """Replace a number that is written as text."""
    at = _place(data, dice)
    found = re.compile(rb"-?\d+(?:[.]\d+)?").search(data, at, at + 2000)
    if found:
        data[found.start() : found.end()] = dice.choice(_NUMBERS)


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def _drop(data: bytearray, dice: random.Random) -> None:
    at = _place(data, dice)
    del data[at : at + dice.randint(1, 64)]


def _double(data: bytearray, dice: random.Random) -> None:
    at = _place(data, dice)
    piece = data[at : at + dice.randint(1, 256)]
    data[at:at] = piece * dice.choice((1, 2, 20))


def _swap(data: bytearray, dice: random.Random) -> None:
    """Overwrite a piece of the file with another."""
    a, b, size = dice.randrange(len(data)), _place(data, dice), dice.randint(1, 64)
    data[b : b + size] = data[a : a + size]
