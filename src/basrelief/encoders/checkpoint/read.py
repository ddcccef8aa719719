"""Open a checkpoint of any layout of `torch.save`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from basrelief.encoders.checkpoint.legacy import LegacyStorages
from basrelief.encoders.checkpoint.records import Storage, StoredTensor
from basrelief.encoders.checkpoint.script import ScriptUnpickler, flatten
from basrelief.encoders.checkpoint.tar import TarStorages, is_tar
from basrelief.encoders.checkpoint.unpickler import TorchUnpickler
from basrelief.encoders.checkpoint.zipped import ZippedStorages
from basrelief.errors import FileFormatError

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


class Checkpoint:
    """A file of `torch.save`; its tensors are read when they are asked for.

    Attributes:
        content: Dicts, lists, tuples, strings, numbers, NumPy arrays, and `StoredTensor`s in place of tensors.
        dropped: What was left out of `content`: where it stood, and its name.
    """

    def __init__(self, content: Any, dropped: Mapping[str, str], read: Callable[[Storage], Tensor]) -> None:  # noqa: ANN401 - any value may stand in a file
        self.content, self.dropped = content, dropped
        self._read, self._storages = read, dict[str | int, Tensor]()

    def tensor(self, stored: StoredTensor) -> Tensor:
        """Return a tensor over the numbers of the file, mapped where possible; tensors that shared memory share it again.

        Args:
            stored: A tensor of `content`.

        Raises:
            FileFormatError: If the file does not hold its storage, or a damaged one.
        """
        storage = stored.storage
        if storage.key not in self._storages:
            self._storages[storage.key] = self._read(storage)
        size = storage.dtype.itemsize
        part = self._storages[storage.key][storage.start * size : (storage.start + storage.count) * size]
        numbers = part[: len(part) // stored.dtype.itemsize * stored.dtype.itemsize].view(stored.dtype)
        return numbers.as_strided(stored.shape, stored.stride, numbers.storage_offset() + stored.offset)


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a file of `torch.save` of any version of torch, or a TorchScript archive. Nothing in it is executed.

    Args:
        path: The file.

    Raises:
        Exception: Any, if it is broken or made to harm.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(_PICKLE) or is_tar(head):
        found = TarStorages(path) if is_tar(head) else LegacyStorages(path)
        return Checkpoint(found.content, found.unpickler.dropped, found.read)
    if not head.startswith(_ZIP):
        raise FileFormatError(f"{path.name} is not a weights file: it is neither safetensors nor a file of torch.save. Check the file.")
    archive = ZippedStorages(path)
    if archive.script:
        return Checkpoint(flatten(ScriptUnpickler(archive.pickle(), path.name).load()), {}, archive.read)
    unpickler = TorchUnpickler(archive.pickle(), path.name)
    content = unpickler.load()
    return Checkpoint(content, unpickler.dropped, archive.read)
