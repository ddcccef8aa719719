"""The ZIP layout of `torch.save`, since torch 1.6: one folder with `data.pkl` and a member for each storage."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from basrelief.encoders.checkpoint.records import Storage
from basrelief.encoders.checkpoint.storages import StorageFile, check_byte_order, checksum
from basrelief.errors import FileFormatError
from basrelief.io.archive import open_directory
from basrelief.limits import limits

_LOCAL_HEADER = 30
_ENCRYPTED = 1
_SMALL = 1 << 20  # below this size a compression ratio means nothing


class ZippedStorages:
    """The members of an archive that `torch.save` wrote.

    Attributes:
        script: Whether it is a TorchScript archive.
    """

    def __init__(self, path: Path) -> None:
        """Read the directory of an archive.

        Raises:
            FileFormatError: If there is no `data.pkl` in one folder, or two members have the same name.
        """
        self._path, self._file, self._unpacked = path, StorageFile(path), 0
        with open_directory(path) as archive:
            members = archive.infolist()
        self._members = {member.orig_filename: member for member in members}
        if len(self._members) != len(members):
            raise FileFormatError(f"{path.name} holds two members of the same name. Do not trust this file.")
        roots = [name.removesuffix("data.pkl") for name in self._members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(roots) != 1:
            raise FileFormatError(f"{path.name} is a ZIP archive, but not one of torch.save: no folder holds data.pkl.")
        self._root = roots[0]
        self.script = f"{self._root}constants.pkl" in self._members
        if f"{self._root}byteorder" in self._members:
            check_byte_order(bytes(self._content("byteorder", 16).numpy()).decode("ascii", "replace"), path.name)

    def pickle(self) -> io.BytesIO:
        """Return the content of `data.pkl`."""
        return io.BytesIO(self._content("data.pkl", limits().memory_bytes // 2).numpy().tobytes())

    def read(self, storage: Storage) -> Tensor:
        """Return the bytes of a storage: mapped, or decompressed if someone packed the archive again.

        Raises:
            FileFormatError: If the file holds another number of bytes than it says, or damaged ones.
        """
        member = self._member(f"data/{storage.key}")
        if member.file_size != storage.nbytes:
            raise FileFormatError(
                f"{self._path.name} is damaged: storage {str(storage.key)[:40]!r} should have {storage.nbytes:,} bytes, "
                f"but has {member.file_size:,}. Download it again."
            )
        return self._bytes(member)

    def _content(self, name: str, most: int) -> Tensor:
        member = self._member(name)
        if member.file_size > most:
            raise FileFormatError(f"{name} in {self._path.name} has {member.file_size:,} bytes; at most {most:,} are read. Check the file.")
        return self._bytes(member)

    def _member(self, name: str) -> zipfile.ZipInfo:
        member = self._members.get(self._root + name)
        if member is None:
            raise FileFormatError(f"{self._path.name} is damaged: it has no member {name[:60]!r}. Download it again.")
        if member.flag_bits & _ENCRYPTED:
            raise FileFormatError(f"{self._path.name} is encrypted. Decrypt it first.")
        return member

    def _bytes(self, member: zipfile.ZipInfo) -> Tensor:
        if member.compress_type != zipfile.ZIP_STORED:
            return self._decompressed(member)
        if member.compress_size != member.file_size:
            raise FileFormatError(f"{self._path.name} is damaged: {member.filename[:60]!r} has two sizes. Download it again.")
        found = self._file.part(self._start(member), member.file_size)
        if member.CRC and checksum(found) != member.CRC:  # torch writes 0 if it was told to save time
            raise FileFormatError(f"{self._path.name} is damaged: the checksum of {member.filename[:60]!r} is wrong. Download it again.")
        return found

    def _start(self, member: zipfile.ZipInfo) -> int:
        """Return the offset of a member's content, behind its local header."""
        with self._path.open("rb") as file:
            file.seek(member.header_offset)
            head = file.read(_LOCAL_HEADER)
            name_bytes, extra_bytes = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
            name = file.read(name_bytes).decode("utf-8" if member.flag_bits & 0x800 else "cp437", "replace")
        if head[:4] != b"PK\x03\x04" or len(head) < _LOCAL_HEADER or name != member.orig_filename:
            raise FileFormatError(f"{self._path.name} is damaged: {member.filename[:60]!r} is not where it should be. Download it again.")
        return member.header_offset + _LOCAL_HEADER + name_bytes + extra_bytes

    def _decompressed(self, member: zipfile.ZipInfo) -> Tensor:
        self._unpacked += member.file_size
        bomb = member.file_size > _SMALL and member.file_size > limits().packing_ratio * member.compress_size
        if bomb or self._unpacked > limits().unpacked_bytes or member.compress_type != zipfile.ZIP_DEFLATED:
            raise FileFormatError(
                f"{self._path.name} is compressed, and {member.filename[:60]!r} unpacks to {member.file_size:,} bytes. "
                "Unpack it, and pack it again without compression (zip -0)."
            )
        made = torch.empty(member.file_size, dtype=torch.uint8)
        view, done = made.numpy().data, 0
        with open_directory(self._path) as archive, archive.open(member) as file:
            while done < len(view) and (part := file.read(min(_SMALL, len(view) - done))):
                view[done : done + len(part)] = part
                done += len(part)
            if done != len(view) or file.read(1):
                raise FileFormatError(f"{self._path.name} is damaged: {member.filename[:60]!r} has another size. Download it again.")
        return made
