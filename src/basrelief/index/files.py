"""Find the shape files of a folder and decide which of them must be read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from basrelief.errors import FileFormatError
from basrelief.index.schema import FileState
from basrelief.io import find_shapes, side_files
from basrelief.io.folder_axis import FolderVote
from basrelief.limits import limits


@dataclass(frozen=True)
class FileEntry:
    """A file under an indexed folder.

    Attributes:
        path: Absolute path.
        relative_path: Path relative to the indexed folder, with forward slashes.
        state: What the library records of it; the hash is empty until `hash_file`.
        changed: Time of the last inode change (`st_ctime_ns`) of the file and of each side file, which no program can set; empty
            until `hash_file`.
        up: Up axis that was given for it, or None.
        vote: What the files of its folder say about it, or None.
    """

    path: Path
    relative_path: str
    state: FileState
    changed: tuple[int, ...] = ()
    up: str | None = field(default=None, compare=False)
    vote: FolderVote | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        """Path as it is stored in the library, see `utf8_text`."""
        return utf8_text(str(self.path))

    @property
    def suffix(self) -> str:
        """Lower-case suffix without the dot."""
        return self.path.suffix.lower().lstrip(".")

    @property
    def size(self) -> int:
        """Bytes of the file together with its side files."""
        return self.state.bytes + sum(size for _, size, _ in _parse_side_files(self.state.side_files))


@dataclass(frozen=True)
class Changes:
    """What an indexing run has to do for a folder.

    Attributes:
        to_read: New and changed files.
        removed: Paths in the library that no longer exist.
        unchanged: Number of files that need nothing, those that could not be read before included.
    """

    to_read: tuple[FileEntry, ...]
    removed: tuple[str, ...]
    unchanged: int


def check_folder(folder: Path) -> Path:
    """Return the folder if it exists and its name can be stored.

    Raises:
        FileFormatError: If it does not exist, is not a folder, or its name is not UTF-8.
    """
    name = utf8_text(str(folder))
    try:
        if folder.is_dir():
            if str(folder) == name:
                return folder
            raise FileFormatError(f"Folder name {name!r} is not valid UTF-8. Rename the folder.")
    except (OSError, ValueError) as error:  # a name that is too long or holds a NUL byte
        if isinstance(error, FileFormatError):
            raise
    raise FileFormatError(f"Folder {name!r} not found. Give the folder that holds your shape files.")


def find_files(folder: Path, *, roots: Iterable[str] = ()) -> list[FileEntry]:
    """List the shape files under a folder, and its subfolders that cannot be listed.

    Args:
        folder: Walked as `find_shapes` does.
        roots: Folders that are already indexed; relative paths start at the outermost of them that contains `folder`.

    Raises:
        FileFormatError: If there is no such folder.
    """
    resolved = check_folder(folder).resolve()
    root = min((Path(root) for root in roots if resolved.is_relative_to(root)), key=lambda path: len(path.parts), default=resolved)
    stored_root = utf8_text(str(root))
    found = []
    for path in find_shapes([resolved]):
        try:
            status = path.stat()
            state = FileState(stored_root, status.st_size, None if stat.S_ISDIR(status.st_mode) else _mtime(status), "")
        except FileNotFoundError:  # deleted in the meantime
            continue
        except OSError:  # `hash_file` reports the reason
            state = FileState(stored_root, 0, None, "")
        found.append(FileEntry(path, path.relative_to(root).as_posix(), state))
    return found


def find_changes(
    folder: Path,
    found: Iterable[FileEntry],
    *,
    indexed: Mapping[str, FileState],
    failed: Mapping[str, FileState],
    retry_failed: bool = False,
    again: Collection[str] = (),
) -> Changes:
    """Compare a folder with a library by root folder, size and time of files and of their side files.

    Args:
        folder: Indexed files under it that were not found are removed; other folders, and those that cannot be listed, are left alone.
        found: From `find_files`.
        indexed: States of indexed files, by path.
        failed: States of files that could not be read, by path.
        retry_failed: Whether to read those again even if they did not change.
        again: Paths of files to read in any case.
    """
    keys, to_read = set(), []
    for file in found:
        keys.add(file.key)
        recorded = indexed.get(file.key) or (None if retry_failed else failed.get(file.key))
        if recorded is None or file.key in again or not _is_unchanged(file, recorded):
            to_read.append(file)
    resolved, unlisted = folder.resolve(), [file.path for file in to_read if file.state.mtime is None]
    removed = [path for path in {**failed, **indexed} if is_inside(resolved, path) and path not in keys]
    removed = [path for path in removed if not any(is_inside(place, path) for place in unlisted)]
    return Changes(tuple(to_read), tuple(removed), len(keys) - len(to_read))


def hash_file(file: FileEntry) -> FileEntry:
    """Return the entry of the file as it is now, with the hash of its bytes and of its side files.

    Two results are equal only if nothing of the file changed in between.

    Raises:
        FileFormatError: If it cannot be read or is too large.
    """
    if file.key != str(file.path):
        raise FileFormatError(f"File name {file.key!r} is not valid UTF-8. Rename the file.")
    try:
        if not file.path.is_file():
            raise FileNotFoundError(None, "No such file" if not file.path.exists() else "not a regular file, or a folder without access")
        paths = (file.path, *side_files(file.path))
        statuses = [path.stat() for path in paths]
        size = sum(status.st_size for status in statuses)
        if size > limits().file_bytes:
            raise FileFormatError(
                f"{file.path.name} has {size:,} bytes with its side files; the limit is {limits().file_bytes:,}. "
                "Split it, or raise file_bytes in BASRELIEF_LIMITS."
            )
        digests = [_digest(path) for path in paths]
    except (OSError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise FileFormatError(f"Cannot read {file.path}: {reason}. Check that it exists and that you may read it.") from error
    content_hash, sides = digests[0], ""
    if len(paths) > 1:
        names = [os.path.relpath(path, file.path.parent) for path in paths[1:]]
        sides = _side_files_json(file.path.parent, names)
        content_hash += "+" + hashlib.sha256(json.dumps([names, digests[1:]]).encode()).hexdigest()
    state = FileState(file.state.root, statuses[0].st_size, _mtime(statuses[0]), content_hash, sides)
    return replace(file, state=state, changed=tuple(status.st_ctime_ns for status in statuses))


def utf8_text(text: str) -> str:
    """Return a text that can be stored: parts of a file name that are not UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def name_words(relative_path: str) -> str:
    """Return the words in the names of a file and its folders: `props/officeChair_02.glb` gives `props office chair 02`."""
    stem = re.sub(r"[.][^./]*$", "", relative_path)
    parts = re.findall(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+", stem)
    return " ".join(part.lower() for part in parts)


def is_inside(folder: Path, path: str) -> bool:
    """Return whether a path lies in a folder, by name alone; both must be resolved."""
    return path.startswith(utf8_text(str(folder)).rstrip(os.sep) + os.sep)


def _is_unchanged(file: FileEntry, recorded: FileState) -> bool:
    if file.state.mtime is None or recorded.side_files is None or replace(recorded, content_hash="", side_files="") != file.state:
        return False
    names = [name for name, _, _ in _parse_side_files(recorded.side_files)]
    return recorded.side_files == "" or _side_files_json(file.path.parent, names) == recorded.side_files


def _side_files_json(folder: Path, names: Iterable[str]) -> str:
    """Return names of side files with their sizes and times, as JSON."""
    found: list[tuple[str, int, int]] = []
    for name in names:
        try:
            status = (folder / name).stat()
            found.append((name, status.st_size, _mtime(status)))
        except OSError:
            found.append((name, 0, 0))
    return json.dumps(found)


def _parse_side_files(text: str | None) -> list[tuple[str, int, int]]:
    """Read the output of `_side_files_json`; return nothing if the library holds something else."""
    try:
        return [(str(name), int(size), int(time)) for name, size, time in json.loads(text or "[]")]
    except (ValueError, TypeError):
        return []


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mtime(status: os.stat_result) -> int:
    """Return the modification time in nanoseconds as a signed 64-bit number; years outside 1677 to 2262 wrap around."""
    return (status.st_mtime_ns + (1 << 63)) % (1 << 64) - (1 << 63)
