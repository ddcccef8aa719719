"""The first layout of `torch.save`, of torch 0.1: a tar archive with `storages`, `tensors` and `pickle`."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

from torch import Tensor

from basrelief.encoders.checkpoint.records import Storage, StoredTensor, make_storage, make_tensor
from basrelief.encoders.checkpoint.storages import StorageFile
from basrelief.encoders.checkpoint.unpickler import TorchUnpickler
from basrelief.errors import FileFormatError

_BLOCK = 512
_MOST_MEMBERS = 16
_MOST_DIMENSIONS = 64


def is_tar(head: bytes) -> bool:
    """Whether the first 512 bytes of a file are those of a tar archive."""
    return head[257:262] == b"ustar"


class TarStorages:
    """The storages of an archive.

    Attributes:
        unpickler: The one that parsed the content.
        content: What it found.
    """

    def __init__(self, path: Path) -> None:
        """Parse an archive.

        Raises:
            FileFormatError: If it is not one of torch, or damaged.
        """
        self._file, self._starts = StorageFile(path), dict[int, int]()
        objects: dict[int, Storage | StoredTensor] = {}
        with path.open("rb") as file:
            members = _members(file)
            if not {"storages", "tensors", "pickle"} <= members.keys():
                raise FileFormatError(f"{path.name} is a tar archive, but not one of torch.save. Unpack it first.")
            file.seek(members["storages"])
            self._read_storages(file, objects)
            file.seek(members["tensors"])
            _read_tensors(file, path, objects)
            file.seek(members["pickle"])
            self.unpickler = _TarUnpickler(file, path.name, objects)
            self.content: Any = self.unpickler.load()

    def read(self, storage: Storage) -> Tensor:
        """Return the bytes of a storage."""
        return self._file.part(self._starts[int(storage.key)], storage.nbytes)

    def _read_storages(self, file: io.BufferedIOBase, objects: dict[int, Storage | StoredTensor]) -> None:
        name = self._file.path.name
        for _ in range(_count(TorchUnpickler(file, name).run())):
            key, _, kind = _three(TorchUnpickler(file, name).run())
            storage = make_storage(kind, _count(key), int.from_bytes(file.read(8), "little"))
            objects[_count(key)], self._starts[_count(key)] = storage, file.tell()
            if file.tell() + storage.nbytes > self._file.size:
                raise FileFormatError(f"{name} is truncated: a storage of {storage.nbytes:,} bytes ends behind it. Download it again.")
            file.seek(storage.nbytes, io.SEEK_CUR)
        for view in TorchUnpickler(file, name).run():
            target, root, start, size = view
            whole = objects[root]
            if not isinstance(whole, Storage) or start + size > whole.size or min(start, size) < 0:
                raise ValueError("a part of a storage lies outside it")
            objects[_count(target)] = Storage(whole.key, whole.dtype, whole.size, start, size)


class _TarUnpickler(TorchUnpickler):
    """Parses the pickle of an archive, in which tensors and storages are numbers."""

    def __init__(self, file: io.BufferedIOBase, name: str, objects: dict[int, Storage | StoredTensor]) -> None:
        super().__init__(file, name)
        self._objects = objects

    def _persistent(self, saved: object) -> object:
        if type(saved) is int or (type(saved) is str and saved.isdecimal() and len(saved) < 20):
            return self._objects[int(saved)]
        return super()._persistent(("module", *saved[-3:]) if type(saved) is tuple and len(saved) == 3 else saved)


def _read_tensors(file: io.BufferedIOBase, path: Path, objects: dict[int, Storage | StoredTensor]) -> None:
    for _ in range(_count(TorchUnpickler(file, path.name).run())):
        key, storage, _ = _three(TorchUnpickler(file, path.name).run())
        dimensions = int.from_bytes(file.read(8)[:4], "little")  # of eight bytes, the last four hold anything
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"a tensor has {dimensions:,} dimensions")
        numbers = struct.unpack(f"<{2 * dimensions + 1}q", file.read(16 * dimensions + 8))
        objects[_count(key)] = make_tensor(objects[storage], numbers[-1], numbers[:dimensions], numbers[dimensions:-1])


def _members(file: io.BufferedIOBase) -> dict[str, int]:
    """Return where the content of each member begins, by name."""
    found: dict[str, int] = {}
    for _ in range(_MOST_MEMBERS):
        head = file.read(_BLOCK)
        if len(head) < _BLOCK or not head[0]:
            break
        found.setdefault(head[:100].rstrip(b"\0").decode("ascii", "replace").removeprefix("./"), file.tell())
        file.seek(-(-int(head[124:136].strip(b"\0 ") or b"0", 8) // _BLOCK) * _BLOCK, io.SEEK_CUR)
    return found


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a number of things is not a whole number")
    return value


def _three(value: object) -> tuple[Any, Any, Any]:
    if type(value) is not tuple or len(value) != 3:
        raise ValueError("a storage or tensor is not described as torch does")
    return value
