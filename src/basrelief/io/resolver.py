"""Files that a shape refers to: read from its own folder, never from elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from basrelief.errors import FileFormatError
from basrelief.limits import limits


class FolderResolver:
    """Reads side files (buffers, materials, textures) by the names that a shape file holds; fits trimesh's resolver protocol.

    Attributes:
        folder: The folder of the shape file; names that leave it are refused.
        budget: Bytes that may still be read, over all side files.
        refused: Names that were not read because they leave the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.budget = limits().file_bytes
        self.refused: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What was refused, a sentence for each of the first ten names."""
        return tuple(f"{name!r} lies outside the folder of the file and was not read." for name in dict.fromkeys(self.refused))[:10]

    def get(self, name: str) -> bytes:
        """Read a side file.

        Args:
            name: As written in the shape file; percent-encoding and backslashes are understood.

        Returns:
            Its bytes.

        Raises:
            FileFormatError: If the name leaves the folder, there is no such file, or too much was read already.
        """
        path = self._inside(name.strip())
        if not path.is_file():
            path = self._inside(unquote(name.strip()))
        if not path.is_file():
            raise FileFormatError(f"path must come with the files it refers to, but {name[:200]!r} is not beside it. Put it there.")
        self.budget -= path.stat().st_size
        if self.budget < 0:
            raise FileFormatError(f"path must refer to at most {limits().file_bytes:,} bytes in other files, but got more. Check the file.")
        return path.read_bytes()

    def _inside(self, name: str) -> Path:
        relative = os.path.normpath(name.replace("\\", "/"))
        scheme = ":" in relative.split("/", 1)[0]
        if scheme or relative.startswith(("/", "..")) or "\0" in relative:
            self.refused.append(name[:200])
            raise FileFormatError(f"path must refer to files in its own folder only, but got {name[:200]!r}. Copy that file beside it.")
        return self.folder / relative

    def __getitem__(self, name: str) -> bytes:
        return self.get(name)

    def keys(self) -> list[str]:
        """List nothing: files are read by name alone."""
        return []

    def __contains__(self, name: str) -> bool:
        return self._inside(name).is_file()
