"""What lies under a folder, and what of it a library knows already."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from basrelief.errors import FileFormatError
from basrelief.index.schema import Known
from basrelief.io import find_shapes, side_files
from basrelief.limits import limits

_BLOCK = 1 << 20


@dataclass(frozen=True)
class FileEntry:
    """A file under an indexed folder.

    Attributes:
        path: Absolute.
        place: Relative to the folder, with forward slashes.
        known: What a row remembers of it; the hash is empty until `identify`.
        changed: Nanoseconds of the last change of the file and of each side file, which no program can set; empty until `identify`.
    """

    path: Path
    place: str
    known: Known
    changed: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Path as it is stored: what is not UTF-8 is escaped."""
        return utf8_text(str(self.path))

    @property
    def size(self) -> int:
        """Bytes together with the side files."""
        return self.known.bytes + sum(size for _, size, _ in _stamped(self.known.beside))


@dataclass(frozen=True)
class Plan:
    """What is to be done for a folder.

    Attributes:
        read: New files and changed ones.
        gone: Paths that are known and not there any more.
        unchanged: How many files need nothing.
        bad: How many of them could not be read before.
    """

    read: tuple[FileEntry, ...]
    gone: tuple[str, ...]
    unchanged: int
    bad: int


def checked_folder(folder: Path) -> Path:
    """Return a folder that is there and whose name can be stored.

    Raises:
        FileFormatError: If it is none.
    """
    try:
        if folder.is_dir() and str(folder) == utf8_text(str(folder)):
            return folder
    except (OSError, ValueError):  # a name that is too long or holds a NUL byte
        pass
    raise FileFormatError(f"folder must be there, but got {utf8_text(str(folder))!r}. Name the folder of your models.")


def find_files(folder: Path, *, roots: Iterable[str] = ()) -> list[FileEntry]:
    """List every shape file under a folder, and folders that may not be listed.

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
            known = Known(utf8_text(str(root)), state.st_size, None if stat.S_ISDIR(state.st_mode) else _nanoseconds(state), "")
        except FileNotFoundError:  # it went while we looked
            continue
        except OSError:  # `identify` tells why
            known = Known(utf8_text(str(root)), 0, None, "")
        found.append(FileEntry(path, path.relative_to(root).as_posix(), known))
    return found


def plan(folder: Path, found: Iterable[FileEntry], *, known: Mapping[str, Known], failed: Mapping[str, Known], again: bool = False) -> Plan:
    """Compare a folder with what is known of it: size and time of files and of their side files, and the folder places are relative to.

    Args:
        folder: Files known under it that were not found are gone; other folders, and those that may not be listed, are left alone.
        found: From `find_files`.
        known: Files with a row, by path.
        failed: Files that could not be read, by path.
        again: Whether those are tried again though they did not change.
    """
    there, todo, bad = set(), [], 0
    for one in found:
        there.add(one.key)
        row = known.get(one.key) or (None if again else failed.get(one.key))
        if row is None or not _is_unchanged(one, row):
            todo.append(one)
        elif one.key not in known:
            bad += 1
    home, unlisted = folder.resolve(), [one.path for one in todo if one.known.mtime is None]
    gone = [path for path in {**failed, **known} if inside(home, path) and path not in there]
    gone = [path for path in gone if not any(inside(place, path) for place in unlisted)]
    return Plan(tuple(todo), tuple(gone), len(there) - len(todo), bad)


def identify(one: FileEntry) -> FileEntry:
    """Return the same file as it is now, with the hash of its bytes and of those of its side files.

    Two results are equal only if nothing of the file changed in between.

    Raises:
        FileFormatError: If it cannot be read, or is too large.
    """
    if one.key != str(one.path):
        raise FileFormatError(f"file name must be UTF-8, but got {one.key!r}. Rename it.")
    try:
        if not one.path.is_file():
            raise FileNotFoundError(None, "No such file" if not one.path.exists() else "a folder or device that may not be read")
        paths = (one.path, *side_files(one.path))
        states = [path.stat() for path in paths]
        size = sum(state.st_size for state in states)
        if size > limits().file_bytes:
            raise FileFormatError(
                f"path must be at most {limits().file_bytes:,} bytes with its side files, but got {size:,} in {one.path.name}. Split it."
            )
        digests = [_digest(path) for path in paths]
    except (OSError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise FileFormatError(f"file must be readable, but got {reason}: {one.path}. Check its permissions.") from error
    content, beside = digests[0], ""
    if len(paths) > 1:
        names = [os.path.relpath(path, one.path.parent) for path in paths[1:]]
        beside = _stamp(one.path.parent, names)
        content += "+" + hashlib.sha256(json.dumps([names, digests[1:]]).encode()).hexdigest()
    known = Known(one.known.root, states[0].st_size, _nanoseconds(states[0]), content, beside)
    return replace(one, known=known, changed=tuple(state.st_ctime_ns for state in states))


def _is_unchanged(one: FileEntry, row: Known) -> bool:
    if one.known.mtime is None or row.beside is None or replace(row, content="", beside="") != one.known:
        return False
    return row.beside == "" or _stamp(one.path.parent, [name for name, _, _ in _stamped(row.beside)]) == row.beside


def _stamp(folder: Path, names: Iterable[str]) -> str:
    """Names of side files with their sizes and times, as JSON."""
    found: list[tuple[str, int, int]] = []
    for name in names:
        try:
            state = (folder / name).stat()
            found.append((name, state.st_size, _nanoseconds(state)))
        except OSError:
            found.append((name, 0, 0))
    return json.dumps(found)


def _stamped(text: str | None) -> list[tuple[str, int, int]]:
    """Read what `_stamp` wrote; nothing where a library holds something else."""
    try:
        return [(str(name), int(size), int(time)) for name, size, time in json.loads(text or "[]")]
    except (ValueError, TypeError):
        return []


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _nanoseconds(state: os.stat_result) -> int:
    """Time of change in 64 bits; years outside 1677 to 2262 wrap around."""
    return (state.st_mtime_ns + (1 << 63)) % (1 << 64) - (1 << 63)


def utf8_text(text: str) -> str:
    """Return a text that can be stored: parts of a file name that are not UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def words_of(place: str) -> str:
    """The words in a file's name and those of its folders: `props/officeChair_02.glb` gives `props office chair 02`."""
    stem = re.sub(r"[.][^./]*$", "", place)
    parts = re.findall(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+", stem)
    return " ".join(part.lower() for part in parts)


def inside(folder: Path, path: str) -> bool:
    """Whether a path lies in a folder, both resolved, by their names alone."""
    return path.startswith(utf8_text(str(folder)).rstrip(os.sep) + os.sep)
