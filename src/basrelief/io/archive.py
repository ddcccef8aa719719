"""ZIP archives, checked before anything is unpacked."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.limits import limits

_SMALL = 1 << 20  # below this a packing ratio says nothing
_READ_BYTES = 1 << 22  # the most that is read at once; a directory of members is read at once


class _Pieces(io.FileIO):
    """A file that gives at most a few megabytes at a time, so that a huge directory of members is not even read."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as usual, but refuse more than `_READ_BYTES`."""
        wanted = _READ_BYTES + 1 if size is None or size < 0 else size
        data = super().read(wanted) if wanted <= _READ_BYTES + 1 else None
        if data is None or len(data) > _READ_BYTES:
            raise FileFormatError(
                f"The directory of archive {Path(str(self.name)).name} is larger than {_READ_BYTES:,} bytes. Repack it with fewer files."
            )
        return data


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP archive and check its directory before anything is unpacked.

    Args:
        path: The file.

    Yields:
        The archive; read its members in pieces of at most a megabyte.

    Raises:
        FileFormatError: If its members are declared too large, packed so tightly that they are a bomb, or in another way than by deflate.
    """
    with _Pieces(path) as file, zipfile.ZipFile(file) as archive:
        check_archive(path, archive)
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
    """Unpack a member piece by piece; it has as many bytes as its directory entry declares, or fewer.

    Args:
        archive: The open archive.
        name: A name in it.

    Returns:
        The content.
    """
    out = bytearray()
    with archive.open(name) as file:
        while piece := file.read(_SMALL):
            out += piece
    return bytes(out)
