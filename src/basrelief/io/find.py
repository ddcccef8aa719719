"""Find shape files in folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from basrelief.io.load import FORMATS


def find_shapes(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Replace folders by the shape files in them.

    Args:
        paths: Files and folders. A path that is not a folder is kept, so that reading it reports what is wrong.

    Returns:
        Each path once, in the given order, the content of a folder sorted. Hidden files, links that leave the folder, pipes, devices, and
        .txt files that do not begin with three numbers are skipped. Folders and files without read permission are kept, too.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        found.update(dict.fromkeys(sorted(_inside(path)) if _is_folder(path) else [path]))
    return list(found)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no permission
        return False


def _inside(folder: Path) -> Iterator[Path]:
    home = folder.resolve()
    unlisted: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=unlisted.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(here, name) for name in names if not name.startswith(".")):
            if file.suffix.lower().lstrip(".") in FORMATS and _is_inside(file, home) and _is_points(file):
                yield file
    yield from (Path(error.filename) for error in unlisted)


def _is_inside(file: Path, home: Path) -> bool:
    try:
        return file.is_file() and file.resolve().is_relative_to(home)
    except OSError:  # no permission; reading the file reports it
        return True


def _is_points(file: Path) -> bool:
    """Return whether the first line of a .txt file looks like points rather than text; True for other suffixes."""
    if file.suffix.lower() != ".txt":
        return True
    try:
        with file.open("rb") as lines:
            words = lines.readline(4096).replace(b",", b" ").replace(b";", b" ").split()
        return len([float(word) for word in words]) >= 3
    except (OSError, ValueError):
        return False


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, for its deadline; 0 if there is none, so that reading it says why."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
