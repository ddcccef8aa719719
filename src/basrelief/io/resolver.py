"""Files that a shape refers to: read from its own folder, never from elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote

from basrelief.errors import FileFormatError
from basrelief.limits import limits

_LONGEST_NAME = 4096  # bytes; no file system takes a longer one


class FolderResolver:
    """Reads side files (buffers, materials, textures) by the names that a shape file holds.

    A side file is a regular file inside the folder of the shape file, after every symbolic link on the way is resolved. Links that leave
    the folder, pipes and devices are as good as absent.

    Attributes:
        folder: The folder of the shape file; names that leave it are refused.
        budget: Bytes that may still be read, over all side files.
        count: Side files that may still be read.
        refused: Names that were not read because they leave the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.budget = limits().file_bytes
        self.count = limits().side_files
        self.refused: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What was refused, a sentence for each of the first ten names."""
        return tuple(f"{name!r} lies outside the folder of the file and was not read." for name in dict.fromkeys(self.refused))[:10]

    def find(self, name: str) -> Path | None:
        """Find a side file without reading it.

        Args:
            name: As written in the shape file; percent-encoding and backslashes are understood.

        Returns:
            Its path inside the folder without any link below the folder, or None where there is no such file.

        Raises:
            FileFormatError: If the name, or a link that it names, leaves the folder.
        """
        return self._existing(name.strip()) or self._existing(unquote(name.strip()))

    def get(self, name: str) -> bytes:
        """Read a side file.

        Args:
            name: As written in the shape file.

        Returns:
            Its bytes.

        Raises:
            FileFormatError: If the name leaves the folder, there is no such file, or too much was read already.
        """
        self.count -= 1
        if self.count < 0:
            raise FileFormatError(f"path must refer to at most {limits().side_files:,} other files, but got more. Check the file.")
        path = self.find(name)
        if path is None:
            raise FileFormatError(f"path must come with the files it refers to, but {name[:200]!r} is not beside it. Put it there.")
        with os.fdopen(_open_beneath(self.folder, path.relative_to(self.folder).parts), "rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise FileFormatError(
                    f"path must refer to regular files, but got {name[:200]!r}, which is none. Copy its content to a file."
                )
            self.budget -= state.st_size
            if self.budget < 0:
                raise FileFormatError(
                    f"path must refer to at most {limits().file_bytes:,} bytes in other files, but got more. Check the file."
                )
            return file.read(state.st_size)

    def _existing(self, name: str) -> Path | None:
        """Follow a name and its links to a regular file inside the folder."""
        if len(name) > _LONGEST_NAME:
            return None
        relative = os.path.normpath(name.replace("\\", "/"))
        scheme = ":" in relative.split("/", 1)[0]
        if scheme or relative.startswith(("/", "../")) or relative == ".." or "\0" in relative:
            raise self._refusal(name)
        try:
            home, path = os.path.realpath(self.folder), os.path.realpath(self.folder / relative)
            if not stat.S_ISREG(os.lstat(path).st_mode):
                return None
        except (OSError, ValueError):  # absent, too long, or not a name that this system can have
            return None
        if os.path.commonpath([home, path]) != home:
            raise self._refusal(name)
        return self.folder / os.path.relpath(path, home)

    def _refusal(self, name: str) -> FileFormatError:
        self.refused.append(name[:200])
        return FileFormatError(f"path must refer to files in its own folder only, but got {name[:200]!r}. Copy that file beside it.")

    def __getitem__(self, name: str) -> bytes:
        return self.get(name)

    def keys(self) -> list[str]:
        """List nothing: files are read by name alone."""
        return []

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None


def _open_beneath(folder: Path, parts: tuple[str, ...]) -> int:
    """Open a file by its path below a folder, following no link and waiting for no pipe; checks made before cannot be outrun."""
    if os.open not in os.supports_dir_fd:  # Windows, where links need privileges to be made
        return os.open(folder.joinpath(*parts), os.O_RDONLY | getattr(os, "O_BINARY", 0))
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    finally:
        os.close(here)
