"""The layout of `torch.save` before torch 1.6: five pickles in a row, then the storages, each behind its number of elements."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from torch import Tensor

from basrelief.encoders.checkpoint.records import Storage
from basrelief.encoders.checkpoint.storages import StorageFile, check_byte_order
from basrelief.encoders.checkpoint.unpickler import TorchUnpickler
from basrelief.errors import FileFormatError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT_BYTES = 8


class LegacyStorages:
    """The storages behind the pickles of a file.

    Attributes:
        unpickler: The one that parsed the content.
        content: What it found.
    """

    def __init__(self, path: Path) -> None:
        """Parse the pickles of a file and find its storages.

        Raises:
            FileFormatError: If it is another file, is damaged, or holds other storages than it says.
        """
        self._file, self._starts = StorageFile(path), dict[str | int, int]()
        with path.open("rb") as file:
            for name, expected in (("signature", _MAGIC), ("protocol", _PROTOCOL)):
                if TorchUnpickler(file, path.name).load() != expected:
                    raise FileFormatError(f"{path.name} is not a file of torch.save: its {name} is wrong. Check the file.")
            system = TorchUnpickler(file, path.name).load()
            if isinstance(system, dict) and system.get("little_endian") is False:
                check_byte_order("big", path.name)
            self.unpickler = TorchUnpickler(file, path.name)
            self.content: Any = self.unpickler.load()
            self._find(path, file, TorchUnpickler(file, path.name).load())

    def _find(self, path: Path, file: io.BufferedIOBase, keys: object) -> None:
        start = file.tell()
        for key in keys if isinstance(keys, list) else ():
            storage = self.unpickler.storages.get(key) if type(key) in (str, int) else None
            if storage is None:
                raise FileFormatError(f"{path.name} is damaged: it holds a storage that nothing uses. Download it again.")
            self._check_end(start + _COUNT_BYTES)
            file.seek(start)
            size = int.from_bytes(file.read(_COUNT_BYTES), "little")
            if size != storage.size:
                raise FileFormatError(
                    f"{path.name} is damaged: storage {str(key)[:40]!r} should have {storage.size:,} numbers, but "
                    f"has {size:,}. Download it again."
                )
            self._starts[key] = start + _COUNT_BYTES
            start += _COUNT_BYTES + storage.nbytes
        self._check_end(start)

    def _check_end(self, end: int) -> None:
        if end > self._file.size:
            name = self._file.path.name
            raise FileFormatError(f"{name} is truncated: it has {self._file.size:,} bytes of at least {end:,}. Download it again.")

    def read(self, storage: Storage) -> Tensor:
        """Return the bytes of a storage.

        Raises:
            FileFormatError: If the file does not hold it.
        """
        if storage.key not in self._starts:
            raise FileFormatError(f"{self._file.path.name} is damaged: storage {str(storage.key)[:40]!r} is missing. Download it again.")
        return self._file.part(self._starts[storage.key], storage.nbytes)
