"""ZIP archives, checked before anything is decompressed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.limits import limits

_SMALL = 1 << 20  # below this size a compression ratio means nothing
_READ_BYTES = 1 << 22  # largest single read; zipfile reads the directory in one


class _BoundedFile(io.FileIO):
    """A file that refuses large reads, so that a huge archive directory is never loaded."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as usual, but raise for more than `_READ_BYTES`."""
        wanted = _READ_BYTES + 1 if size is None or size < 0 else size
        data = super().read(wanted) if wanted <= _READ_BYTES + 1 else None
        if data is None or len(data) > _READ_BYTES:
            raise FileFormatError(
                f"The directory of archive {Path(str(self.name)).name} is larger than {_READ_BYTES:,} bytes. Repack it with fewer files."
            )
        return data


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP archive and check its directory before decompressing anything.

    Args:
        path: The file.

    Yields:
        The archive; read its members in chunks of at most a megabyte.

    Raises:
        FileFormatError: If its members are too large, compressed so tightly that it is a bomb, or not compressed with deflate.
    """
    with open_directory(path) as archive:
        check_archive(path, archive)
        yield archive


@contextmanager
def open_directory(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP archive without checking its members: only its directory is read, and only if that is small.

    Args:
        path: The file.

    Yields:
        The archive.

    Raises:
        FileFormatError: If the directory is too large.
    """
    with _BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
        yield archive


def check_archive(path: Path, archive: zipfile.ZipFile) -> None:
    """Check the directory of a ZIP archive.

    Args:
        path: The file, for messages.
        archive: The open archive.

    Raises:
        FileFormatError: As `open_archive`.
    """
    members = archive.infolist()
    check_count(path, sum(member.file_size for member in members), limits().unpacked_bytes, of="bytes when unpacked")
    for member in members:
        if member.file_size > _SMALL and member.file_size > limits().packing_ratio * member.compress_size:
            raise FileFormatError(
                f"{path.name} looks like a ZIP bomb: {member.filename!r:.80} is compressed more than {limits().packing_ratio} to 1. "
                "Do not open it."
            )
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileFormatError(f"{member.filename!r:.80} in {path.name} is not compressed with deflate. Repack it with deflate.")


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Decompress a member in chunks; it yields at most the size its directory entry declares.

    Args:
        archive: The open archive.
        name: Name of the member.

    Returns:
        The content.
    """
    out = bytearray()
    with archive.open(name) as file:
        while piece := file.read(_SMALL):
            out += piece
    return bytes(out)
