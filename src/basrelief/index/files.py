"""What lies under a folder, and what of it a library knows already."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from basrelief.errors import FileFormatError
from basrelief.index.schema import Known
from basrelief.io import find_shapes

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Found:
    """A file under an indexed folder.

    Attributes:
        path: Absolute.
        place: Relative to the folder, with forward slashes.
        known: Folder, size, time of change and hash; the hash is empty until `hashed`.
    """

    path: Path
    place: str
    known: Known


@dataclass(frozen=True)
class Plan:
    """What is to be done for a folder.

    Attributes:
        read: New files and changed ones.
        gone: Paths that are known and not there any more.
        unchanged: How many files need nothing.
        bad: How many of them could not be read before.
    """

    read: tuple[Found, ...]
    gone: tuple[str, ...]
    unchanged: int
    bad: int


def checked_folder(folder: Path) -> Path:
    """A folder that is there.

    Raises:
        FileFormatError: If it is none.
    """
    if not folder.is_dir():
        raise FileFormatError(f"folder must be there, but got {str(folder)!r}. Name the folder of your models.")
    return folder


def find_files(folder: Path, *, roots: Iterable[str] = ()) -> list[Found]:
    """Every shape file under a folder.

    Args:
        folder: Walked as `find_shapes` does.
        roots: Folders that are indexed already; places are relative to the outermost of them that holds this one.

    Raises:
        FileFormatError: If the folder is none.
    """
    home = checked_folder(folder).resolve()
    root = min((Path(root) for root in roots if home.is_relative_to(root)), key=lambda path: len(path.parts), default=home)
    found = []
    for path in find_shapes([home]):
        try:
            state = path.stat()
        except OSError:  # it went while we looked
            continue
        found.append(Found(path, path.relative_to(root).as_posix(), Known(str(root), state.st_size, state.st_mtime_ns, "")))
    return found


def plan(folder: Path, found: Iterable[Found], *, known: Mapping[str, Known], failed: Mapping[str, Known], again: bool = False) -> Plan:
    """Compare a folder with what is known of it, by size, time of change, and the folder that places are relative to.

    Args:
        folder: Files known under it that were not found are gone; other folders are left alone.
        found: From `find_files`.
        known: Files with a row, by path.
        failed: Files that could not be read, by path.
        again: Whether those are tried again though they did not change.
    """
    there, todo, bad = set(), [], 0
    for one in found:
        there.add(str(one.path))
        row = known.get(str(one.path)) or (None if again else failed.get(str(one.path)))
        if row is None or replace(row, content="") != one.known:
            todo.append(one)
        elif str(one.path) not in known:
            bad += 1
    home = folder.resolve()
    gone = [path for path in {**failed, **known} if inside(home, path) and path not in there]
    return Plan(tuple(todo), tuple(gone), len(there) - len(todo), bad)


def hashed(one: Found) -> Found:
    """The same file with the hash of its bytes.

    Raises:
        FileFormatError: If it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with one.path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise FileFormatError(f"file must be readable, but got {error.strerror}: {one.path}. Check its permissions.") from error
    return replace(one, known=replace(one.known, content=digest.hexdigest()))


def words_of(place: str) -> str:
    """The words in a file's name and those of its folders: `props/officeChair_02.glb` gives `props office chair 02`."""
    stem = re.sub(r"[.][^./]*$", "", place)
    parts = re.findall(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+", stem)
    return " ".join(part.lower() for part in parts)


def inside(folder: Path, path: str) -> bool:
    """Whether a path lies in a folder, both resolved, by their names alone."""
    return path.startswith(str(folder).rstrip(os.sep) + os.sep)
