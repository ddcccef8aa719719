"""The numbers of a file: mapped into memory where they lie aligned, else read."""

from __future__ import annotations

import mmap
import os
import sys
import zlib
from pathlib import Path

import torch
from torch import Tensor

from basrelief.errors import FileFormatError

_ALIGNMENT = 16  # bytes; the largest element has as many
_PART = 1 << 24


class StorageFile:
    """Gives parts of a file as tensors of bytes. Changing them does not change the file."""

    def __init__(self, path: Path) -> None:
        """Open a file; it stays mapped as long as one of its tensors exists."""
        self.path = path
        self.size = path.stat().st_size
        self._map: mmap.mmap | None = None

    def part(self, offset: int, size: int) -> Tensor:
        """Return bytes of the file as a tensor.

        Args:
            offset: Of the first byte.
            size: Number of bytes.

        Raises:
            FileFormatError: If the file ends before.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FileFormatError(
                f"{self.path.name} is truncated: it has {self.size:,} bytes of at least {offset + size:,}. Download it again."
            )
        if size == 0:
            return torch.empty(0, dtype=torch.uint8)
        if offset % _ALIGNMENT == 0:
            return torch.frombuffer(self._mapped(), dtype=torch.uint8, count=size, offset=offset)
        with self.path.open("rb") as file:
            file.seek(offset)
            made = torch.empty(size, dtype=torch.uint8)
            if file.readinto(made.numpy().data) != size:
                raise FileFormatError(f"{self.path.name} became shorter while it was read. Try again.")
        return made

    def _mapped(self) -> mmap.mmap:
        if self._map is None:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
                self.size = min(self.size, len(self._map), os.fstat(file.fileno()).st_size)
        return self._map


def checksum(data: Tensor) -> int:
    """Return the CRC-32 of bytes, without copying them."""
    view, value = data.numpy().data, 0
    for start in range(0, len(view), _PART):
        value = zlib.crc32(view[start : start + _PART], value)
    return value


def check_byte_order(order: str, name: str) -> None:
    """Check that numbers were stored as this machine stores them.

    Raises:
        FileFormatError: If they were not.
    """
    if order != sys.byteorder:
        raise FileFormatError(
            f"{name} was saved on a {order[:20]}-endian machine; this one is {sys.byteorder}-endian. Save it again there as safetensors."
        )
