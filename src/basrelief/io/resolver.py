"""Read files that a shape refers to, only from its own folder."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from io import BufferedReader
from itertools import islice, takewhile
from pathlib import Path
from urllib.parse import unquote

from basrelief.errors import FileFormatError
from basrelief.limits import limits

_LONGEST_NAME = 4096  # bytes; no file system takes a longer one
_LISTED = 10_000  # entries of the folder and its subfolders among which similar names are searched


class OutsideFolderError(FileFormatError):
    """A shape file names a side file outside its own folder; `FolderResolver.notes` says so."""


class FolderResolver:
    """Reads side files (buffers, materials, textures) by the names that a shape file holds.

    A side file is a regular file inside the folder of the shape file after all symbolic links are resolved. Links that leave the folder,
    pipes and devices count as missing.

    Attributes:
        folder: The folder of the shape file.
        budget: Bytes of side files that `get` may still read.
        names: Names opened so far, at most `Limits.side_files`.
        refused: Names not read because they leave the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.budget = limits().text_bytes
        self.names: set[str] = set()
        self.refused: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each of the first ten refused names."""
        return tuple(f"{name!r} lies outside the folder of the file and was not read." for name in dict.fromkeys(self.refused))[:10]

    def find(self, name: str, *, similar: bool = False) -> Path | None:
        """Find a side file without reading it.

        Args:
            name: As written in the shape file; percent-encoding and backslashes are understood.
            similar: Whether to take, if there is no such file, one of the same base name in any letter case from the folder or its
                subfolders. This finds files named by a path on another computer.

        Returns:
            Its path inside the folder with all links resolved, or None if there is no such file.

        Raises:
            FileFormatError: If the name, or a link it points to, leaves the folder and no similar file is taken.
        """
        names = dict.fromkeys(found for kept in (name, name.strip()) for found in (kept, unquote(kept)))
        name = name.strip()
        try:
            found = next((path for path in map(self._existing, names) if path is not None), None)
        except OutsideFolderError:
            found = self._similar(name) if similar else None
            if found is None:
                raise
            self.refused.pop()
        return found or (self._similar(name) if similar else None)

    def open(self, name: str, *, similar: bool = False) -> BufferedReader:
        """Open a side file.

        Args:
            name: As written in the shape file.
            similar: As for `find`.

        Returns:
            The open file; the caller closes it.

        Raises:
            FileFormatError: If the name leaves the folder, there is no such file, or too many were opened.
        """
        self.names.add(name)
        if len(self.names) > limits().side_files:
            raise FileFormatError(f"The file refers to more than {limits().side_files:,} other files. Merge its textures or buffers.")
        path = self.find(name, similar=similar)
        if path is None:
            raise FileFormatError(f"The file refers to {name[:200]!r}, which is not beside it. Copy it into the same folder.")
        file = os.fdopen(_open_beneath(self.folder, path.relative_to(self.folder).parts), "rb")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise FileFormatError(f"The file refers to {name[:200]!r}, which is not a regular file. Copy its content to a file.")
        return file

    def get(self, name: str, *, similar: bool = False) -> bytes:
        """Read a whole side file.

        Args:
            name: As written in the shape file.
            similar: As for `find`.

        Returns:
            Its bytes.

        Raises:
            FileFormatError: If it cannot be opened, or the budget is exhausted.
        """
        with self.open(name, similar=similar) as file:
            size = os.fstat(file.fileno()).st_size
            self.budget -= size
            if self.budget < 0:
                raise FileFormatError(
                    f"The files it refers to have more than {limits().text_bytes:,} bytes together. Reduce its textures or buffers."
                )
            return file.read(size)

    def _existing(self, name: str) -> Path | None:
        """Resolve a name to a regular file inside the folder, following links."""
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
        except (OSError, ValueError):  # missing, too long, or not a valid name on this system
            return None
        if os.path.commonpath([home, path]) != home:
            raise self._refusal(name)
        return self.folder / os.path.relpath(path, home)

    def _similar(self, name: str) -> Path | None:
        """Return the file with the base name of `name`, in any letter case, whose folders have most in common with those of the name."""
        parts = [part for part in unquote(name.lower()).replace("\\", "/").split("/") if part not in ("", ".", "..")][-8:]
        found = self._files.get(parts[-1], []) if parts else []
        return max(found, key=lambda path: _equal_ends(path.relative_to(self.folder).parts, parts), default=None)

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """Regular files in the folder and its subfolders by their base name in lower case; links and hidden folders are not followed."""
        files: dict[str, list[Path]] = {}
        waiting, left = deque([self.folder]), _LISTED
        while waiting and left > 0:
            folder = waiting.popleft()
            with suppress(OSError), os.scandir(folder) as entries:
                some = sorted(islice(entries, left), key=lambda entry: entry.name)
                left -= len(some) + 1
                for entry in some:
                    if entry.is_file(follow_symlinks=False):
                        files.setdefault(entry.name.lower(), []).append(folder / entry.name)
                    elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                        waiting.append(folder / entry.name)
        return files

    def _refusal(self, name: str) -> OutsideFolderError:
        self.refused.append(name[:200])
        return OutsideFolderError(f"The file refers to {name[:200]!r} outside its own folder. Copy that file beside it.")


def _equal_ends(parts: Sequence[str], wanted: Sequence[str]) -> int:
    """Count the equal parts at the ends of two paths, the second in lower case."""
    pairs = zip(reversed(parts), reversed(wanted), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0].lower() == pair[1], pairs))


def _open_beneath(folder: Path, parts: tuple[str, ...]) -> int:
    """Open a file below a folder without following links or blocking on pipes, so that earlier checks cannot be raced."""
    if os.open not in os.supports_dir_fd:  # Windows, where creating links needs privileges
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
